//! Cookies as clients send them, and the cookie of plain HTTP.

#![allow(clippy::unwrap_used)]

mod support;

use sessile_tower::{SameSite, SessionLayer};
use support::{Server, app, cache, routes};

#[test]
fn parse_5_several_cookie_fields_are_one_list() {
    let server = Server::start(app(&cache()));
    let mut browser = server.browser();
    browser.get("/count");
    let ours = browser.cookie();
    let ours = ours.as_bytes();
    for fields in [
        &[b"a=1", ours, b"b=2"][..],
        &[ours, b"a=1"],
        &[b"a=1; b=2", b"c=3", ours],
        &[b"__Host-session=damaged", ours],
    ] {
        assert_eq!(server.get("/read", fields).body, "1");
    }
}

#[test]
fn parse_8_damage_to_other_cookies_does_not_lose_the_session() {
    let server = Server::start(app(&cache()));
    let mut browser = server.browser();
    browser.get("/count");
    let ours = browser.cookie();
    for (before, after) in [
        (&b"a=\xff\xfe; "[..], &b""[..]),
        (b"\xc3\x28=1; ", b"; b=\x80"),
        (b"=; ;;, =x; ", b";"),
        (b"a=\"; ", b"; b=\""),
        (b"a=%zz%; ", b"; flag"),
        (b"__host-session=1; __Host-session =2x; %5F%5FHost-session=3; ", b""),
    ] {
        let field = [before, ours.as_bytes(), after].concat();
        let reply = server.get("/read", &[&field]);
        assert_eq!((reply.status, reply.body.as_str()), (200, "1"), "{}", field.escape_ascii());
    }
}

#[test]
fn id_4_a_forged_cookie_opens_nothing_and_nothing_is_made_of_it() {
    let cache = cache();
    let server = Server::start(app(&cache));
    let mut browser = server.browser();
    browser.get("/count");
    let good = browser.cookie();
    for at in ["__Host-session=".len(), good.len() - 20, good.len() - 1] {
        let mut forged = good.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'Q' } else { b'A' };
        assert_eq!(server.get("/read", &[&forged]).body, "0", "byte {at}");
        let reply = server.get("/count", &[&forged]);
        assert!(reply.cookie().is_some_and(|cookie| cookie.as_bytes() != forged), "byte {at}");
    }
    assert_eq!(browser.get("/read").body, "1");
}

#[test]
fn plain_http_works_without_secure_and_without_the_prefix() {
    let layer = SessionLayer::new(cache()).with_same_site(SameSite::None).unwrap().insecure_http();
    let server = Server::start(routes().layer(layer));
    let mut browser = server.browser();
    let reply = browser.get("/count");
    let cookie = reply.only("set-cookie").unwrap();
    assert!(cookie.starts_with("session="), "{cookie}");
    assert!(!cookie.contains("Secure") && cookie.contains("; SameSite=Lax"), "{cookie}");
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; Path=/"), "{cookie}");

    assert_eq!(browser.get("/count").body, "2");
    let old = browser.cookie();
    browser.get("/sign-in");
    assert_eq!(browser.get("/read").body, "2 signed in");
    assert_eq!(server.get("/read", &[old.as_bytes()]).body, "0");
    let removal = browser.get("/end");
    assert!(removal.only("set-cookie").unwrap().starts_with("session=;"));
    assert!(browser.jar.is_empty());
}

#[test]
fn parse_6_plain_http_tries_four_values_over_all_fields_and_no_more() {
    let server = Server::start(routes().layer(SessionLayer::new(cache()).insecure_http()));
    let mut browser = server.browser();
    browser.get("/count");
    let ours = browser.cookie();
    let ours = ours.as_bytes();
    let bad = b"session=damaged; session=";
    assert_eq!(server.get("/read", &[bad, b"session=x", ours]).body, "1");
    assert_eq!(server.get("/read", &[bad, bad, ours]).body, "0");
}
