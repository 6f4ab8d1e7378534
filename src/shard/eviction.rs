//! Which entry goes when there is no room: six queues, one for each class of entry.
//!
//! ```text
//!   condemned, aliases                        first in, first out
//!   anonymous:      probation ─came back─▶ clock
//!   authenticated:  probation ─came back─▶ clock
//! ```
//!
//! A session is on probation until its cookie comes back for the first time; then it stands in a 2-bit
//! clock (Corbató 1968; two bits as in RIPQ and S3-FIFO's main queue). Probation goes first as long as it
//! holds more than a fifth of its class, so that newcomers have a while in which to come back and a
//! flood of them takes no more than that from sessions that did. An evicted id never returns, so there
//! are no ghosts to remember. The queues do not know who needs room, nor how much.

use super::{
    entry::{Entry, Flags, QUEUE_LINK},
    list,
    region::{Offset, Pair, Region, Words},
};
use crate::clock::Tick;

/// The queues of one shard. Their anchors stand in the region.
pub(crate) struct Queues {
    anchors: Offset,
    usages: [Usage; COUNT],
    /// What was created before this was ended, with all others, at one stroke.
    cutoff: Tick,
}

/// A class of entries, in the order in which they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Sessions that were ended with all others, and whose memory was not given back yet.
    Revoked,
    Aliases,
    Probation,
    Anonymous,
    UserProbation,
    Users,
}

/// What stands in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) entries: u32,
    pub(crate) words: u32,
}

/// For whom room is made: only a session with a user displaces one with a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    Anonymous,
    Authenticated,
}

impl Queues {
    /// How many words of a region the anchors take.
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

    /// Condemns all sessions that were created before a tick: those that are there, in no time, and those that
    /// come yet. Says how many are there.
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

    /// The queue in which an entry stands.
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

    /// All that may go for a newcomer of a rank.
    pub(crate) fn evictable(&self, priority: Priority) -> Usage {
        self.sum(&Queue::ALL[..priority.queue_count()])
    }

    /// All that is there for somebody who is not signed in.
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

    /// Puts a new entry last in the queue where its class begins.
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

    /// Notes that a session's cookie came back.
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

    /// Notes that a block grew or shrank from what it was before, in words.
    pub(crate) fn resize(&mut self, region: &Region, at: Offset, before: u32) {
        let entry = Entry::at(region, at);
        let usage = &mut self.usages[self.queue_of(entry) as usize];
        usage.words = usage.words - before + entry.words();
    }

    /// The entry that goes next for a newcomer of a rank, but never `keep`. It stays where it is.
    pub(crate) fn victim(
        &mut self,
        region: &Region,
        priority: Priority,
        keep: Option<Offset>,
    ) -> Option<Offset> {
        self.first(region, Queue::Revoked, keep)
            .or_else(|| self.unrevoked_victim(region, priority, keep))
    }

    /// The same, but for sessions that were ended with all others.
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

    /// Moves the clock's hand to an entry that was not used since it last came by, or that it meets when
    /// it has gone far enough for one call.
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

    /// A session that was ended with all others, if one is still there.
    pub(crate) fn revoked(&self, region: &Region) -> Option<Offset> {
        self.first(region, Queue::Revoked, None)
    }

    /// The first of a queue that is not `keep`.
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

    /// Checks lists and tallies and gives every entry. For tests.
    #[cfg(any(test, feature = "__internals"))]
    pub(crate) fn validate(&self, region: &Region) -> Vec<Offset> {
        let mut all = Vec::new();
        for queue in Queue::ALL {
            let mut usage = Usage::default();
            for link in list::validate(region, self.anchor(queue)) {
                let entry = Entry::at(region, link - QUEUE_LINK);
                assert_eq!(self.queue_of(entry), queue, "an entry knows its queue");
                usage.entries += 1;
                usage.words += entry.words();
                all.push(link - QUEUE_LINK);
            }
            assert_eq!(usage, self.usage(queue), "{queue:?} is counted");
        }
        all
    }
}

/// The entry that most likely goes next, as far as somebody without the lock can tell.
pub(crate) fn likely_victim(words: Words<'_>, anchors: Offset) -> Option<Offset> {
    let anchor = anchors + Queue::Probation as u32;
    Pair::unpack(words.load(anchor)).low.checked_sub(QUEUE_LINK)
}

/// Whether it is news to a queue that such an entry was used. One on probation has no uses yet.
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
    /// Whether what stands in a queue may go for this rank.
    pub(crate) fn may_evict(self, queue: Queue) -> bool {
        (queue as usize) < self.queue_count()
    }

    /// How many of the queues may go for this rank: what opens nothing, and its pairs.
    fn queue_count(self) -> usize {
        2 + 2 * self.queue_pairs().len()
    }

    /// The queues that may go for this rank, in order, each probation beside its clock.
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
/// Probation's share of its class, as a divisor. On the traces of `tests/engine/hit_ratio.rs` shares of .19 to .24 do well.
const PROBATION_SHARE: u32 = 5;
/// How many entries the hand passes in one call.
const MAX_DISTANCE: u32 = 64;
