//! CSRF tokens: the session they belong to, and how long they are valid.

#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeSet, time::Duration};

use http::StatusCode;
use sessile::{Error, KeyRing, ManualClock};
use sessile_web::adapter::ready;
use sessile_web::{Session, SessionError, SessionManager};
use support::{Visitor, builder, cache};

fn token(session: &Session) -> String {
    session.csrf_token().unwrap()
}

fn counts(visitor: &Visitor, token: &str) -> bool {
    match visitor.begin().check_csrf(token) {
        Ok(()) => true,
        Err(SessionError::InvalidCsrfToken) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_form_counts_for_its_own_visitor() {
    let cache = cache();
    let [mut one, mut two] = [(); 2].map(|()| Visitor::of(&cache));
    let [(first, _), (second, _)] = [one.visit(token), two.visit(token)];
    assert!(counts(&one, &first) && counts(&two, &second));
    assert!(!counts(&one, &second) && !counts(&two, &first));
    assert!(
        !counts(&Visitor::of(&cache), &first),
        "a visitor without a session has no token"
    );
}

#[test]
fn every_page_has_another_text_and_all_count() {
    let mut visitor = Visitor::of(&cache());
    let tokens: BTreeSet<_> = (0..100).map(|_| visitor.visit(token).0).collect();
    assert_eq!(tokens.len(), 100);
    assert!(tokens.iter().all(|token| counts(&visitor, token)));
    assert!(
        tokens.iter().all(|token| token.len() == 43),
        "the same length, so that none shows"
    );
}

#[test]
fn anything_else_is_refused() {
    let mut visitor = Visitor::of(&cache());
    let (token, _) = visitor.visit(token);
    for at in 0..token.len() - 1 {
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert!(
            !counts(&visitor, std::str::from_utf8(&forged).unwrap()),
            "byte {at}"
        );
    }
    let long = "A".repeat(100_000);
    for text in [
        "",
        "A",
        "ä",
        "\0",
        &token[1..],
        &format!("{token}A"),
        &format!(" {token}"),
        &long,
        &"A".repeat(43),
    ] {
        assert!(!counts(&visitor, text));
    }
}

#[test]
fn a_visitor_without_a_session_gets_one_for_the_form_and_it_stays() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    let (form, reply) = visitor.visit(token);
    assert!(reply.set_cookie().is_some());
    assert!(visitor.begin().keys().is_empty() && cache.len() == 1);
    // Inserting, removing and clearing keys does not end the session, because a form may exist.
    visitor.visit(|session| session.insert("flash", 1).unwrap());
    visitor.visit(|session| session.take::<u32>("flash").unwrap());
    visitor.visit(|session| session.clear().unwrap());
    assert!(counts(&visitor, &form));
    assert_eq!(
        visitor.visit(token).1.set_cookie(),
        None,
        "the next form needs no other session"
    );
    let saved = cache.stats().saved;
    visitor.visit(token);
    assert_eq!(cache.stats().saved, saved, "nor does it write");
}

#[test]
fn a_session_that_had_other_things_stays_for_its_form_too() {
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let (form, _) = visitor.visit(token);
    visitor.visit(|session| session.remove("a").unwrap());
    assert!(counts(&visitor, &form));
}

#[test]
fn a_form_does_not_outlive_a_change_of_privilege() {
    let mut visitor = Visitor::of(&cache());
    let changes: [fn(&Session); 3] = [
        |session| session.sign_in("ada").unwrap(),
        |session| session.rotate().unwrap(),
        |session| session.sign_in("bob").unwrap(),
    ];
    for change in changes {
        let (form, _) = visitor.visit(token);
        assert!(counts(&visitor, &form));
        visitor.visit(change);
        assert!(!counts(&visitor, &form));
    }
    let (form, _) = visitor.visit(token);
    visitor.visit(|session: &Session| ready(session.sign_out()).unwrap());
    assert!(!counts(&visitor, &form));
}

#[test]
fn a_form_of_the_response_that_changes_the_id_counts_afterwards() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    for change in [
        |session: &Session| session.sign_in("ada"),
        |session: &Session| session.rotate(),
    ] {
        let (form, reply) = visitor.visit(|session| {
            change(session).unwrap();
            token(session)
        });
        assert!(reply.set_cookie().is_some());
        assert!(counts(&visitor, &form));
    }
    assert_eq!(
        (visitor.begin().user().as_deref(), cache.len()),
        (Some("ada"), 1)
    );
}

