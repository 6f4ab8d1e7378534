//! The header of an entry: the words that a hit reads before the data. This file knows the fields
//! in these words. It does not know how the words were read.

use core::fmt;

use super::{
    entry::{
        AUTHENTICATED, CREATED, DATA, DEADLINES, EntryUser, HEADER_WORDS, ID, IDLE_TIMEOUT,
        LENGTH_BITS, LENGTH_MASK, TAG, VERSION, user_words,
    },
    region::Pair,
};
use crate::{
    clock::Tick,
    cookie::Tag,
    id::{Id, Place},
};

/// A copy of the header: the cache line, and the word of the idle timeout before it.
#[derive(Clone, Copy)]
pub(crate) struct EntryHeader(pub(super) [u64; HEADER_WORDS]);

/// Access to the fields of a header.
pub(crate) trait HeaderFields {
    /// Returns a word of the header, by its number in the entry.
    fn word(&self, word: u32) -> u64;

    #[inline(always)]
    fn id(&self) -> Id {
        Id([self.word(ID), self.word(ID + 1)])
    }

    #[inline(always)]
    fn token(&self) -> TokenParts {
        let id = self.id();
        let tag = Tag([self.word(TAG), self.word(TAG + 1)]);
        TokenParts {
            id,
            tag,
            key: (self.pair(VERSION).high >> LENGTH_BITS) as u8,
        }
    }

    /// Returns when the session expires, if the deadline is not moved.
    #[inline(always)]
    fn deadline(&self) -> Tick {
        let deadlines = self.pair(DEADLINES);
        deadlines.low.min(deadlines.high)
    }

    #[inline(always)]
    fn times(&self) -> Times {
        let (deadlines, issued) = (self.pair(DEADLINES), self.pair(AUTHENTICATED));
        Times {
            created: self.pair(CREATED).low,
            authenticated: issued.low,
            issued: issued.high,
            idle: deadlines.low,
            end: deadlines.high,
            idle_timeout: self.pair(IDLE_TIMEOUT).low,
        }
    }

    #[inline(always)]
    fn serial(&self) -> u32 {
        self.pair(IDLE_TIMEOUT).high
    }

    #[inline(always)]
    fn version(&self) -> u32 {
        self.pair(VERSION).low
    }

    /// Returns the length of the data in bytes.
    #[inline(always)]
    fn len(&self) -> usize {
        (self.pair(VERSION).high & LENGTH_MASK) as usize
    }

    #[inline(always)]
    fn flags(&self) -> Flags {
        Flags(self.pair(CREATED).high)
    }

    #[inline(always)]
    fn pair(&self, word: u32) -> Pair {
        Pair::unpack(self.word(word))
    }
}

/// The words of a header that a record keeps, which are decoded when a field is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryMeta([u64; META_WORDS]);

impl EntryMeta {
    #[inline(always)]
    pub(crate) fn of(header: &impl HeaderFields) -> Self {
        let [first, second, third, fourth] = [DEADLINES, VERSION, CREATED, AUTHENTICATED];
        Self([IDLE_TIMEOUT, first, second, third, fourth].map(|word| header.word(word)))
    }

    /// Marks the session as opened by an alias.
    pub(crate) fn by_alias(mut self) -> Self {
        let created = self.pair(CREATED);
        self.0[(CREATED - DEADLINES + 1) as usize] = Pair {
            high: created.high | Flags::ALIAS.0,
            ..created
        }
        .pack();
        self
    }

    /// Replaces the time of the installation by that of the creation, which an entry of a tiered
    /// cache stores elsewhere, and marks the session as touched if the read moved the idle
    /// deadline. The time of the command that returned the session takes the place of the length,
    /// which no record tells.
    #[inline(always)]
    pub(crate) fn of_tiered(mut self, origin: Origin, is_touched: bool) -> Self {
        let sent = self.pair(CREATED).low.saturating_sub(origin.lag.into());
        self.0[(VERSION - DEADLINES + 1) as usize] = Pair::new(self.version(), sent).pack();
        let touched = if is_touched {
            Flags::TOUCHED
        } else {
            Flags::NONE
        };
        let flags = self.flags().with(touched);
        self.0[(CREATED - DEADLINES + 1) as usize] = Pair::new(origin.birth, flags.0).pack();
        self
    }

    /// Returns the time of the command that returned the session: in records of tiered caches only.
    #[inline(always)]
    pub(crate) fn sent(&self) -> Tick {
        self.pair(VERSION).high
    }

    /// Replaces the idle deadline.
    #[inline(always)]
    pub(crate) fn with_idle(mut self, idle: Tick) -> Self {
        self.0[1] = Pair {
            low: idle,
            ..self.pair(DEADLINES)
        }
        .pack();
        self
    }
}

impl fmt::Debug for EntryMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.times().fmt(f)
    }
}

impl HeaderFields for EntryMeta {
    #[inline(always)]
    fn word(&self, word: u32) -> u64 {
        let slot = if word == IDLE_TIMEOUT {
            0
        } else {
            word - DEADLINES + 1
        };
        self.0[slot as usize]
    }
}

impl HeaderFields for EntryHeader {
    #[inline(always)]
    fn word(&self, word: u32) -> u64 {
        self.0[(word - IDLE_TIMEOUT) as usize]
    }
}

/// The parts of a session's token that its entry stores.
#[derive(Clone, Copy)]
pub(crate) struct TokenParts {
    pub(crate) id: Id,
    pub(crate) tag: Tag,
    pub(crate) key: u8,
}

