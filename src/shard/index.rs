//! From an id to the offset of its entry: a fixed table of cache lines, two of them for each id.
//!
//! ```text
//!  line:  12 tags of a byte │ version (u32) │ 12 offsets (u32)        64 bytes
//! ```
//!
//! A tag of 0 is an empty place. The version covers the line and the twelve entries that it leads to
//! (`version`): whoever writes to one of them does so within [`Index::write`], at its place. The table
//! never grows and leaves nothing behind where something was: an id whose two lines are full is
//! not put in, and the caller mints another. Filled to three quarters, under churn, that is two ids in
//! ten thousand (simulated). The index does not know what time is, nor what stands at an offset: its caller compares.

use core::hash::Hasher;

use foldhash::{SharedSeed, fast::FoldHasher};

use super::{
    region::{LINE, Line, Lines, Offset, Pair},
    version::{self, Version},
};
use crate::id::Id;

/// The index of one shard: its table, and what the one who writes knows of it.
pub(crate) struct Index {
    table: Table,
    len: u32,
}

/// The lines, and how an id comes to them. Clones are the same lines.
#[derive(Clone)]
pub(crate) struct Table {
    lines: Lines,
    seed: u64,
    shared_seed: SharedSeed,
}

/// Where in the table an id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    line: u32,
    way: u32,
}

/// An empty place for an id, and what stands there once it is put in.
#[derive(Clone, Copy)]
pub(crate) struct Vacancy {
    place: Place,
    tag: u8,
}

/// What an id comes to: where its lines are, and its tag. Keyed at random, so that nobody aims at a line.
#[derive(Clone, Copy)]
pub(crate) struct Spot(u64);

/// A line as it was seen at a version.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'t> {
    line: Line<'t>,
    tags: [u64; 2],
    version: Version,
}

impl Table {
    fn new(lines: u32, keys: [u64; 2]) -> Option<Self> {
        debug_assert!(lines >= Index::FEWEST, "each id has two lines");
        let [key, other] = keys;
        let shared_seed = SharedSeed::from_u64(other);
        // A seed is to be irregular, which a random one is, and this one whatever the keys.
        let mut seed = FoldHasher::with_seed(IRREGULAR, &shared_seed);
        seed.write_u64(key);
        let seed = seed.finish();
        Some(Self { lines: Lines::new(lines)?, seed, shared_seed })
    }

    #[inline(always)]
    pub(crate) fn spot(&self, id: &Id) -> Spot {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        hasher.write_u128(u128::from(id.0[0]) | u128::from(id.0[1]) << 64);
        Spot(hasher.finish())
    }

    /// The first or the second line of a spot. `None` while somebody writes what it covers.
    #[inline(always)]
    pub(crate) fn see(&self, spot: Spot, choice: Choice) -> Option<Seen<'_>> {
        let line = self.lines.line(spot.line(choice, self.lines.count()));
        let (tags, version) = version::begin(line)?;
        Some(Seen { line, tags: [line.load(0), tags], version })
    }

    /// Fetches both lines of a spot, and gives something that only they tell.
    pub(crate) fn warm(&self, spot: Spot) -> u64 {
        let lines =
            [Choice::First, Choice::Second].map(|choice| spot.line(choice, self.lines.count()));
        lines.into_iter().fold(0, |sum, line| sum ^ self.lines.line(line).load(0))
    }
}

impl Seen<'_> {
    /// The offsets that the line keeps for a spot, and for others with the same tag.
    #[inline(always)]
    pub(crate) fn offsets(self, spot: Spot) -> impl Iterator<Item = Offset> {
        matches(self.tags, spot.tag()).map(move |way| offset(self.line, way))
    }

    /// Whether the line, and what its offsets lead to, is still as it was.
    #[inline(always)]
    pub(crate) fn is_still(self) -> bool {
        version::is_still(self.line, self.version)
    }
}

impl Index {
    /// The fewest lines, so that each id has two.
    pub(crate) const FEWEST: u32 = 2;

    /// How many ids may stand in a line, on average.
    pub(crate) const FILL: u32 = WAYS * 3 / 4;

    /// What a table of so many lines takes, in bytes.
    pub(crate) const fn footprint(lines: u32) -> usize {
        Lines::footprint(lines)
    }

    /// An empty table, with the keys of its hash. `None` if there is no such memory.
    pub(crate) fn new(lines: u32, keys: [u64; 2]) -> Option<Self> {
        Some(Self { table: Table::new(lines, keys)?, len: 0 })
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
        self.table.lines.count() * Self::FILL
    }

    pub(crate) fn spot(&self, id: &Id) -> Spot {
        self.table.spot(id)
    }

    /// Where the offset for which `is` holds is kept for an id.
    pub(crate) fn find(&self, spot: Spot, is: impl Fn(Offset) -> bool) -> Option<(Place, Offset)> {
        for choice in [Choice::First, Choice::Second] {
            let number = spot.line(choice, self.table.lines.count());
            let line = self.table.lines.line(number);
            for way in matches(tags(line), spot.tag()) {
                let offset = offset(line, way);
                if is(offset) {
                    return Some((Place { line: number, way }, offset));
                }
            }
        }
        None
    }

    /// Where an id can be put: in the first of its lines unless that is fuller than most and the second
    /// is not.
    pub(crate) fn vacancy(&self, spot: Spot) -> Option<Vacancy> {
        let empty = |line| matches(tags(self.table.lines.line(line)), EMPTY);
        let mut line = spot.line(Choice::First, self.table.lines.count());
        let mut ways = empty(line);
        if ways.len() < ROOMY {
            let other = spot.line(Choice::Second, self.table.lines.count());
            let others = empty(other);
            if others.len() > ways.len() {
                (line, ways) = (other, others);
            }
        }
        ways.next().map(|way| Vacancy { place: Place { line, way }, tag: spot.tag() })
    }

