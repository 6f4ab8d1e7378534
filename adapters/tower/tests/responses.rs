//! Responses of an application that is set up otherwise than the contract's, over real HTTP.

#![allow(clippy::unwrap_used)]

mod support;

use axum::{Router, http::StatusCode, routing::get};
use sessile::{KeyRing, SessionCache};
use sessile_contract::Request;
use sessile_tower::{Session, SessionError, SessionLayer};
use support::{Server, cache, contract};

// COOK-3: docs/security-checklist.md
#[test]
fn layers_of_one_cache_set_one_cookie() {
    let layer = SessionLayer::new(cache());
    let server = Server::start(contract::routes().layer(layer.clone()).layer(layer));
    let site = server.site();
    let mut browser = site.browser();
    let answer = browser.post("/bump", &[("key", "a")]);
    assert_eq!(answer.all("set-cookie").len(), 1);
    assert_eq!(browser.post("/bump", &[("key", "a")]).body, "2");
}

#[test]
fn a_full_cache_is_503_with_retry_after_and_those_signed_in_stay() {
    async fn order(session: Session) -> Result<(), SessionError> {
        session.insert("order", "x".repeat(16_300))
    }
    let cache = full_cache();
    let app = Router::new()
        .route("/order", get(order))
        .merge(contract::routes());
    let server = Server::start(app.layer(SessionLayer::new(cache.clone())));
    let site = server.site();
    let (sessions, evicted) = (cache.len(), cache.stats().evicted);
    let reply = site.send(&Request::get("/order"));
    assert_eq!((reply.status, reply.cookie()), (503, None));
    assert!(reply.only("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    assert!(
        reply
            .only("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    assert!(reply.body.contains("try again"), "{}", reply.body);
    assert_eq!(
        reply.only("content-length"),
        Some(reply.body.len().to_string().as_str())
    );
    assert_eq!((cache.len(), cache.stats().evicted), (sessions, evicted));
    assert_eq!(
        site.send(&Request::get("/user")).status,
        200,
        "who stores nothing is served"
    );
}

/// One shard, so full of sessions of signed-in users that the largest session finds no room.
fn full_cache() -> SessionCache {
    let keys = KeyRing::generate().unwrap();
    let cache = SessionCache::builder()
        .memory(1 << 20)
        .keys(keys)
        .build()
        .unwrap();
    let largest = vec![0; cache.max_session_size()];
    let mut users = 0..;
    let mut sign_one_in = || {
        let made = cache.create(&[0; 512]).unwrap();
        let user = format!("user {}", users.next().unwrap());
        cache.sign_in(&made.id, &user).unwrap();
    };
    while cache.stats().evicted.aliases == 0 {
        sign_one_in();
    }
    while let Ok(probe) = cache.create(&largest) {
        cache.end(&probe.id);
        sign_one_in();
    }
    cache
}

#[test]
fn a_value_too_large_for_any_session_is_refused_where_the_handler_can_answer() {
    async fn insert(session: Session) -> (StatusCode, String) {
        let refused = session
            .insert("all", "x".repeat(20_000))
            .expect_err("it is over 16 KiB");
        (StatusCode::PAYLOAD_TOO_LARGE, refused.to_string())
    }
    let app = Router::new()
        .route("/insert", get(insert))
        .layer(SessionLayer::new(cache()));
    let reply = Server::start(app).site().send(&Request::get("/insert"));
    assert_eq!((reply.status, reply.cookie()), (413, None));
    assert!(reply.body.contains("16384"), "{}", reply.body);
}

#[test]
fn a_forgotten_layer_is_500_and_says_how_to_add_it() {
    let reply = Server::start(contract::routes())
        .site()
        .send(&Request::get("/user"));
    assert_eq!(reply.status, 500);
    assert!(
        reply.body.contains("the session layer is missing"),
        "{}",
        reply.body
    );
    assert!(
        reply
            .body
            .contains(".layer(sessile_tower::SessionLayer::new(cache))")
    );
}

#[test]
fn a_value_of_another_type_is_500_without_a_word_of_it() {
    let server = Server::start(contract::routes().layer(SessionLayer::new(cache())));
    let site = server.site();
    let mut browser = site.browser();
    browser.set("a", "a private word");
    let reply = browser.post("/bump", &[("key", "a")]);
    assert_eq!(reply.status, 500);
    assert!(!reply.body.contains("private"), "{}", reply.body);
}

#[test]
fn a_session_over_the_limit_is_seen_by_the_handler_that_saves() {
    async fn grow(session: Session) -> (StatusCode, String) {
        for key in ["a", "b", "c"] {
            session.insert(key, "x".repeat(6_000)).unwrap();
        }
        let refused = session
            .save()
            .await
            .expect_err("together they are over 16 KiB");
        (StatusCode::PAYLOAD_TOO_LARGE, refused.to_string())
    }
    let cache = cache();
    let server = Server::start(
        Router::new()
            .route("/grow", get(grow))
            .layer(SessionLayer::new(cache.clone())),
    );
    let reply = server.site().send(&Request::get("/grow"));
    assert_eq!((reply.status, reply.cookie(), cache.len()), (413, None, 0));
    assert!(reply.body.contains("16384"), "{}", reply.body);
}

#[test]
fn the_layer_says_for_whom_a_session_is_made() {
    let keys = KeyRing::generate().unwrap();
    let settings = SessionCache::builder().memory(4 << 20).keys(keys);
    let cache = settings
        .admission(|address| address == b"192.0.2.1")
        .build()
        .unwrap();
    let layer = SessionLayer::new(cache.clone()).with_admission_key(|request| {
        request
            .headers
            .get("x-address")
            .map(|address| address.as_bytes().to_vec())
            .unwrap_or_default()
    });
    let server = Server::start(contract::routes().layer(layer));
    let site = server.site();
    let set = Request::post("/set", &[("key", "a"), ("value", "1")]);
    let from = |address: &[u8]| site.send(&set.clone().field("X-Address", address)).status;
    assert_eq!(
        (
            from(b"192.0.2.1"),
            from(b"203.0.113.9"),
            site.send(&set).status
        ),
        (200, 429, 429)
    );
    assert_eq!(cache.len(), 1);
}
