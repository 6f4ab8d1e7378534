//! What must hold of the whole engine for any operations: run by the fuzz target, and on its corpus.

#[path = "model.rs"]
pub(crate) mod model;

/// Runs the bytes as operations on a cache and on the model, the first byte saying how much memory.
pub(crate) fn engine(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    model::Pair::new(first % 2 == 0).run(&model::ops(rest));
}
