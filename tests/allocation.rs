//! A built cache allocates nothing. An allocator that counts asserts it for each verb and each
//! result.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use std::{fmt::Write as _, hint::black_box};

use allocation_counter::measure;
use bytes::BytesMut;
use sessile::tier::{Installed, LookUp};
use sessile::{Error, IssuedSession, ManualClock, SessionCache, Version};
use support::{
    HOUR, NEW, PLAIN, builder, cache, create, create_many, field, fill_with_users, having, idle,
    rings::ring, sign_in, signed_in,
};

/// Runs `run`, asserts that it allocates nothing and returns its result.
fn without_allocating<R>(what: &str, run: impl FnOnce() -> R) -> R {
    let mut answer = None;
    let counted = measure(|| answer = Some(black_box(run())));
    assert_eq!(
        counted.count_total, 0,
        "{what} allocated {} bytes",
        counted.bytes_total
    );
    answer.unwrap()
}

/// Creates a buffer as a caller reuses it.
fn buffer() -> BytesMut {
    BytesMut::with_capacity(16 << 10)
}

/// Excludes what threads and locks allocate when they are first used.
fn warm(cache: &SessionCache) {
    let mut buffer = buffer();
    let issued = signed_in(cache, b"warm", "alice");
    let header = field(cache, issued.token.as_str());
    assert!(cache.open([&header[..]], &mut buffer).is_some());
    assert!(cache.open([], &mut buffer).is_none());
    assert!(cache.end(&issued.id));
}

#[test]
fn the_counter_counts_an_allocation() {
    let counted = measure(|| drop(black_box(vec![1_u8; 10])));
    assert_eq!((counted.count_total, counted.bytes_total), (1, 10));
    let grown = measure(|| {
        let mut buffer = BytesMut::with_capacity(1);
        buffer.resize(100, 0);
        black_box(buffer);
    });
    assert!(grown.count_total >= 2);
}

#[test]
fn reading_allocates_nothing() {
    let (cache, _clock) = cache();
    warm(&cache);
    let mut buffer = buffer();
    for len in [0, 1, 256, 16 << 10] {
        for is_user in [false, true] {
            let mut issued = create(&cache, &vec![7; len]);
            if is_user {
                issued = sign_in(&cache, &issued.id, "alice");
            }
            let header = field(&cache, issued.token.as_str());
            let value = issued.token.as_str().as_bytes();
            for _ in 0..5 {
                let open = || cache.open([&header[..], b"a=1"], &mut buffer).is_some();
                assert!(without_allocating("open", open));
                assert_eq!(buffer.len(), len);
                assert!(without_allocating("open_token", || cache
                    .open_token(value, &mut buffer)
                    .is_some()));
                assert!(without_allocating("load", || cache
                    .load(&issued.id, &mut buffer)
                    .is_some()));
            }
        }
    }
}

#[test]
fn verifying_first_allocates_nothing() {
    let clock = ManualClock::new();
    let cache = builder(&clock).verify_first(true).build().unwrap();
    warm(&cache);
    let mut buffer = buffer();
    let issued = create(&cache, b"data");
    let header = field(&cache, issued.token.as_str());
    assert!(without_allocating("open", || cache
        .open([&header[..]], &mut buffer)
        .is_some()));
}

