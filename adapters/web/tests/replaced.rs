//! Requests with a cookie whose id was replaced: they neither lose a change nor overwrite the new
//! cookie.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use http::StatusCode;
use sessile::{Error, ManualClock, SessionCache, SessionLimitPolicy};
use sessile_web::adapter::ready;
use sessile_web::{Session, SessionError, SessionManager, SignIn};
use support::{Reply, Visitor, builder};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);

fn cache() -> (SessionCache, ManualClock) {
    let clock = ManualClock::new();
    let settings = builder().clock(clock.clone()).idle_timeout(12 * HOUR);
    (settings.build().unwrap(), clock)
}

/// A visitor with a cart.
fn visitor(sessions: &SessionManager) -> Visitor {
    let mut visitor = Visitor::new(sessions);
    visitor.visit(|session| session.insert("cart", "tea").unwrap());
    visitor
}

fn status(reply: &Reply) -> u16 {
    reply
        .result
        .as_ref()
        .map_or_else(|error| error.status().as_u16(), |()| 200)
}

fn is_replaced(error: &SessionError) -> bool {
    matches!(error, SessionError::Store(error) if error.cause() == Error::Rotated)
}

#[test]
fn a_request_that_looks_at_a_replaced_session_only_then_keeps_the_new_cookie() {
    let replace: [fn(&Session); 2] = [
        |session| session.sign_in("ada").unwrap(),
        |session| session.rotate().unwrap(),
    ];
    for replace in replace {
        let (cache, clock) = cache();
        let mut browser = visitor(&SessionManager::new(cache.clone()));
        let mut tab = browser.clone();
        browser.visit(replace);
        clock.advance(59 * SECOND);

        let changes: [fn(&Session); 3] = [
            |session| session.insert("late", 1).unwrap(),
            |session| session.remove("cart").unwrap(),
            |session| session.clear().unwrap(),
        ];
        for change in changes {
            let (_, reply) = tab.visit(change);
            assert_eq!(
                (status(&reply), reply.set_cookie()),
                (409, None),
                "not passed over"
            );
        }
        let (form, reply) = tab.visit(Session::csrf_token);
        assert!(is_replaced(&form.unwrap_err()));
        assert_eq!(
            (status(&reply), reply.set_cookie()),
            (200, None),
            "the handler has answered"
        );
        let (_, reply) = tab.visit(|session| {
            assert!(session.keys().is_empty() && session.user().is_none());
            session.rotate().unwrap();
            session.make_persistent().unwrap();
        });
        assert_eq!(
            (status(&reply), reply.set_cookie()),
            (200, None),
            "there is no session to change"
        );
        assert_eq!(
            (browser.value("cart").as_deref(), cache.len()),
            (Some("tea"), 1)
        );
    }
}

#[test]
fn a_request_whose_session_is_replaced_while_it_runs_keeps_the_new_cookie() {
    let (cache, _) = cache();
    let mut browser = visitor(&SessionManager::new(cache.clone()));
    let mut tab = browser.clone();
    let slow = tab.begin();
    assert!(slow.contains_key("cart"));
    browser.visit(|session| session.sign_in("ada").unwrap());
    slow.insert("late", 1).unwrap();
    assert!(is_replaced(&ready(slow.save()).unwrap_err()));
    assert!(slow.keys().is_empty(), "the old cookie is rejected");
    assert!(is_replaced(&slow.csrf_token().unwrap_err()));
    slow.insert("later", 1).unwrap();
    let reply = tab.finish(&slow, StatusCode::OK);
    assert_eq!(
        (status(&reply), reply.set_cookie(), cache.len()),
        (409, None, 1)
    );
    assert_eq!(browser.begin().keys(), ["cart"]);
}

