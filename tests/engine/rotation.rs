//! Rotation: new ids, and replaced ids within their grace period.

use std::time::Duration;

use crate::support::{
    HOUR, MINUTE, SECOND, TICK, assert_gone, builder, cache, create, create_many, data,
    fill_with_users, having, idle, later, lifetime, load, opens, request, sign_in, signed_in,
};
use bytes::BytesMut;
use sessile::{
    Error, Event, EventKind, IssuedSession, ManualClock, SessionCache, SessionId, Token,
    internals::cookie::Parts,
};

/// Number of replaced ids of a session that are remembered.
pub(crate) const ALIASES: usize = 8;
pub(crate) const GRACE: Duration = Duration::from_secs(10);

pub(crate) fn rotate(cache: &SessionCache, id: &SessionId, grace: Duration) -> IssuedSession {
    cache.rotate(id, grace).unwrap()
}

/// Creates a cache with many shards and an event queue.
pub(crate) fn cache_with_events(ends: bool) -> (SessionCache, ManualClock) {
    let clock = ManualClock::new();
    let settings = builder(&clock).memory(8 << 20).shards(8).events(1_000);
    (settings.end_reused(ends).build().unwrap(), clock)
}

pub(crate) fn drain(cache: &SessionCache) -> Vec<Event> {
    std::iter::from_fn(|| cache.next_event()).collect()
}

pub(crate) fn reused(cache: &SessionCache) -> Vec<Event> {
    drain(cache)
        .into_iter()
        .filter(|event| event.kind == EventKind::Reused)
        .collect()
}

/// Returns the token with one bit of its tag flipped.
pub(crate) fn forged(token: &Token) -> Token {
    let mut parts = Parts::parse(token.as_str().as_bytes()).unwrap();
    parts.tag[15] ^= 1;
    parts.encode()
}

pub(crate) fn place(issued: &IssuedSession) -> u16 {
    Parts::parse(issued.token.as_str().as_bytes())
        .unwrap()
        .place
}

/// Returns a user whose sessions are in another shard.
pub(crate) fn user_elsewhere(cache: &SessionCache, issued: &IssuedSession) -> String {
    let lives_elsewhere = |user: &String| {
        let probe = signed_in(cache, b"", user);
        assert!(cache.end(&probe.id));
        place(&probe) != place(issued)
    };
    (0..)
        .map(|n| format!("user {n}"))
        .find(lives_elsewhere)
        .unwrap()
}

// LIFE-2: docs/security-checklist.md
#[test]
fn there_is_no_grace_period_by_default() {
    assert_eq!(Duration::ZERO, Duration::ZERO);
    let (cache, _clock) = cache();
    for grace in [
        Duration::ZERO,
        Duration::ZERO,
        TICK - Duration::from_nanos(1),
    ] {
        let old = create(&cache, b"data");
        let new = cache.rotate(&old.id, grace).unwrap();
        assert!(!opens(&cache, &old.token));
        assert_gone(&cache, &old.id, old.version);
        assert!(opens(&cache, &new.token));
    }
}

// LIFE-2: docs/security-checklist.md
#[test]
fn a_grace_period_ends_in_its_tick() {
    let (cache, clock) = cache();
    for grace in [TICK, GRACE, MINUTE] {
        let old = create(&cache, b"data");
        let new = rotate(&cache, &old.id, grace);
        clock.advance(grace - TICK);
        assert!(opens(&cache, &old.token));
        clock.advance(TICK);
        assert!(!opens(&cache, &old.token));
        assert_gone(&cache, &old.id, old.version);
        assert!(opens(&cache, &new.token));
    }
}

// LIFE-2: docs/security-checklist.md
#[test]
fn a_grace_period_longer_than_the_lifetime_is_an_error() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .idle_timeout(MINUTE)
        .lifetime(HOUR)
        .build()
        .unwrap();
    let issued = create(&cache, b"data");
    for given in [HOUR + Duration::from_nanos(1), HOUR * 2, Duration::MAX] {
        let rejected = Error::GraceTooLong { given, max: HOUR };
        assert_eq!(cache.rotate(&issued.id, given).err(), Some(rejected));
        assert!(rejected.to_string().contains("3600"), "{rejected}");
    }
    assert!(opens(&cache, &issued.token), "nothing changed");
    assert_eq!(
        (cache.stats().rotated, cache.stats().sessions.aliases),
        (0, 0)
    );
    let new = rotate(&cache, &issued.id, HOUR);
    assert!(opens(&cache, &issued.token) && opens(&cache, &new.token));
}

