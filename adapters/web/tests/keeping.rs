//! The persistence of sessions and their cookies.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sessile::{ManualClock, Timeouts};
use sessile_web::adapter::ready;
use sessile_web::{Session, SessionManager, SignIn};
use support::{Reply, Visitor, builder};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MINUTE: Duration = Duration::from_secs(60);

/// Returns a manager whose cache limits sessions to 30 days, and whose idle timeout is half an hour
/// for sessions that are not remembered.
fn shop() -> (SessionManager, ManualClock) {
    let clock = ManualClock::new();
    let settings = builder()
        .clock(clock.clone())
        .idle_timeout(30 * DAY)
        .lifetime(30 * DAY);
    let usual = Timeouts::new().idle_timeout(30 * MINUTE);
    (
        SessionManager::builder(settings.build().unwrap())
            .timeouts(usual)
            .build()
            .unwrap(),
        clock,
    )
}

fn max_age(reply: &Reply) -> Option<Duration> {
    let age = reply
        .set_cookie()?
        .split("; ")
        .find_map(|part| part.strip_prefix("Max-Age="))?;
    Some(Duration::from_secs(age.parse().unwrap()))
}

fn look(session: &Session) -> bool {
    session.is_authenticated()
}

#[test]
fn a_cookie_is_kept_until_the_browser_closes_unless_asked() {
    let (sessions, clock) = shop();
    let mut visitor = Visitor::new(&sessions);
    let (_, reply) = visitor.visit(|session| session.sign_in("ada").unwrap());
    assert!(reply.set_cookie().is_some() && max_age(&reply).is_none());
    clock.advance(30 * MINUTE);
    assert!(!visitor.visit(look).0, "idle for as long as the layer says");
}

#[test]
fn a_remembered_session_lives_for_exactly_the_span() {
    let (sessions, clock) = shop();
    let remember: [fn(&Session); 3] = [
        |session| {
            session
                .sign_in(SignIn::of("ada").remember(20 * DAY))
                .unwrap();
        },
        |session| {
            session.sign_in("ada").unwrap();
            session.remember(20 * DAY).unwrap();
        },
        |session| {
            session.sign_in("ada").unwrap();
            ready(session.save()).unwrap();
            session.remember(20 * DAY).unwrap();
        },
    ];
    for remember in remember {
        let mut visitor = Visitor::new(&sessions);
        let (_, reply) = visitor.visit(remember);
        assert_eq!(max_age(&reply), Some(20 * DAY));
        clock.advance(15 * DAY);
        let (is_there, reply) = visitor.visit(look);
        assert_eq!(
            (is_there, reply.set_cookie()),
            (true, None),
            "nothing moved"
        );
        let (_, reply) = visitor.visit(|session| session.rotate().unwrap());
        assert_eq!(max_age(&reply), Some(5 * DAY), "the remaining span");
        clock.advance(5 * DAY);
        assert!(!visitor.visit(look).0);
    }
}

#[test]
fn an_existing_session_is_remembered_under_the_id_that_it_has() {
    let (sessions, clock) = shop();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| session.sign_in("ada").unwrap());
    let before = visitor.cookie.clone();
    let (_, reply) = visitor.visit(|session| session.remember(DAY).unwrap());
    assert_eq!((max_age(&reply), &visitor.cookie), (Some(DAY), &before));
    clock.advance(DAY - MINUTE);
    assert!(visitor.visit(look).0);
    let (_, reply) = visitor.visit(|session| {
        session.remember(365 * DAY).unwrap();
        ready(session.save()).unwrap();
    });
    assert_eq!(
        max_age(&reply),
        Some(29 * DAY + MINUTE),
        "the cache permits 30 days in all"
    );
}

#[test]
fn persistence_of_one_user_does_not_carry_over_to_the_next() {
    let kept: [fn(&Session); 2] = [
        |session| {
            session
                .sign_in(SignIn::of("ada").remember(20 * DAY))
                .unwrap();
        },
        |session| {
            session.sign_in("ada").unwrap();
            session.make_persistent().unwrap();
        },
    ];
    for keep in kept {
        let (sessions, clock) = shop();
        let mut visitor = Visitor::new(&sessions);
        assert!(max_age(&visitor.visit(keep).1).is_some());
        let (_, reply) = visitor.visit(|session| session.sign_in("ada").unwrap());
        assert!(max_age(&reply).is_some(), "the same user");
        let (_, reply) = visitor.visit(|session| session.sign_in("bob").unwrap());
        assert!(reply.set_cookie().is_some() && max_age(&reply).is_none());
        clock.advance(30 * MINUTE);
        assert!(!visitor.visit(look).0, "idle for as long as the layer says");
    }
    let (sessions, _) = shop();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(kept[0]);
    let (_, reply) = visitor.visit(|session| {
        session.sign_in(SignIn::of("bob").remember(DAY)).unwrap();
    });
    assert_eq!(
        max_age(&reply),
        Some(DAY),
        "unless the next one is remembered too"
    );
}

