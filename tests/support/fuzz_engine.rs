//! What must hold of the whole engine for any operations: run by the fuzz target, and on its corpus.

#[path = "model.rs"]
pub(crate) mod model;

use sessile::AtLimit;

/// Runs the bytes as operations on a cache and on the model, the first byte saying how much memory and
/// what happens at the limit of a user.
pub(crate) fn engine(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let memory = match first % 4 {
        0 => model::Memory::Plenty,
        1 => model::Memory::Short,
        2 => model::Memory::ShortInTwo,
        _ => model::Memory::ShortWithFloor,
    };
    let at_limit = match first / 4 % 2 {
        0 => AtLimit::EndStalest,
        _ => AtLimit::Refuse,
    };
    model::Pair::new(memory, at_limit).run(&model::ops(rest));
}
