//! How sessions go: ended by somebody, all at one stroke, or past their deadline; and what freeing one takes.

use super::{
    Advanced, Ended, Shard,
    entry::{Entry, Flags, Head, WHEEL},
    index::Place,
    list,
    queues::Queue,
    region::Offset,
};
use crate::{
    clock::Tick,
    error::Error,
    events::{What, Why},
    id::Id,
};

impl Shard {
    /// Ends all sessions that were created before a tick, in no time.
    pub(crate) fn renew(&mut self, horizon: Tick) {
        if horizon > self.queues.horizon() {
            let ended = self.queues.condemn(&self.region, horizon);
            self.counts.ended += u64::from(ended);
        }
    }

    /// Destroys a session, or says where it went.
    pub(crate) fn end(&mut self, id: &Id, now: Tick) -> Ended {
        match self.itself(id) {
            Ok(at) if self.bury(at, Why::Asked, now) => Ended::Session,
            Ok(_) => Ended::Nothing,
            Err(ended) => ended,
        }
    }

    /// Destroys a session that has that id and version.
    pub(crate) fn end_if(&mut self, id: &Id, version: u32, now: Tick) -> Result<(), Error> {
        let at = match self.itself(id) {
            Ok(at) if self.is_live(at, now) => at,
            Err(Ended::Alias(_)) => return Err(Error::Rotated),
            _ => return Err(Error::Gone),
        };
        if Entry::at(&self.region, at).line().version() != version {
            return Err(self.conflict(at, now));
        }
        self.bury(at, Why::Asked, now);
        Ok(())
    }

    /// Looks for the session that had an id before: tells that it was used, and ends the session if that is
    /// wished.
    pub(crate) fn reuse(&mut self, id: &Id, ends: bool, now: Tick) -> Ended {
        let at = match self.itself(id) {
            Ok(at) if self.is_live(at, now) => at,
            Ok(_) => return Ended::Nothing,
            Err(ended) => return ended,
        };
        self.tell(What::Reused, at, now);
        if ends {
            self.bury(at, Why::Reused, now);
        }
        Ended::Session
    }

    /// The session of an id, or where to go on.
    fn itself(&self, id: &Id) -> Result<Offset, Ended> {
        let (_, at) = self.find(id).ok_or(Ended::Nothing)?;
        let entry = Entry::at(&self.region, at);
        if entry.flags().has(Flags::ALIAS) { Err(Ended::Alias(entry.target())) } else { Ok(at) }
    }

    /// Visits at most so many entries that the wheel gives, and frees those past their deadline; then those
    /// that were ended with all others.
    pub(crate) fn advance(&mut self, now: Tick, budget: usize) -> Advanced {
        let (mut done, mut is_due) = (Advanced::default(), true);
        while done.visited < budget {
            let Some(link) = self.wheel.next(&self.region, now) else {
                is_due = false;
                break;
            };
            done.visited += 1;
            let entry = Entry::at(&self.region, link - WHEEL);
            let deadline = entry.deadline();
            if deadline > now {
                self.wheel.file(&self.region, link, deadline);
                continue;
            }
            let queue = self.queues.of(entry);
            if !matches!(queue, Queue::Aliases | Queue::Condemned) {
                done.expired += 1;
                self.count_expiry(link - WHEEL, now);
            }
            self.discard(link - WHEEL);
        }
        while done.visited < budget
            && let Some(at) = self.queues.condemned(&self.region)
        {
            done.visited += 1;
            self.discard(at);
        }
        let is_due = is_due && self.wheel.is_due(now);
        done.more = is_due || self.queues.condemned(&self.region).is_some();
        done
    }

    /// Destroys a session, if it may be used: else gives back what is left of it. Says which it was.
    pub(super) fn bury(&mut self, at: Offset, why: Why, now: Tick) -> bool {
        let is_live = self.is_live(at, now);
        if is_live {
            self.counts.ended += 1;
            self.tell(What::Ended(why), at, now);
        } else if self.queues.of(Entry::at(&self.region, at)) != Queue::Condemned {
            self.count_expiry(at, now);
        }
        self.discard(at);
        is_live
    }

    pub(super) fn count_expiry(&mut self, at: Offset, now: Tick) {
        self.counts.expired += 1;
        self.tell(What::Expired, at, now);
    }

    /// Frees an entry whose place in the index is not known.
    pub(super) fn discard(&mut self, at: Offset) {
        if let Some(place) = self.place_of(at) {
            self.remove(place, at);
        }
    }

    /// Where an entry stands in the index.
    pub(super) fn place_of(&self, at: Offset) -> Option<Place> {
        let spot = self.index.spot(&Entry::at(&self.region, at).id());
        let found = self.index.find(spot, |offset| offset == at);
        debug_assert!(found.is_some(), "every entry stands in the index");
        found.map(|(place, _)| place)
    }

    /// Frees an entry: out of everything, wiped, its block given back.
    pub(super) fn remove(&mut self, place: Place, at: Offset) {
        self.delist(place, at);
        Entry::at(&self.region, at).wipe();
        self.heap.give(&self.region, at);
    }

    /// Takes an entry out of everything but its block.
    pub(super) fn delist(&mut self, place: Place, at: Offset) {
        self.index.remove(place);
        if list::is_linked(&self.region, at + WHEEL) {
            self.wheel.unfile(&self.region, at + WHEEL);
        }
        self.queues.leave(&self.region, at);
        self.users.leave(&self.region, at);
    }
}
