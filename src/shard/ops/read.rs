//! Reads without the lock: a session is found, proven and copied while other threads may write.
//!
//! No result is valid, a miss included, until the sequence of the index bucket shows that no writer
//! interfered (`seqlock`). Until then an offset or a length may have any value, so it is checked
//! against the bounds of the region. A reader writes nothing. Recording a use and moving the idle
//! deadline are left to the caller, who does it under the lock. Under the lock a read is never
//! torn.
//!
//! An id has two candidate buckets, and the second is read only if the id is not in the first. The
//! miss in the first bucket is validated before that. An id stays in its bucket until it is
//! removed. Two validated misses therefore mean that the id was absent at some time during the
//! read.

use bytes::BytesMut;

use crate::shard::{
    AccessUpdate, Hit, Layout, Miss, Proof, ReadError, ReadTime,
    entry::{EntryMeta, Flags, HeaderFields, Origin},
    eviction,
    index::{BucketSnapshot, Candidates, Choice, IndexHasher, Table},
    region::{Region, Words},
    touched,
    unlocked_entry::UnlockedEntry,
};
use crate::{
    clock::Tick,
    id::{Id, Place},
};

/// The words of a shard, for readers.
pub(crate) struct View {
    table: Table,
    region: Region,
}

impl View {
    pub(in crate::shard) fn new(table: &Table, region: &Region) -> Self {
        Self {
            table: table.clone(),
            region: region.clone(),
        }
    }

    /// Prefetches the words that creating a session touches first, before the lock is taken. The
    /// words are not validated, because a wrong prefetch has no effect.
    pub(crate) fn prefetch(&self, candidates: Candidates) {
        self.table.prefetch(candidates);
        self.prefetch_victim();
    }

    /// Prefetches the entry that is probably evicted next.
    pub(crate) fn prefetch_victim(&self) {
        self.victim().into_iter().for_each(UnlockedEntry::prefetch);
    }

    /// Prefetches the buckets and neighbours of that entry, whose words were prefetched before.
    pub(crate) fn prefetch_links(&self, hasher: &IndexHasher) {
        if let Some(victim) = self.victim() {
            self.table.prefetch(hasher.candidates(&victim.id()));
            victim.prefetch_neighbours();
        }
    }

    fn victim(&self) -> Option<UnlockedEntry<'_>> {
        let words = self.region.words();
        UnlockedEntry::at(words, eviction::likely_victim(words, Layout::QUEUES)?)
    }

    /// Finds a session and copies its data out. The contents of the buffer are unspecified on an
    /// error.
    ///
    /// The clock is read last, so that the lookup does not wait for it.
    #[inline(always)]
    pub(crate) fn read(
        &self,
        candidates: Candidates,
        id: &Id,
        proof: &Proof,
        clock: impl ReadClock,
        data: &mut BytesMut,
    ) -> Result<Hit, ReadError> {
        self.read_as::<false, true>(candidates, id, 0, proof, clock, data)
    }

    /// Reads like [`read`](Self::read). `TIERED` stands for the shards of a tiered cache. Without
    /// `IS_USE` the read moves no idle deadline and detects no access.
    //
    // The parameters are constants, so that local caches run the same code as without tiered ones.
    #[inline(always)]
    pub(crate) fn read_as<const TIERED: bool, const IS_USE: bool>(
        &self,
        candidates: Candidates,
        id: &Id,
        place: Place,
        proof: &Proof,
        clock: impl ReadClock,
        data: &mut BytesMut,
    ) -> Result<Hit, ReadError> {
        let words = self.region.words();
        let mut snapshot = self
            .table
            .snapshot(candidates, Choice::First)
            .ok_or(ReadError::Torn)?;
        let mut entry = find(words, snapshot, candidates, id)?;
        if entry.is_none() && snapshot.validate() {
            snapshot = self
                .table
                .snapshot(candidates, Choice::Second)
                .ok_or(ReadError::Torn)?;
            entry = find(words, snapshot, candidates, id)?;
        }
        match entry {
            Some(entry) => copy::<TIERED, IS_USE>(snapshot, entry, place, proof, clock, data),
            None if snapshot.validate() => Err(ReadError::Miss(Miss::Absent)),
            None => Err(ReadError::Torn),
        }
    }
}

