//! The log lines of an application that passes the whole contract, of all crates at all levels: no
//! id, no token, no tag.

#![allow(clippy::unwrap_used)]

#[path = "../../web/tests/support/log.rs"]
mod log;
mod support;

use base64_simd::URL_SAFE_NO_PAD;
use log::Log;
use sessile_contract::{CASES, Outcome, Site};
use support::{Server, contract};

// ID-7: docs/security-checklist.md
#[test]
fn no_id_and_no_token_is_logged_in_the_whole_run() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let server = Server::start(contract::app());
    let site = Site::of_contract(&server.base_url()).unwrap();
    for case in CASES.iter().filter(|case| !is_long(case.name)) {
        assert_eq!(case.check(&site), Outcome::Passed, "{}", case.name);
    }
    let (lines, issued) = (log.lines().join("\n"), site.issued());
    assert!(
        issued.len() > 100,
        "there was something to leak: {}",
        issued.len()
    );
    for origin in ["sessile_web", "axum"] {
        assert!(lines.contains(origin), "and somewhere: {origin}");
    }
    assert!(!leaks(&lines, &issued), "a part of a token is logged");

    // The search finds text that is present.
    for secret in spellings(&issued[7]) {
        tracing::trace!(secret);
        assert!(leaks(log.lines().last().unwrap(), &issued));
    }
}

fn leaks(lines: &str, issued: &[String]) -> bool {
    issued
        .iter()
        .flat_map(|token| spellings(token))
        .any(|secret| lines.contains(&secret))
}

/// These cases repeat one request very often.
fn is_long(name: &str) -> bool {
    ["two_writers", "ten_thousand"]
        .iter()
        .any(|word| name.contains(word))
}

/// Returns the forms in which the id and the tag of a token could be printed: base64url,
/// hexadecimal, and a list of numbers.
fn spellings(token: &str) -> Vec<String> {
    let bytes = URL_SAFE_NO_PAD.decode_to_vec(token).unwrap();
    let parts = [&bytes[4..20], &bytes[20..]];
    let hex = |part: &[u8]| {
        part.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let list = |part: &[u8]| format!("{part:?}").trim_matches(['[', ']']).to_owned();
    let mut all = vec![token[6..26].to_owned(), token[27..].to_owned()];
    all.extend(
        parts
            .iter()
            .flat_map(|part| [hex(part), hex(part).to_uppercase(), list(part)]),
    );
    all
}
