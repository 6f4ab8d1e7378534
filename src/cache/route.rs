//! How verbs are carried out: which shard, under which lock, and at what time.
//!
//! The time by which a verb decides is read under the lock. So it is never older than a time that another thread has
//! seen before the verb decides, and what a reader has seen expired stays so.

use crossbeam_utils::CachePadded;

use super::{Inner, Maintained, SessionCache, Stripe, stats::Cause};
use crate::{
    clock::Tick,
    cookie::Parts,
    error::Error,
    id::{Home, SessionId, UserHash},
    shard::Shard,
    sync::{AtomicU32, Guard, Lock, Relaxed},
};

impl SessionCache {
    #[inline]
    pub(super) fn now(&self) -> Tick {
        self.0.settings.clock.now()
    }

    /// The id of a token whose whole MAC is right.
    pub(super) fn prove(&self, value: &[u8]) -> Option<SessionId> {
        let proven = match Parts::parse(value) {
            None => Err(Cause::Malformed),
            Some(token) if !self.0.keys.verify(&token) => Err(Cause::Forged),
            Some(token) => Ok(SessionId { id: token.id, home: token.home }),
        };
        proven.map_err(|cause| self.0.counters.count(cause)).ok()
    }

    /// What was created before this has ended.
    #[inline]
    pub(super) fn horizon(&self) -> Tick {
        self.0.horizon.tick()
    }

    /// The lock of a shard, which has heard of what ended with all others.
    pub(super) fn lock<'s>(&self, stripe: &'s Stripe) -> Guard<'s, Shard> {
        let mut shard = stripe.shard.lock();
        shard.renew(self.horizon());
        shard
    }

    /// The shards, locked one after the other.
    pub(super) fn shards(&self) -> impl Iterator<Item = Guard<'_, Shard>> {
        self.0.stripes.iter().map(|stripe| self.lock(stripe))
    }

    /// Writes to a shard, at the time at which its lock is held, and publishes what room it has.
    pub(super) fn write<R>(&self, home: Home, verb: impl FnOnce(&mut Shard, Tick) -> R) -> R {
        let stripe = &self.0.stripes[usize::from(home)];
        let mut shard = self.lock(stripe);
        let now = self.now();
        let answer = shard.attempt(|shard| verb(shard, now));
        stripe.publish(&shard);
        answer
    }

    /// Writes to the shard of an id, if there is that shard.
    pub(super) fn write_to<R>(
        &self,
        id: &SessionId,
        verb: impl FnOnce(&mut Shard, Tick) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if self.has_home(id) { self.write(id.home, verb) } else { Err(Error::Gone) }
    }

    /// Writes to two shards, locked in their order, or to one that is both. Both have heard of the same ends of all, so
    /// that a session that is live in one is not condemned in the other.
    pub(super) fn write_two<R>(
        &self,
        home: Home,
        other: Home,
        verb: impl FnOnce(&mut Shard, Option<&mut Shard>, Tick) -> R,
    ) -> R {
        if home == other {
            return self.write(home, |shard, now| verb(shard, None, now));
        }
        let [one, two] = [home, other].map(|home| &*self.0.stripes[usize::from(home)]);
        let (mut first, mut second);
        if home < other {
            first = self.lock(one);
            second = self.lock(two);
        } else {
            second = self.lock(two);
            first = self.lock(one);
        }
        let (horizon, now) = (self.horizon(), self.now());
        first.renew(horizon);
        second.renew(horizon);
        let answer = first.attempt(|first| second.attempt(|second| verb(first, Some(second), now)));
        one.publish(&first);
        two.publish(&second);
        answer
    }

    /// Frees what is due in one shard, some entries at a time. Says whether more is.
    pub(super) fn maintain_shard(&self, home: usize, budget: usize, done: &mut Maintained) -> bool {
        let stripe = &self.0.stripes[home];
        loop {
            let slice = SLICE.min(budget - done.visited);
            let mut shard = self.lock(stripe);
            let now = self.now();
            let advanced = shard.attempt(|shard| shard.advance(now, slice));
            stripe.publish(&shard);
            Lock::unlock_fair(shard);
            done.visited += advanced.visited;
            done.expired += advanced.expired;
            if !advanced.more || done.visited >= budget {
                return advanced.more;
            }
        }
    }

    /// The shard where a user's sessions live.
    pub(super) fn home_of(&self, user: &UserHash) -> Home {
        self.home(user.0[0] as u16)
    }

    pub(super) fn has_home(&self, id: &SessionId) -> bool {
        usize::from(id.home) < self.0.stripes.len()
    }

    /// The number of shards is a power of two, so that any 16 bits name one.
    pub(super) fn home(&self, bits: u16) -> Home {
        bits & (self.0.stripes.len() - 1) as u16
    }

    /// Asks the application whether there is to be a session at all. It may take its time: no lock is held.
    pub(super) fn ask_hook(&self, key: &[u8]) -> Result<(), Error> {
        let Inner { settings, counters, .. } = &*self.0;
        if settings.admit.as_ref().is_none_or(|admits| admits(key)) {
            return Ok(());
        }
        counters.count(Cause::TurnedAway);
        Err(Error::Refused)
    }

    pub(super) fn check_len(&self, data: &[u8]) -> Result<(), Error> {
        let (len, limit) = (data.len(), self.0.settings.max_session_size);
        if len > limit { Err(Error::TooLarge { len, limit }) } else { Ok(()) }
    }

    pub(super) fn full(&self) -> Error {
        self.0.counters.count(Cause::Full);
        Error::Full
    }
}

impl Stripe {
    pub(super) fn new(shard: Shard) -> Self {
        let view = CachePadded::new(shard.view());
        Self { view, room: AtomicU32::new(shard.room()), shard: Lock::new(shard) }
    }

    /// A hint for newcomers, read without the lock; nothing hangs on it.
    fn publish(&self, shard: &Shard) {
        self.room.store(shard.room(), Relaxed);
    }
}

/// Entries that are looked at under one hold of a lock: some 5 µs where each is a cache miss or two.
const SLICE: usize = 16;
