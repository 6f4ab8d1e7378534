//! Statistics: counters and gauges of a cache.

use crossbeam::utils::CachePadded;

use crate::{
    shard::{Shard, eviction::Queue, region::WORD},
    sync::{Acquire, AtomicU64, Relaxed, Release},
};

/// Counters and gauges of a cache.
///
/// The shards are read one after the other, so the values are not of exactly the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The use of memory.
    pub memory: MemoryUsage,
    /// The stored sessions, by class. Expired sessions count until their memory is freed.
    pub sessions: SessionCounts,
    /// Reads that returned a record.
    pub hits: u64,
    /// Reads that returned none for any reason, including a missing cookie.
    pub misses: u64,
    /// Rejected tokens and ids, by cause.
    pub rejected: RejectionCounts,
    /// Sessions created.
    pub created: u64,
    /// Sessions denied by the admission hook.
    pub admission_denied: u64,
    /// Saves that stored data.
    pub saved: u64,
    /// Saves rejected because of a concurrent save.
    pub conflicts: u64,
    /// Rotations of an id, without sign-ins.
    pub rotated: u64,
    /// Sign-ins.
    pub signed_in: u64,
    /// Sessions ended.
    pub ended: u64,
    /// Sign-ins of a user who had reached `max_sessions_per_user`. Depending on the policy, a
    /// session of the user ended or the sign-in failed.
    pub session_limit_hits: u64,
    /// Expired sessions whose memory was freed.
    pub expired: u64,
    /// Evicted entries, by class.
    pub evicted: EvictionCounts,
    /// Writes that failed because the cache was full.
    pub full: u64,
    /// Blocks moved to make room.
    pub compactions: u64,
    /// Events dropped because the queue was full.
    pub events_dropped: u64,
    /// Shards reset after an internal panic. Each is a bug in sessile.
    pub shard_resets: u64,
}

/// The memory of a cache, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUsage {
    /// The memory that the cache was built with. It never uses more.
    pub budget: usize,
    /// The part of the budget that is available to sessions.
    pub capacity: usize,
    /// The part of the capacity that sessions use.
    pub used: usize,
    /// The part of the used memory that authenticated sessions use.
    pub authenticated: usize,
}

/// Sessions by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionCounts {
    /// Anonymous sessions whose client has not returned the cookie yet.
    pub probation: usize,
    /// Anonymous sessions whose client has returned the cookie.
    pub anonymous: usize,
    /// Sessions with a user.
    pub authenticated: usize,
    /// Remembered ids of rotated sessions. They are not sessions.
    pub aliases: usize,
}

/// Evictions by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EvictionCounts {
    /// Remembered ids of rotated sessions.
    pub aliases: u64,
    /// Anonymous sessions whose client had not returned the cookie.
    pub probation: u64,
    /// Anonymous sessions whose client had returned the cookie.
    pub anonymous: u64,
    /// Sessions with a user, each evicted for another session with a user.
    pub authenticated: u64,
}

/// Rejections by cause. Clients cannot tell the causes apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectionCounts {
    /// Values that are not in a token's format.
    pub malformed: u64,
    /// Tokens with a wrong tag, or with a key that is not in the ring.
    pub forged: u64,
    /// Valid tokens, or ids, without a session.
    pub unknown: u64,
    /// Valid tokens, or ids, of an expired session.
    pub expired: u64,
    /// Reads by a replaced id after its grace period.
    pub reused: u64,
}

/// Outcomes that are counted without a shard's lock.
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

/// Counters with a slot per thread, so that threads do not contend for a cache line.
pub(super) struct Counters {
    slots: [CachePadded<[AtomicU64; CAUSES]>; SLOTS],
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            slots: [const { CachePadded::new([const { AtomicU64::new(0) }; CAUSES]) }; SLOTS],
        }
    }

    /// Adds one to a counter. Only sums are read, so the accesses are relaxed.
    ///
    /// A thread's own slot has one writer, so a load and a store cannot lose a count. Threads
    /// without a slot share the last one and need an atomic addition.
    #[inline]
    pub(super) fn count(&self, cause: Cause) {
        let slot = THREAD_SLOT.try_with(|slot| slot.0).unwrap_or(OVERFLOW);
        let counter = &self.slots[slot][cause as usize];
        if slot == OVERFLOW {
            counter.fetch_add(1, Relaxed);
        } else {
            counter.store(counter.load(Relaxed) + 1, Relaxed);
        }
    }

    fn sum(&self, cause: Cause) -> u64 {
        self.slots
            .iter()
            .map(|slot| slot[cause as usize].load(Relaxed))
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
    /// Adds the counters and gauges of one shard.
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

/// The index of the slot that the current thread owns until it ends.
struct ThreadSlot(usize);

thread_local! {
    static THREAD_SLOT: ThreadSlot = ThreadSlot::claim();
}

/// Bitmap of the slots that are owned by a thread.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

impl ThreadSlot {
    /// Allocates the first free slot, or returns the shared one. Acquire pairs with the release in
    /// `drop`, so that the counts of the slot's previous owner are visible.
    fn claim() -> Self {
        let first_free =
            |allocated: u64| (allocated != u64::MAX).then(|| allocated | (allocated + 1));
        let allocated = ALLOCATED.fetch_update(Acquire, Relaxed, first_free);
        Self(allocated.map_or(OVERFLOW, |allocated| allocated.trailing_ones() as usize))
    }
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        if self.0 != OVERFLOW {
            // Pairs with the acquire in `claim`.
            ALLOCATED.fetch_and(!(1 << self.0), Release);
        }
    }
}

const CAUSES: usize = Cause::Full as usize + 1;
/// The slot that threads without their own slot share.
const OVERFLOW: usize = u64::BITS as usize;
const SLOTS: usize = OVERFLOW + 1;
