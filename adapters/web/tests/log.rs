//! Log lines: one warning about plain HTTP, errors of the store, and never an id or a token.

#![allow(clippy::unwrap_used)]

#[path = "support/log.rs"]
mod log;
mod support;

use log::Log;
use sessile_web::adapter::ready;
use sessile_web::{Session, SessionManager};
use support::{Visitor, builder, cache};

fn logged(act: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), act);
    log.lines()
}

#[test]
fn plain_http_is_warned_of_once_not_for_each_request() {
    let lines = logged(|| {
        let sessions = SessionManager::builder(cache())
            .insecure_http()
            .build()
            .unwrap();
        let mut visitor = Visitor::new(&sessions.clone());
        for value in 0..3 {
            visitor.visit(|session| session.insert("a", value).unwrap());
        }
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("WARN") && lines[0].contains("plain HTTP"),
        "{lines:?}"
    );
}

#[test]
fn data_of_another_program_is_warned_of_and_reads_as_empty() {
    let cache = cache();
    let token = cache.create(b"a cart").unwrap().token;
    let mut visitor = Visitor::of(&cache);
    visitor.cookie = Some(format!("{}={}", cache.cookie_name(), token.as_str()));
    let warnings = |lines: Vec<String>| {
        let is_warning = |line: &&String| line.contains("not written by sessile-web");
        lines.iter().filter(is_warning).count()
    };
    let read = logged(|| drop(visitor.visit(|session| assert!(session.is_empty()))));
    assert_eq!(warnings(read), 1);
    let overwritten = logged(|| drop(visitor.visit(|session| session.insert("a", 1).unwrap())));
    assert_eq!(warnings(overwritten), 1);
    let read_again = logged(|| drop(visitor.visit(|session| assert!(session.contains_key("a")))));
    assert_eq!(warnings(read_again), 0);
}

// ID-7: docs/security-checklist.md
#[test]
fn no_id_no_token_and_no_data_is_logged() {
    let cache = builder().max_session_size(1 << 10).build().unwrap();
    let mut visitor = Visitor::of(&cache);
    let mut tokens = Vec::new();
    let lines = logged(|| {
        let mut visit = |act: fn(&Session)| {
            visitor.visit(act);
            tokens.extend(
                visitor
                    .cookie
                    .iter()
                    .map(|cookie| cookie.split('=').nth(1).unwrap().to_owned()),
            );
        };
        visit(|session| session.insert("word", "private").unwrap());
        visit(|session| session.sign_in("alice").unwrap());
        visit(|session| session.rotate().unwrap());
        visit(|session| drop(session.csrf_token().unwrap()));
        visit(|session| {
            session.check_csrf("private").unwrap_err();
            session.append("word", "private").unwrap_err();
            session.watch("word").unwrap();
            ready(session.save()).unwrap();
            ready(session.sign_out_others()).unwrap();
        });
        visit(|session| {
            session.insert("a", "private".repeat(100)).unwrap();
            session.insert("b", "private".repeat(100)).unwrap();
        });
        visit(|session: &Session| ready(session.sign_out()).unwrap());
    });
    assert!(
        tokens.len() >= 3 && !lines.is_empty(),
        "there was something to leak, and somewhere"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("could not be stored")),
        "{lines:?}"
    );
    for line in lines {
        assert!(
            !line.contains("private") && !line.contains("alice"),
            "{line}"
        );
        assert!(
            tokens.iter().all(|token| !line.contains(&token[..12])),
            "{line}"
        );
    }
}
