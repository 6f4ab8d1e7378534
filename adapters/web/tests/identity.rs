//! Identity keys, for applications that store the signed-in user under a key.

#![allow(clippy::unwrap_used)]

mod support;

use http::StatusCode;
use sessile::{Error, SessionCache};
use sessile_web::adapter::{SessionExt, ready};
use sessile_web::{Session, SessionError, SessionManager};
use support::{Reply, Visitor, builder, cache};

type Handler = fn(&Session);

fn sessions(cache: &SessionCache) -> SessionManager {
    SessionManager::builder(cache.clone())
        .identity_keys(["user_id", "user"])
        .build()
        .unwrap()
}

/// A visitor with a cart.
fn visitor(cache: &SessionCache) -> Visitor {
    let mut visitor = Visitor::new(&sessions(cache));
    visitor.visit(|session| session.insert("cart", "tea").unwrap());
    visitor
}

fn sign_in(session: &Session) {
    session.insert("user_id", "ada").unwrap();
}

fn status(reply: &Reply) -> u16 {
    reply
        .result
        .as_ref()
        .map_or_else(|error| error.status().as_u16(), |()| 200)
}

#[test]
fn a_planted_cookie_opens_nothing_once_a_key_names_the_user() {
    let sign_ins: [Handler; 3] = [
        sign_in,
        |session| {
            sign_in(session);
            ready(session.save()).unwrap();
        },
        |session| {
            sign_in(session);
            session.csrf_token().unwrap();
        },
    ];
    for sign_in in sign_ins {
        let cache = cache();
        let mut mallory = Visitor::new(&sessions(&cache));
        mallory.visit(|session| session.insert("user_id", "mallory").unwrap());
        let mut ada = mallory.clone();
        let (_, reply) = ada.visit(sign_in);
        assert!(status(&reply) == 200 && reply.set_cookie().is_some());
        assert!(mallory.begin().keys().is_empty(), "no grace period applies");
        assert_eq!(
            (ada.value("user_id").as_deref(), cache.len()),
            (Some("ada"), 1)
        );
    }
}

#[test]
fn the_id_changes_with_the_user_and_with_nothing_else() {
    let changes: [(Handler, bool); 10] = [
        (|session| session.insert("user_id", "bob").unwrap(), true),
        (|session| session.insert("user", "bob").unwrap(), true),
        (
            |session| session.increment("user_id.n", 1).map(drop).unwrap(),
            false,
        ),
        (|session| session.insert("user_id", "ada").unwrap(), false),
        (|session| session.remove("user_id").unwrap(), false),
        (
            |session| session.insert("other", [("user_id", "bob")]).unwrap(),
            false,
        ),
        (|session| session.insert("cart", "cup").unwrap(), false),
        (
            |session| session.insert_json("user_id", " \"ada\" ").unwrap(),
            false,
        ),
        (
            |session| {
                session.insert("user_id", "bob").unwrap();
                session.insert("user_id", "ada").unwrap();
            },
            false,
        ),
        (
            |session| {
                session.clear().unwrap();
                session.insert("user_id", "bob").unwrap();
            },
            true,
        ),
    ];
    for (at, (change, is_new)) in changes.into_iter().enumerate() {
        let mut browser = visitor(&cache());
        browser.visit(sign_in);
        let before = browser.cookie.clone();
        assert_eq!(status(&browser.visit(change).1), 200);
        assert_eq!(browser.cookie != before, is_new, "change {at}");
    }
    // A key is an identity key only if the manager names it.
    let mut browser = Visitor::of(&cache());
    browser.visit(|session| session.insert("cart", "tea").unwrap());
    assert_eq!(browser.visit(sign_in).1.set_cookie(), None);
}

#[test]
fn forms_do_not_outlive_a_change_of_the_user() {
    let mut browser = visitor(&cache());
    let form = browser.visit(|session| session.csrf_token().unwrap()).0;
    assert!(browser.begin().check_csrf(&form).is_ok());
    browser.visit(sign_in);
    assert!(browser.begin().check_csrf(&form).is_err());
}

