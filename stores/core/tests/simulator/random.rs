//! Random numbers from a seed, so that a schedule can be repeated.

use std::{cell::RefCell, time::Duration};

use sessile::Error;

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Returns true in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Returns a span in microseconds between two numbers of milliseconds.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(1_000 * from + self.below(1_000 * (to - from) + 1))
    }
}

thread_local! {
    static ENTROPY: RefCell<Random> = const { RefCell::new(Random(0)) };
}

/// Sets the seed of [`entropy`] on this thread.
pub fn seed_entropy(seed: u64) {
    ENTROPY.with_borrow_mut(|random| *random = Random::new(seed ^ 0xe417));
}

/// The source of ids and serials of all nodes of a schedule.
pub fn entropy(bytes: &mut [u8]) -> Result<(), Error> {
    ENTROPY.with_borrow_mut(|random| {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
        }
    });
    Ok(())
}
