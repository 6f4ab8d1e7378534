//! Rotation by age and by the handler, and its effect on requests in progress.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use http::StatusCode;
use sessile::{ManualClock, SessionCache};
use sessile_web::{CommitError, Session, SessionManager};
use support::{Visitor, builder};

const HOUR: Duration = Duration::from_secs(60 * 60);
const SECOND: Duration = Duration::from_secs(1);

/// Returns a manager that rotates ids each hour.
fn hourly() -> (SessionCache, ManualClock, SessionManager) {
    let clock = ManualClock::new();
    let cache = builder()
        .clock(clock.clone())
        .idle_timeout(12 * HOUR)
        .build()
        .unwrap();
    let sessions = SessionManager::builder(cache.clone())
        .rotate_every(HOUR)
        .build()
        .unwrap();
    (cache, clock, sessions)
}

fn read(session: &Session) -> Option<u32> {
    session.get("a").unwrap()
}

/// A visitor with a session.
fn visitor(sessions: &SessionManager) -> Visitor {
    let mut visitor = Visitor::new(sessions);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    visitor
}

#[test]
fn an_id_is_replaced_when_it_is_old_and_looked_at() {
    let (cache, clock, sessions) = hourly();
    let mut visitor = visitor(&sessions);
    clock.advance(HOUR - SECOND);
    assert_eq!(visitor.visit(read).1.set_cookie(), None, "not yet");
    clock.advance(SECOND);
    assert_eq!(
        visitor.visit(|_| ()).1.set_cookie(),
        None,
        "the session was not used"
    );
    let session = visitor.begin();
    assert_eq!(read(&session), Some(1));
    assert_eq!(
        visitor
            .finish(&session, StatusCode::BAD_GATEWAY)
            .set_cookie(),
        None
    );
    let (value, reply) = visitor.visit(read);
    assert!(value == Some(1) && reply.set_cookie().is_some() && !reply.is_removal());
    assert_eq!(
        visitor.visit(read).1.set_cookie(),
        None,
        "it is young again"
    );
    clock.advance(HOUR);
    assert!(visitor.visit(read).1.set_cookie().is_some());
    assert_eq!((cache.len(), cache.stats().rotated), (1, 2));
}

// LIFE-2: docs/security-checklist.md
#[test]
fn concurrent_requests_continue_with_the_old_cookie_and_get_no_new_one() {
    let (cache, clock, sessions) = hourly();
    let mut visitor = visitor(&sessions);
    clock.advance(HOUR);
    let mut tab = visitor.clone();
    let under_way = tab.begin();
    assert_eq!(read(&under_way), Some(1));
    let (_, reply) = visitor.visit(read);
    assert!(reply.set_cookie().is_some());

    under_way.insert("b", 2).unwrap();
    let reply = tab.finish(&under_way, StatusCode::OK);
    assert_eq!(
        (reply.result.is_ok(), reply.set_cookie()),
        (true, None),
        "it was read before"
    );
    clock.advance(9 * SECOND);
    let (value, reply) = tab.visit(|session| {
        session.insert("c", 3).unwrap();
        session.rotate().unwrap();
        read(session)
    });
    assert_eq!(
        (value, reply.set_cookie()),
        (Some(1), None),
        "within the grace"
    );
    assert_eq!(visitor.begin().keys(), ["a", "b", "c"]);

    clock.advance(SECOND);
    assert_eq!(read(&tab.begin()), None, "after the grace");
    assert_eq!(
        (read(&visitor.begin()), cache.stats().rotated),
        (Some(1), 1)
    );
}

#[test]
fn of_many_concurrent_requests_one_gets_the_new_cookie() {
    let (cache, clock, sessions) = hourly();
    let visitor = visitor(&sessions);
    clock.advance(HOUR);
    let mut tabs = [(); 5].map(|()| (visitor.clone(), visitor.begin()));
    assert!(tabs.iter().all(|(_, session)| read(session) == Some(1)));
    let cookies = tabs.iter_mut().filter_map(|(tab, session)| {
        tab.finish(session, StatusCode::OK)
            .set_cookie()
            .map(str::to_owned)
    });
    assert_eq!((cookies.count(), cache.len()), (1, 1));
}