#[test]
fn forms_that_were_out_when_the_layer_rotated_still_count_and_older_ones_do_not() {
    let clock = ManualClock::new();
    let hour = Duration::from_secs(3_600);
    let cache = builder()
        .clock(clock.clone())
        .idle_timeout(12 * hour)
        .build()
        .unwrap();
    let mut visitor = Visitor::new(
        &SessionManager::builder(cache)
            .rotate_every(hour)
            .build()
            .unwrap(),
    );
    visitor.visit(|session| session.sign_in("ada").unwrap());
    let (first, _) = visitor.visit(token);
    let old = visitor.clone();
    clock.advance(hour);
    let (second, reply) = visitor.visit(token);
    assert!(
        reply.set_cookie().is_some(),
        "the page was out when the id changed"
    );
    assert!(counts(&visitor, &first) && counts(&visitor, &second));
    let (third, _) = visitor.visit(token);
    // A page that was requested with the old cookie.
    let (under_way, reply) = old.clone().visit(token);
    assert_eq!(reply.set_cookie(), None);
    assert!(counts(&visitor, &under_way));
    clock.advance(hour);
    visitor.visit(Session::is_authenticated);
    assert!([&first, &second].iter().all(|form| !counts(&visitor, form)));
    assert!(counts(&visitor, &third));
    visitor.visit(|session| session.rotate().unwrap());
    assert!(!counts(&visitor, &third), "a change of privilege ends all");
}

#[test]
fn the_end_of_a_session_invalidates_its_csrf_tokens() {
    let cache = builder().admission(|_| false).build().unwrap();
    let mut visitor = Visitor::of(&cache);
    let (refused, reply) = visitor.visit(|session| session.csrf_token().unwrap_err());
    assert!(
        matches!(refused, SessionError::Store(error) if error.cause() == Error::AdmissionDenied)
    );
    assert_eq!((reply.result, cache.len()), (Ok(()), 0));
}

#[test]
fn a_form_in_a_body_that_is_streamed_later() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    let (late, _) = visitor.visit(|session| {
        let _ = session.contains_key("a");
        session.clone()
    });
    assert!(matches!(
        late.csrf_token(),
        Err(SessionError::AlreadyCommitted)
    ));
    visitor.visit(token);
    let (late, _) = visitor.visit(|session| {
        let _ = session.contains_key("a");
        session.clone()
    });
    assert!(
        counts(&visitor, &token(&late)),
        "a session that is there has its form"
    );
}

#[test]
fn a_form_on_an_error_page_has_its_session() {
    let mut visitor = Visitor::of(&cache());
    let session = visitor.begin();
    let form = token(&session);
    visitor.finish(&session, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(counts(&visitor, &form));
}

#[test]
fn a_form_counts_under_every_key_of_the_ring_and_under_no_other() {
    const NEW: &[u8] = b"5e4d3c2b1a09f8e7d6c5b4a3928170ff-another key of the tests";
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    let (old_form, _) = visitor.visit(|session| session.csrf_token().unwrap());
    cache
        .set_keys(&KeyRing::from_bytes(&[NEW, support::KEY]).unwrap())
        .unwrap();
    let session = visitor.begin();
    session.check_csrf(&old_form).unwrap();
    let new_form = session.csrf_token().unwrap();
    session.check_csrf(&new_form).unwrap();
    cache
        .set_keys(&KeyRing::from_bytes(&[NEW]).unwrap())
        .unwrap();
    assert!(matches!(
        session.check_csrf(&old_form),
        Err(SessionError::InvalidCsrfToken)
    ));
    session.check_csrf(&new_form).unwrap();
}

#[test]
fn a_form_counts_after_a_new_key_and_a_rotation_by_age() {
    const NEW: &[u8] = b"5e4d3c2b1a09f8e7d6c5b4a3928170ff-another key of the tests";
    let clock = ManualClock::new();
    let hour = Duration::from_secs(3_600);
    let cache = builder()
        .clock(clock.clone())
        .idle_timeout(12 * hour)
        .build()
        .unwrap();
    let manager = SessionManager::builder(cache.clone())
        .rotate_every(hour)
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&manager);
    let (form, _) = visitor.visit(|session| session.csrf_token().unwrap());
    cache
        .set_keys(&KeyRing::from_bytes(&[NEW, support::KEY]).unwrap())
        .unwrap();
    clock.advance(hour);
    let (_, reply) = visitor.visit(|session| session.check_csrf(&form).unwrap());
    assert!(reply.set_cookie().is_some(), "it has a new id");
    visitor.begin().check_csrf(&form).unwrap();
}
