//! The effect of a token's tag on the engine: an unverified token changes nothing, and keys can be
//! added and retired.

use std::time::Duration;

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use crate::support::{
    MINUTE, TICK, builder, create, field, having, idle, open, opens, request,
    rings::{keys, ring},
    sign_in,
};
use bytes::BytesMut;
use sessile::{
    BuildError, IssuedSession, KeyError, ManualClock, SessionCache, Token,
    internals::cookie::{Keys, Parts},
    stats::RejectionCounts,
};

fn with(verify_first: bool) -> (SessionCache, ManualClock) {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .keys(ring(&[1, 2]))
        .verify_first(verify_first)
        .build();
    (cache.unwrap(), clock)
}

fn parts(issued: &IssuedSession) -> Parts {
    Parts::parse(issued.token.as_str().as_bytes()).unwrap()
}

/// Returns another key with the same key number.
fn key_with_same_number(of: u64) -> u64 {
    let number = |each| keys(&[each]).sign(0, [0; 16]).key;
    (100..).find(|each| number(*each) == number(of)).unwrap()
}

/// Returns tokens for a live session, none of them signed for it by a key of the ring.
fn forgeries(issued: &IssuedSession) -> Vec<Token> {
    let right = parts(issued);
    let others = [
        // Keys that are not in the ring; one of them has the number of a key in the ring.
        keys(&[3]).sign(right.place, right.id),
        keys(&[key_with_same_number(1)]).sign(right.place, right.id),
        // The right key under another cookie name.
        Keys::new(&ring(&[1]), "sid")
            .unwrap()
            .sign(right.place, right.id),
        Keys::new(&ring(&[1]), "__Host-sessio")
            .unwrap()
            .sign(right.place, right.id),
        // The tag of another session, of another shard, of another key.
        Parts {
            tag: keys(&[1]).sign(right.place, [0; 16]).tag,
            ..right
        },
        Parts {
            tag: keys(&[1]).sign(right.place ^ 1, right.id).tag,
            ..right
        },
        Parts {
            tag: keys(&[2]).sign(right.place, right.id).tag,
            ..right
        },
        Parts {
            key: keys(&[2]).sign(0, [0; 16]).key,
            ..right
        },
        Parts {
            key: right.key.wrapping_add(1),
            ..right
        },
        Parts {
            tag: [0; 16],
            ..right
        },
    ];
    let flipped = (0..128).map(|bit| {
        let mut tag = right.tag;
        tag[bit / 8] ^= 1 << (bit % 8);
        Parts { tag, ..right }
    });
    others
        .into_iter()
        .chain(flipped)
        .map(Parts::encode)
        .collect()
}

// SIGN-1: docs/security-checklist.md
#[test]
fn a_forged_token_touches_and_counts_nothing_of_the_session() {
    for verify_first in [false, true] {
        let (cache, clock) = with(verify_first);
        let issued = create(&cache, b"data");
        let before = cache.stats();
        clock.advance(cache.idle_timeout() / 2);
        let forged = forgeries(&issued);
        assert!(forged.iter().all(|token| !opens(&cache, token)));
        assert!(
            forged
                .iter()
                .all(|token| !cache.end_by_token(token.as_str().as_bytes()))
        );
        let after = cache.stats();
        assert_eq!(after.sessions, before.sessions, "still on probation");
        assert_eq!((after.sessions.probation, after.hits), (1, 0));
        let mut rejected = before.rejected;
        rejected.forged = 2 * forged.len() as u64;
        assert_eq!(after.rejected, rejected);
        clock.advance(cache.idle_timeout() / 2 - TICK);
        assert!(forged.iter().all(|token| !opens(&cache, token)));
        clock.advance(TICK);
        assert!(!opens(&cache, &issued.token), "the deadline did not move");
    }
}

// SIGN-1: docs/security-checklist.md
#[test]
fn a_valid_token_touches_and_counts_the_session() {
    for verify_first in [false, true] {
        let (cache, clock) = with(verify_first);
        let issued = create(&cache, b"data");
        clock.advance(cache.idle_timeout() / 2);
        assert!(opens(&cache, &issued.token));
        assert_eq!(
            (cache.stats().sessions.anonymous, cache.stats().hits),
            (1, 1)
        );
        clock.advance(cache.idle_timeout() / 2);
        assert!(opens(&cache, &issued.token), "the deadline moved");
    }
}

