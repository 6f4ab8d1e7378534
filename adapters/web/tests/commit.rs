//! Commits of sessions that another request changed, rotated or ended, and commits to a full cache.

#![allow(clippy::unwrap_used)]

mod support;

use std::thread;

use http::{HeaderMap, StatusCode, header};
use sessile::{Error, SessionCache};
use sessile_web::adapter::ready;
use sessile_web::{Session, SessionManager, testing::full_cache};
use support::{Visitor, builder, cache};

fn insert(session: &Session, key: &str, value: u32) {
    session.insert(key, value).unwrap();
}

fn get(visitor: &Visitor, key: &str) -> Option<u32> {
    visitor.begin().get(key).unwrap()
}

/// Returns two requests of one visitor that have both read the session.
fn two_at_once(cache: &SessionCache) -> (Visitor, Session, Session) {
    let mut visitor = Visitor::of(cache);
    visitor.visit(|session| insert(session, "a", 1));
    let (one, two) = (visitor.begin(), visitor.begin());
    assert!(one.contains_key("a") && two.contains_key("a"));
    (visitor, one, two)
}

// LIFE-5: docs/security-checklist.md
#[test]
fn two_requests_that_change_different_keys_both_count() {
    let cache = cache();
    let (mut visitor, one, two) = two_at_once(&cache);
    insert(&one, "b", 2);
    two.remove("a").unwrap();
    insert(&two, "c", 3);
    visitor.finish(&one, StatusCode::OK);
    visitor.finish(&two, StatusCode::OK);
    assert_eq!(visitor.begin().keys(), ["b", "c"]);
    assert!(cache.stats().conflicts > 0, "the second one met the first");
}

// LIFE-5: docs/security-checklist.md
#[test]
fn the_later_value_of_one_key_wins() {
    let (mut visitor, one, two) = two_at_once(&cache());
    insert(&one, "a", 10);
    insert(&two, "a", 20);
    visitor.finish(&one, StatusCode::OK);
    visitor.finish(&two, StatusCode::OK);
    assert_eq!(get(&visitor, "a"), Some(20));
}

// LIFE-5: docs/security-checklist.md
#[test]
fn threads_that_write_different_keys_lose_nothing() {
    const ROUNDS: u32 = 500;
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| insert(session, "a", 0));
    thread::scope(|scope| {
        for key in ["b", "c", "d"] {
            let mut visitor = visitor.clone();
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    let (last, reply) = visitor.visit(|session| {
                        let last = session.get(key).unwrap().unwrap_or(0);
                        insert(session, key, last + 1);
                        last
                    });
                    assert_eq!((last + 1, reply.result), (round, Ok(())), "of {key}");
                }
            });
        }
    });
    assert_eq!(
        ["b", "c", "d"].map(|key| get(&visitor, key)),
        [Some(ROUNDS); 3]
    );
}

// LIFE-3: docs/security-checklist.md
#[test]
fn changes_to_an_ended_session_of_a_user_are_409_and_bring_nothing_back() {
    let cache = cache();
    let (mut visitor, ..) = two_at_once(&cache);
    visitor.visit(|session| session.sign_in("ada").unwrap());
    let (one, two) = (visitor.begin(), visitor.begin());
    assert!(one.is_authenticated() && two.is_authenticated());
    ready(one.sign_out()).unwrap();
    insert(&two, "b", 2);
    let reply = visitor.finish(&two, StatusCode::OK);
    let error = reply.result.as_ref().unwrap_err();
    assert_eq!(
        (error.cause(), error.status()),
        (Error::Gone, StatusCode::CONFLICT)
    );
    assert_eq!(
        (reply.set_cookie(), cache.len()),
        (None, 0),
        "the browser may have another by now"
    );
}

