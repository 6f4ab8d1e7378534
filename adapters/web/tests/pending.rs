//! Verbs that a failed `save` did not perform: the response performs them or is an error.

#![allow(clippy::unwrap_used)]

mod support;

use http::StatusCode;
use sessile::{CreateOptions, Error, ManualClock, SessionCache, SessionId, SessionLimitPolicy};
use sessile_web::adapter::{SessionExt, ready};
use sessile_web::{CommitError, Session, SessionError, SessionManager};
use support::{Visitor, builder, cache};

type Verb = fn(&Session);

const SIGN_IN: Verb = |session| session.sign_in("ada").unwrap();
const ROTATE: Verb = |session| session.rotate().unwrap();
const CLEAR: Verb = |session| session.clear().unwrap();
const KEEP: Verb = |session| session.make_persistent().unwrap();
const VERBS: [Verb; 4] = [SIGN_IN, ROTATE, CLEAR, KEEP];

/// Fails if a verb was not performed, judged by the stored session.
fn check_performed(at: usize, before: &Visitor, after: &Visitor, set_cookie: Option<&str>) {
    match at {
        0 => assert_eq!(after.begin().user().as_deref(), Some("ada")),
        1 => assert!(before.begin().keys().is_empty() && !after.begin().keys().is_empty()),
        2 => assert!(!after.begin().contains_key("cart")),
        _ => assert!(set_cookie.unwrap().contains("Max-Age=")),
    }
}

fn visitor(cache: &SessionCache) -> Visitor {
    let mut visitor = Visitor::of(cache);
    visitor.visit(|session| session.insert("cart", "tea").unwrap());
    visitor
}

fn cause(error: &SessionError) -> Option<Error> {
    if let SessionError::Store(error) = error {
        Some(error.cause())
    } else {
        None
    }
}

#[test]
fn after_a_save_that_was_too_large_the_response_performs_the_verbs() {
    for settle in [false, true] {
        for (at, verb) in VERBS.into_iter().enumerate() {
            let cache = builder().max_session_size(1 << 10).build().unwrap();
            let mut browser = visitor(&cache);
            let before = browser.clone();
            let (_, reply) = browser.visit(|session| {
                verb(session);
                for key in ["a", "b"] {
                    session.insert(key, "x".repeat(600)).unwrap();
                }
                // A CSRF token needs the new id at once, so it stores too.
                let is_stored = settle && at < 2;
                let failed = if is_stored {
                    session.csrf_token().map(drop)
                } else {
                    ready(session.save())
                };
                assert!(matches!(
                    cause(&failed.unwrap_err()),
                    Some(Error::TooLarge { .. })
                ));
                assert!(!session.contains_key("a") && !session.contains_key("b"));
                session.insert("d", 1).unwrap();
            });
            assert_eq!(reply.result, Ok(()));
            assert!(browser.begin().contains_key("d"));
            check_performed(at, &before, &browser, reply.set_cookie());
        }
    }
}

#[test]
fn verbs_pending_after_a_conflict_keep_their_watched_keys() {
    for (at, verb) in VERBS.into_iter().enumerate() {
        for is_withdrawn in [false, true] {
            let mut browser = visitor(&cache());
            let (before, session) = (browser.clone(), browser.begin());
            session.watch("cart").unwrap();
            verb(&session);
            browser.visit(|session| session.insert("cart", "cup").unwrap());
            let failed = ready(session.save()).unwrap_err();
            assert!(matches!(failed, SessionError::Conflict { key } if key == "cart"));
            if is_withdrawn {
                session.discard();
            }
            let reply = browser.finish(&session, StatusCode::OK);
            let status = reply.result.as_ref().map_err(CommitError::status).err();
            assert_eq!(
                status,
                (!is_withdrawn).then_some(StatusCode::CONFLICT),
                "verb {at}"
            );
            assert_eq!(reply.set_cookie(), None);
            assert_eq!(before.value("cart").as_deref(), Some("cup"));
            assert_eq!(before.begin().user(), None);
        }
    }
}

/// Fills a cache with sessions of users, until the largest anonymous session finds no room. Returns
/// their ids.
fn fill(cache: &SessionCache) -> Vec<SessionId> {
    let largest = vec![0; cache.max_session_size()];
    let mut ids = Vec::new();
    let mut sign_one_in = || {
        let user = format!("user {}", ids.len());
        let new = CreateOptions::new().user(user.as_str());
        ids.push(cache.create_with(&[0; 512], new).unwrap().id);
    };
    while cache.stats().evicted.authenticated == 0 {
        sign_one_in();
    }
    while let Ok(probe) = cache.create(&largest) {
        cache.end(&probe.id);
        sign_one_in();
    }
    ids
}

#[test]
fn after_a_save_into_a_full_cache_the_response_performs_the_verbs() {
    for (at, verb) in VERBS.into_iter().enumerate().skip(1) {
        let cache = builder().memory(1 << 20).build().unwrap();
        let users = fill(&cache);
        let mut browser = visitor(&cache);
        let before = browser.clone();
        let (_, reply) = browser.visit(|session| {
            verb(session);
            session.insert("a", "x".repeat(16_300)).unwrap();
            assert_eq!(
                cause(&ready(session.save()).unwrap_err()),
                Some(Error::Full)
            );
            assert!(!session.contains_key("a"));
            users.iter().for_each(|id| {
                cache.end(id);
            });
            session.insert("d", 1).unwrap();
        });
        assert_eq!(reply.result, Ok(()));
        assert!(browser.begin().contains_key("d"));
        if at == 1 {
            // The id was replaced before the data found no space.
            assert_ne!(before.cookie, browser.cookie);
        }
        check_performed(at, &before, &browser, reply.set_cookie());
    }
}

