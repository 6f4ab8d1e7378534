//! Maps an id to the offset of its entry: a fixed table of cache lines, two candidate buckets per
//! id.
//!
//! ```text
//!  bucket:  12 hash bytes │ sequence (u32) │ 12 offsets (u32)        64 bytes
//! ```
//!
//! A hash byte of 0 marks a vacant slot. The sequence covers the bucket and the twelve entries to
//! which it refers (`seqlock`): a writer changes one of these entries only within [`Index::write`]
//! on its slot.
//!
//! The table never grows and uses no tombstones. An id whose two buckets are full is not inserted,
//! and the caller generates another id. At three quarters full and under churn, one id in fifty is
//! rejected, and one in eight is in its second bucket (simulated).
//!
//! The index does not know the time, nor what is stored at an offset: its caller compares ids.

mod hash_bytes;

use core::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use hash_bytes::{matches, near_matches};

use super::{
    region::{Arena, Bucket, Buckets, LINE_WORDS, Offset, Pair},
    seqlock::{self, Sequence},
};
use crate::id::Id;

/// The index of one shard.
pub(crate) struct Index {
    table: Table,
    hasher: IndexHasher,
    len: u32,
}

/// The buckets. Clones share them.
#[derive(Clone)]
pub(crate) struct Table(Buckets);

/// Maps an id to its candidate buckets.
///
/// The hash has random keys, so that an attacker cannot choose ids that share a bucket. All tables
/// of a cache have the same size and share the keys. A reader can therefore compute the buckets
/// before it has reached the table.
#[derive(Clone)]
pub(crate) struct IndexHasher {
    hasher: RandomState,
    buckets: u32,
}

/// The position of an id in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    bucket: u32,
    index: u32,
}

/// A vacant slot for an id, with the id's hash byte.
#[derive(Clone, Copy)]
pub(crate) struct VacantSlot {
    slot: Slot,
    hash_byte: u8,
}

/// The hash of an id: it determines the id's two buckets and its hash byte.
#[derive(Clone, Copy)]
pub(crate) struct Candidates {
    hash: u64,
    buckets: u32,
    first: u32,
}

/// A bucket and its hash bytes, as they were at a sequence.
#[derive(Clone, Copy)]
pub(crate) struct BucketSnapshot<'t> {
    bucket: Bucket<'t>,
    hash_bytes: [u64; 2],
    sequence: Sequence,
}

impl IndexHasher {
    /// Creates the hasher of tables with `buckets` buckets. Equal keys give equal candidates in
    /// every process that runs the same build. Another version of `ahash` or another target may
    /// hash differently, so hashes are never stored.
    pub(crate) fn new(buckets: u32, [k0, k1, k2, k3]: [u64; 4]) -> Self {
        debug_assert!(buckets >= Index::MIN_BUCKETS, "each id has two buckets");
        Self {
            hasher: RandomState::with_seeds(k0, k1, k2, k3),
            buckets,
        }
    }

    /// Hashes an id. The hash is mapped to the buckets by multiplication (Lemire 2016), one half
    /// for each bucket.
    #[inline(always)]
    pub(crate) fn candidates(&self, id: &Id) -> Candidates {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u128(u128::from(id.0[0]) | u128::from(id.0[1]) << 64);
        let hash = hasher.finish();
        Candidates {
            hash,
            buckets: self.buckets,
            first: scale((hash >> 32) as u32, self.buckets),
        }
    }
}

impl Table {
    /// Takes a snapshot of the first or the second bucket of an id. `None` while a writer is active
    /// there.
    #[inline(always)]
    pub(crate) fn snapshot(
        &self,
        candidates: Candidates,
        choice: Choice,
    ) -> Option<BucketSnapshot<'_>> {
        let bucket = self.0.bucket(candidates.bucket(choice));
        let (hash_bytes, sequence) = seqlock::read_begin(bucket)?;
        Some(BucketSnapshot {
            bucket,
            hash_bytes: [bucket.load(0), hash_bytes],
            sequence,
        })
    }

    /// Prefetches both buckets of an id.
    pub(crate) fn prefetch(&self, candidates: Candidates) {
        let buckets = [Choice::First, Choice::Second].map(|choice| candidates.bucket(choice));
        buckets
            .into_iter()
            .for_each(|bucket| self.0.bucket(bucket).prefetch());
    }
}

impl BucketSnapshot<'_> {
    /// Returns the offsets whose hash byte matches: those of the id and of others with the same
    /// hash byte, and rarely an offset whose hash byte differs (see [`near_matches`]).
    #[inline(always)]
    pub(crate) fn offsets(self, candidates: Candidates) -> impl Iterator<Item = Offset> {
        near_matches(self.hash_bytes, candidates.hash_byte())
            .map(move |index| offset(self.bucket, index))
    }

    /// Returns true if no writer changed the bucket or its entries since the snapshot.
    #[inline(always)]
    pub(crate) fn validate(self) -> bool {
        seqlock::validate(self.bucket, self.sequence)
    }
}

