//! Sessions shared by processes and machines: a cache in memory in front of a store.

mod store;

pub use store::{
    Abilities, BoxFuture, Change, Created, Ended, Heartbeat, Lifetime, NewAlias, NewRecord,
    NewTimeouts, Proposal, Rewrite, Rotated, ServerTime, SessionLimit, Sink, Store, StoreError,
    StoredData, StoredRecord, UserIds,
};
