//! Counters of what happened in a shard, for the statistics. No behaviour depends on them.

use super::eviction::Queue;

/// Events in a shard since it was created. The shard's lock protects them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) created: u64,
    pub(crate) saved: u64,
    pub(crate) conflicts: u64,
    pub(crate) rotated: u64,
    pub(crate) signed_in: u64,
    pub(crate) ended: u64,
    /// Sign-ins whose user had reached the limit of sessions.
    pub(crate) session_limit_hits: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: [u64; Queue::ALL.len()],
    pub(crate) compactions: u64,
    /// Words of the blocks counted in `compactions`. For tests.
    #[cfg(feature = "__internals")]
    pub(crate) moved_words: u64,
    pub(crate) shard_resets: u64,
}
