//! Reads: parses a candidate, finds its session and verifies it. Takes a lock only if a writer
//! interferes repeatedly or the id is an alias.

use core::hint;

use bytes::BytesMut;

use super::{
    Inner, LockedShard, Record, Version,
    aliases::{AliasStep, Reuses},
    stats::Cause,
};
use crate::{
    cookie::Parts,
    id::{Id, SessionId},
    shard::{AccessUpdate, Hit, Miss, Proof, ReadClock, ReadError, ReadTime, entry::HeaderFields},
};

impl Inner {
    /// Parses, finds and verifies one candidate.
    ///
    /// A tag that equals the stored one, under a key of the ring, proves a token.
    #[inline]
    pub(super) fn verify(
        &self,
        value: &[u8],
        reuses: &mut Reuses,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        let Inner {
            keys,
            settings,
            counters,
            ..
        } = self;
        let Some(token) = Parts::parse(value) else {
            counters.count(Cause::Malformed);
            return None;
        };
        if settings.verify_first || !keys.is_valid(token.key) {
            return self.verify_whole(&token, reuses, buffer);
        }
        let id = SessionId {
            id: token.id,
            place: token.place,
        };
        let proof = Proof::Tag {
            tag: token.tag,
            key: token.key,
        };
        match self.try_read(&id, &proof, buffer) {
            Ok(found) => Some(self.hit(id, &found)),
            Err(error) => self.verify_slowly(&token, &proof, error, reuses, buffer),
        }
    }

    /// Continues after the first attempt to read found no session.
    #[cold]
    fn verify_slowly(
        &self,
        token: &Parts,
        proof: &Proof,
        error: ReadError,
        reuses: &mut Reuses,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        let id = SessionId {
            id: token.id,
            place: token.place,
        };
        match self.read_with_retry(&id, proof, error, reuses, buffer) {
            Ok(found) => Some(self.hit(id, &found)),
            Err(Miss::Unproven | Miss::Absent) => self.verify_whole(token, reuses, buffer),
            Err(miss) => self.reject(miss.into()),
        }
    }

    /// Computes the whole MAC of a token whose tag is not the stored one, or whose id is not in the
    /// cache.
    #[cold]
    fn verify_whole(
        &self,
        token: &Parts,
        reuses: &mut Reuses,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        if !self.keys.verify(token) {
            return self.reject(Cause::Forged);
        }
        let id = SessionId {
            id: token.id,
            place: token.place,
        };
        match self.read(&id, reuses, buffer) {
            Ok(found) => Some(self.hit(id, &found)),
            Err(miss) => self.reject(miss.into()),
        }
    }

    /// Counts the cause of a rejection. A reuse is counted later, when no other candidate has
    /// opened a session.
    fn reject(&self, cause: Cause) -> Option<Record> {
        if cause != Cause::Reused {
            self.counters.count(cause);
        }
        None
    }

    /// Reads by an id after the first attempt found no session.
    #[cold]
    pub(super) fn load_slowly(
        &self,
        id: &SessionId,
        error: ReadError,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        let mut reuses = Reuses::default();
        let found = match self.read_with_retry(id, &Proof::Given, error, &mut reuses, buffer) {
            Ok(found) => Some(self.hit(*id, &found)),
            Err(miss) => self.reject(miss.into()),
        };
        self.finish_read(found, &reuses, buffer)
    }

    /// Reads by an id that is already verified.
    fn read(
        &self,
        id: &SessionId,
        reuses: &mut Reuses,
        buffer: &mut BytesMut,
    ) -> Result<Hit, Miss> {
        let proof = &Proof::Given;
        self.try_read(id, proof, buffer)
            .or_else(|error| self.read_with_retry(id, proof, error, reuses, buffer))
    }

    /// Makes one attempt to read, without a lock.
    //
    // The result stays in registers until it becomes a record, because no other path joins here.
    // Passing it through memory took a quarter of the time of a hit.
    #[inline(always)]
    pub(super) fn try_read(
        &self,
        id: &SessionId,
        proof: &Proof,
        buffer: &mut BytesMut,
    ) -> Result<Hit, ReadError> {
        let candidates = self.hasher.candidates(&id.id);
        let Some(locked) = self.locked_shards.get(usize::from(id.place)) else {
            return Err(ReadError::Miss(Miss::Absent));
        };
        let found = locked.view.read(candidates, &id.id, proof, self, buffer)?;
        if found.access != AccessUpdate::None {
            self.record_access(locked, &id.id, found.access);
        }
        Ok(found)
    }

