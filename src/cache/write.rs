//! Runs the verbs: selects the shard, takes its lock and reads the time.
//!
//! A verb reads its time under the lock. The time is therefore never earlier than one that another
//! thread read before, and a session that a read has seen expired stays expired.

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

    /// Returns the id of a token after computing its whole MAC, and counts a rejection.
    pub(super) fn verified_id(&self, value: &[u8]) -> Option<SessionId> {
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

    /// Returns the tick before which all sessions have ended.
    #[inline]
    pub(super) fn cutoff(&self) -> Tick {
        self.cutoff.tick()
    }

    /// Locks a shard and applies the revocation cutoff to it.
    pub(super) fn lock<'s>(&self, locked: &'s LockedShard) -> Guard<'s, Shard> {
        let mut shard = locked.shard.lock();
        shard.apply_cutoff(self.cutoff());
        shard
    }

    /// Locks the shards one after the other.
    pub(super) fn shards(&self) -> impl Iterator<Item = Guard<'_, Shard>> {
        self.locked_shards.iter().map(|locked| self.lock(locked))
    }

    /// Runs a verb on a shard under its lock, and publishes the shard's free space.
    pub(super) fn write<R>(&self, place: Place, verb: impl FnOnce(&mut Shard, Tick) -> R) -> R {
        let locked = &self.locked_shards[usize::from(place)];
        let mut shard = self.lock(locked);
        let now = self.now();
        let answer = shard.with_panic_guard(|shard| verb(shard, now));
        locked.publish(&shard);
        answer
    }

    /// Runs a verb on the shard of an id. Returns `Gone` if the shard does not exist.
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

    /// Runs a verb on two shards, which may be the same. Locks them in the order of their places,
    /// which prevents deadlocks. Applies the same cutoff to both, so that a session that is live in
    /// one is not revoked in the other.
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
        let (cutoff, now) = (self.cutoff(), self.now());
        first.apply_cutoff(cutoff);
        second.apply_cutoff(cutoff);
        let answer = first.with_panic_guard(|first| {
            second.with_panic_guard(|second| verb(first, Some(second), now))
        });
        one.publish(&first);
        two.publish(&second);
        answer
    }

    /// Frees the due entries of one shard, a few per lock hold. Returns true if more are due.
    pub(super) fn maintain_shard(
        &self,
        place: usize,
        budget: usize,
        done: &mut MaintenanceReport,
    ) -> bool {
        let locked = &self.locked_shards[place];
        loop {
            let entries = ENTRIES_PER_LOCK.min(budget - done.visited);
            let mut shard = self.lock(locked);
            let now = self.now();
            let advanced = shard.with_panic_guard(|shard| shard.advance(now, entries));
            locked.publish(&shard);
            Lock::unlock_fair(shard);
            done.visited += advanced.visited;
            done.expired += advanced.expired;
            if !advanced.more || done.visited >= budget {
                return advanced.more;
            }
        }
    }

    /// Returns the shard of a user's sessions.
    pub(super) fn place_of_user(&self, user: &UserHash) -> Place {
        self.place(user.0[0] as u16)
    }

    pub(super) fn has_shard(&self, id: &SessionId) -> bool {
        usize::from(id.place) < self.locked_shards.len()
    }

    /// Returns the shard that 16 bits choose. The number of shards is a power of two.
    pub(super) fn place(&self, bits: u16) -> Place {
        bits & (self.locked_shards.len() - 1) as u16
    }

    /// Calls the admission hook, which may take long: no lock is held.
    pub(super) fn check_admission(&self, key: &[u8]) -> Result<(), Error> {
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
            free_for_anonymous: AtomicU32::new(shard.free_for_anonymous()),
            shard: Lock::new(shard),
        }
    }

    /// Publishes the free space for creations in other threads, which read it without the lock. It
    /// is only a hint, so the store is relaxed.
    fn publish(&self, shard: &Shard) {
        self.free_for_anonymous
            .store(shard.free_for_anonymous(), Relaxed);
    }
}

/// Entries visited per lock hold: about 5 µs if each causes one or two cache misses.
const ENTRIES_PER_LOCK: usize = 16;
