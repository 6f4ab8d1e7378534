//! Reading without the lock: a session is found, proven and copied out while others may write.
//!
//! Nothing is believed, a miss included, before the version of the index line says that nobody wrote
//! meanwhile (`version`); until then an offset or a length may be any number, so it is compared with the
//! region first. A reader writes nothing: that a session was used, or has to be touched, is left to the
//! caller, who does it under the lock. Under the lock a reader always succeeds.

use core::hint;

use bytes::BytesMut;

use super::{
    Found, Miss, Moment, News, Plan, Proof,
    entry::{Facts, Flags, Head},
    glimpse::Glimpse,
    index::{Choice, Seen, Spot, Table},
    queues,
    region::Region,
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

    /// Finds a session and copies its data out. The buffer is undefined unless it is found. `None` if
    /// somebody wrote at each attempt.
    ///
    /// The moment is asked for once the index line is on its way, which takes as long.
    #[inline(always)]
    pub(crate) fn read(
        &self,
        id: &Id,
        proof: &Proof,
        moment: impl Fn() -> Moment,
        data: &mut BytesMut,
    ) -> Option<Result<Found, Miss>> {
        let spot = self.table.spot(id);
        for _ in 0..ROUNDS {
            let answer = self.look(spot, id, proof, &moment, data);
            if answer.is_some() {
                return answer;
            }
            hint::spin_loop();
        }
        None
    }

    /// Fetches what making a session of this id will touch, its own lines and what goes for it, so that it is in
    /// the processor's cache by the time that the lock is held. Nothing of it is believed.
    pub(crate) fn warm(&self, id: &Id) {
        let words = self.region.words();
        let mut seen = self.table.warm(self.table.spot(id));
        if let Some(victim) = queues::next_to_go(words, Plan::QUEUES) {
            let entry = Glimpse::at(words, victim);
            seen ^= entry.map_or(0, |entry| entry.warm(|id| self.table.warm(self.table.spot(&id))));
        }
        hint::black_box(seen);
    }

    /// One attempt.
    #[inline(always)]
    fn look(
        &self,
        spot: Spot,
        id: &Id,
        proof: &Proof,
        moment: impl Fn() -> Moment,
        data: &mut BytesMut,
    ) -> Option<Result<Found, Miss>> {
        let words = self.region.words();
        let mut seen = self.table.see(spot, Choice::First)?;
        let moment = moment();
        let mut choice = Choice::First;
        loop {
            for at in seen.offsets(spot) {
                let entry = Glimpse::at(words, at)?;
                if entry.id() == *id {
                    return copy(seen, entry, proof, moment, data);
                }
            }
            if !seen.is_still() {
                return None;
            }
            if let Choice::Second = choice {
                return Some(Err(Miss::Absent));
            }
            choice = Choice::Second;
            seen = self.table.see(spot, choice)?;
        }
    }
}

/// Judges an entry, and copies its data if it may be had.
#[inline(always)]
fn copy(
    seen: Seen<'_>,
    entry: Glimpse<'_>,
    proof: &Proof,
    moment: Moment,
    data: &mut BytesMut,
) -> Option<Result<Found, Miss>> {
    // Each word is loaded once: one that is loaded again is loaded again, used or not.
    let facts = Facts::of(&entry);
    let is_proven = proof.holds(|| entry.stamp());
    if !seen.is_still() {
        return None;
    }
    if let Some(miss) = judge(&facts, is_proven, moment) {
        return Some(Err(miss));
    }
    let flags = facts.flags();
    data.resize(facts.len(), 0);
    entry.read(flags, data)?;
    let user = if flags.has(Flags::USER) { Some(entry.user()?) } else { None };
    if !seen.is_still() {
        return None;
    }
    let (facts, news) = news(facts, moment.now);
    Some(Ok(Found { user, facts, news, now: moment.now }))
}

/// Why a session may not be had.
#[inline(always)]
fn judge(facts: &Facts, is_proven: bool, moment: Moment) -> Option<Miss> {
    if !is_proven {
        return Some(Miss::Unproven);
    }
    let is_alias = facts.flags().has(Flags::ALIAS);
    let has_ended = facts.times().created < moment.horizon;
    let is_over = facts.deadline() <= moment.now;
    // One branch for what hardly ever is.
    if !(is_alias | has_ended | is_over) {
        return None;
    }
    Some(match (is_alias, has_ended) {
        (true, _) => Miss::Rotated,
        (_, true) => Miss::Absent,
        _ => Miss::Expired,
    })
}

#[inline(always)]
fn news(facts: Facts, now: Tick) -> (Facts, News) {
    match touched(&facts.times(), now) {
        Some(idle) => (facts.with_idle(idle), News::Touch),
        None if queues::is_news(facts.flags()) => (facts, News::Use),
        None => (facts, News::None),
    }
}

/// Attempts before the lock is taken: writers are odd for less than a microsecond.
const ROUNDS: usize = 4;
