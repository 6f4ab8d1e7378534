//! Making room for a newcomer: what may go, in the order of the queues, and then the moving of blocks.
//!
//! Nothing is evicted unless the newcomer will be in: the sum of what is free and what may go is known
//! before. Nor is more evicted than the newcomer's size and that of one largest session.
//!
//! What is not of a session with a user stays under a ceiling, whatever is free: aliases and anonymous
//! sessions in sum, in words and in places of the index. One more of them displaces some of them.

use super::{
    Shard, WriteError,
    entry::Entry,
    eviction::{Priority, Queue, Usage},
    list,
    region::Offset,
    tlsf::Heap,
};
use crate::error::Error;
use crate::{clock::Tick, events::EventKind};

/// What a newcomer needs.
#[derive(Clone, Copy)]
pub(super) struct SpaceRequest {
    /// The size of its block.
    pub(super) words: u32,
    /// Whom it may displace.
    pub(super) priority: Priority,
    /// Whether it needs a place in the index too.
    pub(super) needs_slot: bool,
    /// The entry that must not go. It may be moved.
    pub(super) keep: Option<Offset>,
}

impl SpaceRequest {
    /// The most words that its block may have: a rest that makes no block of its own stays with it.
    fn max_words(&self) -> u32 {
        self.words.max(Heap::MIN_BLOCK) + Heap::MAX_SURPLUS
    }
}

impl Shard {
    /// A block for a newcomer. `Full` if it cannot be had; then nothing was evicted. `Unfinished` if it can be had once
    /// [`make_hole`](Self::make_hole) has made a hole for it.
    pub(super) fn make_room(
        &mut self,
        request: SpaceRequest,
        now: Tick,
    ) -> Result<Offset, WriteError> {
        if let Some(at) = self.try_allocate(request) {
            return Ok(at);
        }
        // Each entry that is freed gives a smallest block at least.
        let steps = EXPIRY_STEPS + (request.words / Heap::MIN_BLOCK) as usize;
        let mut rounds = 0..EXPIRY_ROUNDS;
        while self.advance(now, steps).more && !self.can_fit(request) && rounds.next().is_some() {}
        if !self.can_fit(request) {
            return Err(Error::Full.into());
        }
        self.evict_for(request, now)
    }

    /// A block for a newcomer, by evicting and moving. Where the moving would take too long for one hold of the lock,
    /// more is evicted, as far as that is permitted.
    fn evict_for(&mut self, mut request: SpaceRequest, now: Tick) -> Result<Offset, WriteError> {
        let kept_id = request.keep.map(|at| Entry::at(&self.region, at).id());
        let (mut evicted, mut has_moved) = (0, false);
        loop {
            if let Some(at) = self.try_allocate(request) {
                return Ok(at);
            }
            let free = self.heap.free_words();
            let fits = free >= request.words
                && self.has_index_slot(request)
                && self.fits_anonymous_limit(request);
            if fits && !has_moved && free >= request.words + self.slack() {
                has_moved = true;
                if let Some(at) = self.allocate_by_moving(request.words) {
                    return Ok(at);
                }
                // It may have been moved.
                request.keep = kept_id.and_then(|id| self.find(&id)).map(|(_, at)| at);
            }
            let Some(victim) = self.victim(request) else {
                break;
            };
            let words = Entry::at(&self.region, victim).words();
            evicted += words;
            if fits && evicted > request.words + self.largest_block {
                break;
            }
            if words == request.words.max(Heap::MIN_BLOCK) {
                return self
                    .reuse_block(victim, request, now)
                    .ok_or(WriteError::Verb(Error::Full));
            }
            self.evict(victim, now);
        }
        if evicted == 0 && !has_moved {
            // Nothing may go, and so little is free that it would take long to bring together.
            return Err(Error::Full.into());
        }
        let moved = if has_moved {
            None
        } else {
            self.allocate_by_moving(request.words)
        };
        moved.ok_or(WriteError::Unfinished {
            words: request.words,
        })
    }

    /// Moves blocks until there is a hole of `words`, as far as one hold of the lock permits. Returns true if there is.
    pub(crate) fn make_hole(&mut self, words: u32) -> bool {
        let hole = self
            .heap
            .allocate(&self.region, words)
            .or_else(|| self.allocate_by_moving(words));
        hole.iter().for_each(|&at| self.heap.free(&self.region, at));
        hole.is_some()
    }

    /// How much is to be free before blocks are moved: the more there is, the fewer are in the way.
    fn slack(&self) -> u32 {
        self.largest_block.max(self.heap.capacity() / SLACK_SHARE)
    }

    fn try_allocate(&mut self, request: SpaceRequest) -> Option<Offset> {
        let may_take = self.has_index_slot(request) && self.fits_anonymous_limit(request);
        if may_take {
            self.heap.allocate(&self.region, request.words)
        } else {
            None
        }
    }

    fn has_index_slot(&self, request: SpaceRequest) -> bool {
        !request.needs_slot || self.index.len() < self.index.capacity()
    }

    /// Whether a newcomer takes nothing of what is kept for others, neither words nor places.
    fn fits_anonymous_limit(&self, request: SpaceRequest) -> bool {
        self.limit_for(request.priority).is_none_or(|limit| {
            let used = self.queues.anonymous_usage();
            let has_index_slot = !request.needs_slot || used.entries < limit.entries;
            has_index_slot && used.words + request.max_words() <= limit.words
        })
    }

