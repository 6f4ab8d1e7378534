//! A web session engine: it takes a `Cookie` header and returns the session's bytes, from memory of
//! a fixed size.
//!
//! The engine stores bytes and is synchronous. It has no dependency on a framework, an async
//! runtime or JSON. For axum and tower, use `sessile-tower`, which is built on it.
//!
//! # Usage
//!
//! ```toml
//! [dependencies]
//! sessile = "0.1"
//! bytes = "1"
//! ```
//!
//! ```
//! use bytes::BytesMut;
//! use sessile::{KeyRing, SessionCache, SetCookie};
//!
//! let cache = SessionCache::builder().memory(64 << 20).keys(KeyRing::generate()?).build()?;
//! let cookie = SetCookie::builder(cache.cookie_name()).build()?;
//!
//! // A new client: create a session and send its cookie.
//! let issued = cache.create(b"a cart")?;
//! let response_header = cookie.header_for(&issued.token);
//! assert!(response_header.ends_with("HttpOnly; Secure; SameSite=Lax"));
//!
//! // Its next request: open the session by the `Cookie` header. The data is copied into `buffer`.
//! let request_header = format!("theme=dark; __Host-session={}", issued.token.as_str());
//! let mut buffer = BytesMut::new();
//! let record = cache.open([request_header.as_bytes()], &mut buffer).expect("the session is live");
//! assert_eq!(&buffer[..], b"a cart");
//!
//! // A save names the version that was read, so that no concurrent save is lost.
//! let version = cache.save(&record.id, record.version, b"a fuller cart")?;
//! assert_ne!(version, record.version);
//!
//! // A sign-in binds the session to a user and replaces its id.
//! let signed_in = cache.sign_in(&record.id, "ada")?;
//! assert_eq!(cache.user_sessions("ada").len(), 1);
//!
//! cache.end(&signed_in.id);
//! assert!(cache.load(&signed_in.id, &mut buffer).is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a request runs
//!
//! ```text
//!  cache    routes each verb to a shard; random bytes and MACs outside its lock
//!    ├─ cookie   header → token → keys, and Set-Cookie
//!    └─ shard    index │ region: wheel, queues, users, heap of entries
//! ```
//!
//! 1. [`SessionCache::open`] searches the `Cookie` fields for the cookie's name. It tries at most
//!    [`MAX_CANDIDATES`](cookie::MAX_CANDIDATES) values.
//! 2. It decodes the value into a key number, a shard, an id and a tag, the token's MAC.
//! 3. It looks the id up in the shard's index and copies the data into the caller's buffer, without
//!    a lock. It takes the shard's lock only if a writer interferes repeatedly, and occasionally to
//!    record an access.
//! 4. It compares the tag with the one stored with the session. Only if they differ does it compute
//!    the MAC. [`verify_first`](SessionCacheBuilder::verify_first) computes it for every token.
//! 5. It returns a [`Record`] with the session's id, version, user and times, or `None`.
//!
//! A hit allocates nothing if the buffer is large enough.
//!
//! # Configuration
//!
//! [`SessionCache::builder`] returns a [`SessionCacheBuilder`]. Only
//! [`keys`](SessionCacheBuilder::keys) is required. The settings that most applications change are
//! [`memory`](SessionCacheBuilder::memory) (64 MiB),
//! [`idle_timeout`](SessionCacheBuilder::idle_timeout) (30 minutes),
//! [`lifetime`](SessionCacheBuilder::lifetime) (12 hours) and
//! [`max_session_size`](SessionCacheBuilder::max_session_size) (16 KiB). When the memory is full,
//! new sessions evict old ones, first those whose client never returned the cookie. Anonymous
//! sessions never evict authenticated ones. [`SessionCache::capacity_for`] returns the number of
//! sessions that fit.
//!
//! [`SetCookie`] builds the response header. Time comes from a [`Clock`]; tests use a
//! [`ManualClock`].
//!
//! # Concurrency
//!
//! A [`SessionCache`] is `Send`, `Sync` and cheap to clone. Its methods are synchronous and short,
//! so async code can call them directly. Operations on a session are linearizable, and a read never
//! observes a partial write. [`save`](SessionCache::save) is a compare-and-swap on the [`Version`]:
//! of two concurrent saves, one fails with [`Error::Conflict`].
//!
//! No thread starts by itself. [`SessionCache::start_maintenance`] starts one that frees expired
//! sessions; without it, their memory is freed when it is needed.
//!
//! # Guarantees
//!
//! * The memory never grows beyond the setting, which [`build`](SessionCacheBuilder::build)
//!   allocates.
//! * Termination is permanent: after a method that ends a session returns, no read finds it.
//! * On an [`Error`] nothing is changed.
//! * Freed session data is zeroed. `Debug` output contains no id, token or key.
//! * The crate contains no `unsafe` code. A panic inside the engine resets only the shards
//!   that the method had locked.
//!
//! # Features
//!
//! * `serde`: `Serialize` and `Deserialize` for [`Handle`], as its text. Off by default.
//!
//! # Minimum supported Rust version
//!
//! Rust 1.88.

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

/// Counters and gauges of a cache.
pub mod stats {
    pub use crate::cache::stats::{
        EvictionCounts, MemoryUsage, RejectionCounts, SessionCounts, Stats,
    };
}

/// Items for the tests, benchmarks and fuzz targets of this repository. Exempt from semantic
/// versioning.
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod internals {
    #[cfg(not(sessile_loom))]
    pub use crate::sync::locks_taken;
    #[cfg(sessile_loom)]
    pub use crate::sync::{Lock, MemoryFence, loom_word};
    pub use crate::{
        cookie::internals as cookie,
        shard::{list, region, seqlock, tlsf, wheel},
    };
}
