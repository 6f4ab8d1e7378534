//! An entry: a session or an alias, in one block of the heap.
//!
//! ```text
//!  word  0   the heap's header
//!        1   wheel link                 ┐
//!        2   queue link                 │ not read by a hit, except the timeout
//!        3   idle timeout │ serial      ┘
//!        4   id                         ┐
//!        5   …                          │
//!        6   tag                        │
//!        7   …                          │ read by a hit: 64 bytes,
//!        8   idle deadline │ deadline   │ and the user and the data
//!        9   version │ key, length      │
//!       10   created │ flags            │
//!       11   authenticated │ issued     ┘
//!       12   user hash                  ┐
//!       13   …                          │ if the session has a user
//!       14   user link                  │
//!        …   label, if there is one     ┘
//!        …   start of the lifetime      if it is neither the creation nor the last sign-in;
//!                                       in a tiered cache: creation of the session
//!        …   data
//!
//!  an alias has
//!        3   … │ family
//!       11   … │ time of the replacement
//!       12   new id
//!       13   …
//!       14   link of its family, in place of a user link
//!       15   place of the new id │ grace
//! ```
//!
//! Times are ticks. Each session has its own idle timeout. The serial distinguishes sessions that
//! were created in one tick. This file knows where the fields are, and not how they are used.

pub(crate) use super::header::{
    EntryHeader, EntryMeta, Flags, HeaderFields, Origin, Times, TokenParts,
};
use super::{
    header::MAX_LABEL_BITS,
    region::{Offset, Pair, Region, WORD},
    tlsf::Heap,
};
use crate::{
    clock::Tick,
    id::{Id, Place, SessionId, UserHash},
};

/// A view of the entry in the block at an offset.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'r> {
    region: &'r Region,
    at: Offset,
}

/// The user of a session, and how the user signed in.
#[derive(Clone, Copy)]
pub(crate) struct EntryUser<'a> {
    pub(crate) user: UserHash,
    /// The authentication assurance level, on the application's own scale.
    pub(crate) assurance_level: u8,
    /// At most [`MAX_LABEL_LEN`] bytes.
    pub(crate) label: &'a str,
    /// The start of the lifetime: the creation, or a sign-in that renewed it.
    pub(crate) start: Tick,
}

/// A label that was copied out of an entry.
#[derive(Clone, Copy)]
pub(crate) struct Label {
    bytes: [u8; LABEL_WORDS as usize * WORD],
    len: usize,
}

impl Label {
    /// Returns the label. It was stored as UTF-8, so the conversion cannot fail.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl<'r> Entry<'r> {
    pub(crate) fn at(region: &'r Region, at: Offset) -> Self {
        Self { region, at }
    }

    /// Returns the size of a session's block in words, for `len` bytes of data and, if the session
    /// has a user, a label of `label` bytes.
    pub(crate) const fn size(len: usize, label: Option<usize>) -> u32 {
        DATA + user_words(label) + len.div_ceil(WORD) as u32
    }

    /// Returns the size of a session's block in words, for its flags and `len` bytes of data.
    pub(crate) fn size_with(flags: Flags, len: usize) -> u32 {
        flags.data() + len.div_ceil(WORD) as u32
    }

    /// Writes a new session without its data.
    pub(crate) fn write(
        self,
        token: &TokenParts,
        times: &Times,
        len: usize,
        user: Option<&EntryUser<'_>>,
    ) {
        (WHEEL..=IDLE_TIMEOUT).for_each(|word| self.store(word, 0));
        self.set_token(token);
        self.set(
            VERSION,
            Pair::new(
                FIRST_VERSION,
                u32::from(token.key) << LENGTH_BITS | len as u32,
            ),
        );
        self.set_times(times);
        let flags = Flags::of(user, times);
        self.set_flags(flags);
        if let Some(user) = user {
            let UserHash(words) = user.user;
            self.store(USER, words[0]);
            self.store(USER + 1, words[1]);
            self.store(USER_LINK, 0);
            self.region
                .write(self.at + LABEL_TEXT, user.label.as_bytes());
            if flags.has(Flags::STARTED) {
                self.store(flags.data() - 1, user.start.into());
            }
        }
    }

