//! Responses of applications with other settings than the contract's, over real HTTP.

#![allow(clippy::unwrap_used)]

mod support;

use axum::{Router, routing::get};
use sessile::{KeyRing, SessionCache};
use sessile_contract::Request;
use sessile_tower::{Session, SessionError, SessionLayer, testing::full_cache};
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
fn a_full_cache_is_503_with_retry_after_and_keeps_authenticated_sessions() {
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
        "a request without changes succeeds"
    );
}

#[test]
fn a_value_of_another_type_is_500_and_not_quoted() {
    let server = Server::start(contract::routes().layer(SessionLayer::new(cache())));
    let site = server.site();
    let mut browser = site.browser();
    browser.set("a", "a private word");
    let reply = browser.post("/bump", &[("key", "a")]);
    assert_eq!(reply.status, 500);
    assert!(!reply.body.contains("private"), "{}", reply.body);
}

#[test]
fn the_layer_passes_the_admission_key_to_the_hook() {
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