// LIFE-2: docs/security-checklist.md
#[test]
fn within_the_grace_period_the_old_id_opens_the_session() {
    let (cache, _clock) = cache();
    let old = create(&cache, b"data");
    let new = rotate(&cache, &old.id, GRACE);
    let [(by_old, old_data), (by_new, new_data)] =
        [&old.id, &new.id].map(|id| load(&cache, id).unwrap());
    assert_eq!((old_data, by_old.version), (new_data, by_new.version));
    assert_eq!(by_old.handle(), by_new.handle());

    let version = cache
        .save(&old.id, by_old.version, b"by the old id")
        .unwrap();
    assert_eq!(data(&cache, &new.id).unwrap(), b"by the old id");
    assert_eq!(
        cache.save(&new.id, by_new.version, b"late"),
        Err(Error::Conflict)
    );
    assert_eq!(
        cache.save(&new.id, version, &[7; 2_000]),
        Ok(later(version, 1))
    );
    assert_eq!(data(&cache, &old.id).unwrap(), [7; 2_000]);
    assert_eq!(
        cache.save(&old.id, later(version, 1), &[8; 9_000]),
        Ok(later(version, 2)),
        "the session may move"
    );
    assert_eq!(data(&cache, &new.id).unwrap(), [8; 9_000]);
    assert_eq!(cache.len(), 1);
    assert_eq!(
        cache.stats().rejected,
        sessile::stats::RejectionCounts::default()
    );
    cache.validate();
}

// LIFE-2: docs/security-checklist.md
#[test]
fn a_touch_by_the_old_id_keeps_the_session_alive() {
    let (cache, clock) = cache();
    let old = create(&cache, b"data");
    let new = rotate(&cache, &old.id, MINUTE * 25);
    for _ in 0..2 {
        clock.advance(MINUTE * 12);
        cache.touch(&old.id).unwrap();
    }
    clock.advance(MINUTE * 12);
    assert_eq!(cache.touch(&old.id), Err(Error::Gone), "the grace is over");
    assert!(opens(&cache, &new.token));
}

// LIFE-2: docs/security-checklist.md
#[test]
fn a_client_with_only_the_old_id_is_issued_no_new_one() {
    let (cache, clock) = cache();
    let old = create(&cache, b"data");
    let new = rotate(&cache, &old.id, GRACE);
    for _ in 0..3 {
        assert_eq!(
            cache.rotate(&old.id, Duration::ZERO).err(),
            Some(Error::Rotated)
        );
        assert_eq!(cache.rotate(&old.id, GRACE).err(), Some(Error::Rotated));
        assert_eq!(
            cache.sign_in(&old.id, "mallory").err(),
            Some(Error::Rotated)
        );
    }
    assert_eq!(cache.stats().rotated, 1);
    let (record, _) = request(&cache, old.token.as_str()).unwrap();
    assert!(
        record.id == old.id && record.id != new.id,
        "the record does not contain the new id"
    );
    assert!(record.user.is_none());
    clock.advance(GRACE);
    assert_eq!(
        cache.rotate(&old.id, Duration::ZERO).err(),
        Some(Error::Gone)
    );
    assert_eq!(cache.sign_in(&old.id, "mallory").err(), Some(Error::Gone));
}

// LIFE-2: docs/security-checklist.md
#[test]
fn in_a_chain_an_id_opens_until_the_first_grace_period_ends() {
    let (cache, clock) = cache();
    let first = create(&cache, b"data");
    let mut chain = vec![first];
    for _ in 0..ALIASES {
        chain.push(rotate(&cache, &chain[chain.len() - 1].id, GRACE));
    }
    assert!(chain.iter().all(|issued| opens(&cache, &issued.token)));
    let (newest, older) = chain.split_last().unwrap();
    for old in older {
        assert_eq!(
            cache.rotate(&old.id, Duration::ZERO).err(),
            Some(Error::Rotated)
        );
    }
    // A rotation without a grace period cuts off all earlier ids.
    let last = rotate(&cache, &newest.id, Duration::ZERO);
    assert!(!chain.iter().any(|issued| opens(&cache, &issued.token)));
    assert!(opens(&cache, &last.token));

    // So does the shortest grace period.
    let long = create(&cache, b"data");
    let short = rotate(&cache, &long.id, MINUTE);
    let last = rotate(&cache, &short.id, SECOND);
    clock.advance(SECOND - TICK);
    assert!(opens(&cache, &long.token) && opens(&cache, &short.token));
    clock.advance(TICK);
    assert!(!opens(&cache, &long.token) && !opens(&cache, &short.token));
    assert!(opens(&cache, &last.token));
    cache.validate();
}

