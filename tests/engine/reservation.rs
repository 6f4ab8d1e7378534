//! The reservation: memory that is kept for authenticated sessions.

use std::time::Duration;

use crate::support::{
    Random, block, builder, create, create_many, data, fill, fill_with_users, filler,
    largest_block, opens, sign_in, signed_in,
};
use proptest::prelude::*;
use sessile::{
    BuildError, Error, IssuedSession, ManualClock, SessionCache, SessionCacheBuilder, Version,
    stats::EvictionCounts,
};

const LEN: usize = 256;
const LARGEST: usize = 2 << 10;

/// One shard of some hundred sessions of 256 bytes.
fn small() -> SessionCacheBuilder {
    builder(&ManualClock::new())
        .memory(128 << 10)
        .max_session_size(LARGEST)
}

fn capacity(settings: &SessionCacheBuilder) -> usize {
    settings.clone().build().unwrap().stats().memory.capacity
}

/// Creates a cache that reserves a quarter for authenticated sessions; returns the size of the
/// reservation.
fn with_quarter_reserved() -> (SessionCache, usize) {
    let reserved = capacity(&small()) / 4;
    (
        small()
            .reserved_for_authenticated(reserved)
            .build()
            .unwrap(),
        reserved,
    )
}

/// Returns the bytes in use by aliases and anonymous sessions.
fn anonymous(cache: &SessionCache) -> usize {
    let memory = cache.stats().memory;
    memory.used - memory.authenticated
}

/// Signs in to the sessions until one evicts another; returns the number of sign-ins before that.
fn sign_ins_before_somebody_goes(cache: &SessionCache, visitors: &[IssuedSession]) -> usize {
    let before = cache.stats().evicted;
    let mut numbered = visitors.iter().enumerate();
    let stop = numbered.position(|(number, issued)| {
        sign_in(cache, &issued.id, &format!("user {number}"));
        cache.stats().evicted != before
    });
    stop.unwrap_or(visitors.len())
}

// OPS-2: docs/security-checklist.md
#[test]
fn a_sign_in_finds_room_immediately_after_a_flood() {
    let (cache, reserved) = with_quarter_reserved();
    let mut random = Random::new();
    let most = cache.stats().memory.capacity - reserved;
    for _ in 0..cache.capacity_for(LEN) * 10 {
        create(&cache, &filler(1, random.below(2 * LEN)));
        assert!(anonymous(&cache) <= most);
    }
    assert!(
        anonymous(&cache) > most - 2 * largest_block(LARGEST),
        "the flood evicted sessions"
    );
    assert_eq!(cache.stats().full, 0, "every creation succeeded");
    cache.validate();

    // The remainder is needed to move blocks.
    let number = (reserved - 2 * largest_block(LARGEST)) / block(LEN, true);
    let visitors = create_many(&cache, number, &[2; LEN]);
    assert_eq!(sign_ins_before_somebody_goes(&cache, &visitors), number);
    cache.validate();
}

#[test]
fn without_a_reservation_a_flood_fills_the_memory() {
    let cache = small().build().unwrap();
    create_many(&cache, cache.capacity_for(LEN) * 2, &[1; LEN]);
    let visitors = create_many(&cache, 8, &[2; LEN]);
    assert_eq!(sign_ins_before_somebody_goes(&cache, &visitors), 0);
}

// OPS-2: docs/security-checklist.md
#[test]
fn a_flood_of_empty_sessions_leaves_slots_in_the_index() {
    let all = small().build().unwrap().capacity_for(0);
    let (cache, _) = with_quarter_reserved();
    let visitors = create_many(&cache, all * 3, b"");
    let places = all - cache.capacity_for(0);
    assert!(
        (all / 4..=all / 4 + 1).contains(&places),
        "{places} of {all}"
    );
    assert_eq!(cache.len(), all - places);
    let last = &visitors[visitors.len() - places - 1..];
    assert_eq!(sign_ins_before_somebody_goes(&cache, last), places);
    cache.validate();
}

#[test]
fn capacity_for_sessions_fit_and_one_more_evicts_one() {
    for len in [0, 8, 64, 255, 256, 257, 1_000, LARGEST] {
        let (cache, reserved) = with_quarter_reserved();
        let number = fill(&cache, len).len();
        assert_eq!(
            (cache.len(), cache.stats().evicted),
            (number, EvictionCounts::default()),
            "{len}"
        );
        create(&cache, &vec![1; len]);
        assert_eq!(
            (cache.len(), cache.stats().evicted.probation),
            (number, 1),
            "{len}"
        );
        assert!(cache.stats().memory.capacity - cache.stats().memory.used >= reserved);
        cache.validate();
    }
}

#[test]
fn anonymous_sessions_evict_in_the_usual_order_though_memory_is_free() {
    let (cache, _) = with_quarter_reserved();
    let users: Vec<_> = (0..10)
        .map(|n| signed_in(&cache, &[2; LEN], &n.to_string()))
        .collect();
    let visitors = create_many(&cache, 20, &[3; LEN]);
    assert!(visitors.iter().all(|issued| opens(&cache, &issued.token)));
    create_many(&cache, cache.capacity_for(LEN) * 5, &[4; LEN]);
    let evicted = cache.stats().evicted;
    assert_eq!(
        (evicted.aliases, evicted.anonymous, evicted.authenticated),
        (10, 0, 0)
    );
    assert!(evicted.probation > 0);
    assert!(
        users
            .iter()
            .chain(&visitors)
            .all(|issued| opens(&cache, &issued.token))
    );
}

