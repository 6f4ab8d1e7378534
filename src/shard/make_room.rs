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
    pub(super) rank: Priority,
    /// Whether it needs a place in the index too.
    pub(super) slot: bool,
    /// The entry that must not go. It may be moved.
    pub(super) keep: Option<Offset>,
}

impl SpaceRequest {
    /// The most words that its block may have: a rest that makes no block of its own stays with it.
    fn most_words(&self) -> u32 {
        self.words.max(Heap::SMALLEST) + Heap::MAX_OVER
    }
}

impl Shard {
    /// A block for a newcomer. `Full` if it cannot be had; then nothing was evicted. `Unfinished` if it can be had once
    /// [`make_hole`](Self::make_hole) has made a hole for it.
    pub(super) fn make_room(
        &mut self,
        need: SpaceRequest,
        now: Tick,
    ) -> Result<Offset, WriteError> {
        if let Some(at) = self.try_take(need) {
            return Ok(at);
        }
        // Each entry that is freed gives a smallest block at least.
        let steps = EXPIRY_STEPS + (need.words / Heap::SMALLEST) as usize;
        let mut rounds = 0..EXPIRY_ROUNDS;
        while self.advance(now, steps).more && !self.can_fit(need) && rounds.next().is_some() {}
        if !self.can_fit(need) {
            return Err(Error::Full.into());
        }
        self.evict_for(need, now)
    }

