//! From an id to the offset of its entry: a fixed table of cache lines, two of them for each id.
//!
//! ```text
//!  line:  12 tags of a byte │ version (u32) │ 12 offsets (u32)        64 bytes
//! ```
//!
//! A tag of 0 is an empty place. The version is for readers without a lock, to come; it is kept even. The
//! table never grows and leaves nothing behind where something was: an id whose two lines are full is
//! not put in, and the caller mints another. Filled to three quarters, under churn, that is two ids in
//! ten thousand (simulated). The index does not know what time is, nor what stands at an offset: its caller compares.

use core::hash::{BuildHasher, Hasher};

use super::region::{LINE, Offset, Pair, Region};
use crate::id::Id;

/// The index of one shard, in a region of its own.
pub(crate) struct Index {
    table: Region,
    lines: u32,
    len: u32,
    hasher: ahash::RandomState,
}

/// Where in the table an id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    line: u32,
    way: u32,
}

/// What an id comes to: where its lines are, and its tag. Keyed at random, so that nobody aims at a line.
#[derive(Clone, Copy)]
pub(crate) struct Spot(u64);

impl Index {
    /// The fewest lines, so that each id has two.
    pub(crate) const FEWEST: u32 = 2;

    /// How many ids may stand in a line, on average.
    pub(crate) const FILL: u32 = WAYS * 3 / 4;

    /// What a table of so many lines takes, in bytes.
    pub(crate) const fn footprint(lines: u32) -> usize {
        Region::footprint(lines * LINE)
    }

    /// An empty table, with the keys of its hash. `None` if there is no such memory.
    pub(crate) fn new(lines: u32, keys: [u64; 4]) -> Option<Self> {
        debug_assert!(lines >= Self::FEWEST, "each id has two lines");
        let [a, b, c, d] = keys;
        let hasher = ahash::RandomState::with_seeds(a, b, c, d);
        Some(Self { table: Region::new(lines * LINE)?, lines, len: 0, hasher })
    }

    /// How many ids stand in it, and how many may.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.lines * Self::FILL
    }

    #[inline]
    pub(crate) fn spot(&self, id: &Id) -> Spot {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u128(u128::from(id.0[0]) | u128::from(id.0[1]) << 64);
        Spot(hasher.finish())
    }

    /// What `is` says of the offset kept for an id, told by it from others with the same tag.
    #[inline(always)]
    pub(crate) fn find<T>(
        &self,
        spot: Spot,
        is: impl Fn(Offset) -> Option<T>,
    ) -> Option<(Place, T)> {
        for choice in [spot.first(self.lines), spot.second(self.lines)] {
            let line = self.table.load_all(choice * LINE);
            for way in matches(&line, spot.tag()) {
                if let Some(found) = is(offset(&line, way)) {
                    return Some((Place { line: choice, way }, found));
                }
            }
        }
        None
    }

    /// Where an id can be put: in the first of its lines unless that is fuller than most and the second
    /// is not.
    pub(crate) fn vacancy(&self, spot: Spot) -> Option<Place> {
        let empty = |line: u32| matches(&self.table.load_all(line * LINE), EMPTY);
        let mut line = spot.first(self.lines);
        let mut ways = empty(line);
        if ways.len() < ROOMY {
            let others = empty(spot.second(self.lines));
            if others.len() > ways.len() {
                (line, ways) = (spot.second(self.lines), others);
            }
        }
        ways.next().map(|way| Place { line, way })
    }

    /// Puts an id into a vacancy of its spot.
    pub(crate) fn put(&mut self, place: Place, spot: Spot, offset: Offset) {
        self.set_offset(place, offset);
        self.set_tag(place, spot.tag());
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, place: Place) {
        self.set_tag(place, EMPTY);
        self.set_offset(place, 0);
        self.len -= 1;
    }

    /// Notes that what stood at an offset stands at another now.
    pub(crate) fn set_offset(&mut self, place: Place, offset: Offset) {
        let at = place.line * LINE + OFFSETS + place.way / 2;
        let pair = self.table.pair(at);
        let pair = if place.way.is_multiple_of(2) {
            Pair { low: offset, ..pair }
        } else {
            Pair { high: offset, ..pair }
        };
        self.table.set_pair(at, pair);
    }

    /// All offsets, in no order. For tests.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn validate(&self) -> Vec<Offset> {
        let mut all = Vec::new();
        for line in 0..self.lines {
            let line = self.table.load_all(line * LINE);
            let empty: Vec<_> = matches(&line, EMPTY).collect();
            let used = (0..WAYS).filter(|way| !empty.contains(way));
            all.extend(used.map(|way| offset(&line, way)));
        }
        assert_eq!(all.len(), self.len as usize, "ids are counted");
        all
    }

    fn set_tag(&self, place: Place, tag: u8) {
        let at = place.line * LINE + place.way / 8;
        let shift = place.way % 8 * 8;
        let word = self.table.load(at) & !(0xff << shift) | u64::from(tag) << shift;
        self.table.store(at, word);
    }
}