// SIGN-1: docs/security-checklist.md
#[test]
fn the_tag_of_an_old_id_does_not_open_the_new_one() {
    for verify_first in [false, true] {
        let (cache, _clock) = with(verify_first);
        let first = create(&cache, b"data");
        let second = cache.rotate(&first.id, Duration::ZERO).unwrap();
        let third = sign_in(&cache, &second.id, "alice");
        let last = cache.rotate(&third.id, Duration::ZERO).unwrap();
        for old in [&first, &second, &third] {
            let mixed = Parts {
                tag: parts(old).tag,
                ..parts(&last)
            };
            assert!(!opens(&cache, &mixed.encode()));
        }
        assert_eq!(cache.stats().rejected.forged, 3);
        assert!(opens(&cache, &last.token));
    }
}

/// Lists each kind of token with its expected result and rejection count.
fn answers(verify_first: bool) -> Vec<(&'static str, bool, RejectionCounts)> {
    let (cache, clock) = with(verify_first);
    let [live, ended, rotated, moved] = [(); 4].map(|()| create(&cache, b"data"));
    let expired = cache.create_with(b"data", having(idle(MINUTE))).unwrap();
    cache.end(&ended.id);
    let next = cache.rotate(&rotated.id, Duration::ZERO).unwrap();
    let signed_in = sign_in(&cache, &moved.id, "alice");
    clock.advance(MINUTE);
    let by_second = |issued: &IssuedSession| {
        keys(&[2])
            .sign(parts(issued).place, parts(issued).id)
            .encode()
    };
    let forged = |issued: &IssuedSession| {
        Parts {
            tag: [7; 16],
            ..parts(issued)
        }
        .encode()
    };
    let mut format = live.token.as_str().to_owned();
    format.replace_range(1..2, "g");
    let cases = [
        ("live", live.token),
        ("live, by the second key", by_second(&live)),
        ("live, forged", forged(&live)),
        ("signed in", signed_in.token),
        ("new id", next.token),
        ("old id", rotated.token),
        ("old id, by the second key", by_second(&rotated)),
        ("old id, forged", forged(&rotated)),
        ("id from before the sign-in", moved.token),
        ("ended", ended.token),
        ("ended, forged", forged(&ended)),
        ("expired", expired.token),
        ("expired, by the second key", by_second(&expired)),
        ("expired, forged", forged(&expired)),
        (
            "shard that does not exist",
            keys(&[1]).sign(9, [9; 16]).encode(),
        ),
        (
            "shard that does not exist, forged",
            Parts {
                place: 9,
                ..parts(&live)
            }
            .encode(),
        ),
        ("never there", keys(&[2]).sign(0, [9; 16]).encode()),
    ];
    let mut texts = cases
        .map(|(what, token)| (what, token.as_str().to_owned()))
        .to_vec();
    texts.push(("another format", format));
    texts.push(("nothing", String::new()));
    let answer = |(what, text): (&'static str, String)| {
        let is_found = request(&cache, &text).is_some_and(|(_, data)| data == b"data");
        (what, is_found, cache.stats().rejected)
    };
    texts.into_iter().map(answer).collect()
}

// SIGN-1: docs/security-checklist.md
#[test]
fn verifying_first_changes_no_answer() {
    let (late, early) = (answers(false), answers(true));
    assert_eq!(late, early);
    let found: Vec<_> = late
        .iter()
        .filter(|each| each.1)
        .map(|each| each.0)
        .collect();
    assert_eq!(
        found,
        ["live", "live, by the second key", "signed in", "new id"]
    );
    let rejected = late.last().unwrap().2;
    assert_eq!(
        [rejected.malformed, rejected.forged, rejected.unknown],
        [2, 5, 3]
    );
    assert_eq!([rejected.expired, rejected.reused], [2, 3]);
}

// SIGN-4: docs/security-checklist.md
#[test]
fn a_token_for_another_cookie_name_is_forged() {
    for verify_first in [false, true] {
        let same_id = |bytes: &mut [u8]| {
            bytes.fill(0x3c);
            Ok(())
        };
        let clock = ManualClock::new();
        let named = |name: &str| {
            let settings = builder(&clock).entropy(same_id).cookie_name(name);
            settings.verify_first(verify_first).build().unwrap()
        };
        let (one, other) = (named("__Host-one"), named("__Host-other"));
        let [issued, key_with_same_number] = [create(&one, b"one"), create(&other, b"other")];
        assert_eq!(
            (parts(&issued).id, parts(&issued).place),
            (
                parts(&key_with_same_number).id,
                parts(&key_with_same_number).place
            )
        );
        assert!(opens(&one, &issued.token) && opens(&other, &key_with_same_number.token));
        assert!(!opens(&other, &issued.token) && !opens(&one, &key_with_same_number.token));
        assert_eq!(
            (one.stats().rejected.forged, other.stats().rejected.forged),
            (1, 1)
        );
        let swapped = [
            field(&one, key_with_same_number.token.as_str()),
            field(&other, issued.token.as_str()),
        ];
        assert!(open(&other, &[&swapped[0], &swapped[1]]).is_none());
    }
}

