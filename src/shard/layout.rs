//! How a shard's bytes are divided into index and region, and the region into its parts.
//!
//! ```text
//!  table:   index lines
//!  region:  0 │ slots of the wheel │ queues │ classes of the heap │ users │ blocks …
//! ```

use super::{
    entry::{Entry, MAX_LABEL_LEN},
    eviction::{Queues, Usage},
    index::{Index, IndexHasher},
    region::{LINE_WORDS, Offset, WORD},
    tlsf::Heap,
    wheel::Wheel,
};

/// How a shard's bytes are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(super) index_buckets: u32,
    pub(super) words: u32,
    /// How many words of the heap are kept for sessions with a user.
    reservation: u32,
}

impl Layout {
    /// Divides bytes so that sessions of [`MEAN_DATA`] bytes fill index and heap at the same time.
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Self::MAX_BYTES);
        let session = Entry::size(MEAN_DATA, None) as usize * WORD + WORD / SESSIONS_PER_BUCKET;
        let bucket = Index::footprint(1) - Index::footprint(0);
        let index_buckets = bytes / (session * Index::MEAN_FILL as usize + bucket);
        let index_buckets = (index_buckets as u32).max(Index::MIN_BUCKETS);
        let rest = bytes.saturating_sub(Index::footprint(index_buckets));
        let words = (rest / WORD) as u32;
        Self {
            index_buckets,
            words: words - words % LINE_WORDS,
            reservation: 0,
        }
    }

    /// Keeps so many words of the heap for sessions with a user. `None` if that leaves no room for one
    /// without, of so many bytes of data.
    pub(crate) fn with_reservation(self, words: usize, len: usize) -> Option<Self> {
        let is_low = words <= self.max_reservation(len);
        is_low.then_some(Self {
            reservation: words as u32,
            ..self
        })
    }

    /// The most words that can be kept so.
    pub(crate) fn max_reservation(&self, len: usize) -> usize {
        self.heap_words()
            .saturating_sub((block(len) + Heap::MAX_SURPLUS) as usize)
    }

    /// The fewest bytes that can hold one session of so many bytes of data.
    pub(crate) fn min_bytes(len: usize) -> usize {
        let block = Entry::size(len, Some(MAX_LABEL_LEN)).max(Heap::MIN_BLOCK) as usize;
        let mut bytes = block * WORD;
        while Self::new(bytes).heap_words() < block {
            bytes += 64 * WORD;
        }
        bytes
    }

    /// The most bytes that can be addressed: what a block's size can say.
    pub(crate) const MAX_BYTES: usize = (i32::MAX as usize).saturating_mul(WORD);

    /// What such a shard takes, in bytes: whole lines.
    pub(crate) const fn footprint(&self) -> usize {
        Index::footprint(self.index_buckets) + self.words as usize * WORD
    }

    /// How ids come to their spots in the index of such a shard.
    pub(crate) fn hasher(&self, keys: [u64; 4]) -> IndexHasher {
        IndexHasher::new(self.index_buckets, keys)
    }

    /// How many anonymous sessions of so many bytes fit.
    pub(crate) fn sessions(&self, len: usize) -> usize {
        let (entries, words) = (
            self.index_buckets * Index::MEAN_FILL,
            self.heap_words() as u32,
        );
        let mut all = Usage { entries, words };
        if let Some(limit) = self.anonymous_limit() {
            all = Usage {
                words: limit.words - Heap::MAX_SURPLUS,
                ..limit
            };
        }
        (all.words / block(len)).min(all.entries) as usize
    }

    /// What aliases and anonymous sessions may come to: what the floor leaves of the heap, and the same
    /// share of the places in the index; two at least, so that one of them can be rotated. `None` without
    /// a floor.
    pub(super) fn anonymous_limit(&self) -> Option<Usage> {
        if self.reservation == 0 {
            return None;
        }
        let all = self.heap_words() as u64;
        let words = all - u64::from(self.reservation);
        let entries = u64::from(self.index_buckets * Index::MEAN_FILL) * words / all;
        Some(Usage {
            entries: (entries as u32).max(2),
            words: words as u32,
        })
    }

    /// Where the slots of the wheel begin: offset 0 is nobody's.
    pub(super) const SLOTS: Offset = 1;

    /// Where the anchors of the queues begin.
    pub(super) const QUEUES: Offset = Self::SLOTS + Wheel::WORDS;

    /// Where the classes of the heap begin.
    pub(super) const CLASSES: Offset = Self::QUEUES + Queues::WORDS;

    /// Where the anchors of the users' chains begin.
    pub(super) fn users(&self) -> Offset {
        Self::CLASSES + Heap::class_words(self.words)
    }

    /// How many chains there are.
    pub(super) fn user_buckets(&self) -> u32 {
        (self.index_buckets * Index::MEAN_FILL / SESSIONS_PER_BUCKET as u32).max(1)
    }

    /// Where the blocks of the heap begin.
    pub(super) fn blocks(&self) -> Offset {
        self.users() + self.user_buckets()
    }

    fn heap_words(&self) -> usize {
        self.words.saturating_sub(self.blocks()) as usize
    }
}

/// The words of an anonymous session's block.
fn block(len: usize) -> u32 {
    Entry::size(len, None).max(Heap::MIN_BLOCK)
}

/// How many sessions of that size share a chain if all have users.
const SESSIONS_PER_BUCKET: usize = 2;

/// The mean size of a session's data, in bytes, for which the index is carved.
pub(crate) const MEAN_DATA: usize = 256;
