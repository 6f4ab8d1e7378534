//! The cache against a naive model, with sequences of operations that proptest generates and
//! shrinks.

use crate::reference_model::{Memory, Pair};
use proptest::prelude::*;
use sessile::SessionLimitPolicy;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_plenty_of_memory_nothing_is_lost(input in input(2_000)) {
        run(Memory::Plenty, input);
    }

    #[test]
    fn with_little_memory_only_evictable_sessions_are_lost(input in input(4_000)) {
        run(Memory::Short, input);
    }

    #[test]
    fn with_little_memory_in_two_shards_only_evictable_sessions_are_lost(input in input(4_000)) {
        run(Memory::ShortInTwoShards, input);
    }

    #[test]
    fn no_anonymous_session_uses_the_reservation(input in input(4_000)) {
        run(Memory::ShortWithReservation, input);
    }
}

/// Generates bytes to derive operations from, at most `most`, and two settings.
fn input(most: usize) -> impl Strategy<Value = (Vec<u8>, SessionLimitPolicy, bool)> {
    let session_limit_policy = prop_oneof![
        Just(SessionLimitPolicy::Reject),
        Just(SessionLimitPolicy::EndLeastRecentlyUsed)
    ];
    (
        prop::collection::vec(any::<u8>(), 0..most),
        session_limit_policy,
        any::<bool>(),
    )
}

fn run(
    memory: Memory,
    (bytes, session_limit_policy, end_reused): (Vec<u8>, SessionLimitPolicy, bool),
) {
    Pair::new(memory, session_limit_policy, end_reused).run(&crate::reference_model::ops(&bytes));
}
