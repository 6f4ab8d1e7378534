//! From an id to the offset of its entry: a fixed table of cache lines, two of them for each id.
//!
//! ```text
//!  line:  12 tags of a byte │ version (u32) │ 12 offsets (u32)        64 bytes
//! ```
//!
//! A tag of 0 is an empty place. The version covers the line and the twelve entries that it leads to
//! (`seqlock`): whoever writes to one of them does so within [`Index::write`], at its place. The table
//! never grows and leaves nothing behind where something was: an id whose two lines are full is
//! not put in, and the caller mints another. Filled to three quarters, under churn, that is one id in fifty, and one
//! in eight stands in its second line (simulated). The index does not know what time is, nor what stands at an
//! offset: its caller compares.

use core::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use super::{
    region::{Arena, Bucket, LINE, Lines, Offset, Pair},
    seqlock::{self, Sequence},
};
use crate::id::Id;

/// The index of one shard: its table, and what the one who writes knows of it.
pub(crate) struct Index {
    table: Table,
    spots: IndexHasher,
    len: u32,
}

/// The lines. Clones are the same lines.
#[derive(Clone)]
pub(crate) struct Table(Lines);

/// Maps an id to its spot. The hash is keyed at random, so that an attacker cannot choose ids that fall into one line.
/// All tables of a cache have the same size and share these keys: a reader computes the lines before it has reached
/// the table.
#[derive(Clone)]
pub(crate) struct IndexHasher {
    hasher: RandomState,
    lines: u32,
}

/// Where in the table an id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    line: u32,
    way: u32,
}

/// An empty place for an id, and what stands there once it is put in.
#[derive(Clone, Copy)]
pub(crate) struct VacantSlot {
    slot: Slot,
    tag: u8,
}

/// What an id comes to: where its lines are, and its tag.
#[derive(Clone, Copy)]
pub(crate) struct Candidates {
    hash: u64,
    lines: u32,
    first: u32,
}

/// A line as it was seen at a version.
#[derive(Clone, Copy)]
pub(crate) struct BucketSnapshot<'t> {
    line: Bucket<'t>,
    tags: [u64; 2],
    version: Sequence,
}

impl IndexHasher {
    /// Creates the spots of tables with `lines` lines. The same keys give the same spots in every process that runs
    /// the same build; another version of `ahash` or another target may hash differently, so nothing stores them.
    pub(crate) fn new(lines: u32, [k0, k1, k2, k3]: [u64; 4]) -> Self {
        debug_assert!(lines >= Index::MIN_BUCKETS, "each id has two lines");
        Self {
            hasher: RandomState::with_seeds(k0, k1, k2, k3),
            lines,
        }
    }

    /// The hash is spread over the lines by multiplication (Lemire 2016), each half for one line.
    #[inline(always)]
    pub(crate) fn of(&self, id: &Id) -> Candidates {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u128(u128::from(id.0[0]) | u128::from(id.0[1]) << 64);
        let hash = hasher.finish();
        Candidates {
            hash,
            lines: self.lines,
            first: scale((hash >> 32) as u32, self.lines),
        }
    }
}

impl Table {
    /// The first or the second line of a spot. `None` while somebody writes what it covers.
    #[inline(always)]
    pub(crate) fn see(&self, spot: Candidates, choice: Choice) -> Option<BucketSnapshot<'_>> {
        let line = self.0.line(spot.line(choice));
        let (tags, version) = seqlock::begin(line)?;
        Some(BucketSnapshot {
            line,
            tags: [line.load(0), tags],
            version,
        })
    }

    /// Asks for both lines of a spot ahead of their use.
    pub(crate) fn prefetch(&self, spot: Candidates) {
        let lines = [Choice::First, Choice::Second].map(|choice| spot.line(choice));
        lines
            .into_iter()
            .for_each(|line| self.0.line(line).prefetch());
    }
}

impl BucketSnapshot<'_> {
    /// The offsets that the line keeps for a spot, for others with the same tag, and now and then another.
    #[inline(always)]
    pub(crate) fn offsets(self, spot: Candidates) -> impl Iterator<Item = Offset> {
        near_matches(self.tags, spot.tag()).map(move |way| offset(self.line, way))
    }

    /// Whether the line, and what its offsets lead to, is still as it was.
    #[inline(always)]
    pub(crate) fn is_still(self) -> bool {
        seqlock::is_still(self.line, self.version)
    }
}

impl Index {
    /// The fewest lines, so that each id has two.
    pub(crate) const MIN_BUCKETS: u32 = 2;

    /// How many ids may stand in a line, on average.
    pub(crate) const FILL: u32 = WAYS * 3 / 4;

    /// What a table of so many lines takes, in bytes.
    pub(crate) const fn footprint(lines: u32) -> usize {
        Lines::footprint(lines)
    }

    /// An empty table in an arena, for these spots. `None` if there is not so much left.
    pub(crate) fn new(arena: &mut Arena, spots: IndexHasher) -> Option<Self> {
        Some(Self {
            table: Table(arena.lines(spots.lines)?),
            spots,
            len: 0,
        })
    }

