//! How verbs are carried out: which shard, under which lock, and what happens outside of it.

use core::hint;

use bytes::BytesMut;
use crossbeam::utils::CachePadded;

use super::{
    Inner, Issued, MINTS, Maintained, Record, SessionCache, Stripe,
    aliases::{Reuses, Step},
    stats::Cause,
};
use crate::{
    clock::{Tick, to_tick},
    config::Deadlines,
    cookie::{Parts, Token},
    error::Error,
    id::{Home, Id, SessionId, UserHash},
    shard::{
        Found, Miss, Moment, News, Proof, Refusal, Shard,
        entry::{FIRST_VERSION, Head, Stamp, Times},
    },
    sync::{AtomicU32, Guard, Lock, Relaxed},
};

impl SessionCache {
    #[inline]
    pub(super) fn now(&self) -> Tick {
        self.0.settings.clock.now()
    }

    /// Parses, finds and proves one candidate.
    ///
    /// A tag equal to the one kept, under a key that is valid, proves a token.
    #[inline]
    pub(super) fn verify(
        &self,
        value: &[u8],
        reuses: &mut Reuses,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        let Inner { keys, settings, counters, .. } = &*self.0;
        let Some(token) = Parts::parse(value) else {
            counters.count(Cause::Malformed);
            return None;
        };
        if settings.verify_first || !keys.is_valid(token.key) {
            return self.verify_whole(&token, reuses, buffer);
        }
        let id = SessionId { id: token.id, home: token.home };
        let proof = Proof::Tag { tag: token.tag, key: token.key };
        match self.glance(&id, &proof, buffer) {
            Ok(found) => Some(self.hit(id, &found)),
            Err(unsettled) => self.verify_further(&token, &proof, unsettled, reuses, buffer),
        }
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

    /// What a glance did not settle.
    #[cold]
    fn verify_further(
        &self,
        token: &Parts,
        proof: &Proof,
        unsettled: Unsettled,
        reuses: &mut Reuses,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        let id = SessionId { id: token.id, home: token.home };
        match self.settle(&id, proof, unsettled, reuses, buffer) {
            Ok(found) => Some(self.hit(id, &found)),
            Err(Miss::Unproven | Miss::Absent) => self.verify_whole(token, reuses, buffer),
            Err(miss) => self.reject(miss.into()),
        }
    }

    /// The whole MAC is computed before anything is said of a token whose tag is not the one kept, or
    /// whose id is not there.
    #[cold]
    fn verify_whole(
        &self,
        token: &Parts,
        reuses: &mut Reuses,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        if !self.0.keys.verify(token) {
            return self.reject(Cause::Forged);
        }
        let id = SessionId { id: token.id, home: token.home };
        let proof = &Proof::Given;
        let found = self
            .glance(&id, proof, buffer)
            .or_else(|unsettled| self.settle(&id, proof, unsettled, reuses, buffer));
        match found {
            Ok(found) => Some(self.hit(id, &found)),
            Err(miss) => self.reject(miss.into()),
        }
    }

    /// Counts why a candidate opens nothing. A reuse is counted when the others were tried.
    fn reject(&self, cause: Cause) -> Option<Record> {
        if cause != Cause::Reused {
            self.0.counters.count(cause);
        }
        None
    }

    /// The same of a read by a bare id.
    #[cold]
    pub(super) fn load_further(
        &self,
        id: &SessionId,
        unsettled: Unsettled,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        let mut reuses = Reuses::default();
        let found = match self.settle(id, &Proof::Given, unsettled, &mut reuses, buffer) {
            Ok(found) => Some(self.hit(*id, &found)),
            Err(miss) => self.reject(miss.into()),
        };
        self.answer(found, &reuses, buffer)
    }

    /// Reads from the shard of an id, if there is that shard, as far as that goes at once and without its lock.
    //
    // What is found here meets nothing that was found otherwise until it is a record, so it stays in
    // registers: through memory, in pieces of several sizes, it took a quarter of the time of a hit.
    #[inline(always)]
    pub(super) fn glance(
        &self,
        id: &SessionId,
        proof: &Proof,
        buffer: &mut BytesMut,
    ) -> Result<Found, Unsettled> {
        let spot = self.0.spots.of(&id.id);
        let Some(stripe) = self.0.stripes.get(usize::from(id.home)) else {
            return Err(Unsettled(Some(Miss::Absent)));
        };
        match stripe.view.read(spot, &id.id, proof, || self.moment(), buffer) {
            Some(Ok(found)) => {
                if found.news != News::None {
                    self.note(stripe, &id.id, found.news, found.now);
                }
                Ok(found)
            }
            answer => Err(Unsettled(answer.and_then(Result::err))),
        }
    }

    /// What a glance leaves: another where somebody was writing, under the lock at last, and a miss as it is, unless
    /// only the lock can tell.
    pub(super) fn settle(
        &self,
        id: &SessionId,
        proof: &Proof,
        mut unsettled: Unsettled,
        reuses: &mut Reuses,
        buffer: &mut BytesMut,
    ) -> Result<Found, Miss> {
        for round in 1.. {
            match unsettled.0 {
                Some(Miss::Rotated) => break,
                Some(miss) => return Err(miss),
                None if round == ROUNDS => break,
                None => hint::spin_loop(),
            }
            match self.glance(id, proof, buffer) {
                Ok(found) => return Ok(found),
                Err(again) => unsettled = again,
            }
        }
        self.find_locked(id, proof, reuses, buffer)
    }

    #[inline(always)]
    fn moment(&self) -> Moment {
        Moment { now: self.now(), horizon: self.horizon() }
    }

    /// The record of what was found, written once, where it is to be.
    #[inline(always)]
    pub(super) fn hit(&self, id: SessionId, found: &Found) -> Record {
        self.0.counters.count(Cause::Hit);
        Record {
            id,
            version: found.facts.version(),
            user: found.user,
            assurance: found.facts.flags().assurance(),
            facts: found.facts,
            now: found.now,
        }
    }

    /// Reads where writers were in the way, of which there are none under the lock, or by an id that the session
    /// had before.
    #[cold]
    fn find_locked(
        &self,
        id: &SessionId,
        proof: &Proof,
        reuses: &mut Reuses,
        buffer: &mut BytesMut,
    ) -> Result<Found, Miss> {
        let stripe = &self.0.stripes[usize::from(id.home)];
        let moment = self.moment();
        self.write(id.home, |shard| {
            let mut read = |id, proof| {
                let spot = self.0.spots.of(id);
                let answer = stripe.view.read(spot, id, proof, || moment, buffer);
                answer.unwrap_or(Err(Miss::Absent))
            };
            let found = match read(&id.id, proof) {
                Err(Miss::Rotated) => {
                    let current = shard.current(&id.id, moment.now);
                    if current == Err(Miss::Reused) {
                        reuses.note(Step { id: *id, to: shard.next_step(*id, moment.now) });
                    }
                    let found = read(&current?, &Proof::Given)?;
                    Ok(Found { facts: found.facts.by_alias(), ..found })
                }
                answer => answer,
            }?;
            if found.news != News::None {
                // It was just found.
                let _ = shard.touch(&id.id, moment.now);
            }
            Ok(found)
        })
    }

    /// Notes what a read found out. That it was used is left out if somebody holds the lock, since it is one
    /// use of many; a touch is not, or the session would be refused too early.
    #[cold]
    fn note(&self, stripe: &Stripe, id: &Id, news: News, now: Tick) {
        let shard = match news {
            News::Touch => Some(stripe.shard.lock()),
            _ => stripe.shard.try_lock(),
        };
        if let Some(mut shard) = shard {
            shard.renew(self.horizon());
            // It may have gone meanwhile.
            let _ = shard.attempt(|shard| shard.touch(id, now));
        }
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

    /// Counts a miss, and leaves nothing in the buffer.
    #[inline]
    pub(super) fn answer(
        &self,
        found: Option<Record>,
        reuses: &Reuses,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        if found.is_none() {
            buffer.clear();
            self.0.counters.count(Cause::Miss);
            self.act_on(reuses);
        }
        found
    }

    /// Writes to a shard, and publishes what room it has.
    pub(super) fn write<R>(&self, home: Home, verb: impl FnOnce(&mut Shard) -> R) -> R {
        let stripe = &self.0.stripes[usize::from(home)];
        let mut shard = self.lock(stripe);
        let answer = shard.attempt(verb);
        stripe.publish(&shard);
        answer
    }

    /// Writes to the shard of an id, if there is that shard.
    pub(super) fn write_to<R>(
        &self,
        id: &SessionId,
        verb: impl FnOnce(&mut Shard) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if self.has_home(id) { self.write(id.home, verb) } else { Err(Error::Gone) }
    }

    /// Writes to two shards, locked in their order, or to one that is both.
    pub(super) fn write_two<R>(
        &self,
        home: Home,
        other: Home,
        verb: impl FnOnce(&mut Shard, Option<&mut Shard>) -> R,
    ) -> R {
        if home == other {
            return self.write(home, |shard| verb(shard, None));
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
        let answer = first.attempt(|first| second.attempt(|second| verb(first, Some(second))));
        one.publish(&first);
        two.publish(&second);
        answer
    }

    /// Has a session moved to a new id, which is free.
    pub(super) fn reissue(
        &self,
        old: &SessionId,
        home: Home,
        verb: impl Fn(&Issued, &Stamp) -> Result<u32, Refusal>,
    ) -> Result<Issued, Error> {
        if self.has_home(old) { self.issue_in(home, verb) } else { Err(Error::Gone) }
    }

    /// Mints ids until one is free, and has a session take it.
    pub(super) fn issue_in(
        &self,
        home: Home,
        verb: impl Fn(&Issued, &Stamp) -> Result<u32, Refusal>,
    ) -> Result<Issued, Error> {
        for _ in 0..MINTS {
            let (id, _) = self.mint()?;
            let (issued, stamp) = self.issue(SessionId { id, home });
            match verb(&issued, &stamp) {
                Ok(version) => return Ok(Issued { version, ..issued }),
                Err(Refusal::Gone) => return Err(Error::Gone),
                Err(Refusal::Rotated) => return Err(Error::Rotated),
                Err(Refusal::Conflict) => return Err(Error::Conflict),
                Err(Refusal::Over) => return Err(Error::LifetimeOver),
                Err(Refusal::TooMany) => return Err(Error::TooManySessions),
                Err(Refusal::Full) => break,
                Err(Refusal::Taken) => {}
            }
        }
        Err(self.full())
    }

    /// Frees what is due in one shard, some entries at a time. Says whether more is.
    pub(super) fn maintain_shard(&self, home: usize, budget: usize, done: &mut Maintained) -> bool {
        let stripe = &self.0.stripes[home];
        let now = self.now();
        loop {
            let slice = SLICE.min(budget - done.visited);
            let mut shard = self.lock(stripe);
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

    /// A new id, and two shards with the one that has more room first, drawn at random: in one
    /// call, since that is what takes the time.
    pub(super) fn mint(&self) -> Result<(Id, [Home; 2]), Error> {
        let mut bytes = [0; Id::LEN + 4];
        (self.0.settings.entropy)(&mut bytes)?;
        let [id @ .., a, b, c, d] = bytes;
        let homes = self.two_homes(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let [first, second] =
            homes.map(|home| self.0.stripes[usize::from(home)].room.load(Relaxed));
        let homes = if second > first { [homes[1], homes[0]] } else { homes };
        Ok((Id::from_bytes(id), homes))
    }

    /// Two different shards, if there are two.
    fn two_homes(&self, one: u16, other: u16) -> [Home; 2] {
        let first = self.home(one);
        let others = self.0.stripes.len() as u16 - 1;
        let step = other.checked_rem(others).map_or(0, |step| step + 1);
        [first, first ^ step]
    }

    /// The token of an id, and what an entry keeps of it.
    pub(super) fn issue(&self, id: SessionId) -> (Issued, Stamp) {
        let parts = self.0.keys.sign(id.home, &id.id);
        let stamp = Stamp { id: id.id, tag: parts.tag, key: parts.key };
        (Issued { id, token: Token::encode(&parts), version: FIRST_VERSION }, stamp)
    }

    /// The shard where a user's sessions live.
    pub(super) fn home_of(&self, user: &UserHash) -> Home {
        self.home(user.0[0] as u16)
    }

    pub(super) fn has_home(&self, id: &SessionId) -> bool {
        usize::from(id.home) < self.0.stripes.len()
    }

    /// The number of shards is a power of two, so that any 16 bits name one.
    fn home(&self, bits: u16) -> Home {
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

    pub(super) fn new_times(&self, deadlines: Deadlines, now: Tick) -> Times {
        let Inner { idle_timeout, lifetime, .. } = *self.0;
        let end = now.saturating_add(lifetime);
        let created = self.0.horizon.creation(now);
        let times = Times { created, authenticated: 0, issued: now, idle: 0, end, idle_timeout };
        self.change(times, now, deadlines, now)
    }

    /// A session's times under new deadlines, capped by the cache's. Its lifetime counts from `start`.
    pub(super) fn change(
        &self,
        times: Times,
        start: Tick,
        deadlines: Deadlines,
        now: Tick,
    ) -> Times {
        let cap = |own: Option<_>, cap: Tick| own.map(|span| to_tick(span).min(cap));
        let idle_timeout =
            cap(deadlines.idle_timeout, self.0.idle_timeout).unwrap_or(times.idle_timeout);
        let lifetime = cap(deadlines.lifetime, self.0.lifetime);
        // Several ends of all in one tick have what comes after them created in one to come.
        let start = start.min(now);
        let mut end = lifetime.map_or(times.end, |lifetime| start.saturating_add(lifetime));
        if let Some(span) = deadlines.lifetime_from_now {
            let most = start.saturating_add(self.0.lifetime);
            end = now.saturating_add(to_tick(span)).min(most);
        }
        Times { idle: now.saturating_add(idle_timeout), end, idle_timeout, ..times }
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

/// What came of a glance that found nothing: why, or nothing if somebody was writing.
pub(super) struct Unsettled(Option<Miss>);

impl From<Miss> for Cause {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::Unproven => Self::Forged,
            Miss::Absent => Self::Unknown,
            Miss::Expired => Self::Expired,
            Miss::Rotated | Miss::Reused => Self::Reused,
        }
    }
}

/// Attempts before the lock is taken: writers are odd for less than a microsecond.
const ROUNDS: usize = 4;

/// Entries that are looked at under one hold of a lock: some 5 µs where each is a cache miss or two.
const SLICE: usize = 16;
