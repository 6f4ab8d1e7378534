//! A full cache: what is evicted and in which order. If nothing is evictable, nothing changes.

use std::time::Duration;

use crate::support::{
    HOUR, MINUTE, Random, builder, cache, create, create_many, data, fill, fill_with_users, filler,
    having, idle, load, opens, sign_in, signed_in,
};
use sessile::{
    Error, IssuedSession, ManualClock, SessionCache, SessionCacheBuilder, Version,
    stats::{EvictionCounts, Stats},
};

const LEN: usize = 256;

/// Some hundred sessions of 256 bytes.
fn small(clock: &ManualClock) -> SessionCacheBuilder {
    builder(clock).memory(128 << 10).max_session_size(2 << 10)
}

fn small_cache() -> (SessionCache, ManualClock) {
    let clock = ManualClock::new();
    (small(&clock).build().unwrap(), clock)
}

/// Creates a session whose cookie is returned immediately.
fn create_returning(cache: &SessionCache) {
    let issued = create(cache, &[1; LEN]);
    assert!(opens(cache, &issued.token));
}

#[test]
fn evicts_expired_then_aliases_then_probation_then_returning_and_no_user_for_an_anonymous_session()
{
    let (cache, clock) = small_cache();
    let capacity = cache.capacity_for(LEN);
    let users: Vec<_> = (0..capacity / 5)
        .map(|n| signed_in(&cache, &[2; LEN], &n.to_string()))
        .collect();
    // Aliases outlive the short sessions, whose idle timeout they would otherwise have.
    clock.advance(MINUTE);
    for n in 0..capacity / 4 {
        cache
            .create_with(&filler(n, LEN), having(idle(MINUTE)))
            .unwrap();
    }
    let came_back = create_many(&cache, capacity / 8, &[3; LEN]);
    assert!(came_back.iter().all(|issued| opens(&cache, &issued.token)));
    while cache.stats().evicted == EvictionCounts::default() {
        create(&cache, &[4; LEN]);
        assert!(cache.len() <= capacity);
    }
    assert!(
        cache.stats().evicted.aliases > 0,
        "aliases were evicted first"
    );
    clock.advance(MINUTE);
    let mut last = cache.stats();
    let mut seen = Vec::new();
    for _ in 0..capacity * 3 {
        create_returning(&cache);
        let now = cache.stats();
        assert!(
            now.expired == last.expired || now.evicted == last.evicted,
            "expired sessions are freed before others are evicted"
        );
        assert!(now.evicted == last.evicted || now.expired == capacity as u64 / 4);
        seen.push(evicted_class(&last, &now));
        last = now;
    }
    let order: Vec<_> = seen.into_iter().flatten().collect();
    assert!(order.is_sorted(), "{order:?}");
    for class in 0..4 {
        assert!(order.contains(&class), "some of class {class} were evicted");
    }
    assert!(users.iter().all(|issued| opens(&cache, &issued.token)));
    cache.validate();
}

/// Returns the class evicted between two snapshots; classes are numbered in order of eviction.
fn evicted_class(before: &Stats, after: &Stats) -> Option<u8> {
    let (old, new) = (before.evicted, after.evicted);
    let went = [
        after.expired > before.expired,
        new.aliases > old.aliases,
        new.probation > old.probation,
        new.anonymous > old.anonymous,
        new.authenticated > old.authenticated,
    ];
    assert!(
        went.iter().filter(|each| **each).count() <= 2,
        "{old:?} {new:?}"
    );
    went.iter().rposition(|each| *each).map(|class| class as u8)
}

// OPS-2: docs/security-checklist.md
#[test]
fn bots_evict_neither_users_nor_returning_visitors() {
    let (cache, _clock) = small_cache();
    let capacity = cache.capacity_for(LEN);
    let users: Vec<_> = (0..capacity / 4)
        .map(|n| signed_in(&cache, &[2; LEN], &n.to_string()))
        .collect();
    let visitors = create_many(&cache, capacity / 3, &[3; LEN]);
    assert!(visitors.iter().all(|issued| opens(&cache, &issued.token)));
    create_many(&cache, capacity * 20, &[4; LEN]);
    assert!(users.iter().all(|issued| opens(&cache, &issued.token)));
    assert!(visitors.iter().all(|issued| opens(&cache, &issued.token)));
    let evicted = cache.stats().evicted;
    assert_eq!((evicted.anonymous, evicted.authenticated), (0, 0));
    cache.validate();
}

