//! Versions: how who reads without the lock learns that somebody wrote meanwhile.
//!
//! ```text
//!  writer, under the lock    version odd │ fence │ words … │ version even
//!  reader                    version even? │ words … │ fence │ the same version?
//! ```
//!
//! A sequence lock over relaxed words (Boehm 2012, "Can seqlocks get along with programming language memory
//! models?"). The version is the upper half of a line's second word; what it covers is the caller's
//! business. Nothing read between may be believed before [`is_still`]. The models in `tests/loom.rs` need each of
//! the fences.

use super::region::Bucket;
use crate::sync::{MemoryFence, Word, fence};

/// A version that is even: nobody was writing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sequence(u32);

/// The word that has a version above it, and the version. `None` while somebody writes.
#[inline(always)]
pub fn read_begin<W: Word>(bucket: Bucket<'_, W>) -> Option<(u64, Sequence)> {
    let word = bucket.load_first(SEQUENCE_WORD);
    (word & ODD == 0).then_some((word, Sequence((word >> SHIFT) as u32)))
}

/// Whether nothing was written since the version was read, so that what was read since is so.
#[inline(always)]
pub fn validate<W: Word>(bucket: Bucket<'_, W>, sequence: Sequence) -> bool {
    fence(MemoryFence::Read);
    (bucket.load(SEQUENCE_WORD) >> SHIFT) as u32 == sequence.0
}

/// Writes what a version covers. Under the lock, and with nothing but stores: readers wait.
#[inline]
pub fn write<W: Word, R>(bucket: Bucket<'_, W>, stores: impl FnOnce() -> R) -> R {
    bucket.store(SEQUENCE_WORD, bucket.load(SEQUENCE_WORD) | ODD);
    fence(MemoryFence::Opened);
    let answer = stores();
    bucket.store_last(SEQUENCE_WORD, bucket.load(SEQUENCE_WORD).wrapping_add(ODD));
    answer
}

/// Which word of a line has the version.
pub const SEQUENCE_WORD: u32 = 1;
const SHIFT: u32 = 32;
const ODD: u64 = 1 << SHIFT;
