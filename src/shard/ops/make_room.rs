//! Making room for an entry: expired entries are freed, others are evicted in the order of the
//! queues, and blocks are moved.
//!
//! Nothing is evicted unless the request can be satisfied: the sum of free and evictable words is
//! checked first. Nor is more evicted than the size of the request plus that of one largest
//! session.
//!
//! With a reservation, aliases and anonymous sessions together stay within a limit, in words and in
//! index slots, even if memory is free. A request that would exceed the limit evicts some of them.

use crate::error::Error;
use crate::shard::{
    Shard, WriteError,
    entry::Entry,
    eviction::{Priority, Queue, Usage},
    list,
    region::Offset,
    tlsf::Heap,
};
use crate::{clock::Tick, events::EventKind};

/// A request for a block.
#[derive(Clone, Copy)]
pub(in crate::shard) struct SpaceRequest {
    /// The size of the block.
    pub(in crate::shard) words: u32,
    /// Determines which entries may be evicted.
    pub(in crate::shard) priority: Priority,
    /// True if an index slot is needed too.
    pub(in crate::shard) needs_slot: bool,
    /// The entry that must not be evicted. It may be moved.
    pub(in crate::shard) keep: Option<Offset>,
}

impl SpaceRequest {
    /// Returns the maximum size of the block: a remainder that makes no block stays with it.
    fn max_words(&self) -> u32 {
        self.words.max(Heap::MIN_BLOCK) + Heap::MAX_SURPLUS
    }
}

impl Shard {
    /// Allocates a block. The error is `Full` if that is impossible; then nothing was evicted. It
    /// is `Unfinished` if [`make_hole`](Self::make_hole) must make a hole first.
    pub(in crate::shard) fn make_room(
        &mut self,
        request: SpaceRequest,
        now: Tick,
    ) -> Result<Offset, WriteError> {
        if let Some(at) = self.try_allocate(request) {
            return Ok(at);
        }
        // Each freed entry yields at least a smallest block.
        let steps = EXPIRY_STEPS + (request.words / Heap::MIN_BLOCK) as usize;
        let mut rounds = 0..EXPIRY_ROUNDS;
        while self.advance(now, steps).more && !self.can_fit(request) && rounds.next().is_some() {}
        if !self.can_fit(request) {
            return Err(Error::Full.into());
        }
        self.evict_for(request, now)
    }

