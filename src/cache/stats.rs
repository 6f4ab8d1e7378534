//! Statistics: what a cache holds, and what has happened in it.

use crossbeam::utils::CachePadded;

use crate::{
    shard::{Shard, eviction::Queue, region::WORD},
    sync::{Acquire, AtomicU64, Relaxed, Release},
};

/// What a cache holds now, and what has happened in it since it was built.
///
/// Shards are looked at one after the other, so figures of one moment may be a moment apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The memory.
    pub memory: MemoryUsage,
    /// What is alive now, by class. Expired sessions count until their memory is given back.
    pub sessions: SessionCounts,
    /// Reads that gave a record.
    pub hits: u64,
    /// Reads that gave none, for whatever cause, a missing cookie included.
    pub misses: u64,
    /// Tokens and ids that were refused, by cause.
    pub rejected: RejectionCounts,
    /// Sessions created.
    pub created: u64,
    /// Sessions that the application's own hook refused to make.
    pub admission_denied: u64,
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
    pub session_limit_hits: u64,
    /// Sessions whose memory was given back because they had expired.
    pub expired: u64,
    /// Sessions that went to make room, by class.
    pub evicted: EvictionCounts,
    /// Writes that were refused because there was no room.
    pub full: u64,
    /// Blocks that were moved to make room.
    pub compactions: u64,
    /// Events that did not fit the queue.
    pub events_dropped: u64,
    /// Shards that were emptied because a verb panicked in them: each is a mistake in this crate.
    pub shard_resets: u64,
}

/// The memory of a cache, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUsage {
    /// What the cache was given. It never uses more.
    pub budget: usize,
    /// The part of it that is for sessions.
    pub capacity: usize,
    /// The part of that which sessions use.
    pub used: usize,
    /// The part of that which sessions with a user use.
    pub authenticated: usize,
}

/// Sessions by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionCounts {
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
pub struct EvictionCounts {
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
pub struct RejectionCounts {
    /// No token at all.
    pub malformed: u64,
    /// A token whose tag is wrong, or whose key is not valid (any more).
    pub forged: u64,
    /// A right token, or an id, of a session that is not there.
    pub unknown: u64,
    /// The same of a session past its deadline.
    pub expired: u64,
    /// Reads by an id that the session had before, after the grace.
    pub reused: u64,
}

/// What is counted outside the shards: what no lock is held for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Hit,
    Miss,
    Malformed,
    Forged,
    Unknown,
    Expired,
    Reused,
    AdmissionDenied,
    Full,
}

/// Counters, a stripe for each thread so that nobody waits for another's cache line.
pub(super) struct Counters {
    locked_shards: [CachePadded<[AtomicU64; CAUSES]>; STRIPES],
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            locked_shards: [const { CachePadded::new([const { AtomicU64::new(0) }; CAUSES]) };
                STRIPES],
        }
    }

    /// Sums that are read later: these accesses order nothing.
    #[inline]
    pub(super) fn count(&self, cause: Cause) {
        let locked = SEAT.try_with(|seat| seat.0).unwrap_or(SHARED);
        let counter = &self.locked_shards[locked][cause as usize];
        if locked == SHARED {
            counter.fetch_add(1, Relaxed);
        } else {
            counter.store(counter.load(Relaxed) + 1, Relaxed);
        }
    }

    fn sum(&self, cause: Cause) -> u64 {
        self.locked_shards
            .iter()
            .map(|locked| locked[cause as usize].load(Relaxed))
            .sum()
    }

    pub(super) fn fill(&self, stats: &mut Stats) {
        stats.hits = self.sum(Cause::Hit);
        stats.misses = self.sum(Cause::Miss);
        stats.admission_denied = self.sum(Cause::AdmissionDenied);
        stats.full = self.sum(Cause::Full);
        stats.rejected = RejectionCounts {
            malformed: self.sum(Cause::Malformed),
            forged: self.sum(Cause::Forged),
            unknown: self.sum(Cause::Unknown),
            expired: self.sum(Cause::Expired),
            reused: self.sum(Cause::Reused),
        };
    }
}

impl Stats {
    /// Adds what one shard holds and has counted.
    pub(super) fn add(&mut self, shard: &Shard) {
        let counts = shard.counts();
        let entries = |queue| shard.usage(queue).entries as usize;
        let words = |queue| shard.usage(queue).words as usize;
        let evicted = |queue: Queue| counts.evicted[queue as usize];
        self.memory.capacity += shard.capacity() as usize * WORD;
        self.memory.used += (shard.capacity() - shard.free_words()) as usize * WORD;
        self.memory.authenticated += (words(Queue::UserProbation) + words(Queue::Users)) * WORD;
        self.sessions.probation += entries(Queue::Probation);
        self.sessions.anonymous += entries(Queue::Anonymous);
        self.sessions.authenticated += entries(Queue::UserProbation) + entries(Queue::Users);
        self.sessions.aliases += entries(Queue::Aliases);
        self.evicted.aliases += evicted(Queue::Aliases);
        self.evicted.probation += evicted(Queue::Probation);
        self.evicted.anonymous += evicted(Queue::Anonymous);
        self.evicted.authenticated += evicted(Queue::UserProbation) + evicted(Queue::Users);
        self.created += counts.created;
        self.saved += counts.saved;
        self.conflicts += counts.conflicts;
        self.rotated += counts.rotated;
        self.signed_in += counts.signed_in;
        self.ended += counts.ended;
        self.session_limit_hits += counts.session_limit_hits;
        self.expired += counts.expired;
        self.compactions += counts.compactions;
        self.shard_resets += counts.shard_resets;
    }
}

/// A stripe that is one thread's own while it lives, so that it counts without a locked instruction.
struct ThreadSlot(usize);

thread_local! {
    static SEAT: ThreadSlot = ThreadSlot::claim();
}

/// Which seats are taken, a bit each.
static TAKEN: AtomicU64 = AtomicU64::new(0);

impl ThreadSlot {
    /// The first seat that is free, or the one that all others share. Acquire: what the last one to sit here
    /// counted is seen.
    fn claim() -> Self {
        let first_free = |taken: u64| (taken != u64::MAX).then(|| taken | (taken + 1));
        let taken = TAKEN.fetch_update(Acquire, Relaxed, first_free);
        Self(taken.map_or(SHARED, |taken| taken.trailing_ones() as usize))
    }
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        if self.0 != SHARED {
            // Pairs with the claim.
            TAKEN.fetch_and(!(1 << self.0), Release);
        }
    }
}

const CAUSES: usize = Cause::Full as usize + 1;
/// The stripe of threads that have no seat of their own.
const SHARED: usize = u64::BITS as usize;
const STRIPES: usize = SHARED + 1;