// SIGN-5: docs/security-checklist.md
#[test]
fn key_rotation_keeps_sessions_until_the_old_key_is_retired() {
    for verify_first in [false, true] {
        let clock = ManualClock::new();
        let cache = builder(&clock).verify_first(verify_first).build().unwrap();
        let number = |key| keys(&[key]).sign(0, [0; 16]).key;
        let [read, unread, old_id] = [(); 3].map(|()| create(&cache, b"data"));
        let next = cache.rotate(&old_id.id, Duration::ZERO).unwrap();
        assert_eq!(parts(&read).key, number(1));
        cache.set_keys(&ring(&[1, 2])).unwrap();
        assert_eq!(
            parts(&create(&cache, b"")).key,
            number(1),
            "the first one signs"
        );
        cache.set_keys(&ring(&[2, 1])).unwrap();
        assert!(opens(&cache, &read.token) && opens(&cache, &next.token));
        let by_second = [
            create(&cache, b"data"),
            cache.rotate(&next.id, Duration::ZERO).unwrap(),
        ];
        assert_eq!(by_second.map(|issued| parts(&issued).key), [number(2); 2]);
        cache.set_keys(&ring(&[3, 2])).unwrap();
        let forged = cache.stats().rejected.forged;
        for old in [&read, &unread, &old_id, &next] {
            assert!(
                !opens(&cache, &old.token),
                "only the retired key had signed it"
            );
        }
        assert_eq!(cache.stats().rejected.forged, forged + 4);
        assert!(!cache.end_by_token(unread.token.as_str().as_bytes()));
        assert!(by_second.iter().all(|issued| opens(&cache, &issued.token)));
        let again = cache.rotate(&unread.id, Duration::ZERO).unwrap();
        assert_eq!(parts(&again).key, number(3));
        assert_eq!(
            request(&cache, again.token.as_str()).unwrap().1,
            b"data",
            "the session is stored"
        );
    }
}

// SIGN-5: docs/security-checklist.md
#[test]
fn a_retired_key_number_is_accepted_with_its_own_key_only() {
    for verify_first in [false, true] {
        let clock = ManualClock::new();
        let cache = builder(&clock).verify_first(verify_first).build().unwrap();
        let issued = create(&cache, b"data");
        cache.set_keys(&ring(&[2])).unwrap();
        for wrong in [
            vec![key_with_same_number(1)],
            vec![2, key_with_same_number(1)],
            vec![3, 2, key_with_same_number(1)],
        ] {
            let position = wrong.len();
            let rejected = Err(KeyError::UsedNumber { position });
            assert_eq!(cache.set_keys(&ring(&wrong)), rejected);
            assert!(
                !opens(&cache, &issued.token),
                "the stored tag is from the other key"
            );
        }
        let after = create(&cache, b"data");
        assert_eq!(
            parts(&after).key,
            keys(&[2]).sign(0, [0; 16]).key,
            "the ring is unchanged"
        );
        cache.set_keys(&ring(&[2, 1])).unwrap();
        assert!(opens(&cache, &issued.token));
        let both = builder(&clock)
            .keys(ring(&[key_with_same_number(1), 1]))
            .build()
            .err();
        let same = KeyError::SameNumber {
            position: 2,
            first: 1,
        };
        assert_eq!(both, Some(BuildError::Keys(same)));
    }
}

// SIGN-5: docs/security-checklist.md
#[test]
fn once_set_keys_has_returned_no_thread_accepts_a_retired_key() {
    for verify_first in [false, true] {
        for _ in 0..20 {
            let cache = builder(&ManualClock::new())
                .verify_first(verify_first)
                .build()
                .unwrap();
            let issued = create(&cache, b"data");
            let retired = AtomicBool::new(false);
            let read = || {
                let mut buffer = BytesMut::with_capacity(64);
                let mut after = 0;
                while after < 3 {
                    let is_after = retired.load(SeqCst);
                    let value = issued.token.as_str().as_bytes();
                    let found = cache.open_token(value, &mut buffer).is_some();
                    assert!(!(is_after && found), "opened by a retired key");
                    after += usize::from(is_after);
                }
            };
            thread::scope(|scope| {
                (0..4).for_each(|_| drop(scope.spawn(read)));
                while cache.stats().hits < 20 {
                    thread::yield_now();
                }
                cache.set_keys(&ring(&[2])).unwrap();
                retired.store(true, SeqCst);
            });
        }
    }
}
