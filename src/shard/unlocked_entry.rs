//! What may be an entry, as whoever has no lock sees it: each field is read when it is asked for, and may be from
//! another moment than the one before. What makes one moment of them is the version (`seqlock`).

use super::{
    entry::{DATA, Flags, HEAD, HeaderFields, IDLE_TIMEOUT, QUEUE_LINK, USER, WHEEL},
    region::{Chunk, LINE, Offset, Pair, Words},
};
use crate::{
    clock::Tick,
    id::{Place, UserHash},
};

/// A look at an entry.
#[derive(Clone, Copy)]
pub(crate) struct UnlockedEntry<'r> {
    words: Words<'r>,
    at: Offset,
    head: Chunk<'r, HEAD>,
}

impl<'r> UnlockedEntry<'r> {
    /// What stands at an offset. `None` if that is not in the region, which is no entry then.
    #[inline(always)]
    pub(crate) fn at(words: Words<'r>, at: Offset) -> Option<Self> {
        let head = words.chunk(at.wrapping_add(IDLE_TIMEOUT))?;
        Some(Self { words, at, head })
    }

    /// Copies data out. `None` if that is not in the region.
    //
    // Two copies of one loop: so the processor guesses where the data is, and fetches it along with the
    // entry's head rather than after it.
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

    /// Returns when the session of a tiered cache was created, and its place. `None` if that is not in the region.
    #[inline(always)]
    pub(crate) fn birth(self, flags: Flags) -> Option<(Tick, Place)> {
        let at = self.at.wrapping_add(flags.data()).wrapping_sub(1);
        let word = self.words.chunk::<1>(at)?.load(0);
        Some((word as Tick, (word >> Tick::BITS) as Place))
    }

    #[inline(never)]
    fn read_behind(self, start: u32, data: &mut [u8]) -> Option<()> {
        self.words.read(self.at.wrapping_add(start), data)
    }

    /// Who is signed in, of a session that has a user. `None` if that is not in the region.
    #[inline(always)]
    pub(crate) fn user(self) -> Option<UserHash> {
        let user = self.words.chunk::<2>(self.at.wrapping_add(USER))?;
        Some(UserHash([user.load(0), user.load(1)]))
    }

    /// Asks for the entry ahead of its use.
    pub(crate) fn prefetch(self) {
        (0..LINES).for_each(|line| self.words.prefetch(self.at.wrapping_add(line * LINE)));
    }

    /// Asks for what it is linked with.
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
        self.head.load(word - IDLE_TIMEOUT)
    }
}

/// The lines of an entry with the mean size of data.
const LINES: u32 = 6;