/// Returns the time of a read.
//
// A trait and not a closure, because its method can be inlined always: as a call it took 15 of a
// hit's 370 instructions.
pub(crate) trait ReadClock {
    fn read_time(self) -> ReadTime;
}

/// The time of a read under the lock.
impl ReadClock for ReadTime {
    #[inline(always)]
    fn read_time(self) -> ReadTime {
        self
    }
}

/// Returns the entry of an id, if the bucket refers to one. An offset outside the region is torn.
#[inline(always)]
fn find<'r>(
    words: Words<'r>,
    snapshot: BucketSnapshot<'_>,
    candidates: Candidates,
    id: &Id,
) -> Result<Option<UnlockedEntry<'r>>, ReadError> {
    for at in snapshot.offsets(candidates) {
        let entry = UnlockedEntry::at(words, at).ok_or(ReadError::Torn)?;
        if entry.id() == *id {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// Checks an entry, and copies its data if the session opens.
#[inline(always)]
fn copy<const TIERED: bool, const IS_USE: bool>(
    snapshot: BucketSnapshot<'_>,
    entry: UnlockedEntry<'_>,
    place: Place,
    proof: &Proof,
    clock: impl ReadClock,
    data: &mut BytesMut,
) -> Result<Hit, ReadError> {
    // Each word is loaded once, because the compiler does not merge two loads of an atomic word.
    let meta = EntryMeta::of(&entry);
    let is_proven = proof.holds(|| entry.token());
    // The sequence is unchanged, so the length is valid.
    if !snapshot.validate() {
        return Err(ReadError::Torn);
    }
    let flags = meta.flags();
    if !is_proven {
        return Err(ReadError::Miss(Miss::Unproven));
    }
    if flags.has(Flags::ALIAS) {
        return Err(ReadError::Miss(Miss::Rotated));
    }
    resize(data, meta.len());
    let origin = if TIERED {
        entry.read_tiered(flags, data).ok_or(ReadError::Torn)?;
        entry.origin(flags).ok_or(ReadError::Torn)?
    } else {
        entry.read(flags, data).ok_or(ReadError::Torn)?;
        Origin {
            birth: 0,
            place,
            lag: 0,
        }
    };
    let user = if flags.has(Flags::USER) {
        Some(entry.user().ok_or(ReadError::Torn)?)
    } else {
        None
    };
    if !snapshot.validate() {
        return Err(ReadError::Torn);
    }
    // The tag covers the whole place, of which a part determined the shard.
    if TIERED && origin.place != place {
        return Err(ReadError::Miss(Miss::Unproven));
    }
    let ReadTime { now, cutoff } = clock.read_time();
    if meta.times().created < cutoff {
        return Err(ReadError::Miss(Miss::Absent));
    }
    if meta.deadline() <= now {
        return Err(ReadError::Miss(Miss::Expired));
    }
    let (meta, access) = if IS_USE {
        access_update(meta, now)
    } else {
        (meta, AccessUpdate::None)
    };
    let meta = if TIERED {
        meta.of_tiered(origin, access == AccessUpdate::Touch)
    } else {
        meta
    };
    Ok(Hit {
        user,
        meta,
        access,
        now,
    })
}

/// Sets the length of a buffer. It never shrinks the capacity.
#[inline(always)]
fn resize(data: &mut BytesMut, len: usize) {
    if data.len() < len {
        grow(data, len);
    } else {
        data.truncate(len);
    }
}

#[cold]
fn grow(data: &mut BytesMut, len: usize) {
    data.resize(len, 0);
}

#[inline(always)]
fn access_update(meta: EntryMeta, now: Tick) -> (EntryMeta, AccessUpdate) {
    match touched(&meta.times(), now) {
        Some(idle) => (meta.with_idle(idle), AccessUpdate::Touch),
        None if eviction::records_use(meta.flags()) => (meta, AccessUpdate::Use),
        None => (meta, AccessUpdate::None),
    }
}