    /// Retries a torn read, and finally reads under the lock. Returns a miss unchanged, unless only
    /// the lock can decide it.
    #[cold]
    pub(super) fn read_with_retry(
        &self,
        id: &SessionId,
        proof: &Proof,
        first: ReadError,
        reuses: &mut Reuses,
        buffer: &mut BytesMut,
    ) -> Result<Hit, Miss> {
        let mut error = first;
        for attempt in 1.. {
            match error {
                ReadError::Miss(Miss::Rotated) => break,
                ReadError::Miss(miss) => return Err(miss),
                ReadError::Torn if attempt == MAX_ATTEMPTS => break,
                ReadError::Torn => hint::spin_loop(),
            }
            match self.try_read(id, proof, buffer) {
                Ok(found) => return Ok(found),
                Err(next) => error = next,
            }
        }
        self.read_locked(id, proof, reuses, buffer)
    }

    /// Creates the record of a hit, directly in its final place in memory.
    #[inline(always)]
    pub(super) fn hit(&self, id: SessionId, found: &Hit) -> Record {
        self.counters.count(Cause::Hit);
        Record {
            id,
            version: Version::new(found.meta.version()),
            user: found.user,
            assurance_level: found.meta.flags().assurance_level(),
            meta: found.meta,
            now: found.now,
        }
    }

    /// Reads under the lock, where no writer interferes and the target of an alias can be followed.
    #[cold]
    fn read_locked(
        &self,
        id: &SessionId,
        proof: &Proof,
        reuses: &mut Reuses,
        buffer: &mut BytesMut,
    ) -> Result<Hit, Miss> {
        let locked = &self.locked_shards[usize::from(id.place)];
        self.write(id.place, |shard, now| {
            let time = ReadTime {
                now,
                cutoff: self.cutoff(),
            };
            let mut read = |id, proof| {
                let candidates = self.hasher.candidates(id);
                locked
                    .view
                    .read(candidates, id, proof, time, buffer)
                    .map_err(|error| match error {
                        ReadError::Miss(miss) => miss,
                        // No writer interferes under the lock.
                        ReadError::Torn => Miss::Absent,
                    })
            };
            let found = match read(&id.id, proof) {
                Err(Miss::Rotated) => {
                    let current = shard.current_id(&id.id, now);
                    if current == Err(Miss::Reused) {
                        reuses.push(AliasStep {
                            id: *id,
                            to: shard.next_step(*id, now),
                        });
                    }
                    let found = read(&current?, &Proof::Given)?;
                    Ok(Hit {
                        meta: found.meta.by_alias(),
                        ..found
                    })
                }
                answer => answer,
            }?;
            if found.access != AccessUpdate::None {
                // The read has just found it, so this cannot fail.
                let _ = shard.touch(&id.id, now);
            }
            Ok(found)
        })
    }

    /// Records an access that a read detected. A use is skipped if another thread holds the lock,
    /// since a later read records it. A touch waits for the lock: without it the session would
    /// expire too early.
    ///
    /// The time is read again under the lock, so that a session that another read has seen expired
    /// stays expired.
    #[cold]
    pub(super) fn record_access(&self, locked: &LockedShard, id: &Id, news: AccessUpdate) {
        let shard = match news {
            AccessUpdate::Touch => Some(locked.shard.lock()),
            _ => locked.shard.try_lock(),
        };
        if let Some(mut shard) = shard {
            shard.apply_cutoff(self.cutoff());
            let now = self.now();
            // The session may have ended since.
            let _ = shard.with_panic_guard(|shard| shard.touch(id, now));
        }
    }

    /// Counts a miss, clears the buffer and handles reuses.
    #[inline]
    pub(super) fn finish_read(
        &self,
        found: Option<Record>,
        reuses: &Reuses,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        if found.is_none() {
            buffer.clear();
            self.counters.count(Cause::Miss);
            self.handle_reuses(reuses);
        }
        found
    }
}

impl ReadClock for &Inner {
    #[inline(always)]
    fn read_time(self) -> ReadTime {
        ReadTime {
            now: self.now(),
            cutoff: self.cutoff(),
        }
    }
}

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

/// Attempts before the lock is taken. A writer interferes for less than a microsecond.
pub(super) const MAX_ATTEMPTS: usize = 4;