    /// Sets the serial of a session, or the family key of an alias.
    pub(crate) fn set_serial(self, serial: u32) {
        self.set(
            IDLE_TIMEOUT,
            Pair {
                high: serial,
                ..self.get(IDLE_TIMEOUT)
            },
        );
    }

    /// Turns a session into an alias of `target` that opens the session until `grace` and is
    /// forgotten at `end`. The replacement happens `now`, and the alias is in no family yet. Words
    /// behind the alias are kept.
    pub(crate) fn write_alias(self, target: &SessionId, grace: Tick, end: Tick, now: Tick) {
        self.set_times(&Times {
            idle: end,
            end,
            issued: now,
            ..self.header().times()
        });
        self.set_len(ALIAS_WORDS as usize * WORD);
        let arrived = if self.flags().has(Flags::ARRIVED) {
            Flags::ARRIVED
        } else {
            Flags::NONE
        };
        self.set_flags(Flags::ALIAS.with(arrived));
        self.store(USER_LINK, 0);
        self.set_target(target, grace);
    }

    /// Points an alias at another id. Only code that holds the lock reads the target.
    pub(crate) fn set_target(self, target: &SessionId, grace: Tick) {
        self.store(DATA, target.id.0[0]);
        self.store(DATA + 1, target.id.0[1]);
        self.set(ALIAS_PLACE, Pair::new(u32::from(target.place), grace));
    }

    /// Returns the family of an alias: its key, and true if it is a user's.
    pub(crate) fn family(self) -> Option<(u32, bool)> {
        let flags = self.flags();
        let key = self.get(IDLE_TIMEOUT).high;
        flags
            .has(Flags::ALIAS)
            .then(|| (key, flags.has(Flags::OF_USER)))
    }

    /// Sets the family of an alias.
    pub(crate) fn set_family(self, key: u32, is_of_user: bool) {
        let flags = self.flags().without(Flags::OF_USER);
        self.set_flags(if is_of_user {
            flags.with(Flags::OF_USER)
        } else {
            flags
        });
        self.set_serial(key);
    }

    /// Sets the id of a session, with the tag and the key number of its token.
    pub(crate) fn set_token(self, token: &TokenParts) {
        let [id, tag] = [token.id.0, token.tag.0];
        [id[0], id[1], tag[0], tag[1]]
            .into_iter()
            .zip(ID..)
            .for_each(|(word, at)| self.store(at, word));
        let length = self.get(VERSION).high & LENGTH_MASK;
        let version = self.get(VERSION).low;
        self.set(
            VERSION,
            Pair::new(version, u32::from(token.key) << LENGTH_BITS | length),
        );
    }

    #[inline]
    pub(crate) fn id(self) -> Id {
        Id([self.load(ID), self.load(ID + 1)])
    }

    /// Returns the id at which an alias points.
    pub(crate) fn target(self) -> SessionId {
        let id = Id([self.load(DATA), self.load(DATA + 1)]);
        SessionId {
            id,
            place: self.get(ALIAS_PLACE).low as Place,
        }
    }

    /// Returns the end of an alias's grace period.
    pub(crate) fn grace(self) -> Tick {
        self.get(ALIAS_PLACE).high
    }

    /// Returns when the session was created.
    #[inline]
    pub(crate) fn created(self) -> Tick {
        self.get(CREATED).low
    }

    /// Copies the header.
    #[inline]
    pub(crate) fn header(self) -> EntryHeader {
        EntryHeader(core::array::from_fn(|i| self.load(IDLE_TIMEOUT + i as u32)))
    }

    #[inline]
    pub(crate) fn user(self, header: &EntryHeader) -> Option<UserHash> {
        let has_user = header.flags().has(Flags::USER);
        has_user.then(|| UserHash([self.load(USER), self.load(USER + 1)]))
    }