// OPS-2: docs/security-checklist.md
#[test]
fn bots_that_replay_their_cookie_evict_no_user() {
    let (cache, _clock) = small_cache();
    let capacity = cache.capacity_for(LEN);
    let users: Vec<_> = (0..capacity / 2)
        .map(|n| signed_in(&cache, &[2; LEN], &n.to_string()))
        .collect();
    for _ in 0..capacity * 10 {
        let issued = create(&cache, &[4; LEN]);
        (0..4).for_each(|_| assert!(opens(&cache, &issued.token)));
    }
    assert!(users.iter().all(|issued| opens(&cache, &issued.token)));
    assert!(cache.stats().evicted.anonymous > 0);
    cache.validate();
}

#[test]
fn the_least_used_returning_sessions_are_evicted_first() {
    let (cache, _clock) = small_cache();
    let all = fill(&cache, LEN);
    assert!(all.iter().all(|issued| opens(&cache, &issued.token)));
    let (often, once): (Vec<_>, Vec<_>) = all.iter().enumerate().partition(|(n, _)| n % 2 == 0);
    for _ in 0..3 {
        assert!(often.iter().all(|(_, issued)| opens(&cache, &issued.token)));
    }
    // Fewer creations than there are sessions that were used once.
    (0..once.len() - 8).for_each(|_| create_returning(&cache));
    let left = |of: &[(usize, &IssuedSession)]| {
        of.iter()
            .filter(|(_, issued)| data(&cache, &issued.id).is_some())
            .count()
    };
    assert_eq!(left(&often), often.len());
    assert!(left(&once) < once.len() / 2);
}

#[test]
fn authenticated_sessions_are_evicted_only_for_authenticated_ones_oldest_first() {
    let (cache, _clock) = small_cache();
    let users = fill_with_users(&cache, LEN);
    let before = cache.stats();
    assert_eq!(
        (before.sessions.probation, before.sessions.anonymous),
        (0, 0)
    );
    assert!(cache.end(&users[0].id));
    let mut late = signed_in(&cache, &[5; LEN], "late");
    while cache.stats().evicted.authenticated == before.evicted.authenticated {
        late = signed_in(&cache, &[5; LEN], "late");
    }
    let after = cache.stats();
    assert!(after.evicted.authenticated > before.evicted.authenticated);
    assert_eq!(after.evicted.probation, before.evicted.probation);
    assert!(opens(&cache, &late.token), "the new session is stored");
    let gone = (after.evicted.authenticated - before.evicted.authenticated) as usize;
    let left: Vec<_> = users[1..]
        .iter()
        .map(|issued| opens(&cache, &issued.token))
        .collect();
    assert!(left.is_sorted(), "the oldest were evicted");
    assert_eq!(left.iter().filter(|is_left| !**is_left).count(), gone);
    cache.validate();
}

/// Returns everything observable about a session without changing it, except that it was used.
fn picture(cache: &SessionCache, all: &[IssuedSession]) -> Vec<(Version, Vec<u8>)> {
    let look = |issued: &IssuedSession| {
        load(cache, &issued.id).map(|(record, data)| (record.version, data))
    };
    all.iter().map(|issued| look(issued).unwrap()).collect()
}

/// Returns the counters, without the failed write.
fn counted(cache: &SessionCache) -> (usize, Stats) {
    let mut stats = cache.stats();
    stats.full = 0;
    (cache.len(), stats)
}

