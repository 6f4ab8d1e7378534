//! Properties of the whole engine for any operations. Run by the fuzz target and on its corpus.

#[path = "model/mod.rs"]
pub(crate) mod model;

use sessile::SessionLimitPolicy;

/// Runs the bytes as operations on a cache and on the model, the first byte saying how much memory,
/// what happens at the limit of a user, and whether the use of an old id ends its session.
pub(crate) fn engine(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
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
