//! Statistics: what a cache holds, and what has happened in it.

use core::cell::Cell;

use crossbeam_utils::CachePadded;

use crate::{
    shard::{Shard, queues::Queue, region::WORD},
    sync::{AtomicU32, AtomicU64, Relaxed},
};

/// What a cache holds now, and what has happened in it since it was built.
///
/// Shards are looked at one after the other, so figures of one moment may be a moment apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The memory.
    pub memory: Memory,
    /// What is alive now, by class. Expired sessions count until their memory is given back.
    pub sessions: Sessions,
    /// Reads that gave a record.
    pub hits: u64,
    /// Reads that gave none, for whatever cause, a missing cookie included.
    pub misses: u64,
    /// Tokens and ids that were refused, by cause.
    pub refused: Refused,
    /// Sessions created.
    pub created: u64,
    /// Saves that stored something.
    pub saved: u64,
    /// Saves that were refused because somebody else had saved.
    pub conflicts: u64,
    /// Plain rotations.
    pub rotated: u64,
    /// Sign-ins.
    pub signed_in: u64,
    /// Sessions ended.
    pub ended: u64,
    /// Sign-ins of a user who had as many sessions as may be: the stalest of those ended, or the sign-in was
    /// refused.
    pub limited: u64,
    /// Sessions whose memory was given back because they had expired.
    pub expired: u64,
    /// Sessions that went to make room, by class.
    pub evicted: Evicted,
    /// Writes that were refused because there was no room.
    pub full: u64,
    /// Blocks that were moved to make room.
    pub moved: u64,
}

/// The memory of a cache, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// What the cache was given. It never uses more.
    pub budget: usize,
    /// The part of it that is for sessions.
    pub capacity: usize,
    /// The part of that which sessions use.
    pub used: usize,
}

/// Sessions by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sessions {
    /// Anonymous ones whose cookie has not come back yet.
    pub probation: usize,
    /// Anonymous ones whose cookie came back.
    pub anonymous: usize,
    /// Those with a user.
    pub authenticated: usize,
    /// Old ids of rotated sessions, which are no sessions.
    pub aliases: usize,
}

/// Evictions by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evicted {
    /// Old ids of rotated sessions.
    pub aliases: u64,
    /// Anonymous sessions whose cookie had not come back.
    pub probation: u64,
    /// Anonymous sessions whose cookie had come back.
    pub anonymous: u64,
    /// Sessions with a user, each to make room for another with a user.
    pub authenticated: u64,
}

/// Refusals by cause. To the client they are all one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// No token at all.
    pub malformed: u64,
    /// A token whose tag is wrong, or whose key is not valid (any more).
    pub forged: u64,
    /// A right token, or an id, of a session that is not there.
    pub unknown: u64,
    /// The same of a session past its deadline.
    pub expired: u64,
    /// The same of a session that has another id now.
    pub rotated: u64,
}

/// What is counted outside the shards: what no lock is held for.
#[derive(Clone, Copy)]
pub(super) enum Cause {
    Miss,
    Malformed,
    Forged,
    Unknown,
    Expired,
    Rotated,
    Full,
}

/// Counters, striped by thread so that nobody waits for another's cache line.
pub(super) struct Counters {
    stripes: [CachePadded<[AtomicU64; CAUSES]>; STRIPES],
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            stripes: [const { CachePadded::new([const { AtomicU64::new(0) }; CAUSES]) }; STRIPES],
        }
    }

    #[inline]
    pub(super) fn count(&self, cause: Cause) {
        // A sum that is read later; it orders nothing.
        self.stripes[stripe()][cause as usize].fetch_add(1, Relaxed);
    }

    fn sum(&self, cause: Cause) -> u64 {
        self.stripes.iter().map(|stripe| stripe[cause as usize].load(Relaxed)).sum()
    }

    pub(super) fn fill(&self, stats: &mut Stats) {
        stats.misses = self.sum(Cause::Miss);
        stats.full = self.sum(Cause::Full);
        stats.refused = Refused {
            malformed: self.sum(Cause::Malformed),
            forged: self.sum(Cause::Forged),
            unknown: self.sum(Cause::Unknown),
            expired: self.sum(Cause::Expired),
            rotated: self.sum(Cause::Rotated),
        };
    }
}

impl Stats {
    /// Adds what one shard holds and has counted.
    pub(super) fn add(&mut self, shard: &Shard) {
        let counts = shard.counts();
        let entries = |queue| shard.tally(queue).entries as usize;
        let evicted = |queue: Queue| counts.evicted[queue as usize];
        self.memory.capacity += shard.capacity() as usize * WORD;
        self.memory.used += (shard.capacity() - shard.free()) as usize * WORD;
        self.sessions.probation += entries(Queue::Probation);
        self.sessions.anonymous += entries(Queue::Anonymous);
        self.sessions.authenticated += entries(Queue::UserProbation) + entries(Queue::Users);
        self.sessions.aliases += entries(Queue::Aliases);
        self.evicted.aliases += evicted(Queue::Aliases);
        self.evicted.probation += evicted(Queue::Probation);
        self.evicted.anonymous += evicted(Queue::Anonymous);
        self.evicted.authenticated += evicted(Queue::UserProbation) + evicted(Queue::Users);
        self.hits += counts.hits;
        self.created += counts.created;
        self.saved += counts.saved;
        self.conflicts += counts.conflicts;
        self.rotated += counts.rotated;
        self.signed_in += counts.signed_in;
        self.ended += counts.ended;
        self.limited += counts.limited;
        self.expired += counts.expired;
        self.moved += counts.moved;
    }
}

/// The stripe of this thread: threads take them in turn.
#[inline]
fn stripe() -> usize {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    STRIPE.with(|stripe| {
        if stripe.get() == usize::MAX {
            stripe.set(NEXT.fetch_add(1, Relaxed) as usize % STRIPES);
        }
        stripe.get()
    })
}

const CAUSES: usize = Cause::Full as usize + 1;
const STRIPES: usize = 64;