#[test]
fn after_a_while_a_replaced_cookie_counts_as_none() {
    let (cache, clock) = cache();
    for (sessions, window) in [
        (SessionManager::new(cache.clone()), 60),
        (
            SessionManager::builder(cache.clone())
                .replaced_window(5 * SECOND)
                .build()
                .unwrap(),
            5,
        ),
        (
            SessionManager::builder(cache.clone())
                .replaced_window(Duration::ZERO)
                .build()
                .unwrap(),
            0,
        ),
    ] {
        // The response with the new cookie is lost.
        let mut browser = visitor(&sessions);
        browser
            .clone()
            .visit(|session| session.sign_in("ada").unwrap());
        if window > 0 {
            clock.advance((window - 1) * SECOND);
            let (_, reply) = browser.visit(|session| session.insert("cart", "cup").unwrap());
            assert_eq!((status(&reply), reply.set_cookie()), (409, None));
            clock.advance(SECOND);
        }
        let (_, reply) = browser.visit(|session| session.insert("cart", "cup").unwrap());
        assert_eq!(status(&reply), 200);
        assert_eq!(
            browser.value("cart").as_deref(),
            Some("cup"),
            "after {window} s"
        );
    }
}

#[test]
fn a_visitor_whose_sign_in_was_lost_on_the_way_signs_in_again_at_once() {
    let clock = ManualClock::new();
    let settings = builder().clock(clock.clone()).max_sessions_per_user(1);
    let cache = settings
        .session_limit_policy(SessionLimitPolicy::Reject)
        .build()
        .unwrap();
    let mut browser = visitor(&SessionManager::new(cache.clone()));
    browser
        .clone()
        .visit(|session| session.sign_in("ada").unwrap());
    let (_, reply) = browser.visit(|session| session.sign_in("ada").unwrap());
    assert_eq!(status(&reply), 200);
    assert_eq!(browser.begin().user().as_deref(), Some("ada"));
    assert_eq!(
        (cache.len(), cache.user_sessions("ada").len()),
        (1, 1),
        "it replaces the other one"
    );
}

#[test]
fn a_current_cookie_beside_a_replaced_one_counts() {
    let (cache, _) = cache();
    let mut browser = visitor(&SessionManager::new(cache.clone()));
    let old = browser.cookie.clone().unwrap();
    browser.visit(|session| session.rotate().unwrap());
    let current = browser.cookie.clone().unwrap();
    browser.cookie = Some(format!("{old}; {current}"));
    let (_, reply) = browser.visit(|session| {
        session.clear().unwrap();
        ready(session.save()).unwrap();
        session.insert("flash", "Cleared.").unwrap();
    });
    assert!(status(&reply) == 200 && !reply.is_removal());
    assert_eq!(
        (browser.begin().keys(), cache.len()),
        (vec!["flash".to_owned()], 1)
    );
}

#[test]
fn a_sign_out_with_a_replaced_cookie_may_leave_a_message() {
    let (cache, _) = cache();
    let mut browser = visitor(&SessionManager::new(cache.clone()));
    let mut tab = browser.clone();
    browser.visit(|session| session.sign_in("ada").unwrap());
    let (_, reply) = tab.visit(|session| {
        ready(session.sign_out()).unwrap();
        session.insert("flash", "Good bye.").unwrap();
    });
    assert!(status(&reply) == 200 && reply.set_cookie().is_some());
    assert_eq!(
        (tab.value("flash").as_deref(), cache.len()),
        (Some("Good bye."), 1)
    );
}

#[test]
fn two_sign_ins_at_once_keep_the_cart_and_leave_one_session() {
    let (cache, _) = cache();
    let mut browser = visitor(&SessionManager::new(cache.clone()));
    let clicks = [browser.begin(), browser.begin()];
    for click in &clicks {
        assert_eq!(click.get::<String>("cart").unwrap().as_deref(), Some("tea"));
        click.sign_in("ada").unwrap();
    }
    for click in &clicks {
        assert_eq!(status(&browser.finish(click, StatusCode::OK)), 200);
    }
    let session = browser.begin();
    assert_eq!(
        (session.user().as_deref(), session.keys()),
        (Some("ada"), vec!["cart".into()])
    );
    assert_eq!((cache.len(), cache.user_sessions("ada").len()), (1, 1));
}

