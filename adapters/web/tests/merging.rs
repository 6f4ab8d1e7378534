//! Concurrent requests that change one session: their changes are merged.

#![allow(clippy::unwrap_used)]

mod support;

use std::thread;

use http::StatusCode;
use sessile::SessionCache;
use sessile_web::adapter::{SessionExt, ready};
use sessile_web::{Key, Session, SessionError};
use support::{Visitor, cache};

type Verb = fn(&Session) -> Result<(), SessionError>;

const NUMBER: Key<i64> = Key::new("number");
const LIST: Key<Vec<u32>> = Key::new("list");
const STATE: Key<String> = Key::new("state");

/// A visitor with a session, and requests that have all read it.
fn at_once<const N: usize>(cache: &SessionCache) -> (Visitor, [Session; N]) {
    let mut visitor = Visitor::of(cache);
    visitor.visit(|session| {
        session.insert(NUMBER, 10).unwrap();
        session.insert(LIST, vec![0]).unwrap();
        session.insert(STATE, "open".to_owned()).unwrap();
    });
    let requests = [(); N].map(|()| visitor.begin());
    assert!(requests.iter().all(|session| session.keys().len() == 3));
    (visitor, requests)
}

fn finish(visitor: &mut Visitor, session: &Session) -> Result<(), sessile_web::CommitError> {
    visitor.finish(session, StatusCode::OK).result
}

// LIFE-5: docs/security-checklist.md
#[test]
fn two_writers_of_different_keys_lose_nothing_in_100_000_rounds() {
    const ROUNDS: u32 = 100_000;
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("first", 0).unwrap());
    thread::scope(|scope| {
        for key in ["left", "right"] {
            let mut visitor = visitor.clone();
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    let (before, reply) = visitor.visit(|session| {
                        let before = session.get::<u32>(key).unwrap().unwrap_or(0);
                        session.insert(key, round).unwrap();
                        before
                    });
                    assert_eq!((before, reply.result), (round - 1, Ok(())), "of {key}");
                }
            });
        }
    });
    let session = visitor.begin();
    assert_eq!(session.keys(), ["first", "left", "right"]);
    assert_eq!(
        ["left", "right"].map(|key| session.get(key).unwrap()),
        [Some(ROUNDS); 2]
    );
    assert!(cache.stats().conflicts > 0, "they met");
}

// LIFE-5: docs/security-checklist.md
#[test]
fn sums_and_lists_of_many_threads_are_whole() {
    const ROUNDS: u32 = 2_000;
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| session.insert("first", 0).unwrap());
    thread::scope(|scope| {
        for thread in 0..4 {
            let mut visitor = visitor.clone();
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let (_, reply) = visitor.visit(|session| {
                        session.increment(NUMBER, 1).unwrap();
                        if round % 20 == 0 {
                            session.append(LIST, thread * ROUNDS + round).unwrap();
                        }
                    });
                    assert_eq!(reply.result, Ok(()));
                }
            });
        }
    });
    let session = visitor.begin();
    assert_eq!(session.get(NUMBER).unwrap(), Some(i64::from(4 * ROUNDS)));
    let mut list = session.get(LIST).unwrap().unwrap();
    list.sort_unstable();
    let all = (0..4 * ROUNDS)
        .filter(|item| (item % ROUNDS).is_multiple_of(20))
        .collect::<Vec<_>>();
    assert_eq!(list, all);
}

#[test]
fn concurrent_increments_and_appends_are_all_applied() {
    let (mut visitor, requests) = at_once::<3>(&cache());
    for (by, session) in [1, 20, 300].into_iter().zip(&requests) {
        assert_eq!(
            session.increment(NUMBER, by).unwrap(),
            10 + by,
            "as this request sees it"
        );
        session.append(LIST, by as u32).unwrap();
        session.append(LIST, by as u32 + 1).unwrap();
    }
    for session in &requests {
        assert_eq!(finish(&mut visitor, session), Ok(()));
    }
    let session = visitor.begin();
    assert_eq!(session.get(NUMBER).unwrap(), Some(331));
    assert_eq!(
        session.get(LIST).unwrap(),
        Some(vec![0, 1, 2, 20, 21, 300, 301])
    );
}