    /// A block for a newcomer, by evicting and moving. Where the moving would take too long for one hold of the lock,
    /// more is evicted, as far as that is permitted.
    fn evict_for(&mut self, mut need: SpaceRequest, now: Tick) -> Result<Offset, WriteError> {
        let kept_id = need.keep.map(|at| Entry::at(&self.region, at).id());
        let (mut evicted, mut has_moved) = (0, false);
        loop {
            if let Some(at) = self.try_take(need) {
                return Ok(at);
            }
            let free = self.heap.free();
            let fits = free >= need.words && self.has_place(need) && self.is_under_ceiling(need);
            if fits && !has_moved && free >= need.words + self.slack() {
                has_moved = true;
                if let Some(at) = self.take_by_moving(need.words) {
                    return Ok(at);
                }
                // It may have been moved.
                need.keep = kept_id.and_then(|id| self.find(&id)).map(|(_, at)| at);
            }
            let Some(victim) = self.victim(need) else {
                break;
            };
            let words = Entry::at(&self.region, victim).words();
            evicted += words;
            if fits && evicted > need.words + self.largest {
                break;
            }
            if words == need.words.max(Heap::SMALLEST) {
                return self
                    .take_over(victim, need, now)
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
            self.take_by_moving(need.words)
        };
        moved.ok_or(WriteError::Unfinished { words: need.words })
    }

    /// Moves blocks until there is a hole of `words`, as far as one hold of the lock permits. Returns true if there is.
    pub(crate) fn make_hole(&mut self, words: u32) -> bool {
        let hole = self
            .heap
            .take(&self.region, words)
            .or_else(|| self.take_by_moving(words));
        hole.iter().for_each(|&at| self.heap.give(&self.region, at));
        hole.is_some()
    }

    /// How much is to be free before blocks are moved: the more there is, the fewer are in the way.
    fn slack(&self) -> u32 {
        self.largest.max(self.heap.capacity() / SLACK_SHARE)
    }

    fn try_take(&mut self, need: SpaceRequest) -> Option<Offset> {
        let may_take = self.has_place(need) && self.is_under_ceiling(need);
        if may_take {
            self.heap.take(&self.region, need.words)
        } else {
            None
        }
    }

    fn has_place(&self, need: SpaceRequest) -> bool {
        !need.slot || self.index.len() < self.index.capacity()
    }

    /// Whether a newcomer takes nothing of what is kept for others, neither words nor places.
    fn is_under_ceiling(&self, need: SpaceRequest) -> bool {
        self.ceiling(need.rank).is_none_or(|ceiling| {
            let taken = self.queues.unsigned();
            let has_place = !need.slot || taken.entries < ceiling.entries;
            has_place && taken.words + need.most_words() <= ceiling.words
        })
    }

    /// What goes next for a newcomer. Where the ceiling is what stands in its way, the memory of sessions that were
    /// ended with all others is of no use to it.
    fn victim(&mut self, need: SpaceRequest) -> Option<Offset> {
        if self.is_under_ceiling(need) {
            return self.queues.victim(&self.region, need.rank, need.keep);
        }
        self.queues
            .living_victim(&self.region, need.rank, need.keep)
    }

    /// What those that may go for an anonymous newcomer may come to, if one of a rank comes in.
    fn ceiling(&self, rank: Priority) -> Option<Usage> {
        self.ceiling.filter(|_| rank == Priority::Anonymous)
    }

    /// Evicts what is over the ceiling since an alias took the place of a session with a user. Aliases go
    /// first, so it is they that go.
    pub(super) fn keep_ceiling(&mut self, now: Tick) {
        while !self.holds_ceiling()
            && let Some(victim) = self
                .queues
                .living_victim(&self.region, Priority::Anonymous, None)
        {
            self.evict(victim, now);
        }
    }

    /// Whether all that is not of a session with a user is under the ceiling.
    pub(super) fn holds_ceiling(&self) -> bool {
        self.ceiling.is_none_or(|ceiling| {
            let taken = self.queues.unsigned();
            taken.words <= ceiling.words && taken.entries <= ceiling.entries
        })
    }

    /// Whether what is free and what may go is enough.
    pub(super) fn can_fit(&self, need: SpaceRequest) -> bool {
        let kept = need
            .keep
            .map_or(0, |keep| self.evictable_words(keep, need.rank));
        let evictable = self.queues.evictable(need.rank).words;
        debug_assert!(kept <= evictable, "what is kept is counted");
        let evictable = evictable - kept;
        let ceiling = self.ceiling(need.rank);
        let has_share = ceiling.is_none_or(|ceiling| kept + need.most_words() <= ceiling.words);
        let enough = self.heap.free() + evictable >= need.words && has_share;
        enough && (self.has_place(need) || evictable > 0)
    }

    /// What an entry adds to the sum of those that may go.
    fn evictable_words(&self, at: Offset, rank: Priority) -> u32 {
        let entry = Entry::at(&self.region, at);
        let queue = self.queues.of(entry);
        if rank.displaces(queue) {
            entry.words()
        } else {
            0
        }
    }

    fn evict(&mut self, at: Offset, now: Tick) {
        self.count_eviction(at, now);
        self.discard(at);
    }

    /// Evicts an entry and leaves its block, which is as large as the newcomer's, to the newcomer. What the
    /// newcomer does not write over is wiped.
    fn take_over(&mut self, at: Offset, need: SpaceRequest, now: Tick) -> Option<Offset> {
        self.count_eviction(at, now);
        let slot = self.slot_of(at)?;
        self.unlink(slot, at);
        let entry = Entry::at(&self.region, at);
        if need.words < entry.words() {
            entry.wipe();
        }
        Some(at)
    }

    /// One that was past its deadline, though the wheel had not come to it, was not evicted; nor was one that was
    /// ended with all others.
    fn count_eviction(&mut self, at: Offset, now: Tick) {
        let entry = Entry::at(&self.region, at);
        let queue = self.queues.of(entry);
        if queue == Queue::Revoked {
            return;
        }
        if queue != Queue::Aliases && entry.deadline() <= now {
            self.count_expiry(at, now);
            return;
        }
        self.counts.evicted[queue as usize] += 1;
        if queue != Queue::Aliases {
            self.tell(EventKind::Evicted, at, now);
        }
    }

    /// Where more must be moved than may be, what was moved is left so: another attempt begins where this one ended.
    fn take_by_moving(&mut self, words: u32) -> Option<Offset> {
        let Self {
            region,
            heap,
            index,
            counts,
            ..
        } = self;
        let most = words.max(Heap::SMALLEST).saturating_mul(MAX_MOVED);
        heap.take_by_moving(region, words, most, |region, moved| {
            let id = Entry::at(region, moved.from).id();
            if let Some((slot, _)) = index.find(index.spot(&id), |at| at == moved.from) {
                index.write(slot, || {
                    moved.carry(region);
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
