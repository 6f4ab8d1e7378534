//! Web sessions at memory speed: a `Cookie` header goes in, the session's bytes come out, from memory that
//! is fixed at start and never grows.
//!
//! This is the engine: bytes in, bytes out, synchronous, with no framework, no runtime and no JSON. For axum
//! and tower there is `sessile-tower` on top of it.
//!
//! ```
//! use bytes::BytesMut;
//! use sessile::{KeyRing, SessionCache, SetCookie};
//!
//! let cache = SessionCache::builder().memory(64 << 20).keys(KeyRing::generate()?).build()?;
//! let cookie = SetCookie::builder(cache.cookie_name()).build()?;
//!
//! let made = cache.create(b"data")?;
//! let response_header = cookie.header_for(&made.token);
//! assert!(response_header.ends_with("HttpOnly; Secure; SameSite=Lax"));
//!
//! let request_header = format!("__Host-session={}", made.token.as_str());
//! let mut buffer = BytesMut::new();
//! let record = cache.open([request_header.as_bytes()], &mut buffer).expect("it is live");
//! assert_eq!((&buffer[..], record.version), (&b"data"[..], made.version));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//!  cache    routes each verb to a shard; random bytes and MACs outside its lock
//!    ├─ cookie   header → token → keys, and Set-Cookie
//!    └─ shard    index │ region: wheel, queues, users, heap of entries
//! ```
//!
//! A [`SessionCache`] is made by its [`SessionCacheBuilder`], whose main setting is the memory.
//! Its verbs return a [`Record`], an [`IssuedSession`], or an [`Error`], after which nothing is changed. Time is a
//! [`Clock`]; tests use a [`ManualClock`].

mod cache;
mod clock;
mod config;
pub mod cookie;
mod error;
mod events;
mod handle;
mod id;
mod shard;
mod sync;

pub use cache::{
    CreateOptions, IssuedSession, MaintenanceReport, MaintenanceThread, Record, SessionCache,
    SessionInfo, SignInOptions, UserInfo, Version,
};
pub use clock::{Clock, ManualClock};
pub use config::{SessionCacheBuilder, Timeouts};
pub use cookie::{
    keys::KeyRing,
    set_cookie::{SameSite, SetCookie, SetCookieBuilder},
    token::Token,
};
pub use error::{BuildError, CookieError, Error, HandleError, KeyError};
pub use events::{EndReason, Event, EventKind};
pub use handle::Handle;
pub use id::{SessionId, UserHash};
pub use shard::SessionLimitPolicy;

/// The in-process part of a tiered cache, for crates that put a store behind it. Applications use
/// the tiered cache of `sessile-store`.
pub mod tier {
    pub use crate::cache::tier::{
        Candidate, Candidates, CreateRequest, DerivedKey, Installed, KeyFingerprint, L1, LookUp,
        PARTITIONS, Placement, Rejection, SignInRequest, SignedIn, Spans, StoredSession, Ticks,
    };
}

/// Statistics of a cache.
pub mod stats {
    pub use crate::cache::stats::{
        EvictionCounts, MemoryUsage, RejectionCounts, SessionCounts, Stats,
    };
}

/// For this repository's own tests, benchmarks and fuzz targets; no promise holds for what it shows.
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod internals {
    #[cfg(not(sessile_loom))]
    pub use crate::sync::locks_taken;
    #[cfg(sessile_loom)]
    pub use crate::sync::{Lock, MemoryFence, modelled};
    pub use crate::{
        cookie::internals as cookie,
        shard::{list, region, seqlock, tlsf, wheel},
    };
}
