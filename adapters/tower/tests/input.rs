//! Bad input: what a client may send, and what a handler may.

#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::HashMap, thread};

use axum::{Router, http::StatusCode, routing::get};
use sessile::{KeyRing, SessionCache};
use sessile_tower::{Session, SessionError, SessionLayer};
use support::{KEY, Server, app, cache, routes};

/// A server, and the cookie of a visitor with a count of 1.
fn served() -> (Server, String) {
    let server = Server::start(app(&cache()));
    let cookie = server.get("/count", &[]).cookie().unwrap().to_owned();
    (server, cookie)
}

#[test]
fn parse_6_one_good_cookie_among_five_of_its_name() {
    let (server, ours) = served();
    let bad = "__Host-session=damaged";
    for at in 0..5 {
        let mut pairs = [bad; 5];
        pairs[at] = &ours;
        // The first four are tried: one that the browser sends fifth is not, whatever stands before it.
        let expected = if at < 4 { "1" } else { "0" };
        let joined = pairs.join("; ");
        assert_eq!(server.get("/read", &[joined.as_bytes()]).body, expected, "at {at}");
        let fields: Vec<_> = pairs.iter().map(|pair| pair.as_bytes()).collect();
        assert_eq!(server.get("/read", &fields).body, expected, "in fields of their own, at {at}");
    }
}

#[test]
fn parse_5_every_split_of_the_cookies_into_fields() {
    let (server, ours) = served();
    let pairs = ["theme=dark", "__Host-session=damaged", ours.as_str(), "lang=en", "a=b"];
    for split in 0..16_u32 {
        let mut fields = vec![String::new()];
        for (at, pair) in pairs.iter().enumerate() {
            let field = fields.last_mut().unwrap();
            *field += if field.is_empty() { "" } else { "; " };
            *field += pair;
            if split >> at & 1 == 1 {
                fields.push(String::new());
            }
        }
        let fields: Vec<_> = fields.iter().map(String::as_bytes).collect();
        assert_eq!(server.get("/read", &fields).body, "1", "split {split:04b}");
    }
}

#[test]
fn parse_8_64_kib_of_cookies_before_ours() {
    let (server, ours) = served();
    for filler in
        ["a=b; ".repeat(13_000), "__Host-sessio".repeat(5_000) + "=1; ", ";".repeat(65_000)]
    {
        let field = filler + &ours;
        assert_eq!(server.get("/read", &[field.as_bytes()]).body, "1");
    }
}

#[test]
fn a_cookie_that_was_signed_with_another_key_opens_nothing() {
    let (server, _) = served();
    let keys = KeyRing::from_bytes(&[b"another key of the tests, as long as it must be"]).unwrap();
    let other = SessionCache::builder().memory(4 << 20).keys(keys).build().unwrap();
    let foreign = Server::start(app(&other)).get("/count", &[]).cookie().unwrap().to_owned();
    let reply = server.get("/read", &[foreign.as_bytes()]);
    assert_eq!((reply.status, reply.body.as_str(), reply.cookie()), (200, "0", None));
}

#[test]
fn headers_that_are_no_text_are_no_trouble() {
    let (server, ours) = served();
    for field in [&b"\xff\xfe"[..], b"__Host-session=\xff", b"\x80=\x80; a", b"\t"] {
        let reply = server.get("/read", &[field]);
        assert_eq!((reply.status, reply.body.as_str()), (200, "0"), "{}", field.escape_ascii());
        assert_eq!(server.get("/read", &[field, ours.as_bytes()]).body, "1");
    }
}

#[test]
fn life_4_10_000_connections_without_a_cookie_store_nothing() {
    let cache = cache();
    let server = Server::start(app(&cache));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_500 {
                    assert_eq!(server.get("/read", &[]).cookie(), None);
                }
            });
        }
    });
    assert_eq!((cache.len(), cache.stats().created), (0, 0));
}

#[test]
fn cook_7_what_a_client_says_of_its_scheme_and_host_changes_no_cookie() {
    let server = Server::start(app(&cache()));
    let plain = server.get("/count", &[]);
    let attributes = |cookie: &str| cookie.split_once(';').unwrap().1.to_owned();
    let expected = attributes(plain.only("set-cookie").unwrap());
    assert!(expected.contains("; Secure"), "over plain HTTP, as it comes from a proxy");
    for lie in [
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: evil.example",
        "Forwarded: proto=http;host=evil.example",
        "X-Forwarded-Prefix: /evil",
        "Host: evil.example",
    ] {
        let request =
            format!("GET /count HTTP/1.1\r\n{lie}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let request = if lie.starts_with("Host") {
            request.replace("Host: localhost\r\n", "")
        } else {
            request
        };
        let reply = server.send_raw(request.as_bytes());
        assert_eq!(attributes(reply.only("set-cookie").unwrap()), expected, "{lie}");
    }
}

#[test]
fn a_value_that_has_no_form_in_json_is_an_error_before_the_response() {
    async fn store(session: Session) -> Result<(), SessionError> {
        session.insert("before", 1)?;
        session.insert("map", HashMap::from([((1, 2), 3)]))
    }
    let cache = cache();
    let server =
        Server::start(routes().route("/store", get(store)).layer(SessionLayer::new(cache.clone())));
    let reply = server.get("/store", &[]);
    assert_eq!((reply.status, reply.cookie(), cache.len()), (500, None, 0));
}

#[test]
fn a_session_over_the_limit_is_seen_by_the_handler_that_saves() {
    async fn grow(session: Session) -> (StatusCode, String) {
        for key in ["a", "b", "c"] {
            session.insert(key, "x".repeat(6_000)).unwrap();
        }
        let refused = session.save().expect_err("together they are over 16 KiB");
        (StatusCode::PAYLOAD_TOO_LARGE, refused.to_string())
    }
    let cache = cache();
    let server = Server::start(
        Router::new().route("/grow", get(grow)).layer(SessionLayer::new(cache.clone())),
    );
    let reply = server.get("/grow", &[]);
    assert_eq!((reply.status, reply.cookie(), cache.len()), (413, None, 0));
    assert!(reply.body.contains("16384"), "{}", reply.body);
}

#[test]
fn the_layer_says_for_whom_a_session_is_made() {
    let keys = KeyRing::from_bytes(&[KEY]).unwrap();
    let settings = SessionCache::builder().memory(4 << 20).keys(keys);
    let cache = settings.admit(|address| address == b"192.0.2.1").build().unwrap();
    let layer = SessionLayer::new(cache.clone()).with_admit_key(|request| {
        request
            .headers
            .get("x-address")
            .map(|address| address.as_bytes().to_vec())
            .unwrap_or_default()
    });
    let server = Server::start(routes().layer(layer));
    let count = |address: &str| {
        let request = format!(
            "GET /count HTTP/1.1\r\nHost: a\r\nX-Address: {address}\r\nConnection: close\r\n\r\n"
        );
        server.send_raw(request.as_bytes()).status
    };
    assert_eq!(
        (count("192.0.2.1"), count("203.0.113.9"), server.get("/count", &[]).status),
        (200, 429, 429)
    );
    assert_eq!(cache.len(), 1);
}
