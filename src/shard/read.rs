//! Reading without the lock: a session is found, proven and copied out while others may write.
//!
//! Nothing is believed, a miss included, before the version of the index line says that nobody wrote
//! meanwhile (`version`); until then an offset or a length may be any number, so it is compared with the
//! region first. A reader writes nothing: that a session was used, or has to be touched, is left to the
//! caller, who does it under the lock. Under the lock a reader always succeeds.

use bytes::BytesMut;

use super::{
    Found, Miss, Moment, News, Plan, Proof,
    entry::{Facts, Flags, Head},
    glimpse::Glimpse,
    index::{Choice, Seen, Spot, Spots, Table},
    queues,
    region::{Region, Words},
    touched,
};
use crate::{clock::Tick, id::Id};

/// The words of a shard, for those who read them.
pub(crate) struct View {
    table: Table,
    region: Region,
}

impl View {
    pub(super) fn new(table: &Table, region: &Region) -> Self {
        Self { table: table.clone(), region: region.clone() }
    }

    /// Asks for what making a session at a spot will touch first, so that it is in the processor's cache by the time
    /// that the lock is held. Nothing that is seen here is believed.
    pub(crate) fn prefetch(&self, spot: Spot) {
        self.table.prefetch(spot);
        self.prefetch_victim();
    }

    /// Asks for the entry that goes for the next newcomer.
    pub(crate) fn prefetch_victim(&self) {
        self.victim().into_iter().for_each(Glimpse::prefetch);
    }

    /// Asks for what leads to that entry, which has come meanwhile.
    pub(crate) fn prefetch_links(&self, spots: &Spots) {
        if let Some(victim) = self.victim() {
            self.table.prefetch(spots.of(&victim.id()));
            victim.prefetch_neighbours();
        }
    }

    fn victim(&self) -> Option<Glimpse<'_>> {
        let words = self.region.words();
        Glimpse::at(words, queues::next_to_go(words, Plan::QUEUES)?)
    }

    /// Finds a session and copies its data out. The buffer is undefined unless it is found. `None` if
    /// somebody wrote meanwhile.
    ///
    /// The moment is asked for at the end, so that nothing that the caller waits for waits for the clock.
    #[inline(always)]
    pub(crate) fn read(
        &self,
        spot: Spot,
        id: &Id,
        proof: &Proof,
        moment: impl FnOnce() -> Moment,
        data: &mut BytesMut,
    ) -> Option<Result<Found, Miss>> {
        let words = self.region.words();
        let mut seen = self.table.see(spot, Choice::First)?;
        let mut entry = find(words, seen, spot, id)?;
        if entry.is_none() && seen.is_still() {
            seen = self.table.see(spot, Choice::Second)?;
            entry = find(words, seen, spot, id)?;
        }
        match entry {
            Some(entry) => copy(seen, entry, proof, moment, data),
            None => seen.is_still().then_some(Err(Miss::Absent)),
        }
    }
}

/// The entry of an id, if a line leads to one. `None` if the line leads out of the region.
#[inline(always)]
fn find<'r>(words: Words<'r>, seen: Seen<'_>, spot: Spot, id: &Id) -> Option<Option<Glimpse<'r>>> {
    for at in seen.offsets(spot) {
        let entry = Glimpse::at(words, at)?;
        if entry.id() == *id {
            return Some(Some(entry));
        }
    }
    Some(None)
}

/// Judges an entry, and copies its data if it may be had.
#[inline(always)]
fn copy(
    seen: Seen<'_>,
    entry: Glimpse<'_>,
    proof: &Proof,
    moment: impl FnOnce() -> Moment,
    data: &mut BytesMut,
) -> Option<Result<Found, Miss>> {
    // Each word is loaded once: one that is loaded again is loaded again, used or not.
    let facts = Facts::of(&entry);
    let is_proven = proof.holds(|| entry.stamp());
    // Now the length may be believed.
    if !seen.is_still() {
        return None;
    }
    let flags = facts.flags();
    if !is_proven {
        return Some(Err(Miss::Unproven));
    }
    if flags.has(Flags::ALIAS) {
        return Some(Err(Miss::Rotated));
    }
    fit(data, facts.len());
    entry.read(flags, data)?;
    let user = if flags.has(Flags::USER) { Some(entry.user()?) } else { None };
    if !seen.is_still() {
        return None;
    }
    let Moment { now, horizon } = moment();
    if facts.times().created < horizon {
        return Some(Err(Miss::Absent));
    }
    if facts.deadline() <= now {
        return Some(Err(Miss::Expired));
    }
    let (facts, news) = news(facts, now);
    Some(Ok(Found { user, facts, news, now }))
}

/// Makes a buffer so long.
#[inline(always)]
fn fit(data: &mut BytesMut, len: usize) {
    if data.len() < len { grow(data, len) } else { data.truncate(len) }
}

#[cold]
fn grow(data: &mut BytesMut, len: usize) {
    data.resize(len, 0);
}

#[inline(always)]
fn news(facts: Facts, now: Tick) -> (Facts, News) {
    match touched(&facts.times(), now) {
        Some(idle) => (facts.with_idle(idle), News::Touch),
        None if queues::is_news(facts.flags()) => (facts, News::Use),
        None => (facts, News::None),
    }
}
