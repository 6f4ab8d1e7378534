//! The order of eviction: six queues, one for each class of entry.
//!
//! ```text
//!   revoked, aliases                              first in, first out
//!   anonymous:      probation ─cookie returned─▶ clock
//!   authenticated:  probation ─cookie returned─▶ clock
//! ```
//!
//! A session is on probation until its cookie is returned for the first time. Then it is in a 2-bit
//! clock (Corbató 1968; two bits as in RIPQ and S3-FIFO's main queue).
//!
//! Probation is evicted first while it holds more than a fifth of its class. A new session thus has
//! some time to return its cookie, and a flood of new sessions takes no more than that fifth from
//! the others. In a local cache an evicted id is never stored again, so there is no ghost queue.
//! The queues do not know which entry needs room, nor how much.

use super::{
    entry::{Entry, Flags, QUEUE_LINK},
    list,
    region::{Offset, Pair, Region, Words},
};
use crate::clock::Tick;

/// The queues of one shard. Their anchors are in the region.
pub(crate) struct Queues {
    anchors: Offset,
    usages: [Usage; COUNT],
    /// Sessions that were created before this are revoked.
    cutoff: Tick,
}

/// A class of entries, in the order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Sessions that were ended with all others and whose memory was not reclaimed yet.
    Revoked,
    Aliases,
    Probation,
    Anonymous,
    UserProbation,
    Users,
}

/// The number and the size of a queue's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) entries: u32,
    pub(crate) words: u32,
}

/// The priority of a request for room: only a session with a user evicts one with a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    Anonymous,
    Authenticated,
}

impl Queues {
    /// The number of words that the anchors take in a region.
    pub(crate) const WORDS: u32 = COUNT as u32;

    pub(crate) fn new(region: &Region, anchors: Offset) -> Self {
        (anchors..anchors + Self::WORDS).for_each(|anchor| list::anchor(region, anchor));
        Self {
            anchors,
            usages: [Usage::default(); COUNT],
            cutoff: 0,
        }
    }

    pub(crate) fn cutoff(&self) -> Tick {
        self.cutoff
    }

    /// Revokes all sessions that were created before `cutoff`, in O(1). A session that is inserted
    /// later and was created before it is revoked too. Returns the number of sessions that were
    /// revoked now.
    pub(crate) fn revoke_before(&mut self, region: &Region, cutoff: Tick) -> u32 {
        self.cutoff = cutoff;
        let all = self.sum(&Queue::OF_SESSIONS);
        for queue in Queue::OF_SESSIONS {
            list::splice(region, self.anchor(queue), self.anchor(Queue::Revoked));
            self.usages[queue as usize] = Usage::default();
        }
        let revoked = &mut self.usages[Queue::Revoked as usize];
        revoked.entries += all.entries;
        revoked.words += all.words;
        all.entries
    }

    /// Returns the queue of an entry.
    pub(crate) fn queue_of(&self, entry: Entry<'_>) -> Queue {
        let flags = entry.flags();
        if !flags.has(Flags::ALIAS) && entry.created() < self.cutoff {
            return Queue::Revoked;
        }
        Queue::ALL[flags.queue() as usize]
    }

    pub(crate) fn usage(&self, queue: Queue) -> Usage {
        self.usages[queue as usize]
    }

    /// Returns the usage of all entries that a request of this priority may evict.
    pub(crate) fn evictable(&self, priority: Priority) -> Usage {
        self.sum(&Queue::ALL[..priority.queue_count()])
    }

    /// Returns the usage of aliases and anonymous sessions.
    pub(crate) fn anonymous_usage(&self) -> Usage {
        self.sum(&[Queue::Aliases, Queue::Probation, Queue::Anonymous])
    }

    fn sum(&self, queues: &[Queue]) -> Usage {
        queues
            .iter()
            .map(|&queue| self.usage(queue))
            .fold(Usage::default(), |sum, usage| Usage {
                entries: sum.entries + usage.entries,
                words: sum.words + usage.words,
            })
    }

