//! The sessions, their values and the order of lookups, the same for every contender.
//!
//! Knows no contender and measures nothing. All of it comes from fixed seeds, so that two runs, and
//! two contenders in one run, use the same sessions in the same order.
//!
//! The exclusive or of a value's words is zero, which is known only after reading all of them. A
//! chain of lookups adds it to the next position and so depends on the value.

use std::hint::black_box;

/// Bytes of data in a session, unless an axis sets another length.
pub(crate) const VALUE_LEN: usize = 256;

/// An id for the peers. The engine generates its own.
pub(crate) type Id = [u8; 16];

/// The sessions and the order in which they are looked up.
pub(crate) struct Workload {
    /// `numbers[position]` is the number of the session at that position. Sessions are inserted by
    /// number and visited by position, so the order in memory differs from the order of visits.
    numbers: Vec<u32>,
    /// Positions in the order of the lookups. For small workloads these are several shuffles in a
    /// row, so that a branch predictor cannot learn them.
    order: Vec<u32>,
}

impl Workload {
    /// Creates a workload of `sessions` sessions, each visited equally often.
    pub(crate) fn new(sessions: usize) -> Self {
        let mut random = Random::new(0x5e55_101d);
        let numbers = shuffled(sessions, &mut random);
        let shuffles = (SHORTEST_ORDER / sessions).max(1);
        let order = match shuffles {
            // Position by position: the list of ids is read sequentially and causes no miss.
            1 => (0..to_u32(sessions)).collect(),
            _ => (0..shuffles)
                .flat_map(|_| shuffled(sessions, &mut random))
                .collect(),
        };
        Self { numbers, order }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Returns the number of the session at that position.
    pub(crate) fn number(&self, position: usize) -> usize {
        self.numbers[position] as usize
    }

    /// Reorders a list by number into the order of positions.
    pub(crate) fn by_position<T: Copy>(&self, by_number: &[T]) -> Vec<T> {
        self.numbers
            .iter()
            .map(|&number| by_number[number as usize])
            .collect()
    }
}

/// Returns the id of the session with that number.
pub(crate) fn id(number: usize) -> Id {
    let mut random = Random::new(number as u64 ^ ID_SEED);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&random.word().to_le_bytes());
    id[8..].copy_from_slice(&random.word().to_le_bytes());
    id
}

/// Returns the data of the session with that number, as long as `value`, whose length is a multiple
/// of eight.
pub(crate) fn write_value(number: usize, value: &mut [u8]) {
    debug_assert!(value.len().is_multiple_of(WORD));
    let mut random = Random::new(number as u64);
    let Some((last, words)) = value.as_chunks_mut::<WORD>().0.split_last_mut() else {
        return;
    };
    let mut folded = 0;
    for word in words {
        let drawn = random.word();
        folded ^= drawn;
        *word = drawn.to_le_bytes();
    }
    *last = folded.to_le_bytes();
}

/// Reads all of the value and returns zero, which the compiler cannot derive.
#[inline(always)]
pub(crate) fn fold(value: &[u8]) -> usize {
    let words = value.as_chunks::<WORD>().0;
    black_box(
        words
            .iter()
            .fold(0, |folded, &word| folded ^ u64::from_le_bytes(word)),
    ) as usize
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, good enough for an order.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.word()) * bound as u128) >> 64) as usize
    }

    /// Returns a length in the range with uniform logarithm, a multiple of eight.
    pub(crate) fn length(&mut self, min: usize, max: usize) -> usize {
        let share = self.word() as f64 / u64::MAX as f64;
        let length = min as f64 * (max as f64 / min as f64).powf(share);
        (length as usize / WORD * WORD).clamp(min, max)
    }
}

fn shuffled(count: usize, random: &mut Random) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..to_u32(count)).collect();
    for last in (1..count).rev() {
        numbers.swap(last, random.below(last + 1));
    }
    numbers
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).expect("a workload has fewer than four billion sessions")
}

const WORD: usize = 8;
const SHORTEST_ORDER: usize = 1 << 15;
const ID_SEED: u64 = 0x1d5e_ed00_0000_0000;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_order_visits_each_session_equally_often() {
        for sessions in [1, 7, 1_000, 40_000] {
            let workload = Workload::new(sessions);
            let mut visits = vec![0; sessions];
            for &position in workload.order() {
                visits[workload.number(position as usize)] += 1;
            }
            assert!(visits.iter().all(|&count| count == visits[0] && count > 0));
        }
    }

    #[test]
    fn a_value_folds_to_zero_and_is_its_own() {
        let mut values = HashSet::new();
        for number in 0..1_000 {
            for len in [64, VALUE_LEN] {
                let mut value = vec![0; len];
                write_value(number, &mut value);
                assert_eq!(fold(&value), 0);
                value[len / 2] ^= 1;
                assert_ne!(fold(&value), 0, "a changed byte must not fold to zero");
                assert!(values.insert(value));
            }
        }
    }

    #[test]
    fn ids_differ() {
        let ids: HashSet<Id> = (0..10_000).map(id).collect();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    fn lengths_stay_in_their_bounds() {
        let mut random = Random::new(1);
        let lengths: Vec<usize> = (0..10_000).map(|_| random.length(64, 8_192)).collect();
        assert!(
            lengths
                .iter()
                .all(|len| (64..=8_192).contains(len) && len % 8 == 0)
        );
        let small = lengths.iter().filter(|&&len| len < 724).count();
        assert!(
            (4_500..5_500).contains(&small),
            "half lie below the geometric mean, {small} do"
        );
    }
}
