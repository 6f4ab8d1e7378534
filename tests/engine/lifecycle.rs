//! Lifecycle of a session: what each verb changes and what it leaves unchanged. Termination is
//! permanent.

use std::time::Duration;

use crate::support::{
    HOUR, MINUTE, PLAIN, PLAINLY, SECOND, TICK, assert_gone, builder, cache, create, data, field,
    having, idle, later, lifetime, load, open, opens, request, rings::ring, sign_in, signed_in,
};
use bytes::BytesMut;
use proptest::prelude::*;
use sessile::{Error, IssuedSession, KeyRing, SessionCache, Version, internals::cookie::Parts};

/// Returns one session per way of being removed, each with the version that it had.
fn removed_sessions(
    cache: &SessionCache,
    clock: &sessile::ManualClock,
) -> Vec<(&'static str, IssuedSession)> {
    let elsewhere = create(&crate::support::cache().0, b"never here");
    let [ended, rotated, signed_in, idle_out, lived_out, cut] =
        [PLAIN, PLAIN, PLAIN, idle(SECOND), lifetime(SECOND), PLAIN]
            .map(|timeouts| cache.create_with(b"was here", having(timeouts)).unwrap());
    assert!(cache.end(&ended.id));
    assert!(cache.rotate(&rotated.id, Duration::ZERO).is_ok());
    sign_in(cache, &signed_in.id, "alice");
    clock.advance(SECOND);
    assert!(
        cache
            .set_timeouts(&cut.id, cut.version, lifetime(SECOND))
            .is_ok()
    );
    vec![
        ("never was", elsewhere),
        ("ended", ended),
        ("rotated", rotated),
        ("signed in", signed_in),
        ("idle for too long", idle_out),
        ("past its lifetime", lived_out),
        ("cut short", cut),
    ]
}

// LIFE-3: docs/security-checklist.md
#[test]
fn no_operation_restores_an_ended_session() {
    let (cache, clock) = cache();
    for (how, issued) in removed_sessions(&cache, &clock) {
        for version in [
            issued.version,
            later(issued.version, 1),
            Version::new(0),
            Version::new(u32::MAX),
        ] {
            assert_gone(&cache, &issued.id, version);
        }
        assert!(!opens(&cache, &issued.token), "{how}");
        cache.validate();
    }
    cache.maintain(usize::MAX);
    assert_eq!(
        cache.len(),
        2,
        "the rotated session and the signed-in session are stored under new ids"
    );
    assert_eq!((cache.stats().saved, cache.stats().conflicts), (0, 0));
}

// LIFE-3: docs/security-checklist.md
#[test]
fn an_expired_session_is_gone_before_and_after_its_memory_is_freed() {
    for maintained in [false, true] {
        let (cache, clock) = cache();
        let [issued, other] =
            [(); 2].map(|()| cache.create_with(b"short", having(idle(SECOND))).unwrap());
        clock.advance(SECOND);
        assert!(!cache.end(&other.id), "there is no session to end");
        if maintained {
            assert_eq!(cache.maintain(10).expired, 1);
        }
        assert_gone(&cache, &issued.id, issued.version);
        assert!(!cache.end(&issued.id));
        assert_eq!((cache.stats().ended, cache.stats().expired), (0, 2));
        assert!(cache.is_empty());
    }
}

// LIFE-4: docs/security-checklist.md
#[test]
fn reading_an_absent_session_stores_nothing() {
    let (cache, _clock) = cache();
    let elsewhere = builder(&sessile::ManualClock::new())
        .keys(KeyRing::generate().unwrap())
        .build();
    let elsewhere = elsewhere.unwrap();
    let forged = create(&elsewhere, b"forged");
    let unknown = create(&crate::support::cache().0, b"unknown");
    let requests: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"theme=dark".to_vec(),
        field(&cache, ""),
        field(&cache, "not a token"),
        field(&cache, forged.token.as_str()),
        field(&cache, unknown.token.as_str()),
    ];
    let rounds = 2_000;
    for _ in 0..rounds {
        assert!(
            requests
                .iter()
                .all(|request| open(&cache, &[request]).is_none())
        );
        assert!(open(&cache, &[]).is_none());
        assert!(load(&cache, &unknown.id).is_none());
    }
    let stats = cache.stats();
    assert_eq!((cache.len(), stats.created, stats.memory.used), (0, 0, 0));
    assert_eq!((stats.hits, stats.misses), (0, rounds * 8));
    let rejected = stats.rejected;
    assert_eq!(
        [rejected.malformed, rejected.forged, rejected.unknown].map(|n| n / rounds),
        [2, 1, 2]
    );
}