    /// Returns the start of the session's lifetime.
    pub(crate) fn start(self) -> Tick {
        let (flags, times) = (self.flags(), self.header().times());
        if flags.has(Flags::STARTED) {
            return self.load(flags.data() - 1) as Tick;
        }
        if flags.has(Flags::RENEWED) {
            times.authenticated
        } else {
            times.created
        }
    }

    /// Sets what only an entry of a tiered cache has: the word before the data.
    pub(crate) fn set_origin(self, origin: Origin) {
        self.store(self.flags().data() - 1, origin.pack());
    }

    /// Returns the label of a session that has a user.
    pub(crate) fn label(self) -> Label {
        let mut label = Label {
            bytes: [0; _],
            len: self.flags().label().unwrap_or(0),
        };
        let (words, _) = label.bytes.as_chunks_mut::<WORD>();
        let used = label.len.div_ceil(WORD);
        for (bytes, at) in words.iter_mut().take(used).zip(LABEL_TEXT..) {
            *bytes = self.load(at).to_le_bytes();
        }
        label
    }

    /// Returns the offsets of the links in this entry.
    pub(crate) fn links(self) -> impl Iterator<Item = Offset> {
        let has_third = self.flags().has(Flags::USER) || self.flags().has(Flags::ALIAS);
        [WHEEL, QUEUE_LINK]
            .into_iter()
            .chain(has_third.then_some(USER_LINK))
            .map(move |link| self.at + link)
    }

    /// Writes data that fits the block, and its version.
    pub(crate) fn save(self, data: &[u8], version: u32) {
        self.set_len(data.len());
        self.region.write(self.data(), data);
        self.set_version(version);
    }

    pub(crate) fn set_version(self, version: u32) {
        self.set(
            VERSION,
            Pair {
                low: version,
                ..self.get(VERSION)
            },
        );
    }

    /// Writes the data of a new session, which keeps its version.
    pub(crate) fn fill(self, data: &[u8]) {
        self.region.write(self.data(), data);
    }

    /// Copies data and version from another session, which may be in another region.
    pub(crate) fn fill_from(self, source: Entry<'_>) {
        let header = source.header();
        let words = header.len().div_ceil(WORD) as u32;
        self.region
            .copy(self.data(), source.region, source.data(), words);
        self.set(
            VERSION,
            Pair {
                low: header.version(),
                ..self.get(VERSION)
            },
        );
    }

    pub(crate) fn set_times(self, times: &Times) {
        self.set(DEADLINES, Pair::new(times.idle, times.end));
        self.set(AUTHENTICATED, Pair::new(times.authenticated, times.issued));
        self.set(
            CREATED,
            Pair {
                low: times.created,
                ..self.get(CREATED)
            },
        );
        self.set(
            IDLE_TIMEOUT,
            Pair {
                low: times.idle_timeout,
                ..self.get(IDLE_TIMEOUT)
            },
        );
    }

    /// Returns when the session expires, if the deadline is not moved.
    #[inline]
    pub(crate) fn deadline(self) -> Tick {
        let deadlines = self.get(DEADLINES);
        deadlines.low.min(deadlines.high)
    }

    /// Sets the idle deadline.
    #[inline]
    pub(crate) fn set_idle(self, idle: Tick, end: Tick) {
        self.set(DEADLINES, Pair::new(idle, end));
    }

    #[inline]
    pub(crate) fn flags(self) -> Flags {
        Flags(self.get(CREATED).high)
    }

    #[inline]
    pub(crate) fn set_flags(self, flags: Flags) {
        self.set(
            CREATED,
            Pair {
                high: flags.0,
                ..self.get(CREATED)
            },
        );
    }

    /// Returns the size of the block in words.
    pub(crate) fn words(self) -> u32 {
        Heap::size(self.region, self.at)
    }

    /// Returns how many bytes of data the block holds.
    pub(crate) fn data_capacity(self) -> usize {
        (self.words() - (self.data() - self.at)) as usize * WORD
    }

    /// Zeroes the block from the end of `len` bytes of data on.
    pub(crate) fn wipe_behind(self, len: usize) {
        let start = self.data() + len.div_ceil(WORD) as u32;
        self.region
            .wipe(start, (self.at + self.words()).saturating_sub(start));
    }

