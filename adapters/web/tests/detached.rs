//! Sessions without a response, and cookies that are kept as long as they are used.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use sessile::{Error, ManualClock};
use sessile_web::adapter::{SessionExt, ready};
use sessile_web::{Session, SessionError, SessionManager};
use support::{Visitor, builder, cache};

#[test]
fn changes_after_the_headers_were_sent_can_be_saved() {
    let mut visitor = Visitor::of(&cache());
    let session = visitor.begin();
    session.insert("state", "begun").unwrap();
    visitor.finish(&session, StatusCode::OK);

    session.detach();
    session.insert("state", "done").unwrap();
    assert!(session.has_work());
    ready(session.save()).unwrap();
    assert!(!session.has_work());
    assert_eq!(visitor.value("state").as_deref(), Some("done"));
}

// LIFE-4: docs/security-checklist.md
#[test]
fn a_detached_session_is_not_made() {
    let cache = cache();
    let session = Visitor::of(&cache).begin();
    session.detach();
    assert!(!session.is_stored());
    session.insert("a", 1).unwrap();
    let SessionError::Store(refused) = ready(session.save()).unwrap_err() else {
        panic!("not refused")
    };
    assert_eq!(refused.cause(), Error::Gone);
    assert!(session.csrf_token().is_err());
    assert_eq!(cache.len(), 0);
}

#[test]
fn a_detached_session_gets_no_new_id() {
    let clock = ManualClock::new();
    let cache = builder().clock(clock.clone()).build().unwrap();
    let sessions = SessionManager::builder(cache)
        .rotate_every(Duration::from_secs(60))
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    clock.advance(Duration::from_secs(90));

    let session = visitor.begin();
    session.detach();
    assert!(session.is_stored());
    for refused in [
        session.rotate(),
        session.sign_in("ada"),
        session.make_persistent(),
        session.remember(Duration::from_secs(60)),
    ] {
        assert!(matches!(refused, Err(SessionError::AlreadyCommitted)));
    }
    session.insert("a", 2).unwrap();
    ready(session.save()).unwrap();
    // The cookie is unchanged until a request with a response.
    let (value, reply) = visitor.visit(|session| session.get::<u32>("a").unwrap());
    assert_eq!(value, Some(2));
    assert!(reply.set_cookie().is_some());
}

#[test]
fn a_session_that_ended_during_the_request_is_not_restored() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let slow = visitor.begin();
    slow.detach();
    assert!(slow.is_stored());
    visitor.visit(|session: &Session| ready(session.sign_out()).unwrap());
    slow.insert("a", 2).unwrap();
    assert!(ready(slow.save()).is_err());
    assert_eq!(cache.len(), 0);
}

#[test]
fn cookies_of_all_sessions_are_kept_while_they_are_used() {
    let clock = ManualClock::new();
    let settings = builder()
        .clock(clock.clone())
        .idle_timeout(Duration::from_secs(1600));
    let cache = settings
        .lifetime(Duration::from_secs(4000))
        .build()
        .unwrap();
    let mut visitor = Visitor::new(
        &SessionManager::builder(cache)
            .persistent_cookies(true)
            .build()
            .unwrap(),
    );
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
    // The lifetime ends before the timeout would, so the cookie is not sent again.
    assert_eq!(sent_after(500), None);
    assert_eq!(sent_after(500), None);
}

#[test]
fn a_session_that_is_held_is_alive_until_it_ends_elsewhere() {
    let cache = cache();
    let sign_in = |session: &Session| session.sign_in("ada").unwrap();
    type End = fn(&Session);
    let ends: [(&str, End); 5] = [
        ("sign_out", |session: &Session| {
            ready(session.sign_out()).unwrap();
        }),
        ("sign_out_everywhere", |session| {
            _ = ready(session.sign_out_everywhere()).unwrap();
        }),
        ("sign_in", |session| session.sign_in("bob").unwrap()),
        ("rotate", |session| session.rotate().unwrap()),
        ("end_all", |_| ()),
    ];
    for (name, end) in ends {
        let mut visitor = Visitor::of(&cache);
        visitor.visit(sign_in);
        let held = visitor.begin();
        assert!(ready(held.is_alive()), "{name}");
        ready(SessionManager::commit(
            &held,
            StatusCode::OK,
            &mut HeaderMap::new(),
        ))
        .unwrap();
        held.detach();
        visitor.visit(|session| session.insert("a", 1).unwrap());
        assert!(ready(held.is_alive()), "{name}: a change does not end it");

        visitor.visit(end);
        if name == "end_all" {
            cache.end_all();
        }
        assert!(!ready(held.is_alive()), "{name}");
        assert!(!ready(held.is_alive()), "{name}: and it remains so");
    }
}

#[test]
fn is_alive_is_not_a_use_of_the_session() {
    let clock = ManualClock::new();
    let minutes = |minutes: u64| clock.advance(Duration::from_secs(60 * minutes));
    let mut visitor = Visitor::of(&builder().clock(clock.clone()).build().unwrap());
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let held = visitor.begin();
    for _ in 0..3 {
        assert!(ready(held.is_alive()));
        minutes(9);
    }
    minutes(3);
    assert!(
        !ready(held.is_alive()),
        "the idle timeout of half an hour is over"
    );
}

/// `is_alive` looked up the id that it had read before another thread replaced it.
#[test]
fn a_rotation_in_another_thread_does_not_end_the_session() {
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let held = visitor.begin();
    assert!(ready(held.is_alive()));
    std::thread::scope(|scope| {
        let rotating = scope.spawn(|| {
            for _ in 0..20_000 {
                held.rotate().unwrap();
                ready(held.save()).unwrap();
            }
        });
        while !rotating.is_finished() {
            assert!(ready(held.is_alive()));
        }
    });
}

#[test]
fn without_a_stored_session_nothing_is_alive() {
    let visitor = Visitor::of(&cache());
    let session = visitor.begin();
    assert!(!ready(session.is_alive()));
    session.insert("a", 1).unwrap();
    assert!(!ready(session.is_alive()), "it is not stored yet");
    ready(session.save()).unwrap();
    assert!(ready(session.is_alive()));
    ready(session.sign_out()).unwrap();
    assert!(!ready(session.is_alive()));
}

#[test]
fn after_a_routine_rotation_elsewhere_a_session_is_alive_during_the_grace() {
    let clock = ManualClock::new();
    let cache = builder().clock(clock.clone()).build().unwrap();
    let minute = Duration::from_secs(60);
    let mut visitor = Visitor::new(
        &SessionManager::builder(cache)
            .rotate_every(minute)
            .build()
            .unwrap(),
    );
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let held = visitor.begin();
    clock.advance(minute);
    visitor.visit(|session| session.contains_key("a"));
    assert!(ready(held.is_alive()));
    clock.advance(minute);
    assert!(!ready(held.is_alive()));
}
