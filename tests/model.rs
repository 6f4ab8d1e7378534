//! The cache against a naive model, by sequences of operations that proptest makes and shrinks.

#[path = "support/model.rs"]
mod model;

use proptest::prelude::*;
use sessile::AtLimit;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_plenty_of_memory_nothing_is_lost(bytes in prop::collection::vec(any::<u8>(), 0..2_000), refuse in any::<bool>(), end_reused in any::<bool>()) {
        model::Pair::new(model::Memory::Plenty, at_limit(refuse), end_reused).run(&model::ops(&bytes));
    }

    #[test]
    fn with_hardly_any_memory_only_what_may_go_is_lost(bytes in prop::collection::vec(any::<u8>(), 0..4_000), refuse in any::<bool>(), end_reused in any::<bool>()) {
        model::Pair::new(model::Memory::Short, at_limit(refuse), end_reused).run(&model::ops(&bytes));
    }

    #[test]
    fn with_hardly_any_memory_in_two_shards_too(bytes in prop::collection::vec(any::<u8>(), 0..4_000), refuse in any::<bool>(), end_reused in any::<bool>()) {
        model::Pair::new(model::Memory::ShortInTwo, at_limit(refuse), end_reused).run(&model::ops(&bytes));
    }

    #[test]
    fn with_a_floor_for_users_nobody_else_takes_that(bytes in prop::collection::vec(any::<u8>(), 0..4_000), refuse in any::<bool>(), end_reused in any::<bool>()) {
        model::Pair::new(model::Memory::ShortWithFloor, at_limit(refuse), end_reused).run(&model::ops(&bytes));
    }
}

fn at_limit(refuse: bool) -> AtLimit {
    if refuse { AtLimit::Refuse } else { AtLimit::EndStalest }
}