/// The times of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) created: Tick,
    /// The sign-in of the user; 0 without one.
    pub(crate) authenticated: Tick,
    /// The creation of the current id.
    pub(crate) issued: Tick,
    /// The deadline that activity moves.
    pub(crate) idle: Tick,
    /// The deadline that activity does not move.
    pub(crate) end: Tick,
    /// The span by which activity moves the idle deadline.
    pub(crate) idle_timeout: Tick,
}

impl Times {
    /// Returns true if a deadline has passed.
    pub(crate) fn is_over(&self, now: Tick) -> bool {
        self.idle.min(self.end) <= now
    }

    /// Returns when the session was last used, to within a sixteenth of its idle timeout.
    pub(crate) fn seen(&self) -> Tick {
        self.idle.saturating_sub(self.idle_timeout)
    }
}

/// The word before the data of a tiered cache's entry.
///
/// ```text
///  bit 0 creation │ 32 place │ 48 lag
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The creation of the session.
    pub(crate) birth: Tick,
    /// The place of the id, of which the number of the shard is only a part.
    pub(crate) place: Place,
    /// The time from the command that returned the session to its installation. No command takes
    /// the maximum, 109 minutes.
    pub(crate) lag: u16,
}

impl Origin {
    #[inline(always)]
    pub(crate) fn unpack(word: u64) -> Self {
        Self {
            birth: word as Tick,
            place: (word >> PLACE_SHIFT) as Place,
            lag: (word >> LAG_SHIFT) as u16,
        }
    }

    pub(super) fn pack(self) -> u64 {
        let place = u64::from(self.place) << PLACE_SHIFT;
        u64::from(self.birth) | place | u64::from(self.lag) << LAG_SHIFT
    }
}

const PLACE_SHIFT: u32 = Tick::BITS;
const LAG_SHIFT: u32 = PLACE_SHIFT + Place::BITS;
const _: () = assert!(LAG_SHIFT + u16::BITS == u64::BITS);

/// The flags and small numbers of an entry.
///
/// ```text
///  bit 0 alias │ 1 user │ 2 renewed │ 3 started │ 4 arrived │ 5 aliased │ 6 of a user's family
///      7 tiered │ 8 queue │ 12 uses │ 14 touched │ 16 assurance level │ 24 length of the label
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(pub(super) u32);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALIAS: Self = Self(1);
    pub(crate) const USER: Self = Self(2);
    /// The lifetime counts from the last sign-in, not from the creation.
    pub(crate) const RENEWED: Self = Self(4);
    /// The lifetime counts from an earlier sign-in, whose time the entry stores.
    pub(crate) const STARTED: Self = Self(8);

    /// Aliases in other shards lead to this id, of a session or of an alias.
    pub(crate) const ARRIVED: Self = Self(16);
    /// The session has or had aliases in its shard.
    pub(crate) const ALIASED: Self = Self(32);
    /// The alias is in the family of a user.
    pub(crate) const OF_USER: Self = Self(64);
    /// The entry is of a tiered cache: its time of creation is the time of its installation, and
    /// the word before the data keeps when the session was created. Never without
    /// [`STARTED`](Self::STARTED), which stands for that word.
    pub(crate) const TIERED: Self = Self(128);
    /// This read moved the idle deadline: in records of tiered caches only, never in an entry.
    pub(crate) const TOUCHED: Self = Self(1 << 14);

    pub(crate) fn with(self, flag: Self) -> Self {
        Self(self.0 | flag.0)
    }

    pub(crate) fn without(self, flag: Self) -> Self {
        Self(self.0 & !flag.0)
    }

    /// Returns the flags of a new session.
    pub(crate) fn of(user: Option<&EntryUser<'_>>, times: &Times) -> Self {
        let Some(user) = user else {
            return Self::NONE;
        };
        let start = if user.start == times.created {
            Self::NONE
        } else if user.start == times.authenticated {
            Self::RENEWED
        } else {
            Self::STARTED
        };
        let label_len = user.label.len() as u32;
        let numbers = u32::from(user.assurance_level) << ASSURANCE | label_len << LABEL;
        Self(Self::USER.0 | start.0 | numbers)
    }

    /// All of them as one number.
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    pub(crate) fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// Returns the number of the entry's queue.
    pub(crate) fn queue(self) -> u32 {
        self.0 >> QUEUE & 7
    }

    /// Returns the two bits of the clock: how often the hand still passes the entry.
    pub(crate) fn uses(self) -> u32 {
        self.0 >> USES & 3
    }

    /// Returns the authentication assurance level.
    #[inline]
    pub(crate) fn assurance_level(self) -> u8 {
        (self.0 >> ASSURANCE) as u8
    }

    /// Returns the length of the label in bytes, for a session with a user.
    #[inline]
    pub(crate) fn label(self) -> Option<usize> {
        self.has(Self::USER)
            .then_some((self.0 >> LABEL) as usize & MAX_LABEL_BITS)
    }

    /// Returns the offset of the data, in words from the entry's.
    #[inline]
    pub(crate) fn data(self) -> u32 {
        DATA + user_words(self.label()) + u32::from(self.has(Self::STARTED))
    }

    pub(crate) fn with_queue(self, queue: u32) -> Self {
        Self(self.0 & !(7 << QUEUE) | queue << QUEUE)
    }

    pub(crate) fn with_uses(self, uses: u32) -> Self {
        Self(self.0 & !(3 << USES) | uses << USES)
    }
}

const QUEUE: u32 = 8;
const USES: u32 = 12;
const ASSURANCE: u32 = 16;
const LABEL: u32 = 24;
/// The maximum label length that the six bits can store.
pub(super) const MAX_LABEL_BITS: usize = 63;
/// The number of words in a header without id and tag.
const META_WORDS: usize = (DATA - DEADLINES) as usize + 1;
