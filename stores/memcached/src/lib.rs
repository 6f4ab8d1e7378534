//! Memcached as the store of sessile: many processes and machines share sessions.
//!
//! ```no_run
//! use sessile_memcached::MemcachedStore;
//!
//! let store = MemcachedStore::open("memcached://10.0.0.5")?;
//! # Ok::<(), sessile_memcached::OpenError>(())
//! ```
//!
//! # Servers
//! memcached 1.6.18 or later, one server. A restart of the server signs out all users, and so does
//! an eviction the user of the session.
//!
//! # How it works
//! ```text
//!  store      the calls of the trait
//!    ├─ records      one record: read, compare, replace
//!    ├─ ends         ends of all sessions of a user, or of all users
//!    ├─ watch        connects, checks the server, heartbeats
//!    ├─ value, keys, seen   bytes and names of items; what was checked before
//!    └─ lane, connection, meta   one connection each for heartbeats, reads, writes
//! ```
//!
//! The server pushes no changes, so each session in memory has a lease of its own. When that is
//! over, the unique numbers of its items are compared, without their values. Writes replace the
//! value that was read and no other. The server has no clock that clients can use, so times are
//! those of the nodes.

mod connection;
mod ends;
mod keys;
mod lane;
mod meta;
mod records;
mod seen;
mod settings;
mod store;
mod value;
mod watch;

#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod internals;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use sessile_store::{ServerTime, StoreError};

use keys::Keys;
use lane::Lane;
use meta::Commands;
use seen::Seen;
pub use settings::{MemcachedStoreBuilder, OpenError};

/// Sessions in a memcached server.
///
/// Cheap to clone; clones share the connections. A store serves one tiered cache, which decides
/// when to connect.
#[derive(Clone)]
pub struct MemcachedStore(Arc<Inner>);

struct Inner {
    keys: Keys,
    channel: Lane,
    reads: Lane,
    writes: Lane,
    state: Mutex<State>,
    /// The number of the next command. Numbers repeat after more commands than can wait.
    opaque: AtomicU32,
}

struct State {
    /// The server was checked, and the channel is open.
    is_open: bool,
    version: Option<String>,
    /// The largest item of the server, in bytes.
    max_item_len: usize,
    seen: Seen,
}

impl MemcachedStore {
    /// Creates a store with default settings. Opens no connection.
    ///
    /// The URL is `memcached://host:port`; the port is 11211 unless it is given.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(url: &str) -> Result<Self, OpenError> {
        Self::builder(url).build()
    }

    /// Creates a builder with default settings.
    pub fn builder(url: &str) -> MemcachedStoreBuilder {
        MemcachedStoreBuilder::new(url)
    }

    /// Returns the version of the server that the store is connected to, or was last.
    #[must_use]
    pub fn server_version(&self) -> Option<String> {
        self.state(|state| state.version.clone())
    }

    /// Returns true if the store is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state(|state| state.is_open)
    }

    pub(crate) fn new(address: &str, keys: Keys) -> Self {
        let lane = || Lane::new(address);
        Self(Arc::new(Inner {
            keys,
            channel: lane(),
            reads: lane(),
            writes: lane(),
            state: Mutex::new(State {
                is_open: false,
                version: None,
                max_item_len: DEFAULT_MAX_ITEM_LEN,
                seen: Seen::new(),
            }),
            opaque: AtomicU32::new(0),
        }))
    }

    fn state<R>(&self, access: impl FnOnce(&mut State) -> R) -> R {
        access(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Creates an empty list of commands.
    fn commands(&self) -> Commands {
        // The number orders nothing.
        Commands::new(self.0.opaque.fetch_add(MAX_COMMANDS, Relaxed))
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.is_connected() {
            Ok(())
        } else {
            Err(StoreError::Unreachable("the store is not connected".into()))
        }
    }

    /// Fails if a write is past its time. The server cannot do that, so the node does it before it
    /// sends the write.
    fn check_time(&self, not_after: ServerTime) -> Result<ServerTime, StoreError> {
        let now = now();
        if now > not_after {
            return Err(StoreError::Late);
        }
        Ok(now)
    }
}

impl fmt::Debug for MemcachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemcachedStore")
            .field("server_version", &self.server_version())
            .field("is_connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

/// Returns the time of this node.
fn now() -> ServerTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    ServerTime(0).after(since.unwrap_or_default())
}

/// Returns random bits for a generation.
fn random() -> Result<u64, StoreError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| {
        let text = "the operating system returned no random bytes";
        StoreError::Unreachable(text.into())
    })?;
    Ok(u64::from_le_bytes(bytes))
}

/// The largest item of a server with default settings, in bytes.
const DEFAULT_MAX_ITEM_LEN: usize = 1 << 20;
/// The most commands of one call: a batch of touches has 64.
const MAX_COMMANDS: u32 = 256;

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
