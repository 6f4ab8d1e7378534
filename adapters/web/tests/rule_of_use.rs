//! The rule that decides which requests use a session, and which responses have its headers.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use sessile::ManualClock;
use sessile_web::{Session, SessionManager, adapter::ready};
use support::{Visitor, builder};

const MINUTE: Duration = Duration::from_secs(60);

fn sessions() -> (SessionManager, ManualClock) {
    let clock = ManualClock::new();
    let cache = builder()
        .clock(clock.clone())
        .idle_timeout(30 * MINUTE)
        .build()
        .unwrap();
    (SessionManager::new(cache), clock)
}

fn user(session: &Session) -> Option<String> {
    session.user()
}

/// A user who signed in and then, for 40 minutes, requests once a minute a route that never reads
/// the session.
fn after_forty_minutes(sessions: &SessionManager, clock: &ManualClock) -> Option<String> {
    let mut visitor = Visitor::new(sessions);
    visitor.visit(|session| session.sign_in("ada").unwrap());
    for _ in 0..40 {
        clock.advance(MINUTE);
        let (_, reply) = visitor.visit(|_| ());
        assert!(reply.headers.is_empty(), "{:?}", reply.headers);
    }
    visitor.visit(user).0
}

#[test]
fn a_request_that_does_not_read_the_session_is_not_a_use() {
    let (sessions, clock) = sessions();
    assert_eq!(after_forty_minutes(&sessions, &clock), None);
}

#[test]
fn with_touch_always_every_request_with_the_cookie_is_a_use_and_adds_no_header() {
    let (sessions, clock) = sessions();
    let sessions = sessions.to_builder().touch_always(true).build().unwrap();
    assert_eq!(
        after_forty_minutes(&sessions, &clock).as_deref(),
        Some("ada")
    );
}

#[test]
fn with_touch_always_a_long_request_is_a_use_when_it_begins() {
    let (sessions, clock) = sessions();
    let sessions = sessions.to_builder().touch_always(true).build().unwrap();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| session.sign_in("ada").unwrap());
    clock.advance(20 * MINUTE);
    let slow = visitor.begin();
    clock.advance(20 * MINUTE);
    assert_eq!(visitor.visit(user).0.as_deref(), Some("ada"));
    visitor.finish(&slow, StatusCode::OK);
}

#[test]
fn with_touch_always_a_kept_cookie_is_sent_again_with_its_headers() {
    let (sessions, clock) = sessions();
    let sessions = sessions
        .to_builder()
        .persistent_cookies(true)
        .touch_always(true)
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let (_, reply) = visitor.visit(|_| ());
    assert!(reply.headers.is_empty(), "the deadline did not move");
    clock.advance(5 * MINUTE);
    let (_, reply) = visitor.visit(|_| ());
    assert!(reply.set_cookie().unwrap().contains("Max-Age=1800"));
    assert_eq!(reply.headers[header::VARY], "Cookie");
    assert_eq!(reply.headers[header::CACHE_CONTROL], "no-store");
}

#[test]
fn with_touch_always_nothing_but_the_deadline_changes() {
    let (sessions, clock) = sessions();
    let sessions = sessions
        .to_builder()
        .rotate_every(10 * MINUTE)
        .touch_always(true)
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    clock.advance(20 * MINUTE);
    let cookie = visitor.cookie.clone();
    let (_, reply) = visitor.visit(|_| ());
    assert!(
        reply.headers.is_empty(),
        "a rotation waits for a request that reads"
    );
    visitor.visit(user);
    assert_ne!(visitor.cookie, cookie);

    let mut stranger = Visitor::new(&sessions);
    stranger.cookie = Some("__Host-session=damaged".to_owned());
    assert!(stranger.visit(|_| ()).1.headers.is_empty());
}

#[test]
fn the_handler_s_cache_control_is_replaced_only_beside_a_session_cookie() {
    let (sessions, clock) = sessions();
    let sessions = sessions
        .to_builder()
        .persistent_cookies(true)
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let cache_control = || {
        let session = visitor.begin();
        user(&session);
        let value = HeaderValue::from_static("private, max-age=600");
        let mut headers = HeaderMap::from_iter([(header::CACHE_CONTROL, value)]);
        ready(SessionManager::commit(
            &session,
            StatusCode::OK,
            &mut headers,
        ))
        .unwrap();
        assert_eq!(headers[header::VARY], "Cookie");
        let is_sent = headers.contains_key(header::SET_COOKIE);
        (
            is_sent,
            headers[header::CACHE_CONTROL].to_str().unwrap().to_owned(),
        )
    };
    assert_eq!(cache_control(), (false, "private, max-age=600".to_owned()));
    clock.advance(5 * MINUTE);
    assert_eq!(cache_control(), (true, "no-store".to_owned()));
}