    /// Appends a new entry to the first queue of its class.
    pub(crate) fn insert(&mut self, region: &Region, at: Offset) {
        let flags = Entry::at(region, at).flags();
        let queue = if flags.has(Flags::ALIAS) {
            Queue::Aliases
        } else if flags.has(Flags::USER) {
            Queue::UserProbation
        } else {
            Queue::Probation
        };
        self.push(region, at, queue);
    }

    pub(crate) fn remove(&mut self, region: &Region, at: Offset) {
        let entry = Entry::at(region, at);
        let queue = self.queue_of(entry);
        list::unlink(region, at + QUEUE_LINK);
        let usage = &mut self.usages[queue as usize];
        usage.entries -= 1;
        usage.words -= entry.words();
    }

    /// Records that a session's cookie was returned.
    #[inline]
    pub(crate) fn record_use(&mut self, region: &Region, at: Offset, flags: Flags) {
        if flags.queue() == Queue::Probation as u32 {
            self.promote(region, at, Queue::Anonymous);
        } else if flags.queue() == Queue::UserProbation as u32 {
            self.promote(region, at, Queue::Users);
        } else if flags.uses() < MAX_USES {
            Entry::at(region, at).set_flags(flags.with_uses(flags.uses() + 1));
        }
    }

    /// Updates the usage after a block's size changed from `before` words.
    pub(crate) fn resize(&mut self, region: &Region, at: Offset, before: u32) {
        let entry = Entry::at(region, at);
        let usage = &mut self.usages[self.queue_of(entry) as usize];
        usage.words = usage.words - before + entry.words();
    }

    /// Returns the entry to evict next for a priority, but never `keep`. It stays in its queue.
    pub(crate) fn victim(
        &mut self,
        region: &Region,
        priority: Priority,
        keep: Option<Offset>,
    ) -> Option<Offset> {
        self.first(region, Queue::Revoked, keep)
            .or_else(|| self.unrevoked_victim(region, priority, keep))
    }

    /// Returns the entry to evict next for a priority, without revoked sessions.
    pub(crate) fn unrevoked_victim(
        &mut self,
        region: &Region,
        priority: Priority,
        keep: Option<Offset>,
    ) -> Option<Offset> {
        let alias = self.first(region, Queue::Aliases, keep);
        let queue_pairs = priority.queue_pairs();
        alias.or_else(|| {
            queue_pairs
                .iter()
                .find_map(|&queues| self.victim_of(region, queues, keep))
        })
    }

    fn victim_of(
        &mut self,
        region: &Region,
        queues: [Queue; 2],
        keep: Option<Offset>,
    ) -> Option<Offset> {
        let [probation, clock] = queues;
        let [new, old] = queues.map(|queue| self.usage(queue).words);
        let oldest = self.first(region, probation, keep);
        if oldest.is_some() && new > (new + old) / PROBATION_SHARE {
            return oldest;
        }
        self.sweep(region, clock, keep).or(oldest)
    }

    /// Moves the clock's hand to an entry that was not used since the last pass, but past at most
    /// [`MAX_DISTANCE`] entries.
    fn sweep(&mut self, region: &Region, queue: Queue, keep: Option<Offset>) -> Option<Offset> {
        for _ in 0..MAX_DISTANCE {
            let at = self.first(region, queue, keep)?;
            let entry = Entry::at(region, at);
            let flags = entry.flags();
            if flags.uses() == 0 {
                return Some(at);
            }
            entry.set_flags(flags.with_uses(flags.uses() - 1));
            list::unlink(region, at + QUEUE_LINK);
            list::push(region, self.anchor(queue), at + QUEUE_LINK);
        }
        self.first(region, queue, keep)
    }

    /// Returns a revoked session whose memory was not reclaimed yet.
    pub(crate) fn revoked(&self, region: &Region) -> Option<Offset> {
        self.first(region, Queue::Revoked, None)
    }

