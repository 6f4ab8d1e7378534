//! A request's cookies in L1: a hit, an id for the store, or nothing.

use bytes::BytesMut;
use sessile::{
    Token,
    tier::{LookUp, Rejection},
};

use crate::support::{
    builder,
    l1::{USER_KEY, field, hit, ids, installed, issue, l1, load, look_up, peek, stored, unknown},
};

#[test]
fn an_installed_session_is_a_hit_with_its_data() {
    let (l1, _clock) = l1();
    let issued = installed(&l1, 7, b"a cart");
    let (answer, data) = look_up(&l1, &[issued.token.as_str()]);
    let LookUp::Hit(record) = answer else {
        panic!("it is in L1");
    };
    assert_eq!((record.id, record.version.get()), (issued.id, 7));
    assert_eq!(data, b"a cart");
    assert!(!record.is_alias() && !record.is_authenticated());
    assert_eq!((l1.stats().hits, l1.stats().misses), (1, 0));

    let mut buffer = BytesMut::new();
    let answer = l1.look_up_token(issued.token.as_str().as_bytes(), &mut buffer);
    assert!(matches!(answer, LookUp::Hit(record) if record.id == issued.id));
    assert_eq!(&buffer[..], b"a cart");
}

#[test]
fn a_valid_token_of_a_session_that_is_not_in_l1_is_unknown() {
    let (l1, _clock) = l1();
    let issued = issue(&l1);
    assert_eq!(
        unknown(&l1, &[issued.token.as_str()]),
        Some(vec![issued.id])
    );
    let stats = l1.stats();
    assert_eq!((stats.hits, stats.misses), (0, 1));
    assert_eq!(stats.rejected, Default::default(), "the store decides");
}

/// The tag of an entry was compared without the place, of which a part chooses the shard: a token with
/// another place in the same shard was a hit, and its id named another partition of the store.
// SIGN-1: docs/security-checklist.md
#[test]
fn a_token_with_another_place_is_absent() {
    let (l1, _clock) = l1();
    let issued = installed(&l1, 1, b"data");
    // Characters 2 to 5 contain the place.
    for at in 2..6 {
        for other in [b'A', b'B', b'Q', b'g', b'w', b'_'] {
            let mut token = issued.token.as_str().as_bytes().to_vec();
            if token[at] == other {
                continue;
            }
            token[at] = other;
            let answer = l1.look_up_token(&token, &mut BytesMut::new());
            assert!(matches!(answer, LookUp::Absent), "character {at}");
        }
    }
}

// SIGN-1, ID-5: docs/security-checklist.md
#[test]
fn forged_and_malformed_tokens_are_absent_and_counted() {
    let (l1, _clock) = l1();
    let issued = installed(&l1, 1, b"data");
    let mut forged = issued.token.as_str().to_owned();
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    forged.push(last);
    for tokens in [&[&*forged][..], &["short"], &[]] {
        assert!(matches!(look_up(&l1, tokens).0, LookUp::Absent));
        assert!(l1.verify([&field(&l1, tokens)[..]]).is_empty());
    }
    let rejected = l1.stats().rejected;
    assert_eq!((rejected.forged, rejected.malformed), (2, 2));
    assert_eq!(l1.stats().misses, 3);
    assert_eq!(l1.verify_token(forged.as_bytes()), None);
}

#[test]
fn a_valid_candidate_before_a_hit_is_asked_of_the_store_first() {
    let (l1, _clock) = l1();
    let (known, strange) = (installed(&l1, 1, b"data"), issue(&l1));
    let [known_token, strange_token] = [&known, &strange].map(|issued| issued.token);
    let [known_token, strange_token] = [known_token.as_str(), strange_token.as_str()];
    let order = vec![strange.id, known.id];
    assert_eq!(unknown(&l1, &[strange_token, known_token]), Some(order));
    assert_eq!(hit(&l1, &[known_token, strange_token]), Some(known.id));
    // What is not valid does not count as one before.
    assert_eq!(hit(&l1, &["short", known_token]), Some(known.id));
}

