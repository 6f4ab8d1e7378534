//! What happened in a shard, by kind: for the statistics, and nothing else hangs on it.

use super::eviction::Queue;

/// What happened in a shard since it was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) created: u64,
    pub(crate) saved: u64,
    pub(crate) conflicts: u64,
    pub(crate) rotated: u64,
    pub(crate) signed_in: u64,
    pub(crate) ended: u64,
    /// Sign-ins at the limit of their user.
    pub(crate) session_limit_hits: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: [u64; Queue::ALL.len()],
    pub(crate) compactions: u64,
    /// The words of those blocks, for tests.
    #[cfg(feature = "__internals")]
    pub(crate) moved_words: u64,
    pub(crate) shard_resets: u64,
}
