//! Reads an entry without the shard's lock.
//!
//! Each field is loaded when it is needed, so two fields may be from different times, and the
//! offset may not be that of an entry at all. The caller validates the sequence of the index bucket
//! (`seqlock`) before it uses a value.

use super::{
    entry::{
        DATA, Flags, HEADER_WORDS, HeaderFields, IDLE_TIMEOUT, Origin, QUEUE_LINK, USER, WHEEL,
    },
    region::{Chunk, LINE_WORDS, Offset, Pair, Words},
};
use crate::id::UserHash;

/// A view of the words at an offset, which may be an entry.
#[derive(Clone, Copy)]
pub(crate) struct UnlockedEntry<'r> {
    words: Words<'r>,
    at: Offset,
    header: Chunk<'r, HEADER_WORDS>,
}

impl<'r> UnlockedEntry<'r> {
    /// Creates a view of an offset. `None` if the header would not be inside the region.
    #[inline(always)]
    pub(crate) fn at(words: Words<'r>, at: Offset) -> Option<Self> {
        let header = words.chunk(at.wrapping_add(IDLE_TIMEOUT))?;
        Some(Self { words, at, header })
    }

    /// Copies `data.len()` bytes of data. `None` if they are not all inside the region.
    //
    // The copy loop is duplicated on purpose, once per layout. The branch predictor then speculates
    // the address of the data, so that the cache misses of header and data overlap.
    #[inline(always)]
    pub(crate) fn read(self, flags: Flags, data: &mut [u8]) -> Option<()> {
        if flags.has(Flags::USER) {
            return self.read_behind(flags.data(), data);
        }
        self.words.read(self.at.wrapping_add(DATA), data)
    }

    /// Copies the data of an entry of a tiered cache out, as [`read`](Self::read) does.
    #[inline(always)]
    pub(crate) fn read_tiered(self, flags: Flags, data: &mut [u8]) -> Option<()> {
        if flags.has(Flags::USER) {
            return self.read_behind(flags.data(), data);
        }
        self.words.read(self.at.wrapping_add(DATA + 1), data)
    }

    /// Returns what only an entry of a tiered cache has. `None` if it is outside the region.
    #[inline(always)]
    pub(crate) fn origin(self, flags: Flags) -> Option<Origin> {
        let at = self.at.wrapping_add(flags.data()).wrapping_sub(1);
        Some(Origin::unpack(self.words.chunk::<1>(at)?.load(0)))
    }

    #[inline(never)]
    fn read_behind(self, start: u32, data: &mut [u8]) -> Option<()> {
        self.words.read(self.at.wrapping_add(start), data)
    }

    /// Returns the user of a session that has one. `None` if the words are not inside the region.
    #[inline(always)]
    pub(crate) fn user(self) -> Option<UserHash> {
        let user = self.words.chunk::<2>(self.at.wrapping_add(USER))?;
        Some(UserHash([user.load(0), user.load(1)]))
    }

    /// Prefetches the words of an entry of average size.
    pub(crate) fn prefetch(self) {
        (0..LINES).for_each(|line| self.words.prefetch(self.at.wrapping_add(line * LINE_WORDS)));
    }

    /// Prefetches the entries to which this entry's links point.
    pub(crate) fn prefetch_neighbours(self) {
        let links = [WHEEL, QUEUE_LINK].into_iter();
        let links = links.filter_map(|link| self.words.chunk::<1>(self.at.wrapping_add(link)));
        let pairs = links.map(|link| Pair::unpack(link.load(0)));
        pairs
            .flat_map(|pair| [pair.low, pair.high])
            .for_each(|at| self.words.prefetch(at));
    }
}

impl HeaderFields for UnlockedEntry<'_> {
    #[inline(always)]
    fn word(&self, word: u32) -> u64 {
        self.header.load(word - IDLE_TIMEOUT)
    }
}

/// The number of cache lines of an entry with data of the mean size.
const LINES: u32 = 6;