    /// Allocates a block by evicting entries and moving blocks. If moving exceeds the limit for one
    /// hold of the lock, more is evicted, up to the limit of evictions.
    fn evict_for(&mut self, mut request: SpaceRequest, now: Tick) -> Result<Offset, WriteError> {
        let kept_id = request.keep.map(|at| Entry::at(&self.region, at).id());
        let (mut evicted, mut has_moved) = (0, false);
        loop {
            if let Some(at) = self.try_allocate(request) {
                return Ok(at);
            }
            let free = self.heap.free_words();
            let fits = free >= request.words && self.is_permitted(request);
            if fits && !has_moved && free >= request.words + self.slack() {
                has_moved = true;
                if let Some(at) = self.allocate_by_moving(request.words) {
                    return Ok(at);
                }
                // The kept entry may have been moved.
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
            // No entry can be evicted, and collecting the few free words would take many moves.
            return Err(Error::Full.into());
        }
        let words = request.words;
        let moved = (!has_moved).then(|| self.allocate_by_moving(words));
        moved.flatten().ok_or(WriteError::Unfinished { words })
    }

    /// Moves blocks to make a hole of `words`, up to the limit for one hold of the lock. Returns
    /// true if there is one.
    pub(crate) fn make_hole(&mut self, words: u32) -> bool {
        let hole = self
            .heap
            .allocate(&self.region, words)
            .or_else(|| self.allocate_by_moving(words));
        hole.iter().for_each(|&at| self.heap.free(&self.region, at));
        hole.is_some()
    }

    /// Returns how many words must be free before blocks are moved. The more are free, the fewer
    /// blocks are in the way.
    fn slack(&self) -> u32 {
        self.largest_block.max(self.heap.capacity() / SLACK_SHARE)
    }

    fn try_allocate(&mut self, request: SpaceRequest) -> Option<Offset> {
        if self.is_permitted(request) {
            self.heap.allocate(&self.region, request.words)
        } else {
            None
        }
    }

    /// Returns true if only words may be lacking.
    fn is_permitted(&self, request: SpaceRequest) -> bool {
        self.has_index_slot(request) && self.fits_anonymous_limit(request)
    }

    fn has_index_slot(&self, request: SpaceRequest) -> bool {
        !request.needs_slot || self.index.len() < self.index.capacity()
    }

    /// Returns true if the request leaves aliases and anonymous sessions within their limit, in
    /// words and in index slots.
    fn fits_anonymous_limit(&self, request: SpaceRequest) -> bool {
        self.limit_for(request.priority).is_none_or(|limit| {
            let used = self.queues.anonymous_usage();
            let has_index_slot = !request.needs_slot || used.entries < limit.entries;
            has_index_slot && used.words + request.max_words() <= limit.words
        })
    }

    /// Returns the entry to evict next. If the anonymous limit is the obstacle, freeing revoked
    /// sessions does not help.
    fn victim(&mut self, request: SpaceRequest) -> Option<Offset> {
        if self.fits_anonymous_limit(request) {
            return self
                .queues
                .victim(&self.region, request.priority, request.keep);
        }
        self.queues
            .unrevoked_victim(&self.region, request.priority, request.keep)
    }

    /// Returns the anonymous limit if it applies to this priority.
    fn limit_for(&self, priority: Priority) -> Option<Usage> {
        self.anonymous_limit
            .filter(|_| priority == Priority::Anonymous)
    }

    /// Evicts entries over the anonymous limit, after an alias replaced a session with a user.
    /// Aliases are first in the order of eviction, so aliases are evicted.
    pub(in crate::shard) fn enforce_anonymous_limit(&mut self, now: Tick) {
        while !self.is_within_anonymous_limit()
            && let Some(victim) =
                self.queues
                    .unrevoked_victim(&self.region, Priority::Anonymous, None)
        {
            self.evict(victim, now);
        }
    }

    /// Returns true if aliases and anonymous sessions are within their limit.
    pub(in crate::shard) fn is_within_anonymous_limit(&self) -> bool {
        self.anonymous_limit.is_none_or(|limit| {
            let used = self.queues.anonymous_usage();
            used.words <= limit.words && used.entries <= limit.entries
        })
    }

    /// Returns true if the free and evictable words suffice.
    pub(in crate::shard) fn can_fit(&self, request: SpaceRequest) -> bool {
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

    /// Returns the size of an entry if this priority may evict it, or else 0.
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

    /// Evicts an entry and returns its block, which has the size of the request. Words that the new
    /// entry does not overwrite are wiped.
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

    /// Counts an eviction. A session past its deadline counts as expired, even if the wheel has not
    /// returned it yet. A revoked session was counted when it ended.
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

    /// Allocates a block by moving others. If the limit on moved words is exceeded, the moved
    /// blocks stay where they are, and the next call continues from there.
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

/// The part of a heap that is kept free once blocks must be moved, as a divisor.
///
/// With half of the sessions not evictable, 99.4 % of the heap is in use (1st percentile), and a
/// block is moved in every tenth create. With room for one largest session only, it was 99.9 %,
/// with 190 moves per create (`bench -- memory`).
const SLACK_SHARE: u32 = 128;
/// The maximum number of words moved under one hold of the lock, per requested word.
const MAX_MOVED: u32 = 64;
/// The maximum number of rounds of [`EXPIRY_STEPS`] for a request that could not be satisfied
/// otherwise. With rounds of 16 steps, they take some tens of microseconds.
const EXPIRY_ROUNDS: usize = 64;
/// The number of wheel entries that are visited before anything is evicted.
const EXPIRY_STEPS: usize = 16;