    /// Returns the first entry of a queue that is not `keep`.
    fn first(&self, region: &Region, queue: Queue, keep: Option<Offset>) -> Option<Offset> {
        let anchor = self.anchor(queue);
        let first = list::first(region, anchor)?;
        if Some(first - QUEUE_LINK) != keep {
            return Some(first - QUEUE_LINK);
        }
        list::next(region, anchor, first).map(|link| link - QUEUE_LINK)
    }

    #[cold]
    fn promote(&mut self, region: &Region, at: Offset, to: Queue) {
        self.remove(region, at);
        self.push(region, at, to);
    }

    fn push(&mut self, region: &Region, at: Offset, queue: Queue) {
        let entry = Entry::at(region, at);
        entry.set_flags(entry.flags().with_queue(queue as u32).with_uses(0));
        let queue = self.queue_of(entry);
        list::push(region, self.anchor(queue), at + QUEUE_LINK);
        let usage = &mut self.usages[queue as usize];
        usage.entries += 1;
        usage.words += entry.words();
    }

    fn anchor(&self, queue: Queue) -> Offset {
        self.anchors + queue as u32
    }

    /// Checks the lists and the usages and returns every entry. For tests.
    #[cfg(any(test, feature = "__internals"))]
    pub(crate) fn validate(&self, region: &Region) -> Vec<Offset> {
        let mut all = Vec::new();
        for queue in Queue::ALL {
            let mut usage = Usage::default();
            for link in list::validate(region, self.anchor(queue)) {
                let entry = Entry::at(region, link - QUEUE_LINK);
                assert_eq!(
                    self.queue_of(entry),
                    queue,
                    "an entry's flags name its queue"
                );
                usage.entries += 1;
                usage.words += entry.words();
                all.push(link - QUEUE_LINK);
            }
            assert_eq!(usage, self.usage(queue), "{queue:?} is counted");
        }
        all
    }
}

/// Returns the entry that is probably evicted next. Reads without the lock, for prefetching.
pub(crate) fn likely_victim(words: Words<'_>, anchors: Offset) -> Option<Offset> {
    let anchor = anchors + Queue::Probation as u32;
    Pair::unpack(words.load(anchor)).low.checked_sub(QUEUE_LINK)
}

/// Returns true if a use of an entry with these flags changes its queue or its uses. On probation
/// the uses are 0.
#[inline(always)]
pub(crate) fn records_use(flags: Flags) -> bool {
    flags.uses() < MAX_USES
}

impl Queue {
    pub(crate) const ALL: [Self; COUNT] = [
        Self::Revoked,
        Self::Aliases,
        Self::Probation,
        Self::Anonymous,
        Self::UserProbation,
        Self::Users,
    ];
    const OF_SESSIONS: [Self; 4] = [
        Self::Probation,
        Self::Anonymous,
        Self::UserProbation,
        Self::Users,
    ];
}

impl Priority {
    /// Returns true if a request of this priority may evict entries of a queue.
    pub(crate) fn may_evict(self, queue: Queue) -> bool {
        (queue as usize) < self.queue_count()
    }

    /// Returns the number of queues that this priority may evict: revoked, aliases, and its pairs.
    fn queue_count(self) -> usize {
        2 + 2 * self.queue_pairs().len()
    }

    /// Returns the queues of sessions that this priority may evict, in order: each probation and
    /// its clock.
    fn queue_pairs(self) -> &'static [[Queue; 2]] {
        const PAIRS: [[Queue; 2]; 2] = [
            [Queue::Probation, Queue::Anonymous],
            [Queue::UserProbation, Queue::Users],
        ];
        match self {
            Self::Anonymous => &PAIRS[..1],
            Self::Authenticated => &PAIRS,
        }
    }
}

const COUNT: usize = 6;
const MAX_USES: u32 = 3;
/// Probation's share of its class, as a divisor. On the traces of `tests/engine/hit_ratio.rs`,
/// shares of 0.19 to 0.24 perform well.
const PROBATION_SHARE: u32 = 5;
/// The maximum number of entries that the hand passes in one call.
const MAX_DISTANCE: u32 = 64;