#[test]
fn a_sum_stops_where_numbers_do() {
    let session = Visitor::of(&cache()).begin();
    for (by, sum) in [
        (i64::MAX, i64::MAX),
        (1, i64::MAX),
        (i64::MIN, -1),
        (i64::MIN, i64::MIN),
    ] {
        assert_eq!(session.increment(NUMBER, by).unwrap(), sum);
        assert_eq!(session.get(NUMBER).unwrap(), Some(sum));
    }
}

#[test]
fn values_of_other_types_cannot_be_incremented_or_appended_to() {
    let (_, [session]) = at_once(&cache());
    let refused = session.increment("state", 1).unwrap_err();
    assert!(
        matches!(refused, SessionError::Decode { wanted: "i64", .. }),
        "{refused}"
    );
    assert!(matches!(
        session.append("state", 1),
        Err(SessionError::Decode { .. })
    ));
    assert!(matches!(
        session.append("number", 1),
        Err(SessionError::Decode { .. })
    ));
    assert_eq!(session.get(STATE).unwrap().as_deref(), Some("open"));
}

#[test]
fn a_value_that_can_grow_no_more_is_a_conflict_and_nothing_is_stored() {
    let (mut visitor, [one, two]) = at_once(&cache());
    one.insert("number", "a word").unwrap();
    two.increment(NUMBER, 1).unwrap();
    two.insert("other", 1).unwrap();
    assert_eq!(finish(&mut visitor, &one), Ok(()));
    let error = finish(&mut visitor, &two).unwrap_err();
    assert_eq!(
        (error.status(), error.key()),
        (StatusCode::CONFLICT, Some("number"))
    );
    assert!(!visitor.begin().contains_key("other"));
}

#[test]
fn of_two_concurrent_compare_and_sets_one_conflicts() {
    let (mut visitor, [one, two]) = at_once(&cache());
    let (open, taken) = ("open".to_owned(), "taken".to_owned());
    for session in [&one, &two] {
        assert!(
            session
                .compare_and_set(STATE, Some(&open), taken.clone())
                .unwrap()
        );
        assert!(
            !session
                .compare_and_set(STATE, Some(&open), taken.clone())
                .unwrap()
        );
        assert_eq!(session.get(STATE).unwrap().as_ref(), Some(&taken));
    }
    two.insert("other", 1).unwrap();
    assert_eq!(finish(&mut visitor, &one), Ok(()));
    let error = finish(&mut visitor, &two).unwrap_err();
    assert_eq!(
        (error.status(), error.key()),
        (StatusCode::CONFLICT, Some("state"))
    );
    assert!(
        !visitor.begin().contains_key("other"),
        "all of it or nothing"
    );
}

#[test]
fn a_comparison_counts_even_if_the_key_is_set_again_or_cleared() {
    let changes: [fn(&Session); 3] = [
        |session| session.insert(STATE, "done".to_owned()).unwrap(),
        |session| session.remove(STATE).unwrap(),
        |session| session.clear().unwrap(),
    ];
    for change in changes {
        let (mut visitor, [one, two]) = at_once(&cache());
        let open = "open".to_owned();
        assert!(
            two.compare_and_set(STATE, Some(&open), "taken".to_owned())
                .unwrap()
        );
        change(&two);
        one.insert(STATE, "mine".to_owned()).unwrap();
        assert_eq!(finish(&mut visitor, &one), Ok(()));
        assert_eq!(finish(&mut visitor, &two).unwrap_err().key(), Some("state"));
        assert_eq!(visitor.begin().get(STATE).unwrap().as_deref(), Some("mine"));
    }
}

#[test]
fn nothing_can_be_expected_and_any_spelling_of_a_value() {
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| {
        assert!(!session.compare_and_set(NUMBER, Some(&1), 2).unwrap());
        assert!(session.compare_and_set(NUMBER, None, 1).unwrap());
        assert!(!session.compare_and_set(NUMBER, None, 1).unwrap());
        session.insert_json("list", " [ 1,2 ] ").unwrap();
    });
    let (is_set, reply) = visitor.visit(|session| {
        session
            .compare_and_set(LIST, Some(&vec![1, 2]), vec![])
            .unwrap()
    });
    assert_eq!((is_set, reply.result), (true, Ok(())));
}

