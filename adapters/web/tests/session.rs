//! The verbs of a session, within one request and across requests.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use sessile_web::adapter::{SessionExt, ready};
use sessile_web::{Session, SessionError, SessionManager};
use support::{Visitor, cache};

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Item {
    name: String,
    pieces: u32,
}

#[test]
fn an_inserted_value_is_read_in_this_request_and_the_next() {
    let mut visitor = Visitor::of(&cache());
    let name = "Ada".to_owned();
    let cart = || {
        vec![Item {
            name: "cup \"blue\"".into(),
            pieces: 2,
        }]
    };
    visitor.visit(|session| {
        session.insert("cart", cart()).unwrap();
        session.insert("name", &name).unwrap();
        assert_eq!(session.get("cart").unwrap(), Some(cart()));
    });
    let session = visitor.begin();
    assert_eq!(session.get("cart").unwrap(), Some(cart()));
    assert_eq!(session.get::<String>("name").unwrap(), Some(name));
    assert_eq!(session.get::<u32>("other").unwrap(), None);
    assert_eq!(session.keys(), ["cart", "name"]);
    assert!(session.contains_key("cart") && !session.contains_key("other"));
}

#[test]
fn later_changes_of_a_request_win_over_its_earlier_ones() {
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| {
        session.insert("a", 1).unwrap();
        session.insert("b", 1).unwrap();
    });
    visitor.visit(|session| {
        session.remove("a").unwrap();
        assert_eq!(
            (session.get::<u32>("a").unwrap(), session.contains_key("a")),
            (None, false)
        );
        session.insert("b", 2).unwrap();
        session.insert("b", 3).unwrap();
        session.insert("c", 1).unwrap();
        session.remove("c").unwrap();
        assert_eq!(session.keys(), ["b"]);
    });
    let session = visitor.begin();
    assert_eq!(
        (session.keys(), session.get("b").unwrap()),
        (vec!["b".to_owned()], Some(3))
    );
}

#[test]
fn clear_empties_and_ends_a_session_without_a_user() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    visitor.visit(|session| {
        session.clear().unwrap();
        assert!(session.keys().is_empty());
        session.insert("b", 1).unwrap();
    });
    assert_eq!(
        (visitor.begin().keys(), cache.len()),
        (vec!["b".to_owned()], 1)
    );
    let (_, reply) = visitor.visit(|session| session.clear().unwrap());
    assert!(reply.is_removal());
    assert_eq!(cache.len(), 0);
}

#[test]
fn clear_keeps_the_user_signed_in() {
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| {
        session.insert("a", 1).unwrap();
        session.sign_in("alice").unwrap();
        assert!(session.is_authenticated(), "counting this request's");
    });
    let (_, reply) = visitor.visit(|session| session.clear().unwrap());
    assert_eq!(reply.set_cookie(), None);
    assert!(visitor.begin().is_authenticated() && visitor.begin().keys().is_empty());
}

#[test]
fn sign_out_acts_at_once_and_discards_pending_changes() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let (_, reply) = visitor.visit(|session| {
        session.insert("b", 1).unwrap();
        session.sign_in("alice").unwrap();
        ready(session.sign_out()).unwrap();
        assert_eq!(cache.len(), 0, "before the response");
        assert!(session.keys().is_empty() && !session.is_authenticated());
    });
    assert!(reply.is_removal());
    assert_eq!((cache.len(), cache.stats().signed_in), (0, 0));
}

#[test]
fn an_insert_after_end_starts_a_new_session() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let old = visitor.clone();
    visitor.visit(|session| {
        ready(session.sign_out()).unwrap();
        session.insert("b", 2).unwrap();
        session.sign_in("bob").unwrap();
    });
    let session = visitor.begin();
    assert_eq!(
        (session.keys(), session.is_authenticated()),
        (vec!["b".to_owned()], true)
    );
    assert!(old.begin().keys().is_empty());
    assert_eq!(cache.len(), 1);
}

// LIFE-1: docs/security-checklist.md
#[test]
fn nothing_of_a_sign_in_is_readable_under_the_old_id() {
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| session.insert("cart", 1).unwrap());
    let fixed = visitor.clone();
    let (_, reply) = visitor.visit(|session| {
        session.sign_in("alice").unwrap();
        session.insert("address", "private").unwrap();
    });
    assert!(reply.set_cookie().is_some());
    assert!(fixed.begin().keys().is_empty() && !fixed.begin().is_authenticated());
    assert_eq!(visitor.begin().keys(), ["address", "cart"]);
    assert!(visitor.begin().is_authenticated());
}

