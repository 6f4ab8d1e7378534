//! Reading in L1: a hit, or the ids that the store is asked for.

use core::hint;

use bytes::BytesMut;

use super::L1;
use crate::{
    cache::{Inner, Record, Version, read::MAX_ATTEMPTS, stats::Cause},
    cookie::{MAX_CANDIDATES, Parts},
    id::SessionId,
    shard::{AccessUpdate, Hit, Miss, Proof, ReadError, ReadTime, entry::HeaderFields},
};

/// The result of [`L1::look_up`](super::L1::look_up).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum LookUp {
    /// The first valid candidate is in L1.
    Hit(Record),
    /// The first valid candidate is not in L1: the store decides about it, then about those after
    /// it. All valid candidates from it on, in order, whether or not they are in L1, so that the
    /// content of L1 does not decide between two sessions.
    Unknown(Candidates),
    /// There is no valid candidate.
    Absent,
}

/// An id whose full MAC is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The id.
    pub id: SessionId,
    /// The number of the key that signed its token, for
    /// [`StoredSession::key_number`](super::StoredSession).
    pub key_number: u8,
}

/// Ids of one request whose full MAC is valid, in the order of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidates([Option<Candidate>; MAX_CANDIDATES]);

/// The reason why the store did not open a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The store has no such session, or it was ended with all others.
    Unknown,
    /// The session has expired.
    Expired,
    /// The id was replaced, and its grace period is over.
    Reused,
}

impl Candidates {
    /// Returns the first candidate.
    #[must_use]
    pub fn first(&self) -> Option<Candidate> {
        self.0[0]
    }

    /// Returns an iterator over the candidates.
    pub fn iter(&self) -> impl Iterator<Item = Candidate> + use<> {
        self.0.into_iter().flatten()
    }

    /// Returns the number of candidates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// Returns true if there is no candidate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0[0].is_none()
    }
}

impl FromIterator<Candidate> for Candidates {
    fn from_iter<I: IntoIterator<Item = Candidate>>(candidates: I) -> Self {
        let mut all = Self::default();
        candidates
            .into_iter()
            .for_each(|candidate| all.push(candidate));
        all
    }
}

impl Candidates {
    /// Adds a candidate. At most as many are examined as fit.
    fn push(&mut self, candidate: Candidate) {
        if let Some(free) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(candidate);
        }
    }
}

impl L1 {
    /// Finds the first valid candidate.
    #[inline]
    pub(super) fn find<'h, const IS_USE: bool>(
        &self,
        values: impl Iterator<Item = &'h [u8]>,
        buffer: &mut BytesMut,
    ) -> LookUp {
        let inner = &self.cache.0;
        let mut unknown = Candidates::default();
        for value in values {
            if let Some(record) = inner.examine::<IS_USE>(value, &mut unknown, buffer) {
                return LookUp::Hit(record);
            }
        }
        buffer.clear();
        if IS_USE {
            inner.counters.count(Cause::Miss);
        }
        if unknown.is_empty() {
            LookUp::Absent
        } else {
            LookUp::Unknown(unknown)
        }
    }
}

