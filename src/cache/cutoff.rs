//! The revocation cutoff: the tick before which every created session has ended.
//!
//! ```text
//!  cutoff │ the last tick in which a session was created        one word
//! ```
//!
//! `end_all` moves the cutoff past both, whatever tick the calling thread reads. Every session in a
//! shard that applies a new cutoff was therefore created before it. The shard need not examine its
//! sessions one by one. The module does not know sessions.

use crate::{
    clock::Tick,
    shard::region::Pair,
    sync::{AtomicU64, Relaxed},
};

/// A cutoff that only increases. Each access is of a single word and needs no memory ordering.
pub(super) struct RevocationCutoff(AtomicU64);

impl RevocationCutoff {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(super) fn tick(&self) -> Tick {
        Pair::unpack(self.0.load(Relaxed)).low
    }

    /// Returns the tick for a session that is created now, and records it.
    ///
    /// The tick is at least the cutoff, which may be ahead of the clock after an `end_all`. The
    /// word is written only for the first session of a tick.
    pub(super) fn creation(&self, now: Tick) -> Creation {
        let record = |word| {
            let Pair {
                low: cutoff,
                high: last,
            } = Pair::unpack(word);
            let created = now.max(cutoff);
            (created > last).then(|| Pair::new(cutoff, created).pack())
        };
        match self.0.fetch_update(Relaxed, Relaxed, record) {
            Ok(word) | Err(word) => {
                let cutoff = Pair::unpack(word).low;
                Creation {
                    created: now.max(cutoff),
                    cutoff,
                }
            }
        }
    }

    /// Ends all sessions created until now. Returns the new cutoff.
    pub(super) fn advance(&self, now: Tick) -> Tick {
        let past_both = |word| {
            let Pair {
                low: cutoff,
                high: last,
            } = Pair::unpack(word);
            Pair::new(cutoff.max(last).max(now).saturating_add(1), last)
        };
        match self
            .0
            .fetch_update(Relaxed, Relaxed, |word| Some(past_both(word).pack()))
        {
            Ok(word) | Err(word) => past_both(word).low,
        }
    }
}

/// The tick of a creation, and the cutoff at that time.
pub(super) struct Creation {
    pub(super) created: Tick,
    pub(super) cutoff: Tick,
}
