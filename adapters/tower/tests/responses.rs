//! What a response says and what is stored with it, by status, over real HTTP.

#![allow(clippy::unwrap_used)]

mod support;

use axum::{
    Extension, Router,
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse},
    routing::get,
};
use bytes::BytesMut;
use sessile::{KeyRing, NewSession, SessionCache, SignIn};
use sessile_tower::{Session, SessionError, SessionLayer};
use support::{KEY, Server, app, cache, read};

#[test]
fn life_1_signing_in_and_rotating_change_the_id_and_the_old_one_is_refused() {
    let server = Server::start(app(&cache()));
    let mut browser = server.browser();
    browser.get("/count");
    for (path, body) in [("/rotate", "1"), ("/sign-in", "1 signed in"), ("/rotate", "1 signed in")]
    {
        let old = browser.cookie();
        assert!(browser.get(path).cookie().is_some(), "{path} sends a new cookie");
        assert_ne!(browser.cookie(), old, "{path}");
        assert_eq!(browser.get("/read").body, body, "the data is kept by {path}");
        assert_eq!(
            server.get("/read", &[old.as_bytes()]).body,
            "0",
            "the old cookie, after {path}"
        );
    }
}

#[test]
fn life_1_a_visitor_without_a_session_signs_in() {
    let cache = cache();
    let server = Server::start(app(&cache));
    let mut browser = server.browser();
    browser.get("/sign-in");
    assert_eq!(browser.get("/read").body, "0 signed in");
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_response_of_500_or_above_stores_nothing_but_an_end() {
    let cache = cache();
    let server = Server::start(app(&cache));
    let mut browser = server.browser();
    assert_eq!((browser.get("/fail").status, cache.len()), (502, 0));
    assert!(browser.jar.is_empty());

    browser.get("/count");
    let reply = browser.get("/fail");
    assert_eq!((reply.status, reply.cookie()), (502, None));
    assert_eq!(reply.only("vary"), Some("Cookie"), "it was looked at all the same");
    assert_eq!(browser.get("/read").body, "1");

    let reply = browser.get("/end-and-fail");
    assert_eq!((reply.status, reply.cookie()), (500, Some("__Host-session=")));
    assert_eq!(cache.len(), 0);
}

#[test]
fn cook_3_one_set_cookie_when_a_session_ends_and_another_begins() {
    let cache = cache();
    let server = Server::start(app(&cache));
    let mut browser = server.browser();
    browser.get("/count");
    let old = browser.cookie();
    let reply = browser.get("/end-and-count");
    assert_eq!(reply.body, "1", "the old data is gone");
    assert_ne!(reply.cookie().expect("only one"), old);
    assert_eq!((browser.get("/read").body.as_str(), cache.len()), ("1", 1));
}

#[test]
fn cook_3_layers_of_one_cache_set_one_cookie() {
    let layer = SessionLayer::new(cache());
    let server = Server::start(support::routes().layer(layer.clone()).layer(layer));
    let mut browser = server.browser();
    assert!(browser.get("/count").cookie().is_some());
    assert_eq!(browser.get("/count").body, "2");
}

#[test]
fn cook_6_the_session_s_headers_stand_beside_the_handler_s() {
    async fn own(session: Session) -> Result<impl IntoResponse, SessionError> {
        session.insert("count", 1)?;
        let cookies =
            AppendHeaders([(header::SET_COOKIE, "theme=dark"), (header::SET_COOKIE, "lang=en")]);
        let others =
            [(header::VARY, "accept-language"), (header::CACHE_CONTROL, "public, max-age=60")];
        Ok((cookies, others, "own"))
    }
    let app = Router::new().route("/own", get(own)).merge(support::routes());
    let server = Server::start(app.layer(SessionLayer::new(cache())));
    let mut browser = server.browser();

    let reply = browser.get("/own");
    let cookies = reply.all("set-cookie");
    assert_eq!(cookies[..2], ["theme=dark", "lang=en"]);
    assert!(cookies[2].starts_with("__Host-session=") && cookies.len() == 3);
    assert_eq!(reply.all("vary"), ["accept-language", "Cookie"]);
    assert_eq!(reply.only("cache-control"), Some("no-store"));

    let again = browser.get("/own");
    assert_eq!(again.all("set-cookie").len(), 2, "nothing new to send");
    assert_eq!(again.only("cache-control"), Some("public, max-age=60"), "what the handler said");
    assert_eq!(again.all("vary"), ["accept-language", "Cookie"]);

    let quiet = browser.get("/quiet");
    assert_eq!((quiet.all("vary").len(), quiet.all("cache-control").len()), (0, 0));
    let read = browser.get("/read");
    assert_eq!((read.only("vary"), read.only("cache-control")), (Some("Cookie"), None));
}

#[test]
fn life_3_changes_to_a_session_that_ended_meanwhile_are_dropped() {
    async fn overtaken(
        session: Session,
        Extension(cache): Extension<SessionCache>,
        headers: HeaderMap,
    ) -> Result<String, SessionError> {
        let seen = read(&session)?;
        let fields = headers.get_all(header::COOKIE).iter().map(header::HeaderValue::as_bytes);
        let record = cache.open(fields, &mut BytesMut::new()).expect("it is live");
        cache.end(&record.id);
        session.insert("count", 50)?;
        Ok(seen)
    }
    let cache = cache();
    let app = Router::new().route("/overtaken", get(overtaken)).layer(Extension(cache.clone()));
    let server =
        Server::start(app.merge(support::routes()).layer(SessionLayer::new(cache.clone())));
    let mut browser = server.browser();
    browser.get("/count");
    let reply = browser.get("/overtaken");
    assert_eq!((reply.status, reply.body.as_str()), (200, "1"), "the response goes out");
    assert_eq!(reply.cookie(), None, "another response may have set a newer one");
    assert_eq!((cache.len(), cache.stats().created), (0, 1));
}

#[test]
fn a_full_cache_is_503_with_retry_after_and_those_signed_in_stay() {
    async fn order(session: Session) -> Result<(), SessionError> {
        session.insert("order", "x".repeat(16_300))
    }
    let cache = full_cache();
    let app = Router::new().route("/order", get(order)).merge(support::routes());
    let server = Server::start(app.layer(SessionLayer::new(cache.clone())));
    let (sessions, evicted) = (cache.len(), cache.stats().evicted);
    let reply = server.get("/order", &[]);
    assert_eq!((reply.status, reply.cookie()), (503, None));
    assert!(reply.only("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    assert!(reply.only("content-type").unwrap().starts_with("text/plain"));
    assert!(reply.body.contains("try again"), "{}", reply.body);
    assert_eq!(reply.only("content-length"), Some(reply.body.len().to_string().as_str()));
    assert_eq!((cache.len(), cache.stats().evicted), (sessions, evicted));
    assert_eq!(server.get("/read", &[]).status, 200, "who stores nothing is served");
}

/// One shard, so full of sessions of signed-in users that the largest session finds no room.
fn full_cache() -> SessionCache {
    let keys = KeyRing::from_bytes(&[KEY]).unwrap();
    let cache = SessionCache::builder().memory(1 << 20).keys(keys).build().unwrap();
    let largest = vec![0; cache.max_session_size()];
    let mut users = 0..;
    let mut sign_one_in = || {
        let made = cache.create(&[0; 512], NewSession::default()).unwrap();
        let user = format!("user {}", users.next().unwrap());
        cache.sign_in(&made.id, &user, SignIn::default()).unwrap();
    };
    while cache.stats().evicted.aliases == 0 {
        sign_one_in();
    }
    while let Ok(probe) = cache.create(&largest, NewSession::default()) {
        cache.end(&probe.id);
        sign_one_in();
    }
    cache
}

#[test]
fn a_session_over_the_limit_is_500_and_the_text_names_the_limit_and_no_data() {
    async fn grow(session: Session) -> Result<&'static str, SessionError> {
        session.insert("first", "secret ".repeat(400))?;
        session.insert("second", "secret ".repeat(400))?;
        session.rotate()?;
        Ok("grown")
    }
    let keys = KeyRing::from_bytes(&[KEY]).unwrap();
    let cache = SessionCache::builder()
        .memory(4 << 20)
        .max_session_size(4 << 10)
        .keys(keys)
        .build()
        .unwrap();
    let app = Router::new().route("/grow", get(grow)).merge(support::routes());
    let server = Server::start(app.layer(SessionLayer::new(cache)));
    let mut browser = server.browser();
    browser.get("/count");
    let reply = browser.get("/grow");
    assert_eq!((reply.status, reply.cookie(), reply.only("retry-after")), (500, None, None));
    assert!(
        reply.body.contains("4096") && reply.body.contains("max_session_size"),
        "{}",
        reply.body
    );
    assert!(!reply.body.contains("secret"));
    assert_eq!(browser.get("/read").body, "1", "the session is as it was, under its old id");
}

#[test]
fn a_value_too_large_for_any_session_is_refused_where_the_handler_can_answer() {
    async fn insert(session: Session) -> (StatusCode, String) {
        let refused = session.insert("all", "x".repeat(20_000)).expect_err("it is over 16 KiB");
        (StatusCode::PAYLOAD_TOO_LARGE, refused.to_string())
    }
    let app = Router::new().route("/insert", get(insert)).layer(SessionLayer::new(cache()));
    let reply = Server::start(app).get("/insert", &[]);
    assert_eq!((reply.status, reply.cookie()), (413, None));
    assert!(reply.body.contains("16384"), "{}", reply.body);
}

#[test]
fn a_forgotten_layer_is_500_and_says_how_to_add_it() {
    let reply = Server::start(support::routes()).get("/count", &[]);
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("the session layer is missing"), "{}", reply.body);
    assert!(reply.body.contains(".layer(sessile_tower::SessionLayer::new(cache))"));
}

#[test]
fn a_value_of_another_type_is_500_without_a_word_of_it() {
    async fn store(session: Session) -> Result<(), SessionError> {
        session.insert("count", "a private word")
    }
    let app = Router::new().route("/store", get(store)).merge(support::routes());
    let server = Server::start(app.layer(SessionLayer::new(cache())));
    let mut browser = server.browser();
    browser.get("/store");
    let reply = browser.get("/read");
    assert_eq!(reply.status, 500);
    assert!(!reply.body.contains("private"), "{}", reply.body);
}
