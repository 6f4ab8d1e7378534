//! A shard's fixed memory: 64-bit words, addressed by offset, and index buckets, addressed by
//! number.
//!
//! ```text
//!  arena    buckets, region │ buckets, region │ …   the memory of a cache, split off for each shard
//!  region   word │ word │ word │ …                  the memory of the entries
//!  buckets  ├─ 8 words ─┼─ 8 words ─┼─ …            each is a cache line; the memory of the index
//! ```
//!
//! Only this file reads and writes words. All accesses are relaxed, except the load and the store
//! that begin and end a sequence. Writers are ordered by the shard's lock, and readers without the
//! lock by the sequences (`seqlock`). This file does not know what a word means.

use core::mem::size_of;

use crate::sync::{Acquire, AtomicU64, PageSize, Relaxed, Release, SharedSlice, Word};

/// A position in a region, in words. Nothing is stored at 0, so 0 means "none".
pub type Offset = u32;

/// The number of words in a cache line.
pub const LINE_WORDS: u32 = 8;

/// The number of bytes in a word.
pub const WORD: usize = size_of::<u64>();

/// The size of the smallest page in use, in bytes.
const PAGE: usize = 4_096;

/// Unallocated memory of a cache; buckets and regions are split off its front.
pub struct Arena<W: Word = AtomicU64>(SharedSlice<W>);

/// The words of one shard. Clones share them: the shard has one, and its readers another.
pub struct Region<W: Word = AtomicU64>(SharedSlice<W>);

/// The buckets of one index. Clones share them.
pub struct Buckets<W: Word = AtomicU64>(SharedSlice<[W; LINE_WORDS as usize]>);

impl<W: Word> Arena<W> {
    /// Allocates `bytes` zeroed bytes, rounded up to whole words, and touches their pages. `None`
    /// if the system does not provide the memory.
    pub fn new(bytes: usize, pages: PageSize) -> Option<Self> {
        let words = W::zeroed(bytes.div_ceil(WORD), pages)?;
        words
            .iter()
            .step_by(PAGE / WORD)
            .for_each(|word| word.store(0, Relaxed));
        Some(Self(words))
    }

    /// Splits off a region of `len` words. `None` if fewer are left.
    pub fn region(&mut self, len: u32) -> Option<Region<W>> {
        self.0.split_to(len as usize).map(Region)
    }

    /// Splits off `len` buckets. `None` if fewer are left.
    pub fn buckets(&mut self, len: u32) -> Option<Buckets<W>> {
        let words = (len as usize).checked_mul(LINE_WORDS as usize)?;
        self.0.split_to(words).map(|words| Buckets(words.chunks()))
    }
}

impl<W: Word> Buckets<W> {
    /// Returns the number of buckets.
    #[inline(always)]
    pub fn count(&self) -> u32 {
        self.0.len() as u32
    }

    /// Returns the bucket with that number.
    #[inline(always)]
    pub fn bucket(&self, number: u32) -> Bucket<'_, W> {
        Chunk(&self.0[number as usize])
    }
}

impl Buckets {
    /// Returns the size of `len` buckets in bytes.
    pub const fn footprint(len: u32) -> usize {
        len as usize * LINE_WORDS as usize * WORD
    }
}

impl<W: Word> Region<W> {
    /// Creates a region of `len` words with its own memory. `None` if the system does not provide
    /// it.
    #[cfg(any(test, feature = "__internals"))]
    pub fn new(len: u32) -> Option<Self> {
        Arena::new(len as usize * WORD, PageSize::Default)?.region(len)
    }

