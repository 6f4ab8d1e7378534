//! Reading: a candidate is parsed, found and proven, without a lock unless a writer is in the way or the id is an
//! alias.

use core::hint;

use bytes::BytesMut;

use super::{
    Inner, Record, SessionCache, Stripe,
    aliases::{Reuses, Step},
    stats::Cause,
};
use crate::{
    cookie::Parts,
    id::{Id, SessionId},
    shard::{Found, Miss, Moment, News, Proof, entry::Head},
};

impl SessionCache {
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
                    self.note(stripe, &id.id, found.news);
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
        self.write(id.home, |shard, now| {
            let moment = Moment { now, horizon: self.horizon() };
            let mut read = |id, proof| {
                let spot = self.0.spots.of(id);
                let answer = stripe.view.read(spot, id, proof, || moment, buffer);
                answer.unwrap_or(Err(Miss::Absent))
            };
            let found = match read(&id.id, proof) {
                Err(Miss::Rotated) => {
                    let current = shard.current(&id.id, now);
                    if current == Err(Miss::Reused) {
                        reuses.note(Step { id: *id, to: shard.next_step(*id, now) });
                    }
                    let found = read(&current?, &Proof::Given)?;
                    Ok(Found { facts: found.facts.by_alias(), ..found })
                }
                answer => answer,
            }?;
            if found.news != News::None {
                // It was just found.
                let _ = shard.touch(&id.id, now);
            }
            Ok(found)
        })
    }

    /// Notes what a read found out. That it was used is left out if another thread holds the lock, since it is one
    /// use of many; a touch is not, or the session would expire too early.
    ///
    /// The time is read again under the lock: a session that another read has seen expired stays so.
    #[cold]
    fn note(&self, stripe: &Stripe, id: &Id, news: News) {
        let shard = match news {
            News::Touch => Some(stripe.shard.lock()),
            _ => stripe.shard.try_lock(),
        };
        if let Some(mut shard) = shard {
            shard.renew(self.horizon());
            let now = self.now();
            // It may have ended since.
            let _ = shard.attempt(|shard| shard.touch(id, now));
        }
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