#[test]
fn a_sign_in_that_a_save_did_not_perform_is_performed_by_the_response() {
    let settings = builder()
        .max_sessions_per_user(1)
        .session_limit_policy(SessionLimitPolicy::Reject);
    let cache = settings.build().unwrap();
    let ada = CreateOptions::new().user("ada");
    let elsewhere = cache.create_with(b"", ada).unwrap();
    let mut browser = visitor(&cache);
    let (_, reply) = browser.visit(|session| {
        session.sign_in("ada").unwrap();
        assert_eq!(
            cause(&ready(session.save()).unwrap_err()),
            Some(Error::TooManySessions)
        );
        cache.end(&elsewhere.id);
    });
    assert!(reply.result.is_ok() && reply.set_cookie().is_some());
    assert_eq!(browser.begin().user().as_deref(), Some("ada"));
}

#[test]
fn after_gone_the_session_is_empty_and_changes_create_a_new_one() {
    for is_user in [false, true] {
        let cache = cache();
        let mut browser = Visitor::of(&cache);
        browser.visit(|session| {
            session.insert("user_id", 7).unwrap();
            session.insert("n", 1).unwrap();
            if is_user {
                session.sign_in("ada").unwrap();
            }
        });
        let session = browser.begin();
        assert!(session.contains_key("user_id"));
        ready(browser.begin().sign_out()).unwrap();
        session.insert("n", 2).unwrap();
        session.rotate().unwrap();
        assert_eq!(
            cause(&ready(session.save()).unwrap_err()),
            Some(Error::Gone)
        );
        assert!(session.keys().is_empty() && !session.is_authenticated() && !session.has_work());

        session.insert("m", 3).unwrap();
        let reply = browser.finish(&session, StatusCode::OK);
        assert!(reply.result.is_ok() && reply.set_cookie().is_some());
        assert_eq!(
            (browser.begin().keys(), cache.len()),
            (vec!["m".to_owned()], 1)
        );
        assert!(!browser.begin().is_authenticated());
    }
}

#[test]
fn a_session_that_was_reported_gone_and_is_not_written_to_again_leaves_nothing() {
    let cache = cache();
    let mut browser = visitor(&cache);
    let session = browser.begin();
    assert!(session.contains_key("cart"));
    ready(browser.begin().sign_out()).unwrap();
    session.insert("n", 2).unwrap();
    ready(session.save()).unwrap_err();
    let reply = browser.finish(&session, StatusCode::OK);
    assert_eq!(
        (reply.result, reply.headers.get("set-cookie"), cache.len()),
        (Ok(()), None, 0)
    );
}

#[test]
fn a_save_that_is_early_rotates_nothing_that_could_wait() {
    let clock = ManualClock::new();
    let hour = std::time::Duration::from_secs(3_600);
    let cache = builder()
        .clock(clock.clone())
        .idle_timeout(12 * hour)
        .build()
        .unwrap();
    let mut browser = Visitor::new(
        &SessionManager::builder(cache)
            .rotate_every(hour)
            .build()
            .unwrap(),
    );
    browser.visit(|session| session.sign_in("ada").unwrap());
    let stores: [Verb; 3] = [
        |session| drop(session.csrf_token().unwrap()),
        |session| ready(session.save()).unwrap(),
        |session| {
            session.insert("n", 1).unwrap();
            ready(session.save()).unwrap();
        },
    ];
    for store in stores {
        clock.advance(hour);
        let session = browser.begin();
        assert!(session.is_authenticated());
        store(&session);
        // The client disconnects, and the response is dropped.
        drop(session);
        assert_eq!(browser.begin().user().as_deref(), Some("ada"));
        let (_, reply) = browser.visit(|session| {
            assert!(session.is_authenticated());
            store(session);
        });
        assert!(
            reply.set_cookie().is_some(),
            "a response that arrives does rotate"
        );
    }
}

#[test]
fn a_form_of_a_page_whose_response_rotates_a_full_session_counts() {
    let clock = ManualClock::new();
    let hour = std::time::Duration::from_secs(3_600);
    let cache = builder()
        .clock(clock.clone())
        .idle_timeout(12 * hour)
        .build()
        .unwrap();
    let mut browser = Visitor::new(
        &SessionManager::builder(cache.clone())
            .rotate_every(hour)
            .build()
            .unwrap(),
    );
    browser.visit(|session| session.sign_in("ada").unwrap());
    let largest = cache.max_session_size() - 60;
    browser.visit(|session| session.insert("b", "x".repeat(largest)).unwrap());
    clock.advance(hour);
    let (form, reply) = browser.visit(|session| session.csrf_token().unwrap());
    assert_eq!(
        (reply.result, browser.begin().check_csrf(&form).is_ok()),
        (Ok(()), true)
    );
}

#[test]
fn a_share_of_a_session_that_is_leaked_ends_nothing() {
    let cache = cache();
    let session = Visitor::of(&cache).begin();
    session.insert("a", 1).unwrap();
    ready(session.save()).unwrap();
    session.clone().leak();
    drop(session);
    assert_eq!(cache.len(), 1);
}