#[test]
fn an_anonymous_create_among_users_only_fails_and_changes_nothing() {
    for shards in [1, 2] {
        let clock = ManualClock::new();
        let cache = small(&clock)
            .memory((128 << 10) * usize::from(shards))
            .shards(shards);
        let cache = cache.build().unwrap();
        let users = fill_with_users(&cache, LEN);
        assert_eq!(users.len(), cache.len());
        let (kept, before) = (picture(&cache, &users), counted(&cache));
        let full = cache.stats().full;
        for _ in 0..10 {
            assert_eq!(cache.create(&[6; LEN * 3]).err(), Some(Error::Full));
        }
        assert_eq!(cache.stats().full, full + 10);
        assert_eq!(counted(&cache), before);
        assert_eq!(picture(&cache, &users), kept);
        cache.validate();
        assert!(cache.end(&users[0].id) && cache.end(&users[1].id));
        assert!(users[2..].iter().all(|issued| opens(&cache, &issued.token)));
    }
}

#[test]
fn a_save_without_room_changes_nothing() {
    let (cache, _clock) = small_cache();
    let mut all = fill_with_users(&cache, LEN);
    assert!(cache.end(&all[0].id));
    let guest = create(&cache, &[7; 8]);
    all[0] = guest;
    let (kept, before) = (picture(&cache, &all), counted(&cache));
    assert_eq!(
        cache.save(&guest.id, guest.version, &[8; 2_000]),
        Err(Error::Full)
    );
    assert_eq!(counted(&cache), before);
    assert_eq!(picture(&cache, &all), kept);
    cache.validate();
}

#[test]
fn an_anonymous_session_is_stored_in_the_second_shard_if_the_first_is_full() {
    // One shard is full of authenticated sessions, by memory or by slots of the index.
    for len in [LEN, 0] {
        let clock = ManualClock::new();
        let cache = small(&clock)
            .memory(256 << 10)
            .shards(2)
            .max_sessions_per_user(None);
        let cache = cache.build().unwrap();
        while cache.stats().evicted.authenticated == 0 {
            signed_in(&cache, &filler(1, len), "alice");
        }
        let before = cache.stats();
        let mut random = Random::new();
        for _ in 0..3_000 {
            create(&cache, &filler(1, random.below(2 << 10)));
        }
        let after = cache.stats();
        assert_eq!(after.sessions.authenticated, before.sessions.authenticated);
        assert!(after.evicted.probation > 0 && after.full == 0);
        cache.validate();
    }
}

#[test]
fn evicts_nothing_if_eviction_cannot_satisfy_the_request() {
    let (cache, _clock) = small_cache();
    let mut all = fill_with_users(&cache, LEN);
    all.drain(..2)
        .for_each(|issued| assert!(cache.end(&issued.id)));
    let free = || cache.stats().memory.capacity - cache.stats().memory.used;
    while free() >= 200 {
        all.push(create(&cache, &[7; 16]));
    }
    let guest = all[all.len() - 1];
    let (kept, before) = (picture(&cache, &all), counted(&cache));
    assert!(before.1.sessions.anonymous > 2);
    assert_eq!(cache.create(&[8; 2_000]).err(), Some(Error::Full));
    assert_eq!(
        cache.save(&guest.id, guest.version, &[8; 2_000]),
        Err(Error::Full)
    );
    assert_eq!(counted(&cache), before);
    assert_eq!(picture(&cache, &all), kept);
    cache.validate();
}

#[test]
fn a_save_that_grows_never_evicts_its_own_session() {
    for (round, grown) in [LEN + 1, LEN * 2, 1_000, 2 << 10].into_iter().enumerate() {
        for is_user in [false, true] {
            let (cache, _clock) = small_cache();
            // The first to be evicted.
            let mut own = fill(&cache, LEN)[0];
            if is_user {
                own = sign_in(&cache, &own.id, "alice");
            }
            let data_before = data(&cache, &own.id).unwrap();
            assert_eq!(data_before, filler(0, LEN));
            let evicted = cache.stats().evicted;
            let new = filler(round + 100, grown);
            let version = cache.save(&own.id, own.version, &new).unwrap();
            assert_ne!(
                cache.stats().evicted,
                evicted,
                "another session was evicted"
            );
            let (record, now) = load(&cache, &own.id).unwrap();
            assert_eq!((record.version, now), (version, new));
            cache.validate();
        }
    }
}

