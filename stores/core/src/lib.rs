//! Sessions shared by processes and machines: a cache in memory in front of a store.
//!
//! ```
//! use sessile::{KeyRing, SessionCache};
//! use sessile_store::{MemoryStore, StoreExt};
//!
//! let builder = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
//! let cache = builder.store(MemoryStore::new())?;
//! let issued = cache.blocking().create(b"a cart")?;
//! assert!(cache.blocking().end(&issued.id)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//!  tiered     TieredCache: verbs, the driver of the channel, metrics
//!    ├─ protocol   floors, lease, fence, ends, touches, revocations; without input and output
//!    ├─ record, encryption   bytes in the store
//!    └─ store      the trait, of MemoryStore, sessile-redis and sessile-memcached
//! ```
//!
//! A [`TieredCache`] is made by [`StoreExt::store`], which starts one thread for all input and
//! output. Its verbs are futures that need no particular runtime; [`TieredCache::blocking`] returns
//! them for threads.

#[cfg(feature = "contract")]
pub mod contract;
pub mod encryption;
mod environment;
mod memory;
mod protocol;
pub mod record;
mod revocation;
mod store;
mod thread;
mod tiered;

pub use memory::{MemorySnapshot, MemoryStore};

pub use revocation::{MirrorError, Revocation, RevocationPage, RevocationSink, RevocationsFull};
pub use store::{
    Abilities, BoxFuture, Change, Created, Ended, Heartbeat, Lifetime, NewAlias, NewRecord,
    NewTimeouts, Proposal, Revalidated, Rewrite, Rotated, ServerTime, SessionLimit, Sink, Store,
    StoreError, StoredData, StoredRecord, UserIds,
};
pub use tiered::{
    Blocking, Candidates, LookUp, MirrorState, StoreBuildError, StoreExt, StoreHealth, StoreState,
    TieredCache, TieredCacheBuilder,
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
