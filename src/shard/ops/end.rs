//! The end of sessions: one is ended, all are revoked, or one expires. Freeing entries is here too.

use crate::shard::{
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
    /// Ends all sessions that were created before `cutoff`, in O(1).
    pub(crate) fn apply_cutoff(&mut self, cutoff: Tick) {
        if cutoff > self.queues.cutoff() {
            let ended = self.queues.revoke_before(&self.region, cutoff);
            self.counts.ended += u64::from(ended);
        }
    }

    /// Ends the session to which an id leads, or returns the id in another shard to which it leads.
    pub(crate) fn end(&mut self, id: &Id, now: Tick) -> EndResult {
        match self.resolve(id, now) {
            IdTarget::Session(at) if self.end_entry(at, EndReason::Requested, now) => {
                EndResult::Session
            }
            IdTarget::OtherShard(target) => EndResult::Alias(target),
            IdTarget::Session(_) | IdTarget::Nothing => EndResult::Nothing,
        }
    }

    /// Ends the session of an id if it still has `version`. The error is `Rotated` for an alias
    /// that is remembered, `Gone` if there is no live session, and `Conflict` if the version
    /// differs.
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

    /// Follows an alias that was used after its grace period. Emits the reuse, and ends the session
    /// if `ends` is set.
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

    /// Visits at most `budget` entries. Frees the entries of the wheel that are past their
    /// deadline, and then revoked sessions.
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

    /// Ends a session if it is live, and frees its entry in any case. Returns true if it was live.
    pub(in crate::shard) fn end_entry(&mut self, at: Offset, reason: EndReason, now: Tick) -> bool {
        let is_live = self.is_live(at, now);
        if is_live {
            self.counts.ended += 1;
            self.emit(EventKind::Ended(reason), at, now);
            self.leave_family_to_user(at);
        } else if self.queues.queue_of(Entry::at(&self.region, at)) != Queue::Revoked {
            self.count_expiry(at, now);
        }
        self.free_entry(at);
        is_live
    }

    /// Moves the aliases of a session that ends to its user, so that their number per user is
    /// limited too.
    fn leave_family_to_user(&mut self, at: Offset) {
        let entry = Entry::at(&self.region, at);
        let header = entry.header();
        if let Some(user) = entry.user(&header) {
            self.move_family(&header, Family::of_user(&user));
        }
    }

    pub(in crate::shard) fn count_expiry(&mut self, at: Offset, now: Tick) {
        self.counts.expired += 1;
        self.emit(EventKind::Expired, at, now);
    }

    /// Frees an entry.
    pub(in crate::shard) fn free_entry(&mut self, at: Offset) {
        if let Some(slot) = self.slot_of(at) {
            self.free_at(slot, at);
        }
    }

    /// Returns the index slot of an entry.
    pub(in crate::shard) fn slot_of(&self, at: Offset) -> Option<Slot> {
        let candidates = self.index.candidates(&Entry::at(&self.region, at).id());
        let found = self.index.find(candidates, |offset| offset == at);
        debug_assert!(found.is_some(), "every entry is in the index");
        found.map(|(slot, _)| slot)
    }

    /// Frees an entry whose index slot is known. Its block is wiped.
    pub(in crate::shard) fn free_at(&mut self, slot: Slot, at: Offset) {
        self.unlink(slot, at);
        Entry::at(&self.region, at).wipe();
        self.heap.free(&self.region, at);
    }

    /// Removes an entry from all structures, and keeps its block.
    pub(in crate::shard) fn unlink(&mut self, slot: Slot, at: Offset) {
        self.index.remove(slot);
        if list::is_linked(&self.region, at + WHEEL) {
            self.wheel.remove(&self.region, at + WHEEL);
        }
        self.queues.remove(&self.region, at);
        self.users.remove(&self.region, at);
    }
}
