//! The horizon: what was created before it has ended, with all others.
//!
//! ```text
//!  horizon │ the last tick in which something was created        one word
//! ```
//!
//! A stroke moves the horizon past both, whatever time it is for the thread that asks for it: so all that a shard
//! holds when it hears of a horizon was created before it, and nobody has to look which. Knows ticks, and nothing
//! of sessions.

use crate::{
    clock::Tick,
    shard::region::Pair,
    sync::{AtomicU64, Relaxed},
};

/// A horizon that only moves on. Each access is of one word, and orders nothing else.
pub(super) struct RevocationCutoff(AtomicU64);

impl RevocationCutoff {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(super) fn tick(&self) -> Tick {
        Pair::unpack(self.0.load(Relaxed)).low
    }

    /// The tick at which a session is created now: noted, if it is the first of its tick.
    pub(super) fn creation(&self, now: Tick) -> Creation {
        let note = |word| {
            let Pair {
                low: horizon,
                high: last,
            } = Pair::unpack(word);
            let created = now.max(horizon);
            (created > last).then(|| Pair::new(horizon, created).pack())
        };
        match self.0.fetch_update(Relaxed, Relaxed, note) {
            Ok(word) | Err(word) => {
                let horizon = Pair::unpack(word).low;
                Creation {
                    created: now.max(horizon),
                    horizon,
                }
            }
        }
    }

    /// Ends all that was created until now. Returns the new horizon.
    pub(super) fn advance(&self, now: Tick) -> Tick {
        let beyond = |word| {
            let Pair {
                low: horizon,
                high: last,
            } = Pair::unpack(word);
            Pair::new(horizon.max(last).max(now).saturating_add(1), last)
        };
        match self
            .0
            .fetch_update(Relaxed, Relaxed, |word| Some(beyond(word).pack()))
        {
            Ok(word) | Err(word) => beyond(word).low,
        }
    }
}

/// When something is created, and what was created before when has ended by then.
pub(super) struct Creation {
    pub(super) created: Tick,
    pub(super) horizon: Tick,
}