impl Spot {
    /// The hash is spread over the lines by multiplication (Lemire 2016), each half for one line.
    #[inline]
    fn first(self, lines: u32) -> u32 {
        scale((self.0 >> 32) as u32, lines)
    }

    #[inline]
    fn second(self, lines: u32) -> u32 {
        let (first, second) = (self.first(lines), scale(self.0 as u32, lines));
        match second {
            _ if second != first => second,
            0 => 1,
            _ => second - 1,
        }
    }

    #[inline]
    fn tag(self) -> u8 {
        (self.0 as u8).max(1)
    }
}

#[inline]
fn scale(half: u32, lines: u32) -> u32 {
    ((u64::from(half) * u64::from(lines)) >> 32) as u32
}

/// The words of a line.
type Line = [u64; LINE as usize];

#[inline]
fn offset(line: &Line, way: u32) -> Offset {
    let pair = Pair::unpack(line[((OFFSETS + way / 2) % LINE) as usize]);
    if way.is_multiple_of(2) { pair.low } else { pair.high }
}

/// The ways of a line that hold a tag, by the zero bytes of a difference (Mycroft 1987; exact, as in
/// Warren's "Hacker's Delight").
#[inline]
fn matches(line: &Line, tag: u8) -> Ways {
    let zeros = |word: u64| {
        let difference = word ^ (u64::from(tag) * LOW_BITS);
        !(((difference & !HIGH_BITS) + !HIGH_BITS) | difference) & HIGH_BITS
    };
    Ways((zeros(line[0]) >> 7) | ((zeros(line[1]) & SECOND_WORD) >> 6))
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

const WAYS: u32 = 12;
const EMPTY: u8 = 0;
const OFFSETS: u32 = 2;
/// A first line with as many empty ways is taken without a look at the second.
const ROOMY: u32 = 4;
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
/// The second word holds four tags; the version is above them.
const SECOND_WORD: u64 = 0x8080_8080;
const _: () = assert!(OFFSETS + WAYS / 2 == LINE, "tags, version and offsets fill a line");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_matched_exactly() {
        let line = [0x0001_7f80_ff01_0001, 0xffff_ffff_0100_0001, 0, 0, 0, 0, 0, 0];
        let ways = |tag| {
            let mut ways: Vec<_> = matches(&line, tag).collect();
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
        let mut index = Index::new(4_000, [1, 2, 3, 4]).expect("memory");
        let mut put = Vec::new();
        let mut refused = 0;
        for n in 0.. {
            let spot = index.spot(&Id([n, !n]));
            match index.vacancy(spot) {
                Some(place) => {
                    index.put(place, spot, n as u32 + 1);
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
            let is = |offset| (offset == n as u32 + 1).then_some(());
            assert!(index.find(spot, is).is_some());
        }
    }
}
