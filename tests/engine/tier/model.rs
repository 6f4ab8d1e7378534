//! L1 against a naive model, by sequences of operations that proptest makes and shrinks.

use proptest::prelude::*;

use crate::l1_model::{Pair, ops};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn with_plenty_of_memory_nothing_is_lost(
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        Pair::new(false).run(&ops(&bytes));
    }

    #[test]
    fn with_hardly_any_memory_only_what_may_be_evicted_is_lost(
        bytes in prop::collection::vec(any::<u8>(), 0..4_000),
    ) {
        Pair::new(true).run(&ops(&bytes));
    }
}