#[test]
fn a_visitor_who_signs_in_with_a_cookie_that_was_just_replaced_is_signed_in() {
    let (cache, clock, sessions) = hourly();
    let mut visitor = visitor(&sessions);
    clock.advance(HOUR);
    let mut tab = visitor.clone();
    visitor.visit(read);
    let (_, reply) = tab.visit(|session| {
        session.insert("b", 2).unwrap();
        session.sign_in("ada").unwrap();
    });
    assert!(reply.result.is_ok() && reply.set_cookie().is_some());
    let session = tab.begin();
    assert_eq!(session.user().as_deref(), Some("ada"));
    assert_eq!(session.keys(), ["a", "b"]);
    assert_eq!(
        (read(&visitor.begin()), cache.len()),
        (None, 1),
        "the one before has ended"
    );
}

#[test]
fn a_slow_response_does_not_take_the_cookie_that_another_one_gave() {
    let (_, _, sessions) = hourly();
    type Change = (fn(&Session), bool);
    let changes: [Change; 5] = [
        (|session| session.insert("b", 2).unwrap(), true),
        (|session| session.clear().unwrap(), true),
        (|session| session.remove("a").unwrap(), true),
        (|session| session.rotate().unwrap(), false),
        (|session| session.insert("a", 1).unwrap(), false),
    ];
    for (change, is_lost) in changes {
        let mut browser = visitor(&sessions);
        let (mut slow_tab, slow) = (browser.clone(), browser.begin());
        assert_eq!(read(&slow), Some(1));
        browser.visit(|session| session.sign_in("ada").unwrap());
        change(&slow);
        let reply = slow_tab.finish(&slow, StatusCode::OK);
        let status = reply.result.as_ref().map_err(CommitError::status).err();
        assert_eq!(
            status,
            is_lost.then_some(StatusCode::CONFLICT),
            "no change is lost with 200"
        );
        assert_eq!(reply.set_cookie(), None);
        assert_eq!(browser.begin().user().as_deref(), Some("ada"));
    }
}

#[test]
fn a_grace_applies_to_explicit_rotations_only_if_configured() {
    let (_, clock, sessions) = hourly();
    for (sessions, grace) in [
        (sessions.clone(), None),
        (
            sessions.to_builder().grace(5 * SECOND).build().unwrap(),
            Some(5 * SECOND),
        ),
    ] {
        let mut visitor = visitor(&sessions);
        let old = visitor.clone();
        visitor.visit(|session| session.rotate().unwrap());
        assert_eq!(read(&old.begin()).is_some(), grace.is_some());
        clock.advance(grace.unwrap_or_default());
        assert_eq!(read(&old.begin()), None);
        assert_eq!(read(&visitor.begin()), Some(1));
        let old = visitor.clone();
        visitor.visit(|session| session.sign_in("ada").unwrap());
        assert_eq!(read(&old.begin()), None, "there is none after a sign-in");
    }
}

#[test]
fn a_grace_longer_than_a_session_lives_is_cut() {
    let (_, clock, sessions) = hourly();
    let mut visitor = visitor(&sessions.to_builder().grace(1_000 * HOUR).build().unwrap());
    clock.advance(HOUR);
    assert!(visitor.visit(read).1.set_cookie().is_some());
}

#[test]
fn a_full_cache_does_not_fail_a_read_with_a_rotation_due() {
    let (_, clock, sessions) = hourly();
    let mut browser = visitor(&sessions);
    let largest = sessions.cache().max_session_size() - "a".len() - "1".len() - 30;
    browser.visit(|session| session.insert("b", "x".repeat(largest)).unwrap());
    clock.advance(HOUR);
    let (value, reply) = browser.visit(read);
    assert!(reply.result.is_ok() && reply.set_cookie().is_some() && value == Some(1));
    assert_eq!(
        read(&browser.begin()),
        Some(1),
        "there was no room to remember its forms"
    );
}