// LIFE-3: docs/security-checklist.md
#[test]
fn rotating_an_ended_session_brings_nothing_back() {
    let cache = cache();
    let (mut visitor, one, two) = two_at_once(&cache);
    ready(one.sign_out()).unwrap();
    two.rotate().unwrap();
    let reply = visitor.finish(&two, StatusCode::OK);
    assert_eq!(
        (reply.result.is_ok(), reply.set_cookie(), cache.len()),
        (true, None, 0)
    );
}

#[test]
fn changes_to_an_ended_anonymous_session_start_a_new_one() {
    let ends: [fn(&Session); 3] = [
        |session| session.remove("a").unwrap(),
        |session| session.clear().unwrap(),
        |session: &Session| ready(session.sign_out()).unwrap(),
    ];
    for end in ends {
        let cache = cache();
        let (mut visitor, one, two) = two_at_once(&cache);
        end(&one);
        visitor.finish(&one, StatusCode::OK);
        insert(&two, "b", 2);
        two.increment("n", 5).unwrap();
        let reply = visitor.finish(&two, StatusCode::OK);
        assert!(reply.result.is_ok() && reply.set_cookie().is_some() && !reply.is_removal());
        assert_eq!(
            (visitor.begin().keys(), cache.len()),
            (vec!["b".into(), "n".into()], 1)
        );
    }
}

#[test]
fn a_flash_message_taken_and_a_cart_filled_concurrently_both_count() {
    for is_taken_first in [true, false] {
        let mut visitor = Visitor::of(&cache());
        visitor.visit(|session| session.insert("flash", "Hello").unwrap());
        let (take, fill) = (visitor.begin(), visitor.begin());
        assert_eq!(
            take.take::<String>("flash").unwrap().as_deref(),
            Some("Hello")
        );
        assert!(fill.contains_key("flash"));
        fill.insert("cart", "tea").unwrap();
        let order = if is_taken_first {
            [&take, &fill]
        } else {
            [&fill, &take]
        };
        for session in order {
            assert!(visitor.finish(session, StatusCode::OK).result.is_ok());
        }
        assert_eq!(visitor.begin().keys(), ["cart"]);
    }
}

#[test]
fn a_new_session_in_place_of_an_ended_one_contains_only_the_changes() {
    let cache = cache();
    let (mut visitor, one, two) = two_at_once(&cache);
    ready(one.sign_out()).unwrap();
    insert(&two, "a", 1);
    insert(&two, "b", 2);
    assert!(visitor.finish(&two, StatusCode::OK).result.is_ok());
    assert_eq!(
        visitor.begin().keys(),
        ["b"],
        "an equal value is not a change and restores nothing"
    );
    let (mut visitor, one, two) = two_at_once(&cache);
    ready(one.sign_out()).unwrap();
    two.remove("a").unwrap();
    let len = cache.len();
    let reply = visitor.finish(&two, StatusCode::OK);
    assert_eq!(
        (reply.result.is_ok(), reply.set_cookie(), cache.len()),
        (true, None, len)
    );
}

#[test]
fn a_watched_key_of_an_ended_session_is_409() {
    let cache = cache();
    for end in [
        (|session: &Session| ready(session.sign_out()).unwrap()) as fn(&Session),
        |session| {
            session.remove("a").unwrap();
        },
    ] {
        let (mut visitor, one, two) = two_at_once(&cache);
        two.watch("a").unwrap();
        insert(&two, "b", 2);
        end(&one);
        visitor.finish(&one, StatusCode::OK);
        let error = visitor.finish(&two, StatusCode::OK).result.unwrap_err();
        assert_eq!(
            (error.key(), error.status()),
            (Some("a"), StatusCode::CONFLICT)
        );
    }
    assert_eq!(cache.len(), 0);
}