#[test]
fn four_candidates_are_examined_over_all_fields() {
    let (l1, _clock) = l1();
    let issued: Vec<_> = (0..6).map(|_| issue(&l1)).collect();
    let tokens: Vec<_> = issued.iter().map(|issued| issued.token).collect();
    let tokens: Vec<_> = tokens.iter().map(Token::as_str).collect();
    let first_four: Vec<_> = issued[..4].iter().map(|issued| issued.id).collect();
    let fields = [field(&l1, &tokens[..3]), field(&l1, &tokens[3..])];
    let fields = || fields.iter().map(Vec::as_slice);
    let LookUp::Unknown(candidates) = l1.look_up(fields(), &mut BytesMut::new()) else {
        panic!("none is in L1");
    };
    assert_eq!(ids(&candidates), first_four);
    assert_eq!(candidates.len(), 4);
    assert_eq!(ids(&l1.verify(fields())), first_four);
    assert_eq!(candidates.first(), l1.verify_token(tokens[0].as_bytes()));
}

#[test]
fn verify_reads_no_session() {
    let (l1, _clock) = l1();
    let issued = installed(&l1, 1, b"data");
    let field = field(&l1, &[issued.token.as_str()]);
    assert_eq!(ids(&l1.verify([&field[..]])), [issued.id]);
    assert_eq!((l1.stats().hits, l1.stats().misses), (0, 0));
}

#[test]
fn an_expired_entry_is_left_to_the_store() {
    let (l1, clock) = l1();
    let issued = installed(&l1, 1, b"data");
    clock.advance(l1.idle_timeout());
    assert_eq!(
        unknown(&l1, &[issued.token.as_str()]),
        Some(vec![issued.id]),
        "another node may have moved the deadline"
    );
    assert!(load(&l1, &issued.id).is_none() && peek(&l1, &issued.id).is_none());
}

#[test]
fn with_verify_first_the_answers_are_the_same() {
    let clock = sessile::ManualClock::new();
    let l1 = builder(&clock)
        .verify_first(true)
        .build_l1(USER_KEY)
        .unwrap();
    let (known, strange) = (installed(&l1, 1, b"data"), issue(&l1));
    assert_eq!(hit(&l1, &[known.token.as_str()]), Some(known.id));
    assert_eq!(
        unknown(&l1, &[strange.token.as_str()]),
        Some(vec![strange.id])
    );
}

#[test]
fn a_peek_is_neither_a_use_nor_a_hit() {
    let (l1, clock) = l1();
    let issued = issue(&l1);
    let session = sessile::tier::StoredSession {
        returned: false,
        ..stored(&l1, issued.id, 1)
    };
    l1.install(&session, b"data");
    clock.advance(l1.idle_timeout() / 2);
    let field = field(&l1, &[issued.token.as_str()]);
    for _ in 0..2 {
        let (record, data) = peek(&l1, &issued.id).unwrap();
        assert!(!record.needs_touch() && data == b"data");
        assert_eq!(
            record.expires_in(),
            l1.idle_timeout() / 2,
            "the deadline stays"
        );
        let mut buffer = BytesMut::new();
        let answer = l1.peek_fields([&field[..]], &mut buffer);
        assert!(matches!(answer, LookUp::Hit(record) if !record.needs_touch()));
        assert_eq!(&buffer[..], b"data");
    }
    let stats = l1.stats();
    assert_eq!((stats.hits, stats.misses), (0, 0));
    assert_eq!((stats.sessions.probation, stats.sessions.anonymous), (1, 0));

    assert!(load(&l1, &issued.id).unwrap().needs_touch());
    let stats = l1.stats();
    assert_eq!((stats.hits, stats.sessions.anonymous), (1, 1));
}

#[test]
fn what_the_store_rejects_is_counted_by_cause() {
    let (l1, _clock) = l1();
    let all = [Rejection::Unknown, Rejection::Expired, Rejection::Reused];
    all.into_iter()
        .for_each(|rejection| l1.count_rejection(rejection));
    let rejected = l1.stats().rejected;
    assert_eq!(
        (rejected.unknown, rejected.expired, rejected.reused),
        (1, 1, 1)
    );
    assert_eq!((rejected.malformed, rejected.forged), (0, 0));
}