    /// Puts an id into its vacancy, which nobody took since. What stands at the offset has been written.
    pub(crate) fn put(&mut self, vacancy: Vacancy, offset: Offset) {
        let Vacancy { place, tag } = vacancy;
        self.write(place, || {
            self.store_offset(place, offset);
            self.store_tag(place, tag);
        });
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, place: Place) {
        self.write(place, || {
            self.store_tag(place, EMPTY);
            self.store_offset(place, 0);
        });
        self.len -= 1;
    }

    /// Notes that what stood at an offset stands at another now.
    pub(crate) fn set_offset(&self, place: Place, offset: Offset) {
        self.write(place, || self.store_offset(place, offset));
    }

    /// Writes to the entry that is found at a place: readers of its line begin again.
    pub(crate) fn write<R>(&self, place: Place, stores: impl FnOnce() -> R) -> R {
        version::write(self.table.lines.line(place.line), stores)
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        for line in (0..self.table.lines.count()).map(|line| self.table.lines.line(line)) {
            version::write(line, || {
                let version = Pair { low: 0, ..Pair::unpack(line.load(version::WORD)) };
                (0..LINE)
                    .filter(|&word| word != version::WORD)
                    .for_each(|word| line.store(word, 0));
                line.store(version::WORD, version.pack());
            });
        }
        self.len = 0;
    }

    /// All offsets, in no order. For tests.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn validate(&self) -> Vec<Offset> {
        let mut all = Vec::new();
        for line in 0..self.table.lines.count() {
            let line = self.table.lines.line(line);
            let empty: Vec<_> = matches(tags(line), EMPTY).collect();
            let used = (0..WAYS).filter(|way| !empty.contains(way));
            all.extend(used.map(|way| offset(line, way)));
            let version = version::begin(line);
            assert!(version.is_some(), "nobody writes");
        }
        assert_eq!(all.len(), self.len as usize, "ids are counted");
        all
    }

    /// Stores an offset within a write.
    pub(crate) fn store_offset(&self, place: Place, offset: Offset) {
        let line = self.table.lines.line(place.line);
        let word = OFFSETS + place.way / 2;
        let pair = Pair::unpack(line.load(word));
        let pair = if place.way.is_multiple_of(2) {
            Pair { low: offset, ..pair }
        } else {
            Pair { high: offset, ..pair }
        };
        line.store(word, pair.pack());
    }

    fn store_tag(&self, place: Place, tag: u8) {
        let line = self.table.lines.line(place.line);
        let (word, shift) = (place.way / 8, place.way % 8 * 8);
        line.store(word, line.load(word) & !(0xff << shift) | u64::from(tag) << shift);
    }
}

/// Which of the two lines of an id.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    First,
    Second,
}

impl Spot {
    /// The hash is spread over the lines by multiplication (Lemire 2016), each half for one line.
    #[inline(always)]
    fn line(self, choice: Choice, lines: u32) -> u32 {
        let first = scale((self.0 >> 32) as u32, lines);
        if let Choice::First = choice {
            return first;
        }
        match scale(self.0 as u32, lines) {
            second if second != first => second,
            0 => 1,
            second => second - 1,
        }
    }

    #[inline]
    fn tag(self) -> u8 {
        (self.0 as u8).max(1)
    }
}

#[inline(always)]
fn offset(line: Line<'_>, way: u32) -> Offset {
    let pair = Pair::unpack(line.load(OFFSETS + way / 2));
    if way.is_multiple_of(2) { pair.low } else { pair.high }
}

fn tags(line: Line<'_>) -> [u64; 2] {
    [line.load(0), line.load(version::WORD)]
}

#[inline]
fn scale(half: u32, lines: u32) -> u32 {
    ((u64::from(half) * u64::from(lines)) >> 32) as u32
}

/// The ways of a line that hold a tag, by the zero bytes of a difference (Mycroft 1987; exact, as in
/// Warren's "Hacker's Delight").
#[inline]
fn matches(tags: [u64; 2], tag: u8) -> Ways {
    let zeros = |word: u64| {
        let difference = word ^ (u64::from(tag) * LOW_BITS);
        !(((difference & !HIGH_BITS) + !HIGH_BITS) | difference) & HIGH_BITS
    };
    Ways((zeros(tags[0]) >> 7) | ((zeros(tags[1]) & SECOND_WORD) >> 6))
}

/// Some ways of a line: bit `8 n` stands for way `n` of the first word, bit `8 n + 1` for the second's.
#[derive(Clone, Copy)]
struct Ways(u64);

impl Ways {
    fn len(self) -> u32 {
        self.0.count_ones()
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

/// The first bits of the fraction of pi.
const IRREGULAR: u64 = 0x243f_6a88_85a3_08d3;
const WAYS: u32 = 12;
const EMPTY: u8 = 0;
const OFFSETS: u32 = version::WORD + 1;
/// A first line with as many empty ways is taken without a look at the second.
const ROOMY: u32 = 4;
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
/// The second word holds four tags; the version is above them.
const SECOND_WORD: u64 = 0x8080_8080;
const _: () = assert!(version::WORD == 1, "four tags stand below the version");
const _: () = assert!(OFFSETS + WAYS / 2 == LINE, "tags, version and offsets fill a line");

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    #[test]
    fn three_quarters_fill_with_hardly_a_refusal() {
        let mut index = Index::new(4_000, [1, 2]).expect("memory");
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
        assert!(refused <= index.capacity() / 1_000, "{refused} of {}", index.capacity());
        for n in put {
            let spot = index.spot(&Id([n, !n]));
            assert!(index.find(spot, |offset| offset == n as u32 + 1).is_some());
        }
    }
}
