//! Sessions shared by processes and machines: a cache in memory in front of a store.

#[cfg(feature = "contract")]
pub mod contract;
pub mod encryption;
mod environment;
mod memory;
mod protocol;
pub mod record;
mod store;
mod thread;
mod tiered;

pub use memory::{MemorySnapshot, MemoryStore};

pub use store::{
    Abilities, BoxFuture, Change, Created, Ended, Heartbeat, Lifetime, NewAlias, NewRecord,
    NewTimeouts, Proposal, Rewrite, Rotated, ServerTime, SessionLimit, Sink, Store, StoreError,
    StoredData, StoredRecord, UserIds,
};
pub use tiered::{
    Blocking, Pending, StoreBuildError, StoreExt, StoreHealth, StoreState, TieredCache,
    TieredCacheBuilder, TryOpen,
};

/// For this repository's own simulator; no promise holds for what it shows.
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod internals {
    pub use crate::{
        environment::Environment,
        protocol::switches::{Rule, Rules},
    };
}

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