// LIFE-5: docs/security-checklist.md
#[test]
fn a_save_with_an_old_version_stores_nothing() {
    let (cache, _clock) = cache();
    let issued = create(&cache, b"first");
    let second = cache.save(&issued.id, issued.version, b"second").unwrap();
    assert_ne!(second, issued.version);
    for old in [
        issued.version,
        Version::new(0),
        later(second, 1),
        Version::new(u32::MAX),
    ] {
        assert_eq!(
            cache.save(&issued.id, old, b"too late"),
            Err(Error::Conflict)
        );
    }
    let (record, data) = load(&cache, &issued.id).unwrap();
    assert_eq!((record.version, &data[..]), (second, &b"second"[..]));
    assert_eq!((cache.stats().saved, cache.stats().conflicts), (1, 4));
}

#[test]
fn set_timeouts_raises_the_version_and_conflicts_on_an_old_one() {
    let (cache, _clock) = cache();
    let issued = create(&cache, b"data");
    let before = load(&cache, &issued.id).unwrap().0.expires_in();
    let stale = later(issued.version, 1);
    assert_eq!(
        cache.set_timeouts(&issued.id, stale, idle(SECOND)),
        Err(Error::Conflict)
    );
    assert_eq!(load(&cache, &issued.id).unwrap().0.expires_in(), before);
    let next = cache
        .set_timeouts(&issued.id, issued.version, idle(MINUTE))
        .unwrap();
    assert_eq!(next, later(issued.version, 1));
    assert_eq!(
        cache.save(&issued.id, issued.version, b"late"),
        Err(Error::Conflict)
    );
    assert_eq!(cache.save(&issued.id, next, b"more"), Ok(later(next, 1)));
    assert_eq!(load(&cache, &issued.id).unwrap().0.expires_in(), MINUTE);
    assert_eq!(cache.stats().conflicts, 2);
}

// LIFE-5: docs/security-checklist.md
#[test]
fn versions_continue_through_rotation_and_sign_in() {
    let (cache, _clock) = cache();
    let issued = create(&cache, b"one");
    let version = cache.save(&issued.id, issued.version, b"two").unwrap();
    let rotated = cache.rotate(&issued.id, Duration::ZERO).unwrap();
    assert_eq!(rotated.version, version);
    let signed_in = sign_in(&cache, &rotated.id, "alice");
    assert_eq!(signed_in.version, version);
    let next = cache.save(&signed_in.id, version, b"three").unwrap();
    assert_eq!(
        cache.save(&signed_in.id, version, b"four"),
        Err(Error::Conflict)
    );
    assert_eq!(load(&cache, &signed_in.id).unwrap().0.version, next);
}

// LIFE-5: docs/security-checklist.md
#[test]
fn no_update_of_two_writers_is_lost() {
    const EACH: u64 = 5_000;
    let (cache, _clock) = cache();
    let issued = create(&cache, &[0; 16]);
    let add = |half: usize| {
        let mut buffer = BytesMut::new();
        let mut left = EACH;
        while left > 0 {
            let record = cache.load(&issued.id, &mut buffer).unwrap();
            let mut counts: [[u8; 8]; 2] = [0, 8].map(|at| buffer[at..at + 8].try_into().unwrap());
            std::thread::yield_now();
            counts[half] = (u64::from_le_bytes(counts[half]) + 1).to_le_bytes();
            match cache.save(&issued.id, record.version, &counts.concat()) {
                Ok(_) => left -= 1,
                Err(error) => assert_eq!(error, Error::Conflict),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| add(0));
        scope.spawn(|| add(1));
    });
    assert_eq!(
        data(&cache, &issued.id).unwrap(),
        [EACH.to_le_bytes(); 2].concat()
    );
    assert_eq!(cache.stats().saved, EACH * 2);
}