// LIFE-1: docs/security-checklist.md
#[test]
fn no_id_from_before_a_sign_in_opens_the_session_of_the_user() {
    // An attacker planted the first id: a sign-in ends its grace period.
    let (cache, clock) = cache_with_events(false);
    for round in 0..100 {
        let planted = create(&cache, b"data");
        let second = rotate(&cache, &planted.id, HOUR);
        let third = rotate(&cache, &second.id, HOUR);
        let user = format!("user {round}");
        let mine = sign_in(&cache, &third.id, &user);
        // Nor does a later grace period, in the user's own shard.
        let newest = rotate(&cache, &mine.id, HOUR);
        for old in [&planted, &second, &third] {
            assert!(!opens(&cache, &old.token), "round {round}");
            assert_gone(&cache, &old.id, old.version);
        }
        assert!(opens(&cache, &mine.token) && opens(&cache, &newest.token));
        clock.advance(SECOND);
    }
    cache.validate();
}

// LIFE-2: docs/security-checklist.md
#[test]
fn neither_id_opens_a_session_past_its_deadline() {
    let (cache, clock) = cache();
    for (timeouts, life) in [(idle(MINUTE), MINUTE), (lifetime(MINUTE), MINUTE)] {
        let old = cache.create_with(b"data", having(timeouts)).unwrap();
        let new = rotate(&cache, &old.id, HOUR);
        clock.advance(life - TICK);
        assert!(cache.stats().sessions.aliases > 0);
        clock.advance(TICK);
        assert!(!opens(&cache, &new.token) && !opens(&cache, &old.token));
        assert_gone(&cache, &old.id, old.version);
        assert_gone(&cache, &new.id, new.version);
        assert_eq!(
            cache.rotate(&old.id, Duration::ZERO).err(),
            Some(Error::Gone)
        );
        clock.advance(HOUR * 2);
        cache.maintain(usize::MAX);
        assert_eq!((cache.len(), cache.stats().sessions.aliases), (0, 0));
    }
    cache.validate();
}

// LIFE-2: docs/security-checklist.md
#[test]
fn a_session_that_ended_opens_by_no_id_within_the_grace() {
    let (cache, _clock) = cache();
    for by_old in [false, true] {
        let old = create(&cache, b"data");
        let new = rotate(&cache, &old.id, GRACE);
        assert!(cache.end(if by_old { &old.id } else { &new.id }));
        for issued in [&old, &new] {
            assert!(!opens(&cache, &issued.token));
            assert_gone(&cache, &issued.id, issued.version);
            assert!(!cache.end(&issued.id));
        }
    }
    assert!(cache.is_empty());
}

// OPS-2: docs/security-checklist.md
#[test]
fn aliases_are_evicted_before_sessions_and_become_unknown() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(128 << 10)
        .max_session_size(2 << 10)
        .build()
        .unwrap();
    let old = create_many(&cache, cache.capacity_for(256) / 3, &[1; 256]);
    let new: Vec<_> = old
        .iter()
        .map(|issued| rotate(&cache, &issued.id, HOUR))
        .collect();
    assert!(old.iter().all(|issued| opens(&cache, &issued.token)));
    while cache.stats().sessions.aliases > 0 {
        assert_eq!(cache.stats().evicted.probation, 0);
        create(&cache, &[2; 256]);
    }
    assert_eq!(cache.stats().evicted.aliases as usize, old.len());
    for (old, new) in old.iter().zip(&new) {
        assert!(!opens(&cache, &old.token));
        assert_gone(&cache, &old.id, old.version);
        assert!(!cache.end(&old.id), "the alias was forgotten");
        assert!(opens(&cache, &new.token));
    }
    let rejected = cache.stats().rejected;
    assert_eq!(
        (rejected.unknown as usize, rejected.reused),
        (old.len() * 2, 0)
    );
    cache.validate();
}

#[test]
fn a_rotation_succeeds_without_room_for_the_alias() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(128 << 10)
        .max_session_size(2 << 10)
        .build()
        .unwrap();
    let old = fill_with_users(&cache, 256);
    let new: Vec<_> = old
        .iter()
        .map(|issued| rotate(&cache, &issued.id, GRACE))
        .collect();
    assert!(new.iter().all(|issued| opens(&cache, &issued.token)));
    let remembered = old
        .iter()
        .filter(|issued| opens(&cache, &issued.token))
        .count();
    assert_eq!(remembered, cache.stats().sessions.aliases);
    assert!(
        remembered < old.len() / 4,
        "authenticated sessions leave little room for aliases"
    );
    assert_eq!(cache.stats().evicted.authenticated, 0);
    cache.validate();
}

#[test]
fn a_grace_period_causes_no_allocation_beyond_the_buffer() {
    let (cache, _clock) = cache();
    let old = create(&cache, b"data");
    let mut buffer = BytesMut::with_capacity(64);
    assert!(cache.load(&old.id, &mut buffer).is_some());
    let new = rotate(&cache, &old.id, GRACE);
    let counted = allocation_counter::measure(|| {
        assert!(cache.load(&old.id, &mut buffer).is_some());
        assert!(cache.load(&new.id, &mut buffer).is_some());
    });
    assert_eq!(counted.count_total, 0);
}
