//! A hierarchical timing wheel (Varghese, Lauck 1987; levels as in Linux and tokio).
//!
//! ```text
//!  level 0   64 slots of 1 tick        a deadline is filed on the level of the highest 6-bit digit in
//!  level 1   64 slots of 64 ticks      which it differs from the time that the wheel has reached; a
//!  …         6 levels: all of a u32    bitmap a level says which slots are occupied
//! ```
//!
//! A slot whose time has come gives its links one by one, and the caller frees what is due and files the
//! rest again: a level that empties into the one below it, and a deadline that moved meanwhile, are the
//! same case. So one call does one step, however many links a slot holds. Nothing here reads a clock or
//! knows whose the links are.

use super::{
    list,
    region::{Offset, Region},
};
use crate::clock::Tick;

/// The wheel of one shard. Its slots are anchors in the region.
pub struct Wheel {
    slots: Offset,
    reached: Tick,
    occupied: [u64; LEVELS as usize],
}

impl Wheel {
    /// How many words of a region its slots take.
    pub const WORDS: u32 = LEVELS * SLOTS;

    /// An empty wheel at tick 0, whose slots stand at `slots`.
    pub fn new(region: &Region, slots: Offset) -> Self {
        (slots..slots + Self::WORDS).for_each(|slot| list::anchor(region, slot));
        Self {
            slots,
            reached: 0,
            occupied: [0; LEVELS as usize],
        }
    }

    /// Files a link under its deadline; one in the past is due at the next look.
    pub fn insert(&mut self, region: &Region, link: Offset, deadline: Tick) {
        let (level, digit) = slot(self.reached, deadline.max(self.reached));
        self.occupied[level as usize] |= 1 << digit;
        list::push(region, self.slots + level * SLOTS + digit, link);
    }

    /// Takes a link out, wherever it is filed.
    pub fn remove(&mut self, region: &Region, link: Offset) {
        let around = list::unlink(region, link);
        if around.low == around.high {
            let slot = around.low - self.slots;
            self.occupied[(slot / SLOTS) as usize] &= !(1 << (slot % SLOTS));
        }
    }

    /// Takes out one link whose slot's time has come, if there is one. It is due, or is to be filed again.
    pub fn next(&mut self, region: &Region, now: Tick) -> Option<Offset> {
        let Some((slot, start)) = self.earliest().filter(|&(_, start)| start <= now) else {
            self.reached = self.reached.max(now);
            return None;
        };
        self.reached = self.reached.max(start);
        let link = list::first(region, slot)?;
        self.remove(region, link);
        Some(link)
    }

    /// The tick up to which nothing is due any more.
    pub fn reached(&self) -> Tick {
        self.reached
    }

    /// Whether a slot's time has come.
    pub fn is_due(&self, now: Tick) -> bool {
        self.earliest().is_some_and(|(_, start)| start <= now)
    }

    /// The occupied slot that starts earliest, and the tick at which it does: on each level the lowest
    /// one, since the wheel reaches no tick before it has emptied the slots that start earlier.
    fn earliest(&self) -> Option<(Offset, Tick)> {
        let levels = (0..LEVELS).filter(|&level| self.occupied[level as usize] != 0);
        let slots = levels.map(|level| {
            let digit = self.occupied[level as usize].trailing_zeros();
            let above = u64::from(self.reached) >> ((level + 1) * BITS) << BITS;
            let start = (above | u64::from(digit)) << (level * BITS);
            (self.slots + level * SLOTS + digit, start as Tick)
        });
        slots.min_by_key(|&(_, start)| start)
    }

    /// Checks every slot against the bitmaps and gives every link filed. For tests.
    #[cfg(any(test, feature = "__internals"))]
    pub fn validate(&self, region: &Region) -> Vec<Offset> {
        let mut all = Vec::new();
        for slot in 0..Self::WORDS {
            let links = list::validate(region, self.slots + slot);
            let bit = self.occupied[(slot / SLOTS) as usize] >> (slot % SLOTS) & 1;
            assert_eq!(bit == 1, !links.is_empty(), "slot {slot} and its bit agree");
            all.extend(links);
        }
        all
    }
}

/// The level and the digit under which a deadline, not in the past, is filed.
fn slot(reached: Tick, deadline: Tick) -> (u32, u32) {
    let level = (reached ^ deadline).checked_ilog2().unwrap_or(0) / BITS;
    (level, deadline >> (level * BITS) & (SLOTS - 1))
}

const BITS: u32 = 6;
const SLOTS: u32 = 1 << BITS;
const LEVELS: u32 = Tick::BITS.div_ceil(BITS);
const _: () = assert!(SLOTS == u64::BITS, "a bitmap is one word");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_filed_by_its_highest_differing_digit() {
        assert_eq!(slot(0, 0), (0, 0));
        assert_eq!(slot(0, 63), (0, 63));
        assert_eq!(slot(0, 64), (1, 1));
        assert_eq!(slot(63, 64), (1, 1));
        assert_eq!(slot(64, 65), (0, 1));
        assert_eq!(slot(0, Tick::MAX), (5, 3));
        assert_eq!(slot(Tick::MAX - 1, Tick::MAX), (0, 63));
    }
}
