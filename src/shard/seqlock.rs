//! The sequence lock of an index bucket. With it, a reader that does not hold the
//! shard's lock detects a concurrent write.
//!
//! ```text
//!  writer, under the lock    sequence odd │ fence │ words … │ sequence even
//!  reader                    sequence even? │ words … │ fence │ the same sequence?
//! ```
//!
//! This is a sequence lock over relaxed words (Boehm 2012, "Can seqlocks get along with programming
//! language memory models?"). The sequence is the upper half of a bucket's second word. The caller
//! decides which words it covers. Nothing that was read after [`read_begin`] is valid until
//! [`validate`] returns true. The models in `tests/loom/seqlock.rs` fail if one of the fences is
//! left out.
//!
//! The sequence has 32 bits and wraps around. A reader is misled only if exactly a multiple of 2^31
//! writes to one bucket happen between its two loads.

use super::region::Bucket;
use crate::sync::{MemoryFence, Word, fence};

/// An even sequence: no writer was active when it was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sequence(u32);

/// Returns the word that holds the sequence, and the sequence. `None` while a writer is active.
///
/// The acquire load pairs with the release store at the end of [`write()`]. A reader that sees an
/// even sequence also sees the words that were stored before it.
#[inline(always)]
pub fn read_begin<W: Word>(bucket: Bucket<'_, W>) -> Option<(u64, Sequence)> {
    let word = bucket.load_first(SEQUENCE_WORD);
    (word & ODD == 0).then_some((word, Sequence((word >> SHIFT) as u32)))
}

/// Returns true if no writer was active since the sequence was read: the words read since then are
/// consistent.
///
/// The acquire fence pairs with the release fence at the start of [`write()`]. If one of the words
/// that were read came from a later write, the load after the fence sees that write's odd
/// sequence, or a later one.
#[inline(always)]
pub fn validate<W: Word>(bucket: Bucket<'_, W>, sequence: Sequence) -> bool {
    fence(MemoryFence::Read);
    (bucket.load(SEQUENCE_WORD) >> SHIFT) as u32 == sequence.0
}

/// Runs the stores that the sequence covers. The caller holds the shard's lock, which orders the
/// writers. `stores` only stores, because readers fail while it runs.
///
/// The release fence pairs with the acquire fence in [`validate`], and the final release store with
/// the acquire load in [`read_begin`].
#[inline]
pub fn write<W: Word, R>(bucket: Bucket<'_, W>, stores: impl FnOnce() -> R) -> R {
    bucket.store(SEQUENCE_WORD, bucket.load(SEQUENCE_WORD) | ODD);
    fence(MemoryFence::Opened);
    let answer = stores();
    bucket.store_last(SEQUENCE_WORD, bucket.load(SEQUENCE_WORD).wrapping_add(ODD));
    answer
}

/// The word of a bucket whose upper half is the sequence.
pub const SEQUENCE_WORD: u32 = 1;
const SHIFT: u32 = 32;
const ODD: u64 = 1 << SHIFT;