#[test]
fn users_can_use_more_than_the_reservation_and_keep_it() {
    let (cache, reserved) = with_quarter_reserved();
    let users = fill_with_users(&cache, LEN);
    assert!(cache.stats().memory.authenticated > reserved * 3);
    assert_eq!(cache.create(&[1; LEN * 3]).err(), Some(Error::Full));
    assert!(users.iter().all(|issued| opens(&cache, &issued.token)));
}

#[test]
fn an_anonymous_session_evicts_at_most_its_size_and_one_largest_session() {
    let (cache, _) = with_quarter_reserved();
    let mut random = Random::new();
    // Includes what was allocated with the block because its remainder was too small for a block.
    let over = 2 * 120;
    for _ in 0..20_000 {
        let (before, len) = (cache.stats().memory.used, random.below(LARGEST + 1));
        create(&cache, &filler(1, len));
        let gone = before + block(len, false) - cache.stats().memory.used.min(before);
        let most = block(len, false) + largest_block(LARGEST) + over;
        assert!(gone <= most, "{gone} bytes were evicted for {len}");
    }
    cache.validate();
}

/// Returns the largest possible reservation: one anonymous session of the maximum size fits beside
/// it.
fn with_largest_reservation() -> SessionCache {
    let most = match small().reserved_for_authenticated(usize::MAX).build() {
        Err(BuildError::ReservedForAuthenticated { max: most, .. }) => most,
        other => panic!("{other:?}"),
    };
    small().reserved_for_authenticated(most).build().unwrap()
}

#[test]
fn beside_the_largest_reservation_a_session_that_cannot_grow_is_unchanged() {
    let cache = with_largest_reservation();
    let largest = create(&cache, &[1; LARGEST]);
    let small = create(&cache, &[2; 200]);
    assert!(
        data(&cache, &largest.id).is_none(),
        "one of the two was evicted"
    );
    let before = cache.stats().evicted;
    // It would need two blocks for a moment.
    assert_eq!(
        cache.save(&small.id, small.version, &[3; LARGEST]),
        Err(Error::Full)
    );
    assert_eq!(cache.stats().evicted, before);
    assert_eq!(data(&cache, &small.id).unwrap(), [2; 200]);
    let saved = cache.save(&small.id, small.version, &[3; LARGEST / 2]);
    assert!(saved.is_ok(), "it can grow by this much");
    cache.validate();

    let rotated = cache.rotate(&small.id, Duration::ZERO).unwrap();
    cache.validate();
    let user = cache.sign_in(&rotated.id, "ada").unwrap();
    assert!(
        cache.save(&user.id, user.version, &[4; LARGEST]).is_ok(),
        "no sign-in is denied"
    );
    assert!(opens(&cache, &create(&cache, &[5; LARGEST]).token));
    assert_eq!(data(&cache, &user.id), Some(vec![4; LARGEST]));
    cache.validate();
}

#[test]
fn old_ids_of_users_stay_within_the_reservation_and_evict_no_session() {
    let cache = with_largest_reservation();
    let visitor = create(&cache, &[1; LARGEST / 2]);
    let mut user = signed_in(&cache, &[2; LEN], "ada");
    for round in 0..200 {
        user = if round % 3 == 0 {
            cache.rotate(&user.id, Duration::ZERO).unwrap()
        } else {
            sign_in(&cache, &user.id, "ada")
        };
        cache.validate();
    }
    assert!(cache.stats().evicted.aliases > 100);
    assert!(opens(&cache, &visitor.token) && opens(&cache, &user.token));
}

/// Runs one step of a client on the session that a number selects.
fn step(cache: &SessionCache, known: &mut Vec<IssuedSession>, verb: u8, which: u16, len: u16) {
    let bytes = filler(1, usize::from(len) % (LARGEST + 1));
    let Some(issued) = known.get(usize::from(which) % known.len().max(1)).copied() else {
        known.extend(cache.create(&bytes).ok());
        return;
    };
    match verb % 8 {
        0..=2 => known.extend(cache.create(&bytes).ok()),
        3 => drop(opens(cache, &issued.token)),
        4 => {
            let version = crate::support::load(cache, &issued.id)
                .map_or(Version::new(0), |(record, _)| record.version);
            let _ = cache.save(&issued.id, version, &bytes);
        }
        5 => known.extend(cache.rotate(&issued.id, Duration::ZERO).ok()),
        6 => known.extend(
            cache
                .sign_in(&issued.id, &format!("user {}", which % 50))
                .ok(),
        ),
        _ => drop(cache.end(&issued.id)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_operations_uses_the_reservation_for_anonymous_sessions(
        share in 0..=1_000_usize,
        shards in 0..=2_u32,
        steps in prop::collection::vec(any::<(u8, u16, u16)>(), 0..600),
    ) {
        let shards = 1 << shards;
        let settings = small().memory((32 << 10) * usize::from(shards)).shards(shards);
        let most = match settings.clone().reserved_for_authenticated(usize::MAX).build() {
            Err(BuildError::ReservedForAuthenticated { max: most, .. }) => most,
            other => panic!("{other:?}"),
        };
        let reserved = most * share / 1_000;
        let cache = settings.reserved_for_authenticated(reserved).build().unwrap();
        let mut known = Vec::new();
        for (verb, which, len) in steps {
            step(&cache, &mut known, verb, which, len);
            cache.validate();
            prop_assert!(anonymous(&cache) <= cache.stats().memory.capacity - reserved);
        }
    }
}
