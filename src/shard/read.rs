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
    let (flags, len) = (entry.flags(), entry.len());
    let verdict = judge(&entry, flags, proof, moment);
    if !seen.is_still() {
        return None;
    }
    if let Some(miss) = verdict {
        return Some(Err(miss));
    }
    data.resize(len, 0);
    entry.read(flags, data)?;
    let user = if flags.has(Flags::USER) { Some(entry.user()?) } else { None };
    let (facts, news) = news(&entry, flags, moment.now);
    let found = Found { user, facts, news, now: moment.now };
    seen.is_still().then_some(Ok(found))
}

/// Why a session may not be had.
#[inline(always)]
fn judge(entry: &Glimpse<'_>, flags: Flags, proof: &Proof, moment: Moment) -> Option<Miss> {
    if !proof.holds(&entry.stamp()) {
        return Some(Miss::Unproven);
    }
    let has_ended = entry.times().created < moment.horizon;
    let is_over = entry.deadline() <= moment.now;
    // One branch for what hardly ever is.
    if !(flags.has(Flags::ALIAS) | has_ended | is_over) {
        return None;
    }
    Some(match (flags.has(Flags::ALIAS), has_ended) {
        (true, _) => Miss::Rotated,
        (_, true) => Miss::Absent,
        _ => Miss::Expired,
    })
}

#[inline(always)]
fn news(entry: &Glimpse<'_>, flags: Flags, now: Tick) -> (Facts, News) {
    let facts = Facts::of(entry);
    match touched(&facts.times(), now) {
        Some(idle) => (facts.with_idle(idle), News::Touch),
        None if queues::is_news(flags) => (facts, News::Use),
        None => (facts, News::None),
    }
}

/// Attempts before the lock is taken: writers are odd for less than a microsecond.
const ROUNDS: usize = 4;