#[test]
fn a_session_that_has_a_new_id_keeps_its_cookie_and_the_changes_are_409() {
    for change in [Session::rotate, |session: &Session| session.sign_in("ada")] {
        let cache = cache();
        let (mut visitor, one, two) = two_at_once(&cache);
        change(&one).unwrap();
        visitor.finish(&one, StatusCode::OK);
        insert(&two, "b", 2);
        let reply = visitor.finish(&two, StatusCode::OK);
        let error = reply.result.as_ref().unwrap_err();
        assert_eq!(
            (error.cause(), error.status()),
            (Error::Rotated, StatusCode::CONFLICT)
        );
        assert_eq!(
            (reply.set_cookie(), get(&visitor, "a"), cache.len()),
            (None, Some(1), 1)
        );
    }
}

#[test]
fn sign_in_succeeds_if_the_session_ended_during_the_request() {
    let cache = cache();
    let (mut visitor, one, two) = two_at_once(&cache);
    ready(one.sign_out()).unwrap();
    insert(&two, "b", 2);
    two.sign_in("alice").unwrap();
    let reply = visitor.finish(&two, StatusCode::OK);
    assert!(reply.set_cookie().is_some() && !reply.is_removal());
    let session = visitor.begin();
    assert!(session.is_authenticated());
    assert_eq!(session.keys(), ["b"], "nothing of the ended one came back");
    assert_eq!(cache.len(), 1);
}

#[test]
fn sign_out_ends_a_session_that_was_rotated_during_the_request() {
    let cache = cache();
    let (mut visitor, one, two) = two_at_once(&cache);
    one.rotate().unwrap();
    visitor.finish(&one, StatusCode::OK);
    assert_eq!(get(&visitor, "a"), Some(1));
    ready(two.sign_out()).unwrap();
    assert_eq!(
        (get(&visitor, "a"), cache.len()),
        (None, 0),
        "a sign-out from another tab is not lost"
    );
}

// LIFE-5: docs/security-checklist.md
#[test]
fn a_sign_in_keeps_concurrent_saves() {
    let cache = cache();
    let (mut visitor, one, two) = two_at_once(&cache);
    insert(&one, "b", 2);
    visitor.finish(&one, StatusCode::OK);
    two.sign_in("alice").unwrap();
    insert(&two, "c", 3);
    visitor.finish(&two, StatusCode::OK);
    assert_eq!(visitor.begin().keys(), ["a", "b", "c"]);
    assert!(visitor.begin().is_authenticated());
}

#[test]
fn a_full_cache_is_503_with_retry_after_and_stores_nothing() {
    let cache = full_cache();
    let session = Visitor::of(&cache).begin();
    session.insert("a", "x".repeat(16_300)).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_LENGTH, "7".parse().unwrap());
    headers.insert(header::SET_COOKIE, "theme=dark".parse().unwrap());
    headers.insert(header::LOCATION, "/done".parse().unwrap());
    headers.insert(
        header::STRICT_TRANSPORT_SECURITY,
        "max-age=1".parse().unwrap(),
    );
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*".parse().unwrap());
    headers.insert(header::CACHE_CONTROL, "public".parse().unwrap());
    let error = ready(SessionManager::commit(
        &session,
        StatusCode::OK,
        &mut headers,
    ))
    .unwrap_err();
    assert_eq!(
        (error.cause(), error.status()),
        (Error::Full, StatusCode::SERVICE_UNAVAILABLE)
    );
    assert!(
        headers[header::RETRY_AFTER]
            .to_str()
            .unwrap()
            .parse::<u32>()
            .is_ok()
    );
    for name in [header::CONTENT_LENGTH, header::SET_COOKIE, header::LOCATION] {
        assert!(
            !headers.contains_key(&name),
            "{name} was of the response that does not go out"
        );
    }
    assert_eq!(headers[header::STRICT_TRANSPORT_SECURITY], "max-age=1");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(headers[header::VARY], "Cookie");
}