#[test]
fn a_persistent_cookie_is_sent_again_when_its_time_has_moved() {
    let (sessions, clock) = shop();
    let mut visitor = Visitor::new(&sessions);
    let (_, reply) = visitor.visit(|session| {
        session.sign_in("ada").unwrap();
        session.make_persistent().unwrap();
    });
    assert_eq!(max_age(&reply), Some(30 * MINUTE));
    let cookie = visitor.cookie.clone();
    assert_eq!(visitor.visit(look).1.set_cookie(), None);
    clock.advance(MINUTE);
    assert_eq!(
        visitor.visit(look).1.set_cookie(),
        None,
        "not for a sixteenth"
    );
    let mut sent = 0;
    for _ in 0..120 {
        clock.advance(MINUTE);
        let (is_there, reply) = visitor.visit(look);
        assert!(is_there, "in use");
        if reply.set_cookie().is_some() {
            assert_eq!(
                (max_age(&reply), &visitor.cookie),
                (Some(30 * MINUTE), &cookie)
            );
            sent += 1;
        }
    }
    assert!(
        (50..=64).contains(&sent),
        "each second minute, not at each response: {sent}"
    );
    let (_, reply) = visitor.visit(|session| session.rotate().unwrap());
    assert_eq!(max_age(&reply), Some(30 * MINUTE));
}

#[test]
fn a_persistent_cookie_is_not_sent_again_by_a_request_with_the_one_before() {
    let clock = ManualClock::new();
    let cache = builder()
        .clock(clock.clone())
        .idle_timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let sessions = SessionManager::builder(cache)
        .grace(Duration::from_secs(10))
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| {
        session.insert("a", 1).unwrap();
        session.make_persistent().unwrap();
    });
    let mut tab = visitor.clone();
    visitor.visit(|session| session.rotate().unwrap());
    clock.advance(Duration::from_secs(5));
    let (value, reply) = tab.visit(|session| session.get::<u32>("a").unwrap());
    assert_eq!((value, reply.set_cookie()), (Some(1), None));
}

#[test]
fn neither_makes_a_session_nor_keeps_an_empty_one() {
    let (sessions, _) = shop();
    let keeps: [fn(&Session); 2] = [
        |session| session.make_persistent().unwrap(),
        |session| session.remember(DAY).unwrap(),
    ];
    for keep in keeps {
        let mut visitor = Visitor::new(&sessions);
        assert_eq!(visitor.visit(keep).1.set_cookie(), None);
        visitor.visit(|session| {
            session.insert("a", 1).unwrap();
            keep(session);
        });
        assert!(
            visitor
                .visit(|session| session.remove("a").unwrap())
                .1
                .is_removal()
        );
    }
    assert_eq!(sessions.cache().local().unwrap().len(), 0);
}

#[test]
fn the_later_wish_counts() {
    let (sessions, _) = shop();
    let mut visitor = Visitor::new(&sessions);
    let (_, reply) = visitor.visit(|session| {
        session.insert("a", 1).unwrap();
        session.make_persistent().unwrap();
        session.remember(DAY).unwrap();
    });
    assert_eq!(max_age(&reply), Some(DAY));
    let (_, reply) = visitor.visit(|session| session.make_persistent().unwrap());
    assert_eq!(max_age(&reply), Some(30 * MINUTE));
}

// DOC-1: docs/security-checklist.md
#[test]
fn the_defaults_are_those_that_are_documented() {
    let cache = builder().build().unwrap();
    assert_eq!(
        (cache.idle_timeout(), cache.lifetime()),
        (30 * MINUTE, DAY / 2)
    );
    for _ in 0..33 {
        Visitor::of(&cache).visit(|session| session.sign_in("ada").unwrap());
    }
    assert_eq!(cache.user_sessions("ada").len(), 32);
    let (_, reply) = Visitor::of(&cache).visit(|session| session.insert("a", 1).unwrap());
    let attributes = reply.set_cookie().unwrap().split_once("; ").unwrap().1;
    assert_eq!(attributes, "Path=/; HttpOnly; Secure; SameSite=Lax");
}