proptest! {
    // LIFE-6: docs/security-checklist.md
    #[test]
    fn only_a_save_changes_data_and_version(
        steps in proptest::collection::vec((0..6_u8, 0..20_u32, 0..300_usize), 1..40),
    ) {
        let (cache, clock) = cache();
        let mut kept = b"at first".to_vec();
        let mut issued = create(&cache, &kept);
        let user = steps.len() % 2 == 0;
        if user {
            issued = sign_in(&cache, &issued.id, "alice");
        }
        let mut version = issued.version;
        for (verb, ticks, len) in steps {
            clock.advance(TICK * ticks);
            match verb {
                0 => {
                    kept = vec![len as u8; len];
                    let next = cache.save(&issued.id, version, &kept).unwrap();
                    prop_assert_ne!(next, version);
                    version = next;
                }
                1 => prop_assert_eq!(cache.touch(&issued.id), Ok(())),
                2 => {
                    let own = idle(MINUTE * (len as u32 + 1));
                    let next = cache.set_timeouts(&issued.id, version, own).unwrap();
                    prop_assert_eq!(next, later(version, 1));
                    version = next;
                }
                3 => issued = cache.rotate(&issued.id, Duration::ZERO).unwrap(),
                4 => prop_assert!(opens(&cache, &issued.token)),
                _ => drop(cache.maintain(len)),
            }
            let (record, data) = load(&cache, &issued.id).unwrap();
            prop_assert_eq!((record.version, record.is_authenticated()), (version, user));
            prop_assert_eq!(&data, &kept);
        }
        cache.validate();
    }
}

// LIFE-6: docs/security-checklist.md
#[test]
fn a_touch_moves_the_idle_deadline_and_nothing_else() {
    let (cache, clock) = cache();
    let issued = signed_in(&cache, b"as it was", "alice");
    let before = load(&cache, &issued.id).unwrap();
    clock.advance(cache.idle_timeout() / 2);
    assert_eq!(cache.touch(&issued.id), Ok(()));
    clock.advance(cache.idle_timeout() / 2);
    let after = load(&cache, &issued.id).unwrap();
    assert_eq!(
        (before.0.version, before.0.user, before.1),
        (after.0.version, after.0.user, after.1)
    );
    assert_eq!(after.0.age(), cache.idle_timeout());
    assert_eq!(after.0.id_age(), cache.idle_timeout());
    assert_eq!(after.0.authenticated_for(), Some(cache.idle_timeout()));
    assert_eq!(cache.stats().saved, 0);
}

// LIFE-8: docs/security-checklist.md
#[test]
fn a_record_has_the_times_of_creation_sign_in_and_rotation() {
    let (cache, clock) = cache();
    let issued = create(&cache, b"");
    clock.advance(MINUTE);
    let issued = sign_in(&cache, &issued.id, "alice");
    clock.advance(MINUTE);
    let issued = cache.rotate(&issued.id, Duration::ZERO).unwrap();
    clock.advance(MINUTE);
    let (record, _) = load(&cache, &issued.id).unwrap();
    assert_eq!([record.age(), record.id_age()], [MINUTE * 3, MINUTE]);
    assert_eq!(record.authenticated_for(), Some(MINUTE * 2));
    assert_eq!(record.expires_in(), cache.idle_timeout());
    let again = sign_in(&cache, &issued.id, "alice");
    let (other, _) = load(&cache, &again.id).unwrap();
    assert_eq!(
        (other.age(), other.authenticated_for()),
        (MINUTE * 3, Some(Duration::ZERO))
    );
    assert_eq!(other.user, record.user);
    let bob = sign_in(&cache, &again.id, "bob");
    assert_ne!(load(&cache, &bob.id).unwrap().0.user, record.user);
    assert_eq!(cache.sign_in(&bob.id, "").err(), Some(Error::EmptyUser));
}

