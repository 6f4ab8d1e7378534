//! The program: options, start and stop.

use crate::driver::{Shop, program, run};

#[cfg(unix)]
#[test]
fn after_a_restart_a_genuine_cookie_opens_nothing_and_breaks_nothing() {
    let open = || {
        let mut program = program(&["--memory", "8MiB"]);
        program.env("SESSILE_KEYS", KEY);
        Shop::opened_by(program)
    };
    let shop = open();
    assert!(
        shop.greeting.contains("keys      from SESSILE_KEYS"),
        "{}",
        shop.greeting
    );
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    let cookies = visitor.cookies.clone();
    assert!(shop.interrupt().0.success());

    let shop = open();
    let mut visitor = shop.visit();
    visitor.cookies = cookies;
    let page = visitor.get("/");
    assert_eq!(page.status, 200);
    assert!(!page.greets("Ada") && page.has("You have no session"));
    let counts = &visitor.figures()["counts"];
    assert!(
        counts["rejected_unknown"].as_u64() >= Some(1),
        "genuine, but unknown: {counts}"
    );
    assert_eq!(counts["rejected_forged"], 0);
    assert!(visitor.sign_in("Ada").greets("Ada"));
}

#[test]
fn generated_keys_are_announced() {
    let shop = Shop::open();
    assert!(
        shop.greeting
            .contains("sign-ins will not survive a restart"),
        "{}",
        shop.greeting
    );
    assert!(shop.address.ip().is_loopback());
    assert!(
        shop.greeting.contains("8.0 MiB, fixed: about "),
        "{}",
        shop.greeting
    );
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let shop = Shop::open();
    let port = shop.address.port().to_string();
    let (code, stdout, stderr) = run(program(&["--port", &port]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(
        stderr.starts_with(&format!("shop: port {port} is in use")),
        "{stderr}"
    );
    assert_eq!(shop.visit().get("/").status, 200);
}

#[test]
fn invalid_settings_are_errors_that_name_them() {
    for (arguments, named) in [
        (&["--port", "http"][..], ", got \"http\""),
        (&["--memory"], "got no value"),
        (&["--memory", "64MB"], ", got \"64MB\""),
        (&["--memory", "4096"], "--memory: "),
        (&["--memory", "9999999999G"], "--memory: "),
        (&["--idle", "soon"], ", got \"soon\""),
        (&["--idle", "0s"], ", got \"0s\""),
        (&["--idle", "13h"], ", got \"13h\""),
        (&["--verbose"], "\"--verbose\" is not an option"),
        (&["8080"], "\"8080\" is not an option"),
    ] {
        let (code, stdout, stderr) = run(program(arguments));
        assert_eq!(
            (code, stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}: {stderr}"
        );
        assert!(
            stderr.starts_with("shop: ") && stderr.contains(named),
            "{arguments:?}: {stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

// SIGN-3: docs/security-checklist.md
#[test]
fn errors_of_invalid_keys_name_their_position_but_show_no_key() {
    for keys in ["", "c2hvcnQ=", "?not base64?"] {
        let mut program = program(&[]);
        program.env("SESSILE_KEYS", keys);
        let (code, _, stderr) = run(program);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.starts_with("shop: SESSILE_KEYS: "), "{stderr}");
        assert!(keys.is_empty() || !stderr.contains(keys), "{stderr}");
    }
}

#[test]
fn help_is_given_and_nothing_is_opened() {
    let (code, stdout, stderr) = run(program(&["--help"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for option in ["--port", "--memory", "--idle", "--help", "SESSILE_KEYS"] {
        assert!(stdout.contains(option), "{stdout}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_closes_the_shop_with_robots_inside_and_connections_open() {
    use std::io::Write;
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.submit("/robots", "");
    let silent = visitor.connect();
    let mut halfway = visitor.connect();
    halfway
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n")
        .expect("the shop reads");
    // The response arrives on a third connection, so both others are accepted by now.
    assert_eq!(visitor.get("/").status, 200);

    let (status, printed) = shop.interrupt();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(printed.ends_with("Stopped.\n"), "{printed}");
    drop((silent, halfway));
}

// ID-7: docs/security-checklist.md
#[cfg(unix)]
#[test]
fn no_token_is_printed_or_shown() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.submit("/cart/add", "product=coral");
    let mut tokens = vec![visitor.cookie().1.to_owned()];
    visitor.sign_in("Ada");
    tokens.push(visitor.cookie().1.to_owned());
    let mut seen: String = [
        "/",
        "/cart",
        "/sign-in",
        "/devices",
        "/stats",
        "/stats.json",
        "/metrics",
        "/nowhere",
    ]
    .map(|path| visitor.get(path).body)
    .concat();
    visitor.submit("/sign-out", "");
    seen += &shop.interrupt().1;
    for token in tokens {
        assert_eq!(token.len(), 48);
        assert!(!seen.contains(&token));
    }
}

/// 32 bytes in base64, for these tests only.
pub(crate) const KEY: &str = "47dLmd+AR8Iiz6/Z6CRDYnw04bcqu+Qv0ZBLgYW1KJc=";
