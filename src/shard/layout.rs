//! The layout of a shard's memory: index and region, and the parts of the region.
//!
//! ```text
//!  table:   index buckets
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

/// The layout of a shard's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(super) index_buckets: u32,
    pub(super) words: u32,
    /// The number of words of the heap that are reserved for sessions with a user.
    reservation: u32,
}

impl Layout {
    /// Creates the layout of `bytes` bytes. Sessions with [`MEAN_DATA`] bytes of data fill the
    /// index and the heap at the same time.
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

    /// Reserves `words` words of the heap for sessions with a user. `None` if the rest cannot hold
    /// an anonymous session with `len` bytes of data.
    pub(crate) fn with_reservation(self, words: usize, len: usize) -> Option<Self> {
        let is_low = words <= self.max_reservation(len);
        is_low.then_some(Self {
            reservation: words as u32,
            ..self
        })
    }

    /// Returns the maximum number of words that can be reserved.
    pub(crate) fn max_reservation(&self, len: usize) -> usize {
        self.heap_words()
            .saturating_sub((block(len) + Heap::MAX_SURPLUS) as usize)
    }

    /// Returns the minimum size in bytes that holds one session with `len` bytes of data.
    pub(crate) fn min_bytes(len: usize) -> usize {
        let block = Entry::size(len, Some(MAX_LABEL_LEN)).max(Heap::MIN_BLOCK) as usize;
        let mut bytes = block * WORD;
        while Self::new(bytes).heap_words() < block {
            bytes += 64 * WORD;
        }
        bytes
    }

    /// The maximum size in bytes: the limit of the size field of a block.
    pub(crate) const MAX_BYTES: usize = (i32::MAX as usize).saturating_mul(WORD);

    /// Returns the size of the shard in bytes: whole cache lines.
    pub(crate) const fn footprint(&self) -> usize {
        Index::footprint(self.index_buckets) + self.words as usize * WORD
    }

    /// Creates the hasher for the shard's index.
    pub(crate) fn hasher(&self, keys: [u64; 4]) -> IndexHasher {
        IndexHasher::new(self.index_buckets, keys)
    }

    /// Returns how many anonymous sessions with `len` bytes of data fit.
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

    /// Returns the maximum usage of aliases and anonymous sessions. It is the part of the heap that
    /// is not reserved, and the same share of the index slots. At least two slots are included, so
    /// that one session can be rotated. `None` without a reservation.
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

    /// The offset of the wheel's slots. Offset 0 is unused.
    pub(super) const SLOTS: Offset = 1;

    /// The offset of the queues' anchors.
    pub(super) const QUEUES: Offset = Self::SLOTS + Wheel::WORDS;

    /// The offset of the heap's class lists.
    pub(super) const CLASSES: Offset = Self::QUEUES + Queues::WORDS;

    /// Returns the offset of the user index's anchors.
    pub(super) fn users(&self) -> Offset {
        Self::CLASSES + Heap::class_words(self.words)
    }

    /// Returns the number of buckets of the user index.
    pub(super) fn user_buckets(&self) -> u32 {
        (self.index_buckets * Index::MEAN_FILL / SESSIONS_PER_BUCKET as u32).max(1)
    }

    /// Returns the offset of the heap's blocks.
    pub(super) fn blocks(&self) -> Offset {
        self.users() + self.user_buckets()
    }

    fn heap_words(&self) -> usize {
        self.words.saturating_sub(self.blocks()) as usize
    }
}

/// Returns the size of an anonymous session's block in words.
fn block(len: usize) -> u32 {
    Entry::size(len, None).max(Heap::MIN_BLOCK)
}

/// The number of sessions of the mean size per bucket of the user index, if all have users.
const SESSIONS_PER_BUCKET: usize = 2;

/// The mean size of a session's data in bytes for which the index is dimensioned.
pub(crate) const MEAN_DATA: usize = 256;