    /// What goes next for a newcomer. Where the ceiling is what stands in its way, the memory of sessions that were
    /// ended with all others is of no use to it.
    fn victim(&mut self, request: SpaceRequest) -> Option<Offset> {
        if self.fits_anonymous_limit(request) {
            return self
                .queues
                .victim(&self.region, request.priority, request.keep);
        }
        self.queues
            .unrevoked_victim(&self.region, request.priority, request.keep)
    }

    /// What those that may go for an anonymous newcomer may come to, if one of a rank comes in.
    fn limit_for(&self, priority: Priority) -> Option<Usage> {
        self.anonymous_limit
            .filter(|_| priority == Priority::Anonymous)
    }

    /// Evicts what is over the ceiling since an alias took the place of a session with a user. Aliases go
    /// first, so it is they that go.
    pub(super) fn enforce_anonymous_limit(&mut self, now: Tick) {
        while !self.is_within_anonymous_limit()
            && let Some(victim) =
                self.queues
                    .unrevoked_victim(&self.region, Priority::Anonymous, None)
        {
            self.evict(victim, now);
        }
    }

    /// Whether all that is not of a session with a user is under the ceiling.
    pub(super) fn is_within_anonymous_limit(&self) -> bool {
        self.anonymous_limit.is_none_or(|limit| {
            let used = self.queues.anonymous_usage();
            used.words <= limit.words && used.entries <= limit.entries
        })
    }

    /// Whether what is free and what may go is enough.
    pub(super) fn can_fit(&self, request: SpaceRequest) -> bool {
        let kept = request
            .keep
            .map_or(0, |keep| self.evictable_words(keep, request.priority));
        let evictable = self.queues.evictable(request.priority).words;
        debug_assert!(kept <= evictable, "what is kept is counted");
        let evictable = evictable - kept;
        let limit = self.limit_for(request.priority);
        let has_share = limit.is_none_or(|limit| kept + request.max_words() <= limit.words);
        let enough = self.heap.free_words() + evictable >= request.words && has_share;
        enough && (self.has_index_slot(request) || evictable > 0)
    }

    /// What an entry adds to the sum of those that may go.
    fn evictable_words(&self, at: Offset, priority: Priority) -> u32 {
        let entry = Entry::at(&self.region, at);
        let queue = self.queues.queue_of(entry);
        if priority.may_evict(queue) {
            entry.words()
        } else {
            0
        }
    }

    fn evict(&mut self, at: Offset, now: Tick) {
        self.count_eviction(at, now);
        self.free_entry(at);
    }

    /// Evicts an entry and leaves its block, which is as large as the newcomer's, to the newcomer. What the
    /// newcomer does not write over is wiped.
    fn reuse_block(&mut self, at: Offset, request: SpaceRequest, now: Tick) -> Option<Offset> {
        self.count_eviction(at, now);
        let slot = self.slot_of(at)?;
        self.unlink(slot, at);
        let entry = Entry::at(&self.region, at);
        if request.words < entry.words() {
            entry.wipe();
        }
        Some(at)
    }

    /// One that was past its deadline, though the wheel had not come to it, was not evicted; nor was one that was
    /// ended with all others.
    fn count_eviction(&mut self, at: Offset, now: Tick) {
        let entry = Entry::at(&self.region, at);
        let queue = self.queues.queue_of(entry);
        if queue == Queue::Revoked {
            return;
        }
        if queue != Queue::Aliases && entry.deadline() <= now {
            self.count_expiry(at, now);
            return;
        }
        self.counts.evicted[queue as usize] += 1;
        if queue != Queue::Aliases {
            self.emit(EventKind::Evicted, at, now);
        }
    }

    /// Where more must be moved than may be, what was moved is left so: another attempt begins where this one ended.
    fn allocate_by_moving(&mut self, words: u32) -> Option<Offset> {
        let Self {
            region,
            heap,
            index,
            counts,
            ..
        } = self;
        let max_moved = words.max(Heap::MIN_BLOCK).saturating_mul(MAX_MOVED);
        heap.allocate_by_moving(region, words, max_moved, |region, moved| {
            let id = Entry::at(region, moved.from).id();
            if let Some((slot, _)) = index.find(index.candidates(&id), |at| at == moved.from) {
                index.write(slot, || {
                    moved.apply(region);
                    index.store_offset(slot, moved.to);
                });
            }
            Entry::at(region, moved.to)
                .links()
                .for_each(|link| list::moved(region, link));
            counts.compactions += 1;
            #[cfg(feature = "__internals")]
            {
                counts.moved_words += u64::from(moved.words());
            }
        })
    }
}

/// The part of a heap that is kept free once blocks must be moved, as a divisor. With half of the sessions not
/// evictable, this leaves 99.4 % in use (1st percentile) and moves a block in every tenth create; with room for
/// one largest session alone it was 99.9 %, and 190 blocks in each (`bench -- memory`).
const SLACK_SHARE: u32 = 128;
/// How many words are moved under one hold of the lock at most, for each that is needed.
const MAX_MOVED: u32 = 64;
/// How often that many are looked at for a newcomer that could not be had otherwise: with 16 of them, some tens of
/// microseconds.
const EXPIRY_ROUNDS: usize = 64;
/// How many entries of the wheel are looked at before anything is evicted.
const EXPIRY_STEPS: usize = 16;