    /// Copies the words before the data from another entry, except the heap's header.
    pub(crate) fn copy_header(self, source: Entry<'_>) {
        let words = source.flags().data() - WHEEL;
        self.region
            .copy(self.at + WHEEL, source.region, source.at + WHEEL, words);
    }

    /// Zeroes the block from the id on.
    pub(crate) fn wipe(self) {
        self.region.wipe(self.at + ID, self.words() - ID);
    }

    fn data(self) -> Offset {
        self.at + self.flags().data()
    }

    fn set_len(self, len: usize) {
        let packed = self.get(VERSION);
        let high = packed.high & !LENGTH_MASK | len as u32;
        self.set(VERSION, Pair { high, ..packed });
    }

    #[inline]
    fn load(self, word: u32) -> u64 {
        self.region.load(self.at + word)
    }

    fn store(self, word: u32, value: u64) {
        self.region.store(self.at + word, value);
    }

    #[inline]
    fn get(self, word: u32) -> Pair {
        self.region.pair(self.at + word)
    }

    #[inline]
    fn set(self, word: u32, pair: Pair) {
        self.region.set_pair(self.at + word, pair);
    }
}

/// Returns the number of words before the data that a user with a label of `label` bytes takes.
pub(super) const fn user_words(label: Option<usize>) -> u32 {
    match label {
        Some(len) => LABEL_TEXT - USER + len.div_ceil(WORD) as u32,
        None => 0,
    }
}

/// Fields of an entry, in words from its offset.
pub(crate) const WHEEL: u32 = Heap::HEADER;
pub(crate) const QUEUE_LINK: u32 = WHEEL + 1;
pub(crate) const IDLE_TIMEOUT: u32 = QUEUE_LINK + 1;
pub(crate) const ID: u32 = IDLE_TIMEOUT + 1;
pub(super) const TAG: u32 = ID + 2;
pub(super) const DEADLINES: u32 = TAG + 2;
pub(super) const VERSION: u32 = DEADLINES + 1;
pub(super) const CREATED: u32 = VERSION + 1;
pub(super) const AUTHENTICATED: u32 = CREATED + 1;
pub(crate) const DATA: u32 = AUTHENTICATED + 1;
/// The number of words that a hit reads before the data.
pub(crate) const HEADER_WORDS: usize = (DATA - IDLE_TIMEOUT) as usize;
pub(crate) const USER: u32 = DATA;
pub(crate) const USER_LINK: u32 = USER + 2;
const LABEL_TEXT: u32 = USER_LINK + 1;
const LABEL_WORDS: u32 = MAX_LABEL_LEN.div_ceil(WORD) as u32;
const ALIAS_PLACE: u32 = USER_LINK + 1;
const ALIAS_WORDS: u32 = ALIAS_PLACE + 1 - DATA;
pub(super) const LENGTH_BITS: u32 = 24;
pub(super) const LENGTH_MASK: u32 = (1 << LENGTH_BITS) - 1;

/// The version of the data of a new session.
pub(crate) const FIRST_VERSION: u32 = 1;

/// The maximum length of a label in bytes.
pub(crate) const MAX_LABEL_LEN: usize = 48;

/// The maximum length of data in bytes: the limit of the length field.
pub(crate) const MAX_DATA: usize = LENGTH_MASK as usize;

/// The size of an alias in words.
pub(crate) const ALIAS_SIZE: u32 = DATA + ALIAS_WORDS;

const _: () = assert!(
    (DATA - ID) as usize * WORD == 64,
    "id, tag and times fill one cache line"
);
const _: () = assert!(
    DATA as usize * WORD == 96,
    "an entry takes 96 bytes beyond its data"
);
const _: () = assert!(
    (LABEL_TEXT - USER) as usize * WORD == 24,
    "a user takes 24 bytes more, without the label"
);
const _: () = assert!(
    MAX_LABEL_LEN <= MAX_LABEL_BITS,
    "the flags can store the length of a label"
);
const _: () = assert!(
    ALIAS_SIZE <= Heap::MIN_BLOCK,
    "every session's block can become an alias"
);
