//! Sessions shared by processes and machines: a cache in memory in front of a store.

#[cfg(feature = "contract")]
pub mod contract;
pub mod encryption;
mod memory;
pub mod record;
mod store;

pub use memory::{MemorySnapshot, MemoryStore};

pub use store::{
    Abilities, BoxFuture, Change, Created, Ended, Heartbeat, Lifetime, NewAlias, NewRecord,
    NewTimeouts, Proposal, Rewrite, Rotated, ServerTime, SessionLimit, Sink, Store, StoreError,
    StoredData, StoredRecord, UserIds,
};
