//! How sessions go: ended by somebody, all at one stroke, or past their deadline; and what freeing one takes.

use super::{
    Advanced, Ended, Shard,
    aliases::{Family, Lead},
    entry::{Entry, Head, WHEEL},
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

    /// Destroys the session to which an id leads, or says where to go on.
    pub(crate) fn end(&mut self, id: &Id, now: Tick) -> Ended {
        match self.lead(id, now) {
            Lead::Session(at) if self.bury(at, Why::Asked, now) => Ended::Session,
            Lead::Away(target) => Ended::Alias(target),
            Lead::Session(_) | Lead::Nothing => Ended::Nothing,
        }
    }

    /// Destroys a session that has that id and version.
    pub(crate) fn end_if(&mut self, id: &Id, version: u32, now: Tick) -> Result<(), Error> {
        if self.replaced(id, now).is_some() {
            return Err(Error::Rotated);
        }
        let (_, at) = self.find(id).ok_or(Error::Gone)?;
        if !self.is_live(at, now) {
            return Err(Error::Gone);
        }
        if Entry::at(&self.region, at).line().version() != version {
            self.conflict(at, now);
            return Err(Error::Conflict);
        }
        self.bury(at, Why::Asked, now);
        Ok(())
    }

    /// Looks for the session that had an id before: tells that it was used, and ends the session if that is
    /// wished.
    pub(crate) fn reuse(&mut self, id: &Id, ends: bool, now: Tick) -> Ended {
        let at = match self.lead(id, now) {
            Lead::Session(at) if self.is_live(at, now) => at,
            Lead::Away(target) => return Ended::Alias(target),
            Lead::Session(_) | Lead::Nothing => return Ended::Nothing,
        };
        self.tell(What::Reused, at, now);
        if ends {
            self.bury(at, Why::Reused, now);
        }
        Ended::Session
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
            self.leave_family_to_user(at);
        } else if self.queues.of(Entry::at(&self.region, at)) != Queue::Condemned {
            self.count_expiry(at, now);
        }
        self.discard(at);
        is_live
    }

    /// Leaves the aliases of a session that ends to its user, so that a user's are bounded too.
    fn leave_family_to_user(&mut self, at: Offset) {
        let entry = Entry::at(&self.region, at);
        let line = entry.line();
        if let Some(user) = entry.user(&line) {
            self.move_family(&line, Family::of_user(&user));
        }
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
