//! The rows of `tests/vectors/store_contract_cases.json` that an adapter answers for, over real HTTP:
//! restated from the tests of tower-sessions, actix-session, express-session and Django.

#![allow(clippy::unwrap_used)]

mod support;

use sessile::{KeyRing, SessionCache};
use sessile_tower::SessionLayer;
use support::{Server, app, cache, routes};

#[test]
fn st_11_id_4_an_unknown_id_is_never_adopted() {
    let (issuer, cache) = (cache(), cache());
    let elsewhere = Server::start(app(&issuer));
    let mut browser = elsewhere.browser();
    browser.get("/count");
    let offered = browser.cookie();
    let server = Server::start(app(&cache));

    // Signed with our key, and unknown here: nothing to read, and nothing is made of it.
    let reply = server.get("/read", &[offered.as_bytes()]);
    assert_eq!((reply.body.as_str(), reply.cookie()), ("0", None));
    assert_eq!(cache.len(), 0);

    let reply = server.get("/count", &[offered.as_bytes()]);
    assert_eq!(reply.body, "1");
    assert_ne!(reply.cookie().expect("a new id"), offered);
    assert_eq!(server.get("/read", &[offered.as_bytes()]).body, "0");
}

#[test]
fn st_12_a_malformed_id_is_absent_and_no_error() {
    let server = Server::start(app(&cache()));
    let long = "A".repeat(4_000);
    for value in [
        "",
        "A",
        "=",
        "\"\"",
        "..",
        "%00",
        "AAAAAAAAAAAAAAAAAAAAAA",
        &"A".repeat(48),
        &"-".repeat(48),
        &long,
    ] {
        let reply = server.get("/read", &[format!("__Host-session={value}").as_bytes()]);
        assert_eq!(
            (reply.status, reply.body.as_str(), reply.cookie()),
            (200, "0", None),
            "{value}"
        );
    }
}

#[test]
fn st_20_a_value_is_read_on_the_next_request_and_the_path_is_honoured() {
    let cache = SessionCache::builder()
        .memory(4 << 20)
        .cookie_name("__Secure-shop")
        .keys(KeyRing::random().unwrap())
        .build()
        .unwrap();
    let layer = SessionLayer::new(cache).with_path("/shop").unwrap();
    let server = Server::start(routes().layer(layer));
    let mut browser = server.browser();
    let reply = browser.get("/count");
    assert!(reply.only("set-cookie").unwrap().contains("; Path=/shop"));
    assert_eq!(browser.get("/count").body, "2");
    assert_eq!(server.browser().get("/read").body, "0", "another visitor sees nothing of it");
}

#[test]
fn st_24_term_6_signing_out_removes_the_cookie_and_kills_the_old_one() {
    let cache = cache();
    let server = Server::start(app(&cache));
    let mut browser = server.browser();
    browser.get("/count");
    browser.get("/sign-in");
    let old = browser.cookie();
    assert_eq!(browser.get("/read").body, "1 signed in");

    let removal = browser.get("/end");
    let removal = removal.only("set-cookie").unwrap();
    assert!(removal.starts_with("__Host-session=;"), "{removal}");
    for attribute in ["; Max-Age=0", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(removal.contains(attribute), "{attribute} is missing in {removal}");
    }
    assert!(!removal.contains("Domain"));
    assert!(browser.jar.is_empty());
    assert_eq!(server.get("/read", &[old.as_bytes()]).body, "0");
    assert_eq!(cache.len(), 0);
}

#[test]
fn st_30_a_session_that_ended_is_replaced_by_a_new_one_with_a_new_id() {
    let server = Server::start(app(&cache()));
    let mut browser = server.browser();
    browser.get("/count");
    let old = browser.cookie();
    server.get("/end", &[old.as_bytes()]);
    assert_eq!(browser.get("/count").body, "1", "nothing of the old one is left");
    assert_ne!(browser.cookie(), old);
}

#[test]
fn st_38_an_unmodified_session_is_neither_saved_nor_sent_again() {
    let cache = cache();
    let server = Server::start(app(&cache));
    let mut browser = server.browser();
    browser.get("/count");
    let saved = cache.stats().saved;
    for path in ["/quiet", "/read", "/same"] {
        let reply = browser.get(path);
        assert_eq!((reply.status, reply.cookie()), (200, None), "{path}");
    }
    assert_eq!(cache.stats().saved, saved, "an equal value is no change");
    assert_eq!(browser.get("/count").cookie(), None, "the id is the same, so the cookie is");
    assert_eq!(cache.stats().saved, saved + 1);
}

#[test]
fn st_39_nothing_is_kept_of_a_visitor_who_stored_nothing() {
    let cache = cache();
    let server = Server::start(app(&cache));
    for path in ["/quiet", "/read", "/rotate", "/end"] {
        let reply = server.get(path, &[]);
        assert_eq!((reply.status, reply.cookie()), (200, None), "{path}");
    }
    assert_eq!((cache.len(), cache.stats().created), (0, 0));
}

#[test]
fn st_54_signing_out_without_a_session_creates_no_record() {
    let cache = cache();
    let server = Server::start(app(&cache));
    server.browser().get("/count");
    assert_eq!(server.get("/end", &[]).cookie(), None);
    let reply = server.get("/end", &[b"__Host-session=stale"]);
    assert_eq!(reply.cookie(), Some("__Host-session="), "a dead cookie is taken away");
    assert_eq!((cache.len(), cache.stats().created), (1, 1));
}