#[test]
fn end_follows_a_session_through_all_its_ids() {
    let clock = sessile::ManualClock::new();
    let cache = builder(&clock).memory(8 << 20).shards(8).build().unwrap();
    let place = |issued: &IssuedSession| {
        Parts::parse(issued.token.as_str().as_bytes())
            .unwrap()
            .place
    };
    let mut places = std::collections::HashSet::new();
    for n in 0..20 {
        let mut ids = vec![create(&cache, b"mine")];
        for step in 0..6 {
            let last = ids[ids.len() - 1].id;
            let next = match (n + step) % 3 {
                0 => sign_in(&cache, &last, &format!("user {n} {step}")),
                _ => cache.rotate(&last, Duration::ZERO).unwrap(),
            };
            places.insert(place(&next));
            ids.push(next);
        }
        let (from, last) = (n % ids.len(), ids[ids.len() - 1]);
        assert!(opens(&cache, &last.token));
        assert!(cache.end(&ids[from].id), "an older id ends the session");
        assert!(ids.iter().all(|each| !opens(&cache, &each.token)));
        assert!(
            ids.iter().all(|each| !cache.end(&each.id)),
            "a second end returns false"
        );
        cache.validate();
    }
    assert!(places.len() > 4, "over several shards");
    assert_eq!((cache.len(), cache.stats().ended), (0, 20));
}

#[test]
fn end_by_token_ends_like_end_and_rejects_forged_tokens() {
    let (cache, _clock) = cache();
    let issued = create(&cache, b"mine");
    let next = sign_in(&cache, &issued.id, "alice");
    let mut forged = issued.token.as_str().as_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let elsewhere = builder(&sessile::ManualClock::new())
        .keys(ring(&[2]))
        .build()
        .unwrap();
    for wrong in [
        &forged[..],
        b"",
        b"not a token",
        create(&elsewhere, b"").token.as_str().as_bytes(),
    ] {
        assert!(!cache.end_by_token(wrong));
    }
    assert!(opens(&cache, &next.token));
    assert!(
        cache.end_by_token(issued.token.as_str().as_bytes()),
        "by the old id"
    );
    assert!(!opens(&cache, &next.token));
    assert!(!cache.end_by_token(next.token.as_str().as_bytes()));
    assert!(cache.is_empty());
}

#[test]
fn an_old_id_is_forgotten_within_the_idle_timeout() {
    let (cache, clock) = cache();
    let issued = create(&cache, b"mine");
    let next = cache.rotate(&issued.id, Duration::ZERO).unwrap();
    assert_eq!((cache.len(), cache.stats().sessions.aliases), (1, 1));
    let half = cache.idle_timeout() / 2;
    clock.advance(half);
    assert!(opens(&cache, &next.token));
    clock.advance(half);
    cache.maintain(10);
    assert_eq!((cache.len(), cache.stats().sessions.aliases), (1, 0));
    assert_eq!(
        cache.stats().expired,
        0,
        "an alias is not counted as a session"
    );
    assert!(!cache.end(&issued.id));
    assert!(opens(&cache, &next.token));
    clock.advance(HOUR);
    assert!(request(&cache, next.token.as_str()).is_none());
}

#[test]
fn a_read_within_the_grace_was_counted_as_reuse_when_the_session_had_ended() {
    let (cache, _clock) = cache();
    let old = create(&cache, b"the data");
    let new = cache.rotate(&old.id, HOUR).unwrap();
    assert!(cache.end(&new.id));
    assert!(load(&cache, &old.id).is_none() && !opens(&cache, &old.token));
    let rejected = cache.stats().rejected;
    assert_eq!((rejected.unknown, rejected.reused), (2, 0));
}

#[test]
fn an_old_id_was_forgotten_with_a_lifetime_that_was_renewed_or_extended() {
    let (cache, clock) = cache();
    let [tab, late] = [(); 2].map(|()| {
        cache
            .create_with(b"", having(lifetime(2 * SECOND)))
            .unwrap()
    });
    clock.advance(SECOND);
    let renewed = PLAINLY.renew_lifetime(true).timeouts(lifetime(HOUR));
    let new = cache.sign_in_with(&tab.id, "alice", renewed).unwrap();
    let other = cache.rotate(&late.id, MINUTE).unwrap();
    cache
        .set_timeouts(&other.id, other.version, lifetime(HOUR))
        .unwrap();
    clock.advance(5 * SECOND);
    cache.maintain(usize::MAX);
    assert!(opens(&cache, &new.token) && opens(&cache, &other.token));
    assert!(opens(&cache, &late.token), "within its grace");
    assert!(!opens(&cache, &tab.token));
    assert_eq!(cache.stats().rejected.reused, 1);
    assert!(
        cache.end(&tab.id) && !opens(&cache, &new.token),
        "a sign-out is not lost"
    );
}