impl Index {
    /// The minimum number of buckets, so that each id has two.
    pub(crate) const MIN_BUCKETS: u32 = 2;

    /// The maximum mean number of ids in a bucket.
    pub(crate) const MEAN_FILL: u32 = SLOTS_PER_BUCKET * 3 / 4;

    /// Returns the size of a table of `buckets` buckets in bytes.
    pub(crate) const fn footprint(buckets: u32) -> usize {
        Buckets::footprint(buckets)
    }

    /// Creates an empty table in an arena. `None` if too little of the arena is left.
    pub(crate) fn new(arena: &mut Arena, hasher: IndexHasher) -> Option<Self> {
        Some(Self {
            table: Table(arena.buckets(hasher.buckets)?),
            hasher,
            len: 0,
        })
    }

    /// Returns the table, which readers clone.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Returns the number of ids.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Returns the maximum number of ids.
    pub(crate) fn capacity(&self) -> u32 {
        self.table.0.count() * Self::MEAN_FILL
    }

    pub(crate) fn candidates(&self, id: &Id) -> Candidates {
        self.hasher.candidates(id)
    }

    /// Returns the slot and the offset for which `is` returns true.
    pub(crate) fn find(
        &self,
        candidates: Candidates,
        is: impl Fn(Offset) -> bool,
    ) -> Option<(Slot, Offset)> {
        for choice in [Choice::First, Choice::Second] {
            let number = candidates.bucket(choice);
            let bucket = self.table.0.bucket(number);
            for index in matches(hash_bytes(bucket), candidates.hash_byte()) {
                let offset = offset(bucket, index);
                if is(offset) {
                    return Some((
                        Slot {
                            bucket: number,
                            index,
                        },
                        offset,
                    ));
                }
            }
        }
        None
    }

    /// Returns a vacant slot for an id. The second bucket is used only if the first is full,
    /// because a hit there takes longer.
    pub(crate) fn vacant_slot(&self, candidates: Candidates) -> Option<VacantSlot> {
        [Choice::First, Choice::Second]
            .into_iter()
            .find_map(|choice| {
                let bucket = candidates.bucket(choice);
                let index = matches(hash_bytes(self.table.0.bucket(bucket)), EMPTY).next()?;
                Some(VacantSlot {
                    slot: Slot { bucket, index },
                    hash_byte: candidates.hash_byte(),
                })
            })
    }

    /// Inserts an id into a slot that is still vacant. The entry at the offset is complete.
    pub(crate) fn insert(&mut self, vacant: VacantSlot, offset: Offset) {
        let VacantSlot { slot, hash_byte } = vacant;
        self.write(slot, || {
            self.store_offset(slot, offset);
            self.store_hash_byte(slot, hash_byte);
        });
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        self.write(slot, || {
            self.store_hash_byte(slot, EMPTY);
            self.store_offset(slot, 0);
        });
        self.len -= 1;
    }

    /// Replaces the offset in a slot, after its entry was moved.
    pub(crate) fn set_offset(&self, slot: Slot, offset: Offset) {
        self.write(slot, || self.store_offset(slot, offset));
    }

    /// Runs stores to the entry in a slot. Concurrent readers of the bucket retry.
    pub(crate) fn write<R>(&self, slot: Slot, stores: impl FnOnce() -> R) -> R {
        seqlock::write(self.table.0.bucket(slot.bucket), stores)
    }

    /// Removes all ids. The sequences continue, so that a reader that began earlier retries.
    pub(crate) fn clear(&mut self) {
        for bucket in (0..self.table.0.count()).map(|bucket| self.table.0.bucket(bucket)) {
            seqlock::write(bucket, || {
                let sequence = Pair {
                    low: 0,
                    ..Pair::unpack(bucket.load(seqlock::SEQUENCE_WORD))
                };
                (0..LINE_WORDS)
                    .filter(|&word| word != seqlock::SEQUENCE_WORD)
                    .for_each(|word| bucket.store(word, 0));
                bucket.store(seqlock::SEQUENCE_WORD, sequence.pack());
            });
        }
        self.len = 0;
    }

    /// Checks the count and the sequences and returns all offsets, in no particular order. For
    /// tests.
    #[cfg(any(test, feature = "__internals"))]
    pub(crate) fn validate(&self) -> Vec<Offset> {
        let mut all = Vec::new();
        for bucket in 0..self.table.0.count() {
            let bucket = self.table.0.bucket(bucket);
            let empty: Vec<_> = matches(hash_bytes(bucket), EMPTY).collect();
            let used = (0..SLOTS_PER_BUCKET).filter(|index| !empty.contains(index));
            all.extend(used.map(|index| offset(bucket, index)));
            let sequence = seqlock::read_begin(bucket);
            assert!(sequence.is_some(), "no writer is active");
        }
        assert_eq!(all.len(), self.len as usize, "ids are counted");
        all
    }

