//! What must hold of the whole engine for any operations: run by the fuzz target, and on its corpus.

#[path = "model.rs"]
pub(crate) mod model;

/// Runs the bytes as operations on a cache and on the model, the first byte saying how much memory.
pub(crate) fn engine(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let memory = match first % 3 {
        0 => model::Memory::Plenty,
        1 => model::Memory::Short,
        _ => model::Memory::ShortInTwo,
    };
    model::Pair::new(memory).run(&model::ops(rest));
}