// LIFE-1: docs/security-checklist.md
#[test]
fn rotate_changes_the_id_and_keeps_data_and_user() {
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| session.insert("cart", "tea").unwrap());
    visitor.visit(|session| session.sign_in("alice").unwrap());
    let old = visitor.clone();
    visitor.visit(|session| session.rotate().unwrap());
    assert_ne!(visitor.cookie, old.cookie);
    assert_eq!(
        (visitor.value("cart").as_deref(), old.value("cart")),
        (Some("tea"), None)
    );
    assert!(visitor.begin().is_authenticated());
}

#[test]
fn rotate_and_end_make_no_session_for_a_visitor_without_one() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    let (_, reply) = visitor.visit(|session| session.rotate().unwrap());
    assert_eq!(reply.set_cookie(), None);
    let (_, reply) = visitor.visit(|session| {
        session.insert("a", 1).unwrap();
        session.remove("a").unwrap();
    });
    assert_eq!(reply.set_cookie(), None);
    let (_, reply) = visitor.visit(|session: &Session| ready(session.sign_out()).unwrap());
    assert_eq!((reply.set_cookie(), cache.stats().created), (None, 0));
}

#[test]
fn a_value_is_decoded_only_when_it_is_read() {
    let cache = cache();
    // One pair is not JSON, so that parsing all values would fail.
    let bytes = b"\x01\x01\x00\x04\x00\x00\x00a}]{!\x01\x00\x01\x00\x00\x00b7";
    let made = cache.create(bytes).unwrap();
    let mut visitor = Visitor::of(&cache);
    visitor.cookie = Some(format!("{}={}", cache.cookie_name(), made.token.as_str()));
    let (_, reply) = visitor.visit(|session| {
        assert_eq!(session.get("b").unwrap(), Some(7));
        session.insert("c", 8).unwrap();
    });
    assert!(reply.result.is_ok());
    assert!(matches!(
        visitor.begin().get::<u32>("a"),
        Err(SessionError::Decode { .. })
    ));
    assert_eq!(
        visitor.begin().keys(),
        ["a", "b", "c"],
        "and it is kept as it is"
    );
}

// ST-53: tests/vectors/store_contract_cases.json
#[test]
fn undecodable_bytes_are_an_empty_session() {
    let cache = cache();
    let made = cache.create(b"{\"of\":\"another making\"}").unwrap();
    let mut visitor = Visitor::of(&cache);
    visitor.cookie = Some(format!("{}={}", cache.cookie_name(), made.token.as_str()));
    assert!(visitor.begin().keys().is_empty());
    visitor.visit(|session| session.insert("a", 1).unwrap());
    assert_eq!(
        (visitor.begin().get("a").unwrap(), cache.len()),
        (Some(1), 1)
    );
}

#[test]
fn invalid_values_keys_and_users_are_errors_for_the_handler() {
    struct Unwritable;
    impl Serialize for Unwritable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("no"))
        }
    }
    let cache = cache();
    let session = Visitor::of(&cache).begin();
    let limit = cache.max_session_size();
    assert!(matches!(
        session.insert("a", Unwritable),
        Err(SessionError::Encode(_))
    ));
    let refused = session.insert("a", "x".repeat(limit));
    assert!(matches!(refused, Err(SessionError::TooLarge { max, .. }) if max == limit));
    let refused = session.insert(&"k".repeat(65_536), 1);
    assert!(matches!(
        refused,
        Err(SessionError::KeyTooLong {
            given: 65_536,
            max: 65_535
        })
    ));
    assert!(matches!(session.sign_in(""), Err(SessionError::EmptyUser)));
    assert!(session.keys().is_empty() && !session.is_authenticated());
}

#[test]
fn the_largest_value_that_insert_takes_is_stored() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    let json = |len: usize| "x".repeat(len - 2); // and two quotes
    let room = cache.max_session_size() - (1 + 2 + 4 + 1);
    let (refused, _) = visitor.visit(|session| session.insert("k", json(room + 1)));
    assert!(matches!(refused, Err(SessionError::TooLarge { .. })));
    let (_, reply) = visitor.visit(|session| session.insert("k", json(room)).unwrap());
    assert_eq!(reply.result, Ok(()));
    assert_eq!(visitor.value("k").unwrap().len(), room - 2);
}

#[test]
fn a_change_after_the_headers_left_is_refused_and_not_lost() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    let (kept, _) = visitor.visit(|session| {
        session.insert("a", 1).unwrap();
        session.clone()
    });
    for late in [
        kept.insert("a", 2),
        kept.remove("a"),
        kept.clear(),
        kept.rotate(),
        kept.sign_in("alice"),
    ] {
        assert!(matches!(late, Err(SessionError::AlreadyCommitted)));
    }
    assert_eq!(kept.get("a").unwrap(), Some(1), "reads still work");
    ready(kept.sign_out()).unwrap();
    assert_eq!(cache.len(), 0, "and an end is never too late");
}