#[test]
fn a_sign_in_by_both_ways_changes_the_id_once() {
    let both: [Handler; 3] = [
        |session| {
            session.sign_in("ada").unwrap();
            sign_in(session);
        },
        |session| {
            session.sign_in("ada").unwrap();
            ready(session.save()).unwrap();
            sign_in(session);
        },
        |session| {
            session.rotate().unwrap();
            sign_in(session);
        },
    ];
    for both in both {
        let cache = cache();
        let mut browser = visitor(&cache);
        let before = browser.clone();
        browser.visit(both);
        let stats = cache.stats();
        assert_eq!((stats.rotated + stats.signed_in, cache.len()), (1, 1));
        assert_eq!(browser.begin().keys(), ["cart", "user_id"]);
        assert!(before.begin().keys().is_empty());
    }
}

#[test]
fn a_user_is_compared_with_the_stored_one_not_the_one_read() {
    let mut browser = visitor(&cache());
    browser.visit(sign_in);
    let before = browser.clone();
    let (mut tab, slow) = (browser.clone(), browser.begin());
    assert_eq!(
        slow.get::<String>("user_id").unwrap().as_deref(),
        Some("ada")
    );
    browser.visit(|session| session.remove("user_id").unwrap());
    slow.insert("user_id", "ada").unwrap();
    slow.insert("seen", 1).unwrap();
    let reply = tab.finish(&slow, StatusCode::OK);
    assert!(reply.set_cookie().is_some(), "it is a sign-in by now");
    assert!(before.begin().keys().is_empty());
}

#[test]
fn a_request_that_names_a_user_gets_a_session_whatever_became_of_its_own() {
    let ends: [(Handler, Vec<&str>); 3] = [
        (|session| session.rotate().unwrap(), vec!["cart", "user_id"]),
        (
            |session| session.insert("user_id", "bob").unwrap(),
            vec!["cart", "user_id"],
        ),
        (
            |session: &Session| ready(session.sign_out()).unwrap(),
            vec!["user_id"],
        ),
    ];
    for (end, keys) in ends {
        let cache = cache();
        let mut browser = visitor(&cache);
        let (mut tab, slow) = (browser.clone(), browser.begin());
        assert!(slow.contains_key("cart"));
        browser.visit(end);
        sign_in(&slow);
        let reply = tab.finish(&slow, StatusCode::OK);
        assert!(status(&reply) == 200 && reply.set_cookie().is_some());
        assert_eq!(
            (tab.begin().keys(), cache.len()),
            (
                keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>(),
                1
            )
        );
    }
    // A cookie that was replaced before the request read the session.
    let cache = cache();
    let mut browser = visitor(&cache);
    let mut tab = browser.clone();
    browser.visit(|session| session.rotate().unwrap());
    let (_, reply) = tab.visit(sign_in);
    assert!(status(&reply) == 200 && reply.set_cookie().is_some());
    assert_eq!(
        (tab.value("user_id").as_deref(), cache.len()),
        (Some("ada"), 1)
    );
}

#[test]
fn once_the_headers_have_left_no_other_user_is_named() {
    let mut browser = visitor(&cache());
    browser.visit(sign_in);
    let session = browser.begin();
    session.detach();
    let json = |text: &'static str| Some(bytes::Bytes::from(text));
    for late in [
        session.insert("user_id", "bob"),
        session.insert_json("user", "1"),
        session.increment("user", 1).map(drop),
        session.append("user", 1),
        session
            .compare_and_set("user_id", Some(&"ada"), "bob")
            .map(drop),
        session.change_json([("cart", json("1")), ("user", json("1"))]),
    ] {
        assert!(matches!(late, Err(SessionError::AlreadyCommitted)));
    }
    session.insert("user_id", "ada").unwrap();
    session.insert("seen", 1).unwrap();
    ready(session.save()).unwrap();
    session.remove("user_id").unwrap();
    ready(session.save()).unwrap();
    assert_eq!(browser.begin().keys(), ["cart", "seen"]);
}