#[test]
fn a_user_at_the_limit_signs_in_again_with_the_previous_cookie() {
    let clock = ManualClock::new();
    let settings = builder()
        .clock(clock.clone())
        .idle_timeout(12 * HOUR)
        .max_sessions_per_user(1);
    let cache = settings
        .session_limit_policy(SessionLimitPolicy::Reject)
        .build()
        .unwrap();
    let sessions = SessionManager::builder(cache.clone())
        .rotate_every(HOUR)
        .build()
        .unwrap();
    let mut browser = Visitor::new(&sessions);
    browser.visit(|session| session.sign_in("ada").unwrap());
    let mut tab = browser.clone();
    clock.advance(HOUR);
    assert!(
        browser
            .visit(Session::is_authenticated)
            .1
            .set_cookie()
            .is_some(),
        "it was rotated"
    );
    let (_, reply) = tab.visit(|session| session.sign_in("ada").unwrap());
    assert_eq!(status(&reply), 200);
    assert_eq!((cache.user_sessions("ada").len(), cache.len()), (1, 1));
    assert_eq!(tab.begin().user().as_deref(), Some("ada"));
}

#[test]
fn a_sign_in_within_the_grace_keeps_concurrent_changes() {
    let (cache, clock) = cache();
    let sessions = SessionManager::builder(cache.clone())
        .rotate_every(HOUR)
        .build()
        .unwrap();
    let mut browser = visitor(&sessions);
    clock.advance(HOUR);
    let (mut tab, slow) = (browser.clone(), browser.begin());
    assert!(slow.contains_key("cart"));
    browser.visit(|session| session.insert("added", 1).unwrap());
    slow.sign_in("ada").unwrap();
    assert_eq!(status(&tab.finish(&slow, StatusCode::OK)), 200);
    assert_eq!(
        (tab.begin().keys(), cache.len()),
        (vec!["added".into(), "cart".into()], 1)
    );
}

/// A signed-in visitor whose cookie is persistent and whose id is an hour old.
fn kept(sessions: &SessionManager, clock: &ManualClock) -> Visitor {
    let mut browser = Visitor::new(sessions);
    browser.visit(|session| session.sign_in(SignIn::of("ada").remember(DAY)).unwrap());
    clock.advance(HOUR);
    browser
}

#[test]
fn no_response_sends_a_replaced_cookie_again() {
    let clock = ManualClock::new();
    let settings = builder()
        .clock(clock.clone())
        .idle_timeout(30 * DAY)
        .lifetime(30 * DAY);
    let sessions = SessionManager::builder(settings.build().unwrap())
        .rotate_every(HOUR)
        .build()
        .unwrap();
    let keeps: [fn(&Session); 2] = [
        |session| session.make_persistent().unwrap(),
        |session| session.remember(DAY).unwrap(),
    ];
    for keep in keeps {
        for was_read_before in [true, false] {
            let mut browser = kept(&sessions, &clock);
            let mut tab = browser.clone();
            let slow = tab.begin();
            if was_read_before {
                assert!(slow.is_authenticated());
            }
            assert!(
                browser
                    .visit(Session::is_authenticated)
                    .1
                    .set_cookie()
                    .is_some()
            );
            keep(&slow);
            let reply = tab.finish(&slow, StatusCode::OK);
            assert_eq!((status(&reply), reply.set_cookie()), (200, None));
            clock.advance(10 * SECOND);
            assert!(
                browser.begin().is_authenticated(),
                "with the cookie of the other response"
            );
        }
    }
}

#[test]
fn no_response_sends_a_replaced_cookie_again_whatever_grace_another_layer_has() {
    let clock = ManualClock::new();
    let settings = builder()
        .clock(clock.clone())
        .idle_timeout(HOUR)
        .lifetime(12 * HOUR);
    let first = SessionManager::builder(settings.build().unwrap())
        .persistent_cookies(true)
        .build()
        .unwrap();
    let second = first.clone();
    let mut browser = visitor(&first.to_builder().grace(300 * SECOND).build().unwrap());
    let mut tab = Visitor::new(&second);
    tab.cookie.clone_from(&browser.cookie);
    browser.visit(|session| session.rotate().unwrap());
    // The use moves the deadline, so that a current cookie would be sent again.
    clock.advance(250 * SECOND);
    let (value, reply) = tab.visit(|session| session.get::<String>("cart").unwrap());
    assert_eq!((value.as_deref(), reply.set_cookie()), (Some("tea"), None));
}