    /// What readers need of it.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// How many ids stand in it, and how many may.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.table.0.count() * Self::FILL
    }

    pub(crate) fn spot(&self, id: &Id) -> Candidates {
        self.spots.of(id)
    }

    /// Where the offset for which `is` holds is kept for an id.
    pub(crate) fn find(
        &self,
        spot: Candidates,
        is: impl Fn(Offset) -> bool,
    ) -> Option<(Slot, Offset)> {
        for choice in [Choice::First, Choice::Second] {
            let number = spot.line(choice);
            let line = self.table.0.line(number);
            for way in matches(tags(line), spot.tag()) {
                let offset = offset(line, way);
                if is(offset) {
                    return Some((Slot { line: number, way }, offset));
                }
            }
        }
        None
    }

    /// Where an id can be put: in the second of its lines only if the first is full, since a hit there takes longer.
    pub(crate) fn vacancy(&self, spot: Candidates) -> Option<VacantSlot> {
        [Choice::First, Choice::Second]
            .into_iter()
            .find_map(|choice| {
                let line = spot.line(choice);
                let way = matches(tags(self.table.0.line(line)), EMPTY).next()?;
                Some(VacantSlot {
                    slot: Slot { line, way },
                    tag: spot.tag(),
                })
            })
    }

    /// Puts an id into its vacancy, which nobody took since. What stands at the offset has been written.
    pub(crate) fn put(&mut self, vacancy: VacantSlot, offset: Offset) {
        let VacantSlot { slot, tag } = vacancy;
        self.write(slot, || {
            self.store_offset(slot, offset);
            self.store_tag(slot, tag);
        });
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        self.write(slot, || {
            self.store_tag(slot, EMPTY);
            self.store_offset(slot, 0);
        });
        self.len -= 1;
    }

    /// Notes that what stood at an offset stands at another now.
    pub(crate) fn set_offset(&self, slot: Slot, offset: Offset) {
        self.write(slot, || self.store_offset(slot, offset));
    }

    /// Writes to the entry that is found at a place: readers of its line begin again.
    pub(crate) fn write<R>(&self, slot: Slot, stores: impl FnOnce() -> R) -> R {
        seqlock::write(self.table.0.line(slot.line), stores)
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        for line in (0..self.table.0.count()).map(|line| self.table.0.line(line)) {
            seqlock::write(line, || {
                let version = Pair {
                    low: 0,
                    ..Pair::unpack(line.load(seqlock::WORD))
                };
                (0..LINE)
                    .filter(|&word| word != seqlock::WORD)
                    .for_each(|word| line.store(word, 0));
                line.store(seqlock::WORD, version.pack());
            });
        }
        self.len = 0;
    }

    /// All offsets, in no order. For tests.
    #[cfg(any(test, feature = "__internals"))]
    pub(crate) fn validate(&self) -> Vec<Offset> {
        let mut all = Vec::new();
        for line in 0..self.table.0.count() {
            let line = self.table.0.line(line);
            let empty: Vec<_> = matches(tags(line), EMPTY).collect();
            let used = (0..WAYS).filter(|way| !empty.contains(way));
            all.extend(used.map(|way| offset(line, way)));
            let version = seqlock::begin(line);
            assert!(version.is_some(), "nobody writes");
        }
        assert_eq!(all.len(), self.len as usize, "ids are counted");
        all
    }

    /// Stores an offset within a write.
    pub(crate) fn store_offset(&self, slot: Slot, offset: Offset) {
        let line = self.table.0.line(slot.line);
        let word = OFFSETS + slot.way / 2;
        let pair = Pair::unpack(line.load(word));
        let pair = if slot.way.is_multiple_of(2) {
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
        line.store(word, pair.pack());
    }

    fn store_tag(&self, slot: Slot, tag: u8) {
        let line = self.table.0.line(slot.line);
        let (word, shift) = (slot.way / 8, slot.way % 8 * 8);
        line.store(
            word,
            line.load(word) & !(0xff << shift) | u64::from(tag) << shift,
        );
    }
}

/// Which of the two lines of an id.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    First,
    Second,
}

impl Candidates {
    /// A keyed hash of what was looked for.
    pub(crate) fn hash(self) -> u64 {
        self.hash
    }

    #[inline(always)]
    fn line(self, choice: Choice) -> u32 {
        if let Choice::First = choice {
            return self.first;
        }
        match scale(self.hash as u32, self.lines) {
            second if second != self.first => second,
            0 => 1,
            second => second - 1,
        }
    }

    #[inline]
    fn tag(self) -> u8 {
        (self.hash as u8).max(1)
    }
}

#[inline(always)]
fn offset(line: Bucket<'_>, way: u32) -> Offset {
    let pair = Pair::unpack(line.load(OFFSETS + way / 2));
    if way.is_multiple_of(2) {
        pair.low
    } else {
        pair.high
    }
}