impl Inner {
    pub(super) fn candidates<'h>(
        &self,
        fields: impl IntoIterator<Item = &'h [u8]>,
    ) -> impl Iterator<Item = &'h [u8]> {
        let candidates = |field| self.reader.candidates(field);
        fields.into_iter().flat_map(candidates).take(MAX_CANDIDATES)
    }

    /// Returns the record of a candidate that is in L1, unless one before it is unknown. A valid
    /// candidate that is not becomes unknown.
    ///
    /// A tag equal to the one kept, under a key that is valid, proves a token.
    #[inline]
    fn examine<const IS_USE: bool>(
        &self,
        value: &[u8],
        unknown: &mut Candidates,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        let Some(token) = Parts::parse(value) else {
            self.counters.count(Cause::Malformed);
            return None;
        };
        let may_compare = unknown.is_empty() && self.keys.is_valid(token.key);
        if self.settings.verify_first || !may_compare {
            return self.examine_whole::<IS_USE>(&token, unknown, buffer);
        }
        let id = SessionId {
            id: token.id,
            place: token.place,
        };
        let proof = Proof::Tag {
            tag: token.tag,
            key: token.key,
        };
        match self.try_read_tiered::<IS_USE>(&id, &proof, buffer) {
            Ok(found) => Some(self.tiered_hit::<IS_USE>(id, &found)),
            Err(error) => self.examine_slowly::<IS_USE>(&token, &proof, error, unknown, buffer),
        }
    }

    /// Continues where the first attempt to read found no session.
    #[cold]
    fn examine_slowly<const IS_USE: bool>(
        &self,
        token: &Parts,
        proof: &Proof,
        error: ReadError,
        unknown: &mut Candidates,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        let candidate = Candidate::of(token);
        match self.retry_tiered::<IS_USE>(&candidate.id, proof, error, buffer) {
            Ok(found) => Some(self.tiered_hit::<IS_USE>(candidate.id, &found)),
            // The tag was right. Another node may have moved the deadline.
            Err(Miss::Expired) => {
                unknown.push(candidate);
                None
            }
            Err(_) => self.examine_whole::<IS_USE>(token, unknown, buffer),
        }
    }

    /// Computes the whole MAC of a token whose tag is not the stored one, or whose id is not in L1.
    #[cold]
    fn examine_whole<const IS_USE: bool>(
        &self,
        token: &Parts,
        unknown: &mut Candidates,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        if !self.keys.verify(token) {
            self.counters.count(Cause::Forged);
            return None;
        }
        let candidate = Candidate::of(token);
        let id = candidate.id;
        // After an unknown candidate, the store decides about that one first.
        let found = unknown
            .is_empty()
            .then(|| self.read_tiered::<IS_USE>(&id, buffer).ok())
            .flatten();
        match found {
            Some(found) => Some(self.tiered_hit::<IS_USE>(id, &found)),
            None => {
                unknown.push(candidate);
                None
            }
        }
    }

    /// Returns the id of a token whose whole MAC is valid, and counts why there is none.
    pub(super) fn prove_candidate(&self, value: &[u8]) -> Option<Candidate> {
        let proven = match Parts::parse(value) {
            None => Err(Cause::Malformed),
            Some(token) if !self.keys.verify(&token) => Err(Cause::Forged),
            Some(token) => Ok(Candidate::of(&token)),
        };
        proven.map_err(|cause| self.counters.count(cause)).ok()
    }

    /// Reads by an id that the caller may use.
    pub(super) fn load_tiered<const IS_USE: bool>(
        &self,
        id: &SessionId,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        if let Ok(found) = self.read_tiered::<IS_USE>(id, buffer) {
            return Some(self.tiered_hit::<IS_USE>(*id, &found));
        }
        buffer.clear();
        if IS_USE {
            self.counters.count(Cause::Miss);
        }
        None
    }

    #[inline]
    fn read_tiered<const IS_USE: bool>(
        &self,
        id: &SessionId,
        buffer: &mut BytesMut,
    ) -> Result<Hit, Miss> {
        let proof = &Proof::Given;
        self.try_read_tiered::<IS_USE>(id, proof, buffer)
            .or_else(|error| self.retry_tiered::<IS_USE>(id, proof, error, buffer))
    }

    /// Makes one attempt to read, without a lock.
    #[inline(always)]
    fn try_read_tiered<const IS_USE: bool>(
        &self,
        id: &SessionId,
        proof: &Proof,
        buffer: &mut BytesMut,
    ) -> Result<Hit, ReadError> {
        let candidates = self.hasher.candidates(&id.id);
        let locked = &self.locked_shards[usize::from(self.place(id.place))];
        let found = locked
            .view
            .read_as::<true, IS_USE>(candidates, &id.id, id.place, proof, self, buffer)?;
        if found.access != AccessUpdate::None {
            self.record_access(locked, &id.id, found.access);
        }
        Ok(found)
    }

    /// Retries a torn read, and at last reads under the lock.
    #[cold]
    fn retry_tiered<const IS_USE: bool>(
        &self,
        id: &SessionId,
        proof: &Proof,
        first: ReadError,
        buffer: &mut BytesMut,
    ) -> Result<Hit, Miss> {
        let mut error = first;
        for _ in 1..MAX_ATTEMPTS {
            match error {
                ReadError::Miss(miss) => return Err(miss),
                ReadError::Torn => hint::spin_loop(),
            }
            match self.try_read_tiered::<IS_USE>(id, proof, buffer) {
                Ok(found) => return Ok(found),
                Err(again) => error = again,
            }
        }
        self.read_tiered_locked::<IS_USE>(id, proof, buffer)
    }

    #[cold]
    fn read_tiered_locked<const IS_USE: bool>(
        &self,
        id: &SessionId,
        proof: &Proof,
        buffer: &mut BytesMut,
    ) -> Result<Hit, Miss> {
        let (candidates, place) = (self.hasher.candidates(&id.id), self.place(id.place));
        let view = &self.locked_shards[usize::from(place)].view;
        self.write(place, |shard, now| {
            let cutoff = self.cutoff();
            let time = ReadTime { now, cutoff };
            let found = view
                .read_as::<true, IS_USE>(candidates, &id.id, id.place, proof, time, buffer)
                .map_err(|error| match error {
                    ReadError::Miss(miss) => miss,
                    // No writer interferes under the lock.
                    ReadError::Torn => Miss::Absent,
                })?;
            if found.access != AccessUpdate::None {
                // It was just found.
                let _ = shard.touch(&id.id, now);
            }
            Ok(found)
        })
    }

    /// Creates the record of what was found.
    #[inline(always)]
    fn tiered_hit<const IS_USE: bool>(&self, id: SessionId, found: &Hit) -> Record {
        if IS_USE {
            self.counters.count(Cause::Hit);
        }
        Record {
            id,
            version: Version::new(found.meta.version()),
            user: found.user,
            assurance_level: found.meta.flags().assurance_level(),
            meta: found.meta,
            now: found.now,
        }
    }
}

impl Candidate {
    fn of(token: &Parts) -> Self {
        Self {
            id: SessionId {
                id: token.id,
                place: token.place,
            },
            key_number: token.key,
        }
    }
}

impl From<Rejection> for Cause {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Unknown => Self::Unknown,
            Rejection::Expired => Self::Expired,
            Rejection::Reused => Self::Reused,
        }
    }
}
