//! Facts of a record that only a tiered cache asks for.

use std::time::Duration;

use super::{StoredSession, Ticks};
use crate::{
    cache::{Record, Version},
    clock::to_duration,
    shard::entry::{Flags, HeaderFields},
};

impl Record {
    /// Returns true if this read moved the idle deadline, so that the store must learn of it.
    /// Always false in a local cache, where the deadline is the session's own.
    #[inline]
    #[must_use]
    pub fn needs_touch(&self) -> bool {
        self.meta.flags().has(Flags::TOUCHED)
    }

    /// Returns the time of the cache's clock at which the session was read.
    #[inline]
    #[must_use]
    pub fn read_at(&self) -> Ticks {
        Ticks::from_tick(self.now)
    }

    /// Returns the time of the cache's clock at which the command was sent that returned what this
    /// read found: what L1 repeats is at most that old. Zero in a local cache.
    #[inline]
    #[must_use]
    pub fn sent_at(&self) -> Ticks {
        if self.meta.flags().has(Flags::TIERED) {
            Ticks::from_tick(self.meta.sent())
        } else {
            Ticks::ZERO
        }
    }

    /// Returns the session as the store had it when it was installed, with the idle deadline of
    /// this read, for a verb of a tiered cache that goes on from a hit. The id is the one that
    /// opened it; the key is not known.
    #[must_use]
    pub fn to_stored(&self) -> StoredSession {
        let times = self.meta.times();
        StoredSession {
            serial: self.meta.serial(),
            user: self.user,
            assurance_level: self.assurance_level,
            lifetime_renewed: self.meta.flags().has(Flags::RENEWED),
            returned: true,
            idle_timeout: self.idle_timeout(),
            age: self.age(),
            issued_ago: self.id_age(),
            authenticated_ago: self.authenticated_for().unwrap_or_default(),
            idle_left: to_duration(times.idle.saturating_sub(self.now)),
            life_left: self.life_left(),
            ..StoredSession::new(self.id, self.version, self.read_at())
        }
    }

    /// Returns the idle timeout of the session.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        to_duration(self.meta.times().idle_timeout)
    }

    /// Returns the time until the end of the lifetime, however the session is used.
    #[must_use]
    pub fn life_left(&self) -> Duration {
        to_duration(self.meta.times().end.saturating_sub(self.now))
    }
}

impl Version {
    /// The highest number. No session has it: it stands for "any version" in
    /// [`L1::invalidate`](super::L1::invalidate).
    pub const MAX: Self = Self::new(u32::MAX);
}
