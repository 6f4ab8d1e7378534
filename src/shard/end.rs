//! How sessions go: ended by somebody, all at one stroke, or past their deadline; and what freeing one takes.

use super::{
    AdvanceReport, EndResult, Shard,
    aliases::{Family, IdTarget},
    entry::{Entry, HeaderFields, WHEEL},
    eviction::Queue,
    index::Slot,
    list,
    region::Offset,
};
use crate::{
    clock::Tick,
    error::Error,
    events::{EndReason, EventKind},
    id::Id,
};

impl Shard {
    /// Ends all sessions that were created before a tick, in no time.
    pub(crate) fn apply_cutoff(&mut self, cutoff: Tick) {
        if cutoff > self.queues.cutoff() {
            let ended = self.queues.revoke_before(&self.region, cutoff);
            self.counts.ended += u64::from(ended);
        }
    }

    /// Destroys the session to which an id leads, or says where to go on.
    pub(crate) fn end(&mut self, id: &Id, now: Tick) -> EndResult {
        match self.resolve(id, now) {
            IdTarget::Session(at) if self.end_entry(at, EndReason::Requested, now) => {
                EndResult::Session
            }
            IdTarget::OtherShard(target) => EndResult::Alias(target),
            IdTarget::Session(_) | IdTarget::Nothing => EndResult::Nothing,
        }
    }

    /// Destroys a session that has that id and version.
    pub(crate) fn end_if_unchanged(
        &mut self,
        id: &Id,
        version: u32,
        now: Tick,
    ) -> Result<(), Error> {
        if self.replaced_at(id, now).is_some() {
            return Err(Error::Rotated);
        }
        let (_, at) = self.find(id).ok_or(Error::Gone)?;
        if !self.is_live(at, now) {
            return Err(Error::Gone);
        }
        if Entry::at(&self.region, at).header().version() != version {
            self.conflict(at, now);
            return Err(Error::Conflict);
        }
        self.end_entry(at, EndReason::Requested, now);
        Ok(())
    }

    /// Looks for the session that had an id before: tells that it was used, and ends the session if that is
    /// wished.
    pub(crate) fn reuse(&mut self, id: &Id, ends: bool, now: Tick) -> EndResult {
        let at = match self.resolve(id, now) {
            IdTarget::Session(at) if self.is_live(at, now) => at,
            IdTarget::OtherShard(target) => return EndResult::Alias(target),
            IdTarget::Session(_) | IdTarget::Nothing => return EndResult::Nothing,
        };
        self.emit(EventKind::Reused, at, now);
        if ends {
            self.end_entry(at, EndReason::Reused, now);
        }
        EndResult::Session
    }

    /// Visits at most so many entries that the wheel gives, and frees those past their deadline; then those
    /// that were ended with all others.
    pub(crate) fn advance(&mut self, now: Tick, budget: usize) -> AdvanceReport {
        let (mut done, mut is_due) = (AdvanceReport::default(), true);
        while done.visited < budget {
            let Some(link) = self.wheel.next(&self.region, now) else {
                is_due = false;
                break;
            };
            done.visited += 1;
            let entry = Entry::at(&self.region, link - WHEEL);
            let deadline = entry.deadline();
            if deadline > now {
                self.wheel.insert(&self.region, link, deadline);
                continue;
            }
            let queue = self.queues.queue_of(entry);
            if !matches!(queue, Queue::Aliases | Queue::Revoked) {
                done.expired += 1;
                self.count_expiry(link - WHEEL, now);
            }
            self.free_entry(link - WHEEL);
        }
        while done.visited < budget
            && let Some(at) = self.queues.revoked(&self.region)
        {
            done.visited += 1;
            self.free_entry(at);
        }
        let is_due = is_due && self.wheel.is_due(now);
        done.more = is_due || self.queues.revoked(&self.region).is_some();
        done
    }

    /// Destroys a session, if it may be used: else gives back what is left of it. Says which it was.
    pub(super) fn end_entry(&mut self, at: Offset, why: EndReason, now: Tick) -> bool {
        let is_live = self.is_live(at, now);
        if is_live {
            self.counts.ended += 1;
            self.emit(EventKind::Ended(why), at, now);
            self.leave_family_to_user(at);
        } else if self.queues.queue_of(Entry::at(&self.region, at)) != Queue::Revoked {
            self.count_expiry(at, now);
        }
        self.free_entry(at);
        is_live
    }

    /// Leaves the aliases of a session that ends to its user, so that a user's are bounded too.
    fn leave_family_to_user(&mut self, at: Offset) {
        let entry = Entry::at(&self.region, at);
        let header = entry.header();
        if let Some(user) = entry.user(&header) {
            self.move_family(&header, Family::of_user(&user));
        }
    }

    pub(super) fn count_expiry(&mut self, at: Offset, now: Tick) {
        self.counts.expired += 1;
        self.emit(EventKind::Expired, at, now);
    }

    /// Frees an entry whose place in the index is not known.
    pub(super) fn free_entry(&mut self, at: Offset) {
        if let Some(slot) = self.slot_of(at) {
            self.free_at(slot, at);
        }
    }

    /// Where an entry stands in the index.
    pub(super) fn slot_of(&self, at: Offset) -> Option<Slot> {
        let candidates = self.index.candidates(&Entry::at(&self.region, at).id());
        let found = self.index.find(candidates, |offset| offset == at);
        debug_assert!(found.is_some(), "every entry stands in the index");
        found.map(|(slot, _)| slot)
    }

    /// Frees an entry: out of everything, wiped, its block given back.
    pub(super) fn free_at(&mut self, slot: Slot, at: Offset) {
        self.unlink(slot, at);
        Entry::at(&self.region, at).wipe();
        self.heap.free(&self.region, at);
    }

    /// Takes an entry out of everything but its block.
    pub(super) fn unlink(&mut self, slot: Slot, at: Offset) {
        self.index.remove(slot);
        if list::is_linked(&self.region, at + WHEEL) {
            self.wheel.remove(&self.region, at + WHEEL);
        }
        self.queues.remove(&self.region, at);
        self.users.remove(&self.region, at);
    }
}
