//! Reading without the lock: a session is found, proven and copied out while others may write.
//!
//! Nothing is believed, a miss included, before the version of the index line says that nobody wrote
//! meanwhile (`seqlock`); until then an offset or a length may be any number, so it is compared with the
//! region first. A reader writes nothing: that a session was used, or has to be touched, is left to the
//! caller, who does it under the lock. Under the lock a reader always succeeds.

use bytes::BytesMut;

use super::{
    AccessUpdate, Hit, Layout, Miss, Proof, ReadError, ReadTime,
    entry::{EntryMeta, Flags, HeaderFields},
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

/// The words of a shard, for those who read them.
pub(crate) struct View {
    table: Table,
    region: Region,
}

impl View {
    pub(super) fn new(table: &Table, region: &Region) -> Self {
        Self {
            table: table.clone(),
            region: region.clone(),
        }
    }

    /// Asks for what making a session at a spot will touch first, so that it is in the processor's cache by the time
    /// that the lock is held. Nothing that is seen here is believed.
    pub(crate) fn prefetch(&self, spot: Candidates) {
        self.table.prefetch(spot);
        self.prefetch_victim();
    }

    /// Asks for the entry that goes for the next newcomer.
    pub(crate) fn prefetch_victim(&self) {
        self.victim().into_iter().for_each(UnlockedEntry::prefetch);
    }

    /// Asks for what leads to that entry, which has come meanwhile.
    pub(crate) fn prefetch_links(&self, spots: &IndexHasher) {
        if let Some(victim) = self.victim() {
            self.table.prefetch(spots.of(&victim.id()));
            victim.prefetch_neighbours();
        }
    }

    fn victim(&self) -> Option<UnlockedEntry<'_>> {
        let words = self.region.words();
        UnlockedEntry::at(words, eviction::next_to_go(words, Layout::QUEUES)?)
    }

    /// Finds a session and copies its data out. The buffer is undefined unless it is found.
    ///
    /// `moment` is called last, so that the lookup does not wait for the clock.
    #[inline(always)]
    pub(crate) fn read(
        &self,
        spot: Candidates,
        id: &Id,
        proof: &Proof,
        moment: impl FnOnce() -> ReadTime,
        data: &mut BytesMut,
    ) -> Result<Hit, ReadError> {
        self.read_as::<false, true>(spot, id, 0, proof, moment, data)
    }

    /// The same in the shards of a tiered cache if `TIERED`. Without `IS_USE` the idle deadline
    /// stays, and there is no news.
    //
    // Constants, so that the code for local caches is what it is without tiered ones.
    #[inline(always)]
    pub(crate) fn read_as<const TIERED: bool, const IS_USE: bool>(
        &self,
        spot: Candidates,
        id: &Id,
        place: Place,
        proof: &Proof,
        moment: impl FnOnce() -> ReadTime,
        data: &mut BytesMut,
    ) -> Result<Hit, ReadError> {
        let words = self.region.words();
        let mut seen = self.table.see(spot, Choice::First).ok_or(ReadError::Torn)?;
        let mut entry = find(words, seen, spot, id)?;
        if entry.is_none() && seen.is_still() {
            seen = self
                .table
                .see(spot, Choice::Second)
                .ok_or(ReadError::Torn)?;
            entry = find(words, seen, spot, id)?;
        }
        match entry {
            Some(entry) => copy::<TIERED, IS_USE>(seen, entry, place, proof, moment, data),
            None if seen.is_still() => Err(ReadError::Miss(Miss::Absent)),
            None => Err(ReadError::Torn),
        }
    }
}

/// Returns the entry of an id, if the bucket refers to one. An offset outside the region is torn.
#[inline(always)]
fn find<'r>(
    words: Words<'r>,
    seen: BucketSnapshot<'_>,
    spot: Candidates,
    id: &Id,
) -> Result<Option<UnlockedEntry<'r>>, ReadError> {
    for at in seen.offsets(spot) {
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
    seen: BucketSnapshot<'_>,
    entry: UnlockedEntry<'_>,
    place: Place,
    proof: &Proof,
    moment: impl FnOnce() -> ReadTime,
    data: &mut BytesMut,
) -> Result<Hit, ReadError> {
    // Each word is loaded once: one that is loaded again is loaded again, used or not.
    let facts = EntryMeta::of(&entry);
    let is_proven = proof.holds(|| entry.stamp());
    // The bucket is unchanged, so the length is valid.
    if !seen.is_still() {
        return Err(ReadError::Torn);
    }
    let flags = facts.flags();
    if !is_proven {
        return Err(ReadError::Miss(Miss::Unproven));
    }
    if flags.has(Flags::ALIAS) {
        return Err(ReadError::Miss(Miss::Rotated));
    }
    fit(data, facts.len());
    let (birth, kept_place) = if TIERED {
        entry.read_tiered(flags, data).ok_or(ReadError::Torn)?;
        entry.birth(flags).ok_or(ReadError::Torn)?
    } else {
        entry.read(flags, data).ok_or(ReadError::Torn)?;
        (0, place)
    };
    let user = if flags.has(Flags::USER) {
        Some(entry.user().ok_or(ReadError::Torn)?)
    } else {
        None
    };
    if !seen.is_still() {
        return Err(ReadError::Torn);
    }
    // The tag covers the whole place, of which a part determined the shard.
    if TIERED && kept_place != place {
        return Err(ReadError::Miss(Miss::Unproven));
    }
    let ReadTime { now, horizon } = moment();
    if facts.times().created < horizon {
        return Err(ReadError::Miss(Miss::Absent));
    }
    if facts.deadline() <= now {
        return Err(ReadError::Miss(Miss::Expired));
    }
    let (facts, news) = if IS_USE {
        news(facts, now)
    } else {
        (facts, AccessUpdate::None)
    };
    let facts = if TIERED {
        facts.of_tiered(birth, news == AccessUpdate::Touch)
    } else {
        facts
    };
    Ok(Hit {
        user,
        facts,
        news,
        now,
    })
}

/// Sets the length of a buffer. It never shrinks the capacity.
#[inline(always)]
fn fit(data: &mut BytesMut, len: usize) {
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
fn news(facts: EntryMeta, now: Tick) -> (EntryMeta, AccessUpdate) {
    match touched(&facts.times(), now) {
        Some(idle) => (facts.with_idle(idle), AccessUpdate::Touch),
        None if eviction::is_news(facts.flags()) => (facts, AccessUpdate::Use),
        None => (facts, AccessUpdate::None),
    }
}
