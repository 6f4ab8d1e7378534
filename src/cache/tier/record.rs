//! Facts of a record that only a tiered cache asks for.

use std::time::Duration;

use super::Ticks;
use crate::{
    cache::{Record, Version},
    clock::to_duration,
    shard::entry::HeaderFields,
};

impl Record {
    /// Returns true if this read moved the idle deadline, so that the store must learn of it. Always false in a local
    /// cache, where the deadline is the session's own.
    #[inline]
    #[must_use]
    pub fn needs_touch(&self) -> bool {
        todo!()
    }

    /// Returns the time of the cache's clock at which the session was read.
    #[inline]
    #[must_use]
    pub fn read_at(&self) -> Ticks {
        Ticks::from_tick(self.now)
    }

    /// Returns the idle timeout of the session.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        to_duration(self.facts.times().idle_timeout)
    }

    /// Returns the time until the end of the lifetime, however the session is used.
    #[must_use]
    pub fn life_left(&self) -> Duration {
        to_duration(self.facts.times().end.saturating_sub(self.now))
    }
}

impl Version {
    /// The highest number. No session has it: it stands for "any version" in
    /// [`L1::invalidate`](super::L1::invalidate).
    pub const MAX: Self = Self::new(u32::MAX);
}