#[test]
fn a_change_of_a_watched_key_prevents_all_changes() {
    let cache = cache();
    for (others, is_refused) in [
        (Session::clear as fn(&Session) -> _, true),
        (|session| session.remove(STATE), true),
        (|session| session.insert(STATE, "taken".to_owned()), true),
        (|session| session.insert(STATE, "open".to_owned()), false),
        (|session| session.increment(NUMBER, 1).map(drop), false),
    ] {
        let (mut visitor, [one, two]) = at_once(&cache);
        two.watch(STATE).unwrap();
        two.insert("other", 1).unwrap();
        others(&one).unwrap();
        one.insert("first", 1).unwrap();
        assert_eq!(finish(&mut visitor, &one), Ok(()));
        let result = finish(&mut visitor, &two);
        let refused = result.as_ref().map_err(|error| error.key());
        assert_eq!(
            refused,
            if is_refused {
                Err(Some("state"))
            } else {
                Ok(&())
            }
        );
        assert_eq!(visitor.begin().contains_key("other"), !is_refused);
    }
}

#[test]
fn a_watch_concerns_the_stored_value_not_this_request() {
    let (mut visitor, [one, two]) = at_once(&cache());
    two.clear().unwrap();
    two.insert(STATE, "mine".to_owned()).unwrap();
    two.watch(STATE).unwrap();
    two.watch(NUMBER).unwrap();
    assert!(!two.contains_key(NUMBER) && two.contains_key(STATE));
    one.append(LIST, 1).unwrap();
    assert_eq!(finish(&mut visitor, &one), Ok(()));
    assert_eq!(
        finish(&mut visitor, &two),
        Ok(()),
        "another key was changed"
    );
    assert_eq!(visitor.begin().keys(), ["state"]);
}

#[test]
fn a_handler_sees_a_conflict_and_tries_again() {
    let (mut visitor, [one, two]) = at_once(&cache());
    one.increment(NUMBER, 5).unwrap();
    assert_eq!(finish(&mut visitor, &one), Ok(()));

    two.watch(NUMBER).unwrap();
    let double = |session: &Session| {
        let number = session.get(NUMBER).unwrap().unwrap();
        session.insert(NUMBER, 2 * number).unwrap();
        ready(session.save())
    };
    let refused = double(&two).unwrap_err();
    assert!(
        matches!(&refused, SessionError::Conflict { key } if key == "number"),
        "{refused}"
    );
    assert_eq!(
        two.get(NUMBER).unwrap(),
        Some(15),
        "the stored state without the discarded changes"
    );
    two.watch(NUMBER).unwrap();
    double(&two).unwrap();
    two.insert("after", 1).unwrap();
    assert_eq!(finish(&mut visitor, &two), Ok(()));
    let session = visitor.begin();
    assert_eq!(
        (session.get(NUMBER).unwrap(), session.contains_key("after")),
        (Some(30), true)
    );
}

#[test]
fn saved_changes_are_kept_even_if_the_response_is_an_error() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    let session = visitor.begin();
    session.insert("saved", 1).unwrap();
    ready(session.save()).unwrap();
    session.insert("not", 1).unwrap();
    let reply = visitor.finish(&session, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        reply.set_cookie().is_some(),
        "otherwise no client could open it"
    );
    assert_eq!(visitor.begin().keys(), ["saved"]);
}

#[test]
fn a_request_without_a_response_leaves_no_unreachable_session() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    let session = visitor.begin();
    session.insert("a", 1).unwrap();
    ready(session.save()).unwrap();
    assert_eq!(cache.len(), 1);
    drop(session);
    assert_eq!(cache.len(), 0);

    visitor.visit(|session| session.insert("a", 1).unwrap());
    let session = visitor.begin();
    session.insert("a", 2).unwrap();
    ready(session.save()).unwrap();
    drop(session);
    assert_eq!(
        visitor.begin().get("a").unwrap(),
        Some(2),
        "the browser has its cookie"
    );
}

