//! What may be an entry, as whoever has no lock sees it: each field is read when it is asked for, and may be from
//! another moment than the one before. What makes one moment of them is the version (`version`).

use super::{
    entry::{DATA, Flags, HEAD, Head, ID, IDLE_TIMEOUT, QUEUE_LINK, USER, WHEEL},
    region::{Chunk, LINE, Offset, Pair, Words},
};
use crate::id::{Id, UserHash};

/// A look at an entry.
#[derive(Clone, Copy)]
pub(crate) struct Glimpse<'r> {
    words: Words<'r>,
    at: Offset,
    head: Chunk<'r, HEAD>,
}

impl<'r> Glimpse<'r> {
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

    /// Fetches the entry and what it is linked with, and gives something that only they tell.
    pub(crate) fn warm(self, warm_id: impl FnOnce(Id) -> u64) -> u64 {
        let load = |at| self.words.chunk::<1>(at).map_or(0, |chunk| chunk.load(0));
        let around = [WHEEL, QUEUE_LINK].map(|link| Pair::unpack(load(self.at + link)));
        let neighbours = around.into_iter().flat_map(|pair| [pair.low, pair.high]);
        let lines = (1..LINES).map(|line| self.at.wrapping_add(line * LINE));
        let sum = neighbours.chain(lines).map(load).fold(0, u64::wrapping_add);
        sum ^ warm_id(Id([load(self.at + ID), load(self.at + ID + 1)]))
    }
}

impl Head for Glimpse<'_> {
    #[inline(always)]
    fn word(&self, word: u32) -> u64 {
        self.head.load(word - IDLE_TIMEOUT)
    }
}

/// The lines of an entry with the mean size of data.
const LINES: u32 = 6;