#[test]
fn naming_a_user_late_is_a_conflict_where_another_request_removed_it() {
    let mut browser = visitor(&cache());
    browser.visit(sign_in);
    let socket = browser.begin();
    socket.detach();
    assert!(socket.contains_key("user_id"));
    socket.insert("user_id", "ada").unwrap();
    socket.insert("seen", 1).unwrap();
    browser.visit(|session| session.remove("user_id").unwrap());
    let error = ready(socket.save()).unwrap_err();
    assert!(matches!(error, SessionError::Conflict { key } if key == "user_id"));
    assert_eq!(browser.begin().keys(), ["cart"]);
}

#[test]
fn an_error_page_does_not_undo_a_sign_out() {
    let sign_outs: [Handler; 3] = [
        |session| session.remove("user_id").unwrap(),
        |session| session.clear().unwrap(),
        |session| session.insert("user_id", ()).unwrap(),
    ];
    for sign_out in sign_outs {
        let mut browser = visitor(&cache());
        browser.visit(sign_in);
        let session = browser.begin();
        session.insert("cart", "cup").unwrap();
        session.insert("user", "mallory").unwrap();
        sign_out(&session);
        let reply = browser.finish(&session, StatusCode::BAD_GATEWAY);
        assert_eq!((status(&reply), reply.set_cookie()), (200, None));
        assert_eq!(
            browser
                .begin()
                .get::<Option<String>>("user_id")
                .unwrap()
                .flatten(),
            None
        );
        assert_eq!(
            browser.value("cart").as_deref(),
            Some("tea"),
            "nothing else is stored"
        );
        assert!(!browser.begin().contains_key("user"));
    }
}

#[test]
fn a_sign_out_on_an_error_page_ends_a_session_with_only_the_user() {
    let cache = cache();
    let mut browser = Visitor::new(&sessions(&cache));
    browser.visit(sign_in);
    let session = browser.begin();
    session.remove("user_id").unwrap();
    assert!(
        browser
            .finish(&session, StatusCode::BAD_GATEWAY)
            .is_removal()
    );
    assert_eq!(cache.len(), 0);
    browser.visit(sign_in);
    let session = browser.begin();
    ready(session.sign_out()).unwrap();
    assert!(
        browser
            .finish(&session, StatusCode::BAD_GATEWAY)
            .is_removal(),
        "at once, in any case"
    );
    assert_eq!(cache.len(), 0);
}

#[test]
fn a_sign_out_under_a_replaced_id_is_not_passed_over_on_an_error_page() {
    for was_read_before in [true, false] {
        let mut browser = visitor(&cache());
        browser.visit(sign_in);
        let (mut tab, slow) = (browser.clone(), browser.begin());
        if was_read_before {
            assert!(slow.contains_key("user_id"));
        }
        slow.remove("user_id").unwrap();
        browser.visit(|session| session.rotate().unwrap());
        let reply = tab.finish(&slow, StatusCode::BAD_GATEWAY);
        assert_eq!(reply.result.unwrap_err().cause(), Error::Rotated);
    }
}

#[test]
fn a_message_after_a_sign_out_begins_a_session() {
    let cache = cache();
    let mut browser = visitor(&cache);
    let old = browser.clone();
    let (_, reply) = browser.visit(|session| {
        ready(session.sign_out()).unwrap();
        session.insert("flash", "Good bye.").unwrap();
    });
    assert!(reply.set_cookie().is_some() && !reply.is_removal());
    assert_eq!(
        (browser.begin().keys(), cache.len()),
        (vec!["flash".to_owned()], 1)
    );
    assert!(old.begin().keys().is_empty());
}

#[test]
fn a_full_cache_does_not_rotate_if_the_data_does_not_fit() {
    let cache = builder().max_session_size(1 << 10).build().unwrap();
    let mut browser = visitor(&cache);
    let before = browser.cookie.clone();
    let (_, reply) = browser.visit(|session| {
        sign_in(session);
        session.insert("a", "x".repeat(600)).unwrap();
        session.insert("b", "x".repeat(600)).unwrap();
    });
    assert_eq!((status(&reply), &browser.cookie), (500, &before));
    assert_eq!(browser.begin().keys(), ["cart"]);
}