    /// Returns the number of words.
    #[cfg(feature = "__internals")]
    pub(super) fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// Borrows the words. A reader of many words borrows them once.
    #[inline(always)]
    pub fn words(&self) -> Words<'_, W> {
        Words(&self.0)
    }

    /// Reads a word.
    #[inline]
    pub fn load(&self, at: Offset) -> u64 {
        self.words().load(at)
    }

    /// Writes a word.
    #[inline]
    pub fn store(&self, at: Offset, value: u64) {
        self.words().word(at).store(value, Relaxed);
    }

    /// Reads a word as two halves.
    #[inline]
    pub fn pair(&self, at: Offset) -> Pair {
        Pair::unpack(self.load(at))
    }

    /// Writes both halves of a word.
    #[inline]
    pub fn set_pair(&self, at: Offset, pair: Pair) {
        self.store(at, pair.pack());
    }

    /// Copies bytes in, from the start of a word. The remainder of the last word becomes zero.
    #[inline]
    pub fn write(&self, at: Offset, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<WORD>();
        let (words, last) = self.from(at).split_at(whole.len());
        for (chunk, word) in whole.iter().zip(words) {
            word.store(u64::from_le_bytes(*chunk), Relaxed);
        }
        if let (false, Some(word)) = (rest.is_empty(), last.first()) {
            let mut padded = [0; WORD];
            padded[..rest.len()].copy_from_slice(rest);
            word.store(u64::from_le_bytes(padded), Relaxed);
        }
    }

    /// Moves words within the region. Source and destination may overlap.
    pub fn shift(&self, from: Offset, to: Offset, len: u32) {
        if to < from {
            (0..len).for_each(|i| self.store(to + i, self.load(from + i)));
        } else {
            (0..len)
                .rev()
                .for_each(|i| self.store(to + i, self.load(from + i)));
        }
    }

    /// Copies words from another region, or from elsewhere in this one.
    pub fn copy(&self, to: Offset, source: &Self, from: Offset, len: u32) {
        (0..len).for_each(|i| self.store(to + i, source.load(from + i)));
    }

    /// Zeroes words, at most to the end of the region.
    pub fn wipe(&self, at: Offset, len: u32) {
        self.from(at)
            .iter()
            .take(len as usize)
            .for_each(|word| word.store(0, Relaxed));
    }

    #[inline]
    fn from(&self, at: Offset) -> &[W] {
        &self.words().0[at as usize..]
    }
}

/// Borrowed words of a region.
pub struct Words<'r, W = AtomicU64>(&'r [W]);

impl<'r, W: Word> Words<'r, W> {
    /// Reads a word.
    #[inline(always)]
    pub fn load(self, at: Offset) -> u64 {
        self.word(at).load(Relaxed)
    }

    /// Copies bytes out, from the start of a word. `None` if they are not all inside the region.
    #[inline(always)]
    pub fn read(self, at: Offset, bytes: &mut [u8]) -> Option<()> {
        let words = self
            .0
            .get(at as usize..)?
            .get(..bytes.len().div_ceil(WORD))?;
        let (lines, rest) = bytes.as_chunks_mut::<{ LINE_WORDS as usize * WORD }>();
        let (whole, words) = words.split_at(lines.len() * LINE_WORDS as usize);
        for (bytes, words) in lines
            .iter_mut()
            .zip(whole.as_chunks::<{ LINE_WORDS as usize }>().0)
        {
            copy_words(bytes.as_chunks_mut().0, words);
        }
        let (whole, rest) = rest.as_chunks_mut();
        copy_words(whole, words);
        if let Some(word) = words.get(whole.len()) {
            rest.copy_from_slice(&word.load(Relaxed).to_le_bytes()[..rest.len()]);
        }
        Some(())
    }

    /// Prefetches a word, if the offset is inside the region.
    #[inline(always)]
    pub fn prefetch(self, at: Offset) {
        self.0.get(at as usize).into_iter().for_each(prefetch);
    }

    /// Borrows `LEN` words from an offset on. `None` if they are not all inside the region.
    #[inline(always)]
    pub fn chunk<const LEN: usize>(self, at: Offset) -> Option<Chunk<'r, LEN, W>> {
        self.0.get(at as usize..)?.first_chunk().map(Chunk)
    }

    #[inline(always)]
    fn word(self, at: Offset) -> &'r W {
        &self.0[at as usize]
    }
}

/// Prefetches a cache line. Does nothing on architectures other than x86-64.
#[inline(always)]
fn prefetch<T>(slot: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(slot);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slot;
}

#[inline(always)]
fn copy_words<W: Word>(bytes: &mut [[u8; WORD]], words: &[W]) {
    for (chunk, word) in bytes.iter_mut().zip(words) {
        *chunk = word.load(Relaxed).to_le_bytes();
    }
}

/// A borrowed bucket.
pub type Bucket<'r, W = AtomicU64> = Chunk<'r, { LINE_WORDS as usize }, W>;

/// `LEN` borrowed words of a region, numbered from 0.
pub struct Chunk<'r, const LEN: usize, W = AtomicU64>(&'r [W; LEN]);