fn tags(line: Bucket<'_>) -> [u64; 2] {
    [line.load(0), line.load(seqlock::WORD)]
}

#[inline]
fn scale(half: u32, lines: u32) -> u32 {
    ((u64::from(half) * u64::from(lines)) >> 32) as u32
}

/// The ways of a line that hold a tag, by the zero bytes of a difference (Mycroft 1987; exact, as in
/// Warren's "Hacker's Delight").
#[inline]
fn matches(tags: [u64; 2], tag: u8) -> Ways {
    Ways::of(tags, tag, |difference| {
        !(((difference & !HIGH_BITS) + !HIGH_BITS) | difference) & HIGH_BITS
    })
}

/// The same in fewer steps, as Mycroft has it: the first is right, and above one there may be another that is not.
#[inline(always)]
fn near_matches(tags: [u64; 2], tag: u8) -> Ways {
    Ways::of(tags, tag, |difference| {
        difference.wrapping_sub(LOW_BITS) & !difference & HIGH_BITS
    })
}

/// Some ways of a line: bit `8 n` stands for way `n` of the first word, bit `8 n + 1` for the second's.
#[derive(Clone, Copy)]
struct Ways(u64);

impl Ways {
    #[inline(always)]
    fn of(tags: [u64; 2], tag: u8, zeros: impl Fn(u64) -> u64) -> Self {
        let [first, second] = tags.map(|word| zeros(word ^ (u64::from(tag) * LOW_BITS)));
        Self((first >> 7) | ((second & SECOND_WORD) >> 6))
    }
}

impl Iterator for Ways {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(bit / 8 + bit % 8 * 8)
    }
}

const WAYS: u32 = 12;
const EMPTY: u8 = 0;
const OFFSETS: u32 = seqlock::WORD + 1;
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
/// The second word holds four tags; the version is above them.
const SECOND_WORD: u64 = 0x8080_8080;
const _: () = assert!(seqlock::WORD == 1, "four tags stand below the version");
const _: () = assert!(
    OFFSETS + WAYS / 2 == LINE,
    "tags, version and offsets fill a line"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Pages;

    #[test]
    fn tags_are_matched_exactly() {
        let tags = [0x0001_7f80_ff01_0001, 0xffff_ffff_0100_0001];
        let ways = |tag| {
            let mut ways: Vec<_> = matches(tags, tag).collect();
            ways.sort_unstable();
            ways
        };
        assert_eq!(ways(1), [0, 2, 6, 8, 11]);
        assert_eq!(ways(0), [1, 7, 9, 10]);
        assert_eq!(ways(0x80), [4]);
        assert_eq!(ways(0x02), [0; 0]);
        for tag in 0..=u8::MAX {
            let (exact, near) = (matches(tags, tag).0, near_matches(tags, tag).0);
            assert_eq!(exact & !near, 0, "none is passed over");
            assert_eq!(exact == 0, near == 0, "{tag}");
        }
    }

    #[test]
    fn three_quarters_fill_with_hardly_a_refusal() {
        // Keys of little entropy, which a broken generator may return, spread ids as well as others.
        for keys in [[1, 2, 3, 4], [0; 4], [u64::MAX; 4]] {
            fill(keys);
        }
    }

    #[test]
    fn each_key_changes_the_lines_and_the_hash_bytes() {
        let keys = [1, 2, 3, 4];
        let slots = |keys| {
            let spots = IndexHasher::new(4_000, keys);
            let slots = move |n: u64| {
                let spot = spots.of(&Id([n, !n]));
                (
                    spot.line(Choice::First),
                    spot.line(Choice::Second),
                    spot.tag(),
                )
            };
            (0..1_000).map(slots).collect::<Vec<_>>()
        };
        let usual = slots(keys);
        assert_eq!(usual, slots(keys), "the same keys give the same spots");
        for changed in 0..keys.len() {
            let mut others = keys;
            others[changed] ^= 1 << 63;
            let pairs = usual.iter().zip(slots(others));
            let same = pairs.filter(|(one, other)| *one == other).count();
            assert!(
                same < 5,
                "{same} of 1000 ids stay where they are when key {changed} changes"
            );
        }
    }

    fn fill(keys: [u64; 4]) {
        let mut arena = Arena::new(Index::footprint(4_000), Pages::Usual).expect("memory");
        let mut index = Index::new(&mut arena, IndexHasher::new(4_000, keys)).expect("room");
        let mut put = Vec::new();
        let mut refused = 0;
        for n in 0.. {
            let spot = index.spot(&Id([n, !n]));
            match index.vacancy(spot) {
                Some(vacancy) => {
                    index.put(vacancy, n as u32 + 1);
                    put.push(n);
                }
                None => refused += 1,
            }
            if index.len() == index.capacity() {
                break;
            }
        }
        assert!(
            refused <= index.capacity() / 50,
            "{refused} of {}",
            index.capacity()
        );
        for n in put {
            let spot = index.spot(&Id([n, !n]));
            assert!(index.find(spot, |offset| offset == n as u32 + 1).is_some());
        }
    }
}