#[test]
fn every_rejection_allocates_nothing() {
    let (cache, clock) = cache();
    warm(&cache);
    let elsewhere = builder(&ManualClock::new())
        .keys(ring(&[2]))
        .build()
        .unwrap();
    let unknown = create(&support::cache().0, b"");
    let [ended, rotated] = [create(&cache, b"1"), create(&cache, b"2")];
    let expired = cache.create_with(b"3", having(idle(HOUR / 10))).unwrap();
    let live = create(&cache, b"4");
    cache.end(&ended.id);
    cache.rotate(&rotated.id, Duration::ZERO).unwrap();
    clock.advance(HOUR / 10);
    let mut wrong_tag = live.token.as_str().to_owned();
    wrong_tag.replace_range(47.., if wrong_tag.ends_with('A') { "B" } else { "A" });
    let text = |issued: &IssuedSession| issued.token.as_str().to_owned();
    let refusals = [
        ("no cookie", String::new(), None),
        ("malformed", "x".repeat(48), None),
        ("too long", "A".repeat(10_000), None),
        ("of another key", text(&create(&elsewhere, b"")), None),
        ("of a wrong tag", wrong_tag, None),
        ("unknown", text(&unknown), Some(unknown.id)),
        ("ended", text(&ended), Some(ended.id)),
        ("rotated", text(&rotated), Some(rotated.id)),
        ("expired", text(&expired), Some(expired.id)),
    ];
    let mut buffer = buffer();
    for (what, token, id) in &refusals {
        let header = field(&cache, token);
        let four = [&header[..]; 4];
        assert!(without_allocating(what, || cache
            .open([&header[..]], &mut buffer)
            .is_none()));
        assert!(without_allocating(what, || cache
            .open(four, &mut buffer)
            .is_none()));
        assert!(without_allocating(what, || cache
            .open_token(token.as_bytes(), &mut buffer)
            .is_none()));
        assert!(!without_allocating(what, || *what != "rotated"
            && cache.end_by_token(token.as_bytes())));
        let Some(id) = id else { continue };
        assert!(without_allocating(what, || cache
            .load(id, &mut buffer)
            .is_none()));
        assert!(without_allocating(what, || cache
            .save(id, Version::new(1), b"more")
            .is_err()));
        assert!(without_allocating(what, || cache.touch(id).is_err()));
        assert!(without_allocating(what, || cache
            .set_timeouts(id, Version::new(1), PLAIN)
            .is_err()));
        assert!(without_allocating(what, || cache
            .rotate(id, Duration::ZERO)
            .is_err()));
        assert!(without_allocating(what, || cache
            .sign_in(id, "alice")
            .is_err()));
    }
    let version = support::later(live.version, 1);
    assert!(without_allocating("conflict", || cache
        .save(&live.id, version, b"5")
        .is_err()));
    let long = vec![0; 1 << 20];
    assert!(without_allocating("too large", || cache
        .create(&long)
        .is_err()));
    assert!(without_allocating("too large", || cache
        .save(&live.id, Version::new(1), &long)
        .is_err()));
}

#[test]
fn writing_allocates_nothing() {
    let clock = ManualClock::new();
    let cache = builder(&clock).memory(8 << 20).shards(8).build().unwrap();
    warm(&cache);
    let data = vec![3; 16 << 10];
    for round in 0..20 {
        let mut issued = without_allocating("create", || cache.create(&data[..256]).unwrap());
        for (what, len) in [
            ("the same", 256),
            ("less", 8),
            ("more", 4_096),
            ("most", 16 << 10),
        ] {
            let save = || {
                cache
                    .save(&issued.id, issued.version, &data[..len])
                    .unwrap()
            };
            issued.version = without_allocating(what, save);
        }
        without_allocating("touch", || cache.touch(&issued.id).unwrap());
        without_allocating("set_timeouts", || {
            cache
                .set_timeouts(&issued.id, issued.version, idle(HOUR))
                .unwrap()
        });
        issued = without_allocating("rotate", || {
            cache.rotate(&issued.id, Duration::ZERO).unwrap()
        });
        let user = format!("user {round}");
        issued = without_allocating("sign_in", || cache.sign_in(&issued.id, &user).unwrap());
        assert_eq!(without_allocating("len", || cache.len()), 1);
        without_allocating("stats", || cache.stats());
        let record = cache.load(&issued.id, &mut buffer()).unwrap();
        assert!(without_allocating("end_by_handle", || cache.end_by_handle(&record.handle())));
        assert_eq!(
            without_allocating("end_user_sessions", || cache
                .end_user_sessions(&user, Some(&issued.id))),
            0
        );
        signed_in(&cache, &data, &user);
        assert_eq!(
            without_allocating("end_user_sessions", || cache.end_user_sessions(&user, None)),
            1
        );
        let old = create(&cache, &data);
        issued = cache.rotate(&old.id, Duration::ZERO).unwrap();
        let end = || {
            if round % 2 == 0 {
                cache.end(&old.id)
            } else {
                cache.end(&issued.id)
            }
        };
        assert!(without_allocating("end", end));
    }
}

#[test]
fn expiry_and_eviction_allocate_nothing() {
    let (cache, clock) = cache();
    warm(&cache);
    create_many(&cache, cache.capacity_for(256), &[1; 256]);
    let data = vec![2; 16 << 10];
    without_allocating("eviction", || {
        for len in [256, 8 << 10, 16 << 10, 100, 256] {
            cache.create(&data[..len]).unwrap();
        }
    });
    assert!(cache.stats().evicted.probation > 0);
    clock.advance(HOUR);
    let done = without_allocating("maintain", || cache.maintain(1_000));
    assert_eq!((done.expired, done.more), (1_000, true));
    without_allocating("expiry by a write", || cache.create(&data[..256]).unwrap());
    without_allocating("maintain", || cache.maintain(usize::MAX));
    assert_eq!(cache.len(), 1);
}