impl<const LEN: usize, W: Word> Chunk<'_, LEN, W> {
    /// Reads a word, which must be below `LEN`.
    #[inline(always)]
    pub fn load(self, word: u32) -> u64 {
        self.word(word).load(Relaxed)
    }

    /// Reads a word before all later reads. The acquire load pairs with
    /// [`store_last`](Self::store_last): a reader that sees the stored value also sees all earlier
    /// writes.
    #[inline(always)]
    pub fn load_first(self, word: u32) -> u64 {
        self.word(word).load(Acquire)
    }

    /// Writes a word.
    #[inline(always)]
    pub fn store(self, word: u32, value: u64) {
        self.word(word).store(value, Relaxed);
    }

    /// Writes a word after all earlier writes. The release store pairs with
    /// [`load_first`](Self::load_first).
    #[inline(always)]
    pub fn store_last(self, word: u32, value: u64) {
        self.word(word).store(value, Release);
    }

    /// Prefetches the first word.
    #[inline(always)]
    pub fn prefetch(self) {
        prefetch(&self.0[0]);
    }

    #[inline(always)]
    fn word(&self, word: u32) -> &W {
        debug_assert!((word as usize) < LEN, "word {word} must be below {LEN}");
        // All callers pass a smaller number. The remainder removes the bounds check from the hit
        // path.
        &self.0[word as usize % LEN]
    }
}

impl<const LEN: usize, W> Clone for Chunk<'_, LEN, W> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<const LEN: usize, W> Copy for Chunk<'_, LEN, W> {}

impl<W> Clone for Words<'_, W> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Words<'_, W> {}

impl<W: Word> Clone for Region<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: Word> Clone for Buckets<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A word as two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The lower 32 bits.
    pub low: u32,
    /// The upper 32 bits.
    pub high: u32,
}

impl Pair {
    /// Creates a pair of two halves.
    pub const fn new(low: u32, high: u32) -> Self {
        Self { low, high }
    }

    /// Returns the word of two halves.
    #[inline]
    pub const fn pack(self) -> u64 {
        self.low as u64 | (self.high as u64) << 32
    }

    /// Returns the halves of a word.
    #[inline]
    pub const fn unpack(word: u64) -> Self {
        Self {
            low: word as u32,
            high: (word >> 32) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_start_on_cache_lines() {
        let mut arena = <Arena>::new(10 * Buckets::footprint(1), PageSize::Huge).expect("memory");
        for _ in 0..3 {
            let buckets = arena.buckets(3).expect("room");
            assert_eq!(buckets.count(), 3);
            for number in 0..buckets.count() {
                assert_eq!(core::ptr::from_ref(buckets.bucket(number).0).addr() % 64, 0);
            }
        }
        assert_eq!(Buckets::footprint(3), 3 * 64);
    }

    #[test]
    fn arena_splits_off_disjoint_regions_up_to_its_size() {
        let mut arena = <Arena>::new(20 * WORD, PageSize::Default).expect("memory");
        let [first, second] = [8, 12].map(|len| arena.region(len).expect("room"));
        assert!(arena.region(1).is_none() && arena.buckets(1).is_none());
        drop(arena);
        first.wipe(0, 8);
        (0..12).for_each(|at| second.store(at, 7));
        assert!((0..8).all(|at| first.load(at) == 0));
        assert!(first.words().chunk::<9>(0).is_none());
        let clone = second.clone();
        drop(second);
        assert_eq!(clone.load(11), 7);
    }

    #[test]
    fn bytes_of_any_length_are_read_back() {
        let region = <Region>::new(64).expect("memory");
        for len in 0..100 {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8 ^ 0xa5).collect();
            region.write(3, &bytes);
            let mut back = vec![0; len];
            assert_eq!(region.words().read(3, &mut back), Some(()));
            assert_eq!(back, bytes);
        }
    }

    #[test]
    fn overlapping_words_are_shifted() {
        let region = <Region>::new(64).expect("memory");
        (0..10).for_each(|i| region.store(10 + i, u64::from(i)));
        region.shift(10, 13, 10);
        assert!((0..10).all(|i| region.load(13 + i) == u64::from(i)));
        region.shift(13, 11, 10);
        assert!((0..10).all(|i| region.load(11 + i) == u64::from(i)));
    }
}