#[test]
fn sign_in_evicts_anonymous_sessions_if_the_cache_is_full() {
    let cache = full_cache();
    let mut visitor = Visitor::of(&cache);
    let insert = |session: &Session| session.insert("a", "x".repeat(16_300)).unwrap();
    assert_eq!(
        visitor.visit(insert).1.result.unwrap_err().cause(),
        Error::Full
    );
    let (_, reply) = visitor.visit(|session| {
        insert(session);
        session.sign_in("ada").unwrap();
    });
    assert_eq!(reply.result, Ok(()));
    assert_eq!(visitor.begin().user().as_deref(), Some("ada"));
}

#[test]
fn a_sign_in_that_cannot_be_stored_has_no_effect() {
    let cache = builder().max_session_size(1 << 10).build().unwrap();
    let (mut visitor, one, two) = two_at_once(&cache);
    two.watch("a").unwrap();
    two.sign_in("alice").unwrap();
    insert(&one, "a", 2);
    visitor.finish(&one, StatusCode::OK);
    let reply = visitor.finish(&two, StatusCode::OK);
    assert_eq!(reply.result.as_ref().unwrap_err().key(), Some("a"));
    assert_eq!((reply.set_cookie(), cache.stats().signed_in), (None, 0));
    assert_eq!(
        (get(&visitor, "a"), visitor.begin().user()),
        (Some(2), None)
    );
}

#[test]
fn a_session_that_the_admission_hook_denies_is_not_created() {
    let cache = builder().admission(|_| false).build().unwrap();
    let mut visitor = Visitor::of(&cache);
    let (_, reply) = visitor.visit(|session| insert(session, "a", 1));
    let error = reply.result.unwrap_err();
    assert_eq!(
        (error.cause(), error.status()),
        (Error::AdmissionDenied, StatusCode::TOO_MANY_REQUESTS)
    );
    assert!(!reply.headers.contains_key(header::SET_COOKIE));
    assert_eq!((cache.len(), cache.stats().admission_denied), (0, 1));
    assert!(
        visitor.visit(|_| ()).1.result.is_ok(),
        "a request without changes needs no admission"
    );
    assert_eq!(cache.stats().admission_denied, 1);
}

#[test]
fn a_visitor_keeps_the_session_whose_growth_found_no_room() {
    let cache = full_cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| insert(session, "a", 1));
    let changes: [fn(&Session); 2] = [|_| (), |session| session.rotate().unwrap()];
    for change in changes {
        let (_, reply) = visitor.visit(|session| {
            session.insert("b", "x".repeat(16_300)).unwrap();
            change(session);
        });
        assert_eq!(reply.result.unwrap_err().cause(), Error::Full);
        assert_eq!(
            visitor.begin().keys(),
            ["a"],
            "under the id that the browser has now"
        );
    }
}

#[test]
fn a_session_that_outgrows_the_limit_is_left_as_it_was() {
    let cache = builder().max_session_size(1 << 10).build().unwrap();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", "x".repeat(600)).unwrap());
    let old = visitor.clone();
    let changes: [fn(&Session); 3] = [
        |_| (),
        |session| session.rotate().unwrap(),
        |session| session.sign_in("alice").unwrap(),
    ];
    for change in changes {
        let (_, reply) = visitor.visit(|session| {
            session.insert("b", "y".repeat(600)).unwrap();
            change(session);
        });
        let error = reply.result.unwrap_err();
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(error.to_string().contains("1024"), "{error}");
        assert!(!reply.headers.contains_key(header::SET_COOKIE));
    }
    assert_eq!(
        (visitor.cookie.clone(), visitor.begin().keys()),
        (old.cookie, vec!["a".to_owned()])
    );
}

#[test]
fn a_sign_out_removes_the_cookie_even_if_later_changes_fail() {
    let cache = builder().max_session_size(1 << 10).build().unwrap();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| insert(session, "a", 1));
    let (_, reply) = visitor.visit(|session| {
        ready(session.sign_out()).unwrap();
        session.insert("b", "y".repeat(600)).unwrap();
        session.insert("c", "y".repeat(600)).unwrap();
    });
    assert!(reply.result.is_err() && reply.is_removal());
    assert_eq!(cache.len(), 0);
}
