//! Sessions that no response goes with, and cookies that are kept as long as they are used.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use http::StatusCode;
use sessile::{Clock, Error};
use sessile_web::{SessionError, Sessions};
use support::{Visitor, builder, cache};

#[test]
fn what_changes_after_the_headers_left_can_be_stored() {
    let mut visitor = Visitor::of(&cache());
    let session = visitor.begin();
    session.insert("state", "begun").unwrap();
    visitor.finish(&session, StatusCode::OK);

    session.detach();
    session.insert("state", "done").unwrap();
    assert!(session.has_work());
    session.save().unwrap();
    assert!(!session.has_work());
    assert_eq!(visitor.value("state").as_deref(), Some("done"));
}

#[test]
fn life_4_a_detached_session_is_not_made() {
    let cache = cache();
    let session = Visitor::of(&cache).begin();
    session.detach();
    assert!(!session.is_stored());
    session.insert("a", 1).unwrap();
    let SessionError::Store(refused) = session.save().unwrap_err() else { panic!("not refused") };
    assert_eq!(refused.cause(), Error::Gone);
    assert!(session.csrf_token().is_err());
    assert_eq!(cache.len(), 0);
}

#[test]
fn a_detached_session_gets_no_new_id() {
    let clock = Clock::manual();
    let cache = builder().clock(clock.clone()).build().unwrap();
    let sessions = Sessions::new(cache).rotate_every(Duration::from_secs(60));
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    clock.advance(Duration::from_secs(90));

    let session = visitor.begin();
    session.detach();
    assert!(session.is_stored());
    for refused in [
        session.rotate(),
        session.sign_in("ada"),
        session.persistent(),
        session.remember(Duration::from_secs(60)),
    ] {
        assert!(matches!(refused, Err(SessionError::TooLate)));
    }
    session.insert("a", 2).unwrap();
    session.save().unwrap();
    // The cookie is what it was, until a request that has a response.
    let (value, reply) = visitor.visit(|session| session.get::<u32>("a").unwrap());
    assert_eq!(value, Some(2));
    assert!(reply.set_cookie().is_some());
}

#[test]
fn a_session_that_ended_meanwhile_is_not_brought_back() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let slow = visitor.begin();
    slow.detach();
    assert!(slow.is_stored());
    visitor.visit(sessile_web::Session::sign_out);
    slow.insert("a", 2).unwrap();
    assert!(slow.save().is_err());
    assert_eq!(cache.len(), 0);
}

#[test]
fn cookies_of_all_sessions_are_kept_while_they_are_used() {
    let clock = Clock::manual();
    let settings = builder().clock(clock.clone()).idle_timeout(Duration::from_secs(1600));
    let cache = settings.lifetime(Duration::from_secs(4000)).build().unwrap();
    let mut visitor = Visitor::new(&Sessions::new(cache).with_persistent_cookies());
    let (_, made) = visitor.visit(|session| session.insert("a", 1).unwrap());
    assert!(made.set_cookie().unwrap().contains("Max-Age=1600"));
    let mut sent_after = |seconds| {
        clock.advance(Duration::from_secs(seconds));
        let (_, reply) = visitor.visit(|session| session.get::<u32>("a").unwrap());
        reply.set_cookie().map(str::to_owned)
    };
    assert_eq!(sent_after(90), None);
    assert!(sent_after(110).unwrap().contains("Max-Age=1600"));
    assert_eq!(sent_after(90), None);
    for _ in 0..2 {
        assert!(sent_after(1000).is_some());
    }
    // The lifetime ends before the timeout would: there is nothing more to say.
    assert_eq!(sent_after(500), None);
    assert_eq!(sent_after(500), None);
}
