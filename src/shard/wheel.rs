//! A hierarchical timing wheel (Varghese, Lauck 1987; levels as in Linux and tokio).
//!
//! ```text
//!  level 0   64 slots of 1 tick        a deadline is inserted on the level of the highest 6-bit digit
//!  level 1   64 slots of 64 ticks      in which it differs from the time that the wheel has reached;
//!  …         6 levels: all of a u32    one bitmap per level marks the occupied slots
//! ```
//!
//! A slot whose time has come returns its links one at a time. The caller frees the entries that
//! are due and inserts the others again. A link moves to a lower level in this way, and so does one
//! whose deadline was postponed. One call therefore takes one step, however many links a slot
//! holds. The wheel reads no clock and does not know what its links belong to.

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
    /// The number of words that the slots take in a region.
    pub const WORDS: u32 = LEVELS * SLOTS;

    /// Creates an empty wheel at tick 0, with its slots at offset `slots`.
    pub fn new(region: &Region, slots: Offset) -> Self {
        (slots..slots + Self::WORDS).for_each(|slot| list::anchor(region, slot));
        Self {
            slots,
            reached: 0,
            occupied: [0; LEVELS as usize],
        }
    }

    /// Inserts a link under its deadline. A deadline in the past is due at the next step.
    pub fn insert(&mut self, region: &Region, link: Offset, deadline: Tick) {
        let (level, digit) = slot(self.reached, deadline.max(self.reached));
        self.occupied[level as usize] |= 1 << digit;
        list::push(region, self.slots + level * SLOTS + digit, link);
    }

    /// Removes a link from its slot.
    pub fn remove(&mut self, region: &Region, link: Offset) {
        let around = list::unlink(region, link);
        if around.low == around.high {
            let slot = around.low - self.slots;
            self.occupied[(slot / SLOTS) as usize] &= !(1 << (slot % SLOTS));
        }
    }

    /// Removes one link whose slot's time has come and returns it, if there is one. It is due, or
    /// must be inserted again.
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

    /// Returns the tick that the wheel has reached: no slot that starts before it is occupied.
    pub fn reached(&self) -> Tick {
        self.reached
    }

    /// Returns true if the time of a slot has come.
    pub fn is_due(&self, now: Tick) -> bool {
        self.earliest().is_some_and(|(_, start)| start <= now)
    }

    /// Returns the occupied slot that starts earliest, and the tick at which it starts. On each
    /// level it is the lowest one, because the wheel reaches no tick before it has emptied the
    /// slots that start earlier.
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

    /// Checks the bitmaps against the slots and returns every link. For tests.
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

/// Returns the level and the digit of a deadline that is not before `reached`.
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