#[test]
fn a_session_that_alone_fills_the_cache_cannot_evict_itself_to_grow() {
    let clock = ManualClock::new();
    let least = match builder(&clock).memory(1).max_session_size(4 << 10).build() {
        Err(sessile::BuildError::Memory { min: least, .. }) => least,
        other => panic!("{other:?}"),
    };
    let cache = builder(&clock)
        .memory(least)
        .max_session_size(4 << 10)
        .build()
        .unwrap();
    let issued = create(&cache, &[9; 3 << 10]);
    let before = counted(&cache);
    assert_eq!(
        cache.save(&issued.id, issued.version, &[1; 4 << 10]),
        Err(Error::Full)
    );
    assert_eq!(cache.sign_in(&issued.id, "alice").err(), Some(Error::Full));
    assert_eq!(counted(&cache), before);
    assert_eq!(data(&cache, &issued.id).unwrap(), [9; 3 << 10]);
    let issued = cache.rotate(&issued.id, Duration::ZERO).unwrap();
    assert_eq!(data(&cache, &issued.id).unwrap(), [9; 3 << 10]);
    assert!(
        cache
            .save(&issued.id, issued.version, &[1; 2 << 10])
            .is_ok(),
        "a save that shrinks succeeds"
    );
    cache.validate();
    let largest = create(&cache, &[2; 4 << 10]);
    assert_eq!((cache.len(), cache.stats().evicted.anonymous), (1, 1));
    assert!(opens(&cache, &largest.token));
    cache.validate();
}

#[test]
fn too_large_data_is_rejected_before_any_eviction() {
    let (cache, _clock) = small_cache();
    let all = fill(&cache, LEN);
    let before = counted(&cache);
    let limit = cache.max_session_size();
    for len in [limit + 1, limit * 2, 1 << 24, 1 << 25] {
        let rejected = Error::TooLarge {
            given: len,
            max: limit,
        };
        assert_eq!(cache.create(&vec![0; len]).err(), Some(rejected));
        assert_eq!(
            cache.save(&all[0].id, all[0].version, &vec![0; len]),
            Err(rejected)
        );
        let text = rejected.to_string();
        let parts = ["max_session_size", &len.to_string(), &limit.to_string()];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    assert_eq!(counted(&cache), before);
    assert!(cache.create(&vec![0; limit]).is_ok());
    assert!(opens(&cache, &create(&cache, &[1; 10]).token));
}

#[test]
fn exactly_capacity_for_sessions_fit() {
    for len in [0, 8, 64, 255, 256, 257, 1_000, 4_096, 16_384] {
        let (cache, _clock) = cache();
        let number = cache.capacity_for(len);
        assert_eq!(fill(&cache, len).len(), number);
        assert_eq!(
            (cache.len(), cache.stats().evicted),
            (number, EvictionCounts::default()),
            "{len}"
        );
        create(&cache, &vec![1; len]);
        assert_eq!(cache.stats().evicted.probation, 1, "{len}");
        assert_eq!(cache.len(), number);
        cache.validate();
    }
}

#[test]
fn an_expired_session_does_not_cause_a_full_error() {
    let (cache, clock) = small_cache();
    fill_with_users(&cache, LEN);
    assert_eq!(cache.create(&[1; LEN * 3]).err(), Some(Error::Full));
    clock.advance(HOUR);
    assert!(cache.create(&[1; LEN * 3]).is_ok());
}

#[test]
fn a_large_session_frees_expired_sessions_and_evicts_none() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().unwrap();
    let short = create_many(&cache, cache.capacity_for(LEN) / 2, &[1; LEN]);
    clock.advance(MINUTE);
    while cache.len() < cache.capacity_for(LEN) {
        create_returning(&cache);
    }
    clock.advance(HOUR / 2 - MINUTE);
    assert!(
        load(&cache, &short[0].id).is_none(),
        "they have expired and are not freed yet"
    );
    create(&cache, &filler(1, 16 << 10));
    assert_eq!(cache.stats().evicted, EvictionCounts::default());
    assert!(cache.stats().expired >= 46, "as many as the session needs");
}