    /// Stores an offset. Called within [`write`](Self::write).
    pub(crate) fn store_offset(&self, slot: Slot, offset: Offset) {
        let bucket = self.table.0.bucket(slot.bucket);
        let word = OFFSETS + slot.index / 2;
        let pair = Pair::unpack(bucket.load(word));
        let pair = if slot.index.is_multiple_of(2) {
            Pair {
                low: offset,
                ..pair
            }
        } else {
            Pair {
                high: offset,
                ..pair
            }
        };
        bucket.store(word, pair.pack());
    }

    fn store_hash_byte(&self, slot: Slot, hash_byte: u8) {
        let bucket = self.table.0.bucket(slot.bucket);
        let (word, shift) = (slot.index / 8, slot.index % 8 * 8);
        bucket.store(
            word,
            bucket.load(word) & !(0xff << shift) | u64::from(hash_byte) << shift,
        );
    }
}

/// Selects one of the two buckets of an id.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    First,
    Second,
}

impl Candidates {
    /// Returns the keyed hash of the id.
    pub(crate) fn hash(self) -> u64 {
        self.hash
    }

    #[inline(always)]
    fn bucket(self, choice: Choice) -> u32 {
        if let Choice::First = choice {
            return self.first;
        }
        match scale(self.hash as u32, self.buckets) {
            second if second != self.first => second,
            0 => 1,
            second => second - 1,
        }
    }

    #[inline]
    fn hash_byte(self) -> u8 {
        (self.hash as u8).max(1)
    }
}

#[inline(always)]
fn offset(bucket: Bucket<'_>, index: u32) -> Offset {
    let pair = Pair::unpack(bucket.load(OFFSETS + index / 2));
    if index.is_multiple_of(2) {
        pair.low
    } else {
        pair.high
    }
}

fn hash_bytes(bucket: Bucket<'_>) -> [u64; 2] {
    [bucket.load(0), bucket.load(seqlock::SEQUENCE_WORD)]
}

#[inline]
fn scale(half: u32, buckets: u32) -> u32 {
    ((u64::from(half) * u64::from(buckets)) >> 32) as u32
}

const SLOTS_PER_BUCKET: u32 = 12;
const EMPTY: u8 = 0;
const OFFSETS: u32 = seqlock::SEQUENCE_WORD + 1;
const _: () = assert!(
    seqlock::SEQUENCE_WORD == 1,
    "four hash bytes are below the sequence"
);
const _: () = assert!(
    OFFSETS + SLOTS_PER_BUCKET / 2 == LINE_WORDS,
    "hash bytes, sequence and offsets fill a cache line"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::PageSize;

    #[test]
    fn three_quarters_are_filled_with_few_rejections() {
        // Keys of low entropy, as a broken generator may return them, spread ids as well as others.
        for keys in [[1, 2, 3, 4], [0; 4], [u64::MAX; 4]] {
            fill(keys);
        }
    }

    #[test]
    fn each_key_changes_the_buckets_and_the_hash_bytes() {
        let keys = [1, 2, 3, 4];
        let slots = |keys| {
            let hasher = IndexHasher::new(4_000, keys);
            let slots = move |n: u64| {
                let candidates = hasher.candidates(&Id([n, !n]));
                (
                    candidates.bucket(Choice::First),
                    candidates.bucket(Choice::Second),
                    candidates.hash_byte(),
                )
            };
            (0..1_000).map(slots).collect::<Vec<_>>()
        };
        let expected = slots(keys);
        assert_eq!(expected, slots(keys), "equal keys give equal candidates");
        for changed in 0..keys.len() {
            let mut others = keys;
            others[changed] ^= 1 << 63;
            let pairs = expected.iter().zip(slots(others));
            let same = pairs.filter(|(one, other)| *one == other).count();
            assert!(
                same < 5,
                "{same} of 1000 ids keep their candidates when key {changed} changes"
            );
        }
    }

    fn fill(keys: [u64; 4]) {
        let mut arena = Arena::new(Index::footprint(4_000), PageSize::Default).expect("memory");
        let mut index = Index::new(&mut arena, IndexHasher::new(4_000, keys)).expect("room");
        let mut inserted = Vec::new();
        let mut rejected = 0;
        for n in 0.. {
            let candidates = index.candidates(&Id([n, !n]));
            match index.vacant_slot(candidates) {
                Some(vacant) => {
                    index.insert(vacant, n as u32 + 1);
                    inserted.push(n);
                }
                None => rejected += 1,
            }
            if index.len() == index.capacity() {
                break;
            }
        }
        assert!(
            rejected <= index.capacity() / 50,
            "{rejected} of {}",
            index.capacity()
        );
        for n in inserted {
            let candidates = index.candidates(&Id([n, !n]));
            assert!(
                index
                    .find(candidates, |offset| offset == n as u32 + 1)
                    .is_some()
            );
        }
    }
}
