//! Properties of the whole engine for any operations. Run by the fuzz target and on its corpus.

#[path = "model/mod.rs"]
pub(crate) mod model;

#[path = "model_l1.rs"]
pub(crate) mod model_l1;

use sessile::SessionLimitPolicy;

/// Runs the bytes as operations on a cache and on the model, the first byte saying how much memory,
/// what happens at the limit of a user, and whether the use of an old id ends its session; or on
/// the L1 of a tiered cache and on its model.
pub(crate) fn engine(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    if first / 2 == L1 {
        return model_l1::Pair::new(first % 2 == 1).run(&model_l1::ops(rest));
    }
    let memory = match first % 4 {
        0 => model::Memory::Plenty,
        1 => model::Memory::Short,
        2 => model::Memory::ShortInTwoShards,
        _ => model::Memory::ShortWithReservation,
    };
    let session_limit_policy = match first / 4 % 2 {
        0 => SessionLimitPolicy::EndLeastRecentlyUsed,
        _ => SessionLimitPolicy::Reject,
    };
    let end_reused = first / 8 % 2 == 1;
    model::Pair::new(memory, session_limit_policy, end_reused).run(&model::ops(rest));
}

/// The highest seven bits of the first byte, if the rest are operations on L1.
const L1: u8 = 0x7d;
