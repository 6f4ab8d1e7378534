//! Reading without the lock: a session is found, proven and copied out while others may write.
//!
//! Nothing is believed, a miss included, before the version of the index line says that nobody wrote
//! meanwhile (`version`); until then an offset or a length may be any number, so it is compared with the
//! region first. A reader writes nothing: that a session was used, or has to be touched, is left to the
//! caller, who does it under the lock. Under the lock a reader always succeeds.

use core::hint;

use bytes::BytesMut;

use super::{
    Found, Miss, News, Proof,
    entry::{self, Entry, Flags},
    index::{Choice, Line, Spot, Table},
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
    #[inline(always)]
    pub(crate) fn read(
        &self,
        id: &Id,
        proof: &Proof,
        now: Tick,
        data: &mut BytesMut,
    ) -> Option<Result<Found, Miss>> {
        let spot = self.table.spot(id);
        for _ in 0..ROUNDS {
            let answer = self.look(spot, id, proof, now, data);
            if answer.is_some() {
                return answer;
            }
            hint::spin_loop();
        }
        None
    }

    /// One attempt.
    #[inline(always)]
    fn look(
        &self,
        spot: Spot,
        id: &Id,
        proof: &Proof,
        now: Tick,
        data: &mut BytesMut,
    ) -> Option<Result<Found, Miss>> {
        for choice in Choice::ALL {
            let line = self.table.line(spot, choice)?;
            for at in line.offsets(spot) {
                let entry = Entry::at(&self.region, at);
                let head = entry.read()?;
                if head.id() == *id {
                    return self.copy(line, entry, &head, proof, now, data);
                }
            }
            if !line.is_still() {
                return None;
            }
        }
        Some(Err(Miss::Absent))
    }

    /// Judges an entry, and copies its data if it may be had.
    #[inline(always)]
    fn copy(
        &self,
        line: Line<'_>,
        entry: Entry<'_>,
        head: &entry::Line,
        proof: &Proof,
        now: Tick,
        data: &mut BytesMut,
    ) -> Option<Result<Found, Miss>> {
        if !line.is_still() {
            return None;
        }
        let flags = head.flags();
        if !proof.holds(&head.stamp()) {
            return Some(Err(Miss::Unproven));
        }
        if flags.has(Flags::ALIAS) {
            return Some(Err(Miss::Rotated));
        }
        if head.deadline() <= now {
            return Some(Err(Miss::Expired));
        }
        data.resize(head.len(), 0);
        entry.copy_data(flags, data)?;
        let user = entry.user(head);
        let times = touched(head.times(), now);
        let news = if times != head.times() {
            News::Touch
        } else if queues::is_news(flags) {
            News::Use
        } else {
            News::None
        };
        let found = Found { version: head.version(), user, times, news };
        line.is_still().then_some(Ok(found))
    }
}

/// Attempts before the lock is taken: writers are odd for less than a microsecond.
const ROUNDS: usize = 4;