#[test]
fn a_save_that_is_rejected_forgets_the_data_and_not_the_sign_in() {
    let cache = support::builder()
        .max_session_size(1 << 10)
        .build()
        .unwrap();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let (_, reply) = visitor.visit(|session| {
        session.insert("b", "x".repeat(600)).unwrap();
        session.insert("c", "x".repeat(600)).unwrap();
        session.sign_in("ada").unwrap();
        assert!(matches!(ready(session.save()), Err(SessionError::Store(_))));
        let user = session.user();
        assert_eq!(
            (session.keys(), user.as_deref()),
            (vec!["a".to_owned()], Some("ada"))
        );
        session.insert("d", 1).unwrap();
    });
    assert!(reply.result.is_ok() && reply.set_cookie().is_some());
    assert_eq!(visitor.begin().keys(), ["a", "d"]);
    assert_eq!(
        (visitor.begin().user().as_deref(), cache.stats().signed_in),
        (Some("ada"), 1)
    );
}

#[test]
fn saving_a_session_that_ended_is_an_error() {
    let (_, [one, two]) = at_once(&cache());
    ready(one.sign_out()).unwrap();
    two.insert("b", 1).unwrap();
    let refused = ready(two.save()).unwrap_err();
    let SessionError::Store(error) = &refused else {
        panic!("{refused}")
    };
    assert_eq!(error.cause(), sessile::Error::Gone);
    assert!(two.keys().is_empty());
}

#[test]
fn after_the_response_left_nothing_can_be_changed() {
    let (mut visitor, [session]) = at_once(&cache());
    finish(&mut visitor, &session).unwrap();
    let late: [Verb; 13] = [
        |session| session.insert("a", 1),
        |session| session.remove("a"),
        |session| session.take("state").map(|_: Option<String>| ()),
        |session| session.clear(),
        |session| session.increment("number", 1).map(drop),
        |session| session.append("list", 1),
        |session| session.compare_and_set("a", None, 1).map(drop),
        |session| session.watch("a"),
        |session| ready(session.save()),
        |session| session.sign_in("ada"),
        |session| session.rotate(),
        |session| session.remember(std::time::Duration::from_secs(60)),
        |session| session.make_persistent(),
    ];
    for (at, change) in late.iter().enumerate() {
        assert!(
            matches!(change(&session), Err(SessionError::AlreadyCommitted)),
            "change {at}"
        );
    }
    assert_eq!(session.get(NUMBER).unwrap(), Some(10), "it can be read");
}

#[test]
fn numbers_beyond_the_precision_of_an_f64_are_distinguished() {
    const MAX: u128 = u128::MAX;
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| session.insert("n", MAX).unwrap());
    let guarded = visitor.begin();
    guarded.watch("n").unwrap();
    guarded.insert("b", 1).unwrap();
    visitor.visit(|session| session.insert("n", MAX - 7).unwrap());
    let error = finish(&mut visitor, &guarded).unwrap_err();
    assert_eq!(
        (error.key(), error.status()),
        (Some("n"), StatusCode::CONFLICT)
    );

    let (set, _) = visitor.visit(|session| session.compare_and_set("n", Some(&MAX), 1).unwrap());
    assert!(!set, "another number is stored");
    let equal = Some(&(MAX - 7));
    let (set, _) = visitor.visit(|session| session.compare_and_set("n", equal, 1).unwrap());
    assert!(set);
}

#[test]
fn a_violated_watch_prevents_verbs_without_data_too() {
    let verbs: [Verb; 5] = [
        |session| session.rotate(),
        |session| session.make_persistent(),
        |session| session.sign_in("ada"),
        |session| session.insert(NUMBER, 10),
        |_| Ok(()),
    ];
    for (at, verb) in verbs.into_iter().enumerate() {
        let (mut visitor, [one, two]) = at_once(&cache());
        let before = visitor.clone();
        two.watch(STATE).unwrap();
        verb(&two).unwrap();
        one.insert(STATE, "taken".to_owned()).unwrap();
        assert_eq!(finish(&mut visitor, &one), Ok(()));
        let reply = visitor.finish(&two, StatusCode::OK);
        assert_eq!(
            reply.result.as_ref().unwrap_err().key(),
            Some("state"),
            "verb {at}"
        );
        assert_eq!(reply.set_cookie(), None);
        assert_eq!(
            before.begin().get(STATE).unwrap().as_deref(),
            Some("taken"),
            "the id is the same"
        );
        assert_eq!(before.begin().user(), None);
    }
}
