//! How verbs are carried out: which shard, under which lock, and at what time.
//!
//! The time by which a verb decides is read under the lock. So it is never older than a time that another thread has
//! seen before the verb decides, and what a reader has seen expired stays so.

use crossbeam::utils::CachePadded;

use super::{Inner, LockedShard, MaintenanceReport, stats::Cause};
use crate::{
    clock::Tick,
    cookie::Parts,
    error::Error,
    id::{Place, SessionId, UserHash},
    shard::Shard,
    sync::{AtomicU32, Guard, Lock, Relaxed},
};

impl Inner {
    #[inline]
    pub(super) fn now(&self) -> Tick {
        self.settings.clock.now()
    }

    /// The id of a token whose whole MAC is right.
    pub(super) fn prove(&self, value: &[u8]) -> Option<SessionId> {
        let proven = match Parts::parse(value) {
            None => Err(Cause::Malformed),
            Some(token) if !self.keys.verify(&token) => Err(Cause::Forged),
            Some(token) => Ok(SessionId {
                id: token.id,
                place: token.place,
            }),
        };
        proven.map_err(|cause| self.counters.count(cause)).ok()
    }

    /// What was created before this has ended.
    #[inline]
    pub(super) fn horizon(&self) -> Tick {
        self.horizon.tick()
    }

    /// The lock of a shard, which has heard of what ended with all others.
    pub(super) fn lock<'s>(&self, locked: &'s LockedShard) -> Guard<'s, Shard> {
        let mut shard = locked.shard.lock();
        shard.apply_cutoff(self.horizon());
        shard
    }

    /// The shards, locked one after the other.
    pub(super) fn shards(&self) -> impl Iterator<Item = Guard<'_, Shard>> {
        self.locked_shards.iter().map(|locked| self.lock(locked))
    }

    /// Writes to a shard, at the time at which its lock is held, and publishes what room it has.
    pub(super) fn write<R>(&self, place: Place, verb: impl FnOnce(&mut Shard, Tick) -> R) -> R {
        let locked = &self.locked_shards[usize::from(place)];
        let mut shard = self.lock(locked);
        let now = self.now();
        let answer = shard.with_panic_guard(|shard| verb(shard, now));
        locked.publish(&shard);
        answer
    }

    /// Writes to the shard of an id, if there is that shard.
    pub(super) fn write_to<R>(
        &self,
        id: &SessionId,
        verb: impl FnOnce(&mut Shard, Tick) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if self.has_shard(id) {
            self.write(id.place, verb)
        } else {
            Err(Error::Gone)
        }
    }

    /// Writes to two shards, locked in their order, or to one that is both. Both have heard of the same ends of all, so
    /// that a session that is live in one is not condemned in the other.
    pub(super) fn write_two<R>(
        &self,
        place: Place,
        other: Place,
        verb: impl FnOnce(&mut Shard, Option<&mut Shard>, Tick) -> R,
    ) -> R {
        if place == other {
            return self.write(place, |shard, now| verb(shard, None, now));
        }
        let [one, two] = [place, other].map(|place| &*self.locked_shards[usize::from(place)]);
        let (mut first, mut second);
        if place < other {
            first = self.lock(one);
            second = self.lock(two);
        } else {
            second = self.lock(two);
            first = self.lock(one);
        }
        let (horizon, now) = (self.horizon(), self.now());
        first.apply_cutoff(horizon);
        second.apply_cutoff(horizon);
        let answer = first.with_panic_guard(|first| {
            second.with_panic_guard(|second| verb(first, Some(second), now))
        });
        one.publish(&first);
        two.publish(&second);
        answer
    }

    /// Frees what is due in one shard, some entries at a time. Says whether more is.
    pub(super) fn maintain_shard(
        &self,
        place: usize,
        budget: usize,
        done: &mut MaintenanceReport,
    ) -> bool {
        let locked = &self.locked_shards[place];
        loop {
            let slice = SLICE.min(budget - done.visited);
            let mut shard = self.lock(locked);
            let now = self.now();
            let advanced = shard.with_panic_guard(|shard| shard.advance(now, slice));
            locked.publish(&shard);
            Lock::unlock_fair(shard);
            done.visited += advanced.visited;
            done.expired += advanced.expired;
            if !advanced.more || done.visited >= budget {
                return advanced.more;
            }
        }
    }

    /// The shard where a user's sessions live.
    pub(super) fn place_of_user(&self, user: &UserHash) -> Place {
        self.place(user.0[0] as u16)
    }

    pub(super) fn has_shard(&self, id: &SessionId) -> bool {
        usize::from(id.place) < self.locked_shards.len()
    }

    /// The number of shards is a power of two, so that any 16 bits name one.
    pub(super) fn place(&self, bits: u16) -> Place {
        bits & (self.locked_shards.len() - 1) as u16
    }

    /// Asks the application whether there is to be a session at all. It may take its time: no lock is held.
    pub(super) fn ask_hook(&self, key: &[u8]) -> Result<(), Error> {
        let Inner {
            settings, counters, ..
        } = self;
        if settings.admission.as_ref().is_none_or(|admits| admits(key)) {
            return Ok(());
        }
        counters.count(Cause::AdmissionDenied);
        Err(Error::AdmissionDenied)
    }

    pub(super) fn check_len(&self, data: &[u8]) -> Result<(), Error> {
        let (given, max) = (data.len(), self.settings.max_session_size);
        if given > max {
            Err(Error::TooLarge { given, max })
        } else {
            Ok(())
        }
    }

    pub(super) fn full(&self) -> Error {
        self.counters.count(Cause::Full);
        Error::Full
    }
}

impl LockedShard {
    pub(super) fn new(shard: Shard) -> Self {
        let view = CachePadded::new(shard.view());
        Self {
            view,
            room: AtomicU32::new(shard.free_for_anonymous()),
            shard: Lock::new(shard),
        }
    }

    /// A hint for newcomers, read without the lock; nothing hangs on it.
    fn publish(&self, shard: &Shard) {
        self.room.store(shard.free_for_anonymous(), Relaxed);
    }
}

/// Entries that are looked at under one hold of a lock: some 5 µs where each is a cache miss or two.
const SLICE: usize = 16;