#[test]
fn the_error_of_a_full_cache_allocates_nothing() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(128 << 10)
        .max_session_size(2 << 10)
        .build()
        .unwrap();
    fill_with_users(&cache, 256);
    let full = || cache.create(&[1; 256 * 3]).err();
    assert_eq!(without_allocating("full", full), Some(Error::Full));
}

#[test]
fn a_denied_admission_and_the_text_of_statistics_allocate_nothing() {
    let cache = builder(&ManualClock::new())
        .admission(<[u8]>::is_empty)
        .build()
        .unwrap();
    warm(&cache);
    let rejected = || {
        cache
            .create_with(b"", NEW.admission_key(b"192.0.2.1"))
            .err()
    };
    assert_eq!(
        without_allocating("rejected", rejected),
        Some(Error::AdmissionDenied)
    );
    let mut text = String::with_capacity(16 << 10);
    without_allocating("text", || {
        write!(text, "{}", cache.stats().prometheus()).unwrap();
    });
    assert!(text.contains("sessile_admission_denied_total 1\n"));
}

// PARSE-7: docs/security-checklist.md
#[test]
fn a_header_of_a_megabyte_allocates_nothing() {
    let (cache, _clock) = cache();
    warm(&cache);
    let issued = create(&cache, b"data");
    let last = field(&cache, issued.token.as_str());
    let name = cache.cookie_name();
    let mut buffer = buffer();
    for piece in [
        "a=;",
        ";",
        "=",
        " ",
        name,
        &format!("{name} "),
        &format!("x{name}=1;"),
    ] {
        let noise = piece.repeat((1 << 20) / piece.len());
        let read = || cache.open([noise.as_bytes()], &mut buffer).is_none();
        assert!(without_allocating(piece, read));
        let mut field = noise.into_bytes();
        field.push(b';');
        field.extend_from_slice(&last);
        let read = || cache.open([&field[..]], &mut buffer).is_some();
        assert!(
            without_allocating(piece, read),
            "the cookie at the end is found"
        );
    }
    let mut tossed = format!("{name}=tossed;").repeat(1 << 16).into_bytes();
    tossed.extend_from_slice(&last);
    assert!(without_allocating("candidates", || cache
        .open([&tossed[..]], &mut buffer)
        .is_none()));
    assert_eq!(
        cache.stats().rejected.malformed,
        4,
        "at most four cookies are examined"
    );
}

#[test]
fn reading_and_writing_in_l1_allocates_nothing() {
    let (l1, clock) = support::l1::l1();
    let warm = support::l1::installed(&l1, 1, b"warm");
    let mut buffer = buffer();
    assert!(l1.load(&warm.id, &mut buffer).is_some());
    for len in [0, 1, 256, 16 << 10] {
        for user in [None, Some("alice")] {
            let (session, token) = match user {
                Some(user) => support::l1::stored_of(&l1, user, 1),
                None => {
                    let issued = support::l1::issue(&l1);
                    (support::l1::stored(&l1, issued.id, 1), issued.token)
                }
            };
            let data = vec![7; len];
            let install = || l1.install(&session, &data);
            assert_eq!(without_allocating("install", install), Installed::Stored);
            let header = support::l1::field(&l1, &[token.as_str()]);
            for _ in 0..5 {
                let look_up = || l1.look_up([&header[..], b"a=1"], &mut buffer);
                let answer = without_allocating("look_up", look_up);
                assert!(matches!(answer, LookUp::Hit(_)));
                assert_eq!(buffer.len(), len);
                let peek = || l1.peek(&session.id, &mut buffer).is_some();
                assert!(without_allocating("peek", peek));
                clock.advance(HOUR / 30);
            }
            let verify = || l1.verify([&header[..]]);
            assert_eq!(without_allocating("verify", verify).len(), 1);
            assert!(without_allocating("invalidate", || l1.invalidate(&session.id, Version::MAX)));
            let look_up = || l1.look_up([&header[..]], &mut buffer);
            let answer = without_allocating("look_up", look_up);
            assert!(matches!(answer, LookUp::Unknown(_)));
        }
    }
}
