//! Points in time of an L1, which a lease is compared with.

use std::time::Duration;

use crate::clock::{TICK, Tick, to_duration, to_tick};

/// A point in time of the clock of an [`L1`](super::L1), in ticks of 100 ms: monotonic, and
/// comparable with those of the same cache only.
///
/// Its number fits an atomic word, so one relaxed load tells whether a lease that is kept there is
/// over: `record.read_at() < Ticks::new(word.load(Relaxed))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(Tick);

impl Ticks {
    /// The length of one tick.
    pub const LENGTH: Duration = TICK;

    /// The beginning of the clock, before any reading of it.
    pub const ZERO: Self = Self(0);

    /// Creates a point in time from its number.
    #[inline]
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the point in time `span` later, in whole ticks, rounded down.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(to_tick(span)))
    }

    /// Returns the time since `earlier`, or zero if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        to_duration(self.0.saturating_sub(earlier.0))
    }

    #[inline]
    pub(in crate::cache) const fn from_tick(tick: Tick) -> Self {
        Self(tick)
    }

    #[inline]
    pub(in crate::cache) const fn tick(self) -> Tick {
        self.0
    }
}