#[test]
fn code_of_the_application_may_use_the_session_while_it_is_encoded() {
    struct Nosy(Session);
    impl Serialize for Nosy {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            self.0.insert("seen", 1).map_err(S::Error::custom)?;
            to.serialize_bool(self.0.contains_key("seen"))
        }
    }
    let session = Visitor::of(&cache()).begin();
    session.insert("nosy", Nosy(session.clone())).unwrap();
    assert_eq!(
        (session.get("nosy").unwrap(), session.get("seen").unwrap()),
        (Some(true), Some(1))
    );
}

// ID-7: docs/security-checklist.md
#[test]
fn debug_output_and_error_texts_show_no_secret() {
    let cache = cache();
    let sessions = SessionManager::new(cache.clone());
    let mut visitor = Visitor::new(&sessions);
    visitor.visit(|session| session.insert("word", "private").unwrap());
    let session = visitor.begin();
    let refused = session.get::<u32>("word").unwrap_err();
    let token = visitor
        .cookie
        .clone()
        .unwrap()
        .split('=')
        .nth(1)
        .unwrap()
        .to_owned();
    for text in [
        format!("{session:?}"),
        format!("{sessions:?}"),
        refused.to_string(),
    ] {
        assert!(
            !text.contains("private") && !text.contains(&token),
            "{text}"
        );
    }
}

#[test]
fn a_session_is_cheap_to_share() {
    fn check<T: Clone + Send + Sync + 'static>() {}
    check::<Session>();
    check::<SessionManager>();
    assert_eq!(size_of::<Session>(), size_of::<Arc<()>>());
}

#[test]
fn a_status_of_500_or_above_stores_nothing() {
    let cache = cache();
    for (status, stored) in [
        (200, 1),
        (302, 1),
        (404, 1),
        (499, 1),
        (500, 0),
        (503, 0),
        (999, 0),
    ] {
        let mut visitor = Visitor::of(&cache);
        let session = visitor.begin();
        session.insert("a", 1).unwrap();
        let before = cache.len();
        visitor.finish(&session, StatusCode::from_u16(status).unwrap());
        assert_eq!(cache.len() - before, stored, "{status}");
    }
}

#[test]
fn a_sign_out_with_a_replaced_cookie_ends_the_session() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let mut other_tab = visitor.clone();
    visitor.visit(|session| session.sign_in("alice").unwrap());
    let (_, reply) = other_tab.visit(|session: &Session| ready(session.sign_out()).unwrap());
    assert!(reply.is_removal());
    assert_eq!(cache.len(), 0);
    assert!(!visitor.begin().is_authenticated());
}

#[test]
fn a_session_that_is_emptied_by_removing_is_ended_too() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let (_, reply) = visitor.visit(|session| session.remove("a").unwrap());
    assert!(reply.is_removal());
    assert_eq!(cache.len(), 0);
}

#[test]
fn a_clear_under_the_old_id_does_not_sign_anybody_out() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let mut other_tab = visitor.clone();
    let slow = other_tab.begin();
    assert_eq!(slow.get("a").unwrap(), Some(1));
    visitor.visit(|session| session.sign_in("alice").unwrap());
    slow.clear().unwrap();
    other_tab.finish(&slow, http::StatusCode::OK);
    assert!(visitor.begin().is_authenticated());
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_clear_keeps_what_another_request_stored_concurrently() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let slow = visitor.begin();
    slow.remove("a").unwrap();
    assert!(!slow.contains_key("a") && slow.keys().is_empty());
    visitor.visit(|session| session.insert("b", 2).unwrap());
    visitor.finish(&slow, http::StatusCode::OK);
    assert_eq!(visitor.begin().keys(), ["b"]);
}

#[test]
fn a_second_commit_does_nothing() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    let (session, first) = visitor.visit(|session| {
        session.sign_in("alice").unwrap();
        session.clone()
    });
    let cookie = visitor.cookie.clone();
    let second = visitor.finish(&session, http::StatusCode::OK);
    assert!(first.set_cookie().is_some() && second.set_cookie().is_none());
    assert_eq!((visitor.cookie, cache.stats().signed_in), (cookie, 1));
}

#[test]
fn several_keys_are_changed_together_or_not_at_all() {
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| session.insert("a", 1).unwrap());
    visitor.visit(|session| {
        let json = |text: &'static str| Some(Bytes::from(text));
        for refused in ["sessile:user", &"z".repeat(70_000)] {
            let changes = [("a", None), ("b", json("2")), (refused, json("3"))];
            session.change_json(changes).unwrap_err();
        }
        assert_eq!(session.pairs(), [("a".to_owned(), "1".into())]);
        session
            .change_json([("a", None), ("b", json("2"))])
            .unwrap();
    });
    assert_eq!(visitor.begin().pairs(), [("b".to_owned(), "2".into())]);
}