// COOK-5: docs/security-checklist.md
#[test]
fn a_span_of_any_length_is_one_that_browsers_take() {
    let (sessions, _) = shop();
    for span in [
        Duration::ZERO,
        Duration::from_millis(1),
        Duration::from_millis(1_500),
        Duration::MAX,
    ] {
        let mut visitor = Visitor::new(&sessions);
        let (_, reply) = visitor.visit(|session| {
            session.insert("a", 1).unwrap();
            session.remember(span).unwrap();
        });
        assert_eq!(reply.result, Ok(()));
        assert!(
            max_age(&reply).is_none_or(|age| age <= 30 * DAY),
            "{span:?}"
        );
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Returns a manager whose cache limits sessions to 30 days, and whose lifetime is 12 hours for
/// sessions that are not remembered.
fn half_days() -> (SessionManager, ManualClock) {
    let (sessions, clock) = shop();
    let usual = Timeouts::new().idle_timeout(12 * HOUR).lifetime(12 * HOUR);
    (
        sessions.to_builder().timeouts(usual).build().unwrap(),
        clock,
    )
}

#[test]
fn remember_restarts_the_lifetime_of_an_old_session() {
    let remember: [fn(&Session); 3] = [
        |session| {
            session
                .sign_in(SignIn::of("ada").remember(7 * DAY))
                .unwrap();
        },
        |session| {
            session.sign_in("ada").unwrap();
            session.remember(7 * DAY).unwrap();
        },
        |session| {
            session.remember(7 * DAY).unwrap();
            session.sign_in("ada").unwrap();
        },
    ];
    for remember in remember {
        let clock = ManualClock::new();
        let settings = builder()
            .clock(clock.clone())
            .idle_timeout(30 * DAY)
            .lifetime(30 * DAY);
        let mut visitor = Visitor::of(&settings.build().unwrap());
        visitor.visit(|session| session.insert("cart", "tea").unwrap());
        clock.advance(10 * DAY);
        let (_, reply) = visitor.visit(remember);
        assert_eq!(max_age(&reply), Some(7 * DAY));
        assert_eq!(visitor.begin().keys(), ["cart"]);
        clock.advance(7 * DAY - MINUTE);
        assert!(visitor.visit(look).0);
        clock.advance(MINUTE);
        assert!(!visitor.visit(look).0);
    }
}

#[test]
fn another_user_of_a_remembered_session_is_signed_in_for_as_long_as_is_usual() {
    let (sessions, clock) = half_days();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| {
        session
            .sign_in(SignIn::of("ada").remember(20 * DAY))
            .unwrap();
    });
    clock.advance(DAY);
    visitor.visit(|session| session.sign_in("bob").unwrap());
    for _ in 0..11 {
        assert_eq!(visitor.visit(Session::user).0.as_deref(), Some("bob"));
        clock.advance(HOUR);
    }
    clock.advance(HOUR);
    assert_eq!(visitor.visit(Session::user).0, None);
}

#[test]
fn the_next_user_has_the_usual_lifetime_though_the_last_one_was_remembered_for_less_or_more() {
    for span in [HOUR, 20 * DAY] {
        let clock = ManualClock::new();
        let settings = builder()
            .clock(clock.clone())
            .idle_timeout(DAY)
            .lifetime(30 * DAY);
        let mut visitor = Visitor::of(&settings.build().unwrap());
        visitor.visit(|session| session.sign_in(SignIn::of("ada").remember(span)).unwrap());
        visitor.visit(|session| session.sign_in("bob").unwrap());
        for _ in 0..29 {
            clock.advance(DAY - MINUTE);
            assert!(visitor.visit(look).0, "after {span:?}");
        }
    }
}

#[test]
fn a_session_that_is_kept_differently_lives_on() {
    let (sessions, clock) = half_days();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| {
        session
            .sign_in(SignIn::of("ada").remember(20 * DAY))
            .unwrap();
    });
    clock.advance(DAY);
    let (_, reply) = visitor.visit(|session| session.make_persistent().unwrap());
    assert!(!reply.is_removal() && max_age(&reply) == Some(12 * HOUR));
    clock.advance(12 * HOUR - MINUTE);
    assert!(visitor.visit(look).0);
    clock.advance(MINUTE);
    assert!(!visitor.visit(look).0, "for as long as is usual");

    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| session.sign_in("ada").unwrap());
    clock.advance(2 * HOUR);
    let (_, reply) = visitor.visit(|session| session.remember(HOUR).unwrap());
    assert_eq!(max_age(&reply), Some(HOUR));
    clock.advance(HOUR - MINUTE);
    assert!(visitor.visit(look).0);
    clock.advance(MINUTE);
    assert!(!visitor.visit(look).0);
}

#[test]
fn a_cookie_that_is_kept_again_and_again_does_not_prolong_the_lifetime() {
    let (sessions, clock) = half_days();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| session.sign_in("ada").unwrap());
    for _ in 0..12 {
        let is_there = visitor.visit(|session| {
            session.make_persistent().unwrap();
            session.is_authenticated()
        });
        assert!(is_there.0);
        clock.advance(HOUR);
    }
    assert!(!visitor.visit(look).0);
}

#[test]
fn a_store_that_fails_leaves_the_timeouts_as_they_were() {
    let clock = ManualClock::new();
    let settings = builder()
        .clock(clock.clone())
        .idle_timeout(30 * DAY)
        .lifetime(30 * DAY);
    let hour = Timeouts::new().idle_timeout(HOUR);
    let sessions = SessionManager::builder(settings.build().unwrap())
        .timeouts(hour)
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let slow = visitor.begin();
    slow.watch("a").unwrap();
    slow.remember(20 * DAY).unwrap();
    slow.insert("b", 2).unwrap();
    visitor.visit(|session| session.insert("a", 2).unwrap());
    assert!(visitor.finish(&slow, http::StatusCode::OK).result.is_err());
    clock.advance(2 * HOUR);
    assert!(visitor.begin().keys().is_empty(), "it has expired");
}
