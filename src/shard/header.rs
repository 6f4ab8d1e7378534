//! The head of an entry: the words that a hit reads before the data, and what they say. It knows where in an
//! entry they stand, and not how they got there.

use core::fmt;

use super::{
    entry::{
        AUTHENTICATED, CREATED, DATA, DEADLINES, EntryUser, HEAD, ID, IDLE_TIMEOUT, LENGTH_BITS,
        LENGTH_MASK, TAG, VERSION, user_words,
    },
    region::Pair,
};
use crate::{clock::Tick, cookie::Tag, id::Id};

/// The words that a hit reads: the line, and the idle timeout before it.
#[derive(Clone, Copy)]
pub(crate) struct EntryHeader(pub(super) [u64; HEAD]);

/// The fields of the words that a hit reads.
pub(crate) trait HeaderFields {
    /// A word of an entry, one of those.
    fn word(&self, word: u32) -> u64;

    #[inline(always)]
    fn id(&self) -> Id {
        Id([self.word(ID), self.word(ID + 1)])
    }

    #[inline(always)]
    fn stamp(&self) -> TokenParts {
        let id = self.id();
        let tag = Tag([self.word(TAG), self.word(TAG + 1)]);
        TokenParts {
            id,
            tag,
            key: (self.pair(VERSION).high >> LENGTH_BITS) as u8,
        }
    }

    /// When the session is refused at the latest, if nothing moves it.
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

    /// The length of the data, in bytes.
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

/// The fields of a head that a record keeps, as they stand there: they are taken apart when somebody asks.
#[derive(Clone, Copy)]
pub(crate) struct EntryMeta([u64; FACTS]);

impl EntryMeta {
    #[inline(always)]
    pub(crate) fn of(head: &impl HeaderFields) -> Self {
        let [first, second, third, fourth] = [DEADLINES, VERSION, CREATED, AUTHENTICATED];
        Self([IDLE_TIMEOUT, first, second, third, fourth].map(|word| head.word(word)))
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

    /// With the time of creation, which the entry of a tiered cache keeps elsewhere, and marked as
    /// touched if the read moved the idle deadline.
    #[inline(always)]
    pub(crate) fn of_tiered(mut self, birth: Tick, is_touched: bool) -> Self {
        let touched = if is_touched {
            Flags::TOUCHED
        } else {
            Flags::NONE
        };
        let flags = self.flags().with(touched);
        self.0[(CREATED - DEADLINES + 1) as usize] = Pair::new(birth, flags.0).pack();
        self
    }

    /// With another idle deadline.
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

/// What a token says of a session, and the entry keeps.
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
    /// When its user signed in; 0 without one.
    pub(crate) authenticated: Tick,
    /// When its id was issued.
    pub(crate) issued: Tick,
    /// The deadline that activity moves.
    pub(crate) idle: Tick,
    /// The deadline that nothing moves.
    pub(crate) end: Tick,
    /// How far activity moves the idle deadline.
    pub(crate) idle_timeout: Tick,
}

impl Times {
    /// Returns true if a deadline has passed.
    pub(crate) fn is_over(&self, now: Tick) -> bool {
        self.idle.min(self.end) <= now
    }

    /// When it was last used, to a sixteenth of its idle timeout.
    pub(crate) fn seen(&self) -> Tick {
        self.idle.saturating_sub(self.idle_timeout)
    }
}

/// Facts about an entry that are one bit each, and small numbers.
///
/// ```text
///  bit 0 alias │ 1 user │ 2 renewed │ 3 started │ 4 arrived │ 5 aliased │ 6 of a user's family │ 7 tiered │ 8 queue │ 12 uses │ 14 touched │ 16 assurance │ 24 length of the label
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(pub(super) u32);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALIAS: Self = Self(1);
    pub(crate) const USER: Self = Self(2);
    /// The lifetime counts from the sign-in, not from the creation.
    pub(crate) const RENEWED: Self = Self(4);
    /// The lifetime counts from a sign-in before the last one: the entry keeps from when.
    pub(crate) const STARTED: Self = Self(8);

    /// Aliases in other shards lead to this id, of a session or of an alias.
    pub(crate) const ARRIVED: Self = Self(16);
    /// The session has aliases in its shard, or had some.
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

    /// The flags of a new session.
    pub(crate) fn of(member: Option<&EntryUser<'_>>, times: &Times) -> Self {
        let Some(member) = member else {
            return Self::NONE;
        };
        let start = if member.start == times.created {
            Self::NONE
        } else if member.start == times.authenticated {
            Self::RENEWED
        } else {
            Self::STARTED
        };
        let label_len = member.label.len() as u32;
        let numbers = u32::from(member.assurance_level) << ASSURANCE | label_len << LABEL;
        Self(Self::USER.0 | start.0 | numbers)
    }

    /// All of them as one number.
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    pub(crate) fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// The number of the queue in which the entry stands.
    pub(crate) fn queue(self) -> u32 {
        self.0 >> QUEUE & 7
    }

    /// The two bits of the clock: how often its hand still passes by.
    pub(crate) fn uses(self) -> u32 {
        self.0 >> USES & 3
    }

    /// How sure the application was of the user.
    #[inline]
    pub(crate) fn assurance_level(self) -> u8 {
        (self.0 >> ASSURANCE) as u8
    }

    /// The length of the label in bytes, of a session with a user.
    #[inline]
    pub(crate) fn label(self) -> Option<usize> {
        self.has(Self::USER)
            .then_some((self.0 >> LABEL) as usize & MAX_LABEL_BITS)
    }

    /// Where the data begins, in words behind the entry's offset.
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
/// What six bits can say.
pub(super) const MAX_LABEL_BITS: usize = 63;
/// How many of the words of a head say more than id and tag.
const FACTS: usize = (DATA - DEADLINES) as usize + 1;
