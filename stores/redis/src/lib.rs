//! Redis and Valkey as the store of sessile: many processes and machines share sessions, and a
//! restart signs no user out.
//!
//! ```no_run
//! use sessile_redis::RedisStore;
//!
//! let store = RedisStore::open("redis://10.0.0.5")?;
//! # Ok::<(), sessile_redis::OpenError>(())
//! ```
//!
//! # Servers
//! Redis 7.0 or later, Valkey 7.2 or later, alone or with Sentinel. Cluster mode is not supported
//! yet. The server's `maxmemory-policy` should be `noeviction`.
//!
//! # How it works
//! Each call is one script, which the server executes atomically. The script also publishes the
//! change on a channel that all nodes subscribe to. One connection carries the channel and the
//! heartbeats, one the reads, one the writes.

mod connection;
mod connector;
mod error;
mod keys;
mod open_error;
mod replication;
mod scripts;
mod server;
mod settings;
mod store;
mod tls;
mod watch;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use redis::{
    FromRedisValue, RedisError, RedisResult, Script, ScriptInvocation, aio::MultiplexedConnection,
};
use sessile_store::StoreError;
use tokio::sync::Notify;

use connection::{Call, Calls, Connection};
use connector::{Connections, Connector};
use keys::Keys;
pub use open_error::OpenError;
use replication::Replication;
pub use server::{RedisHealth, ServerInfo};
pub use settings::RedisStoreBuilder;
use settings::Wait;

/// Sessions in a Redis or Valkey server.
///
/// Cheap to clone; clones share the connections. A store serves one tiered cache, which decides
/// when to connect.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    connector: Connector,
    keys: Keys,
    wait: Option<Wait>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    server: Option<ServerInfo>,
}

/// The connections of one watch. A late failure of an earlier link does not count against this one.
struct Link {
    connections: Connections,
    replication: Replication,
    /// Notified when the connections can no longer be used.
    lost: Arc<Notify>,
}

/// A call in progress. If it is dropped without an answer, it counts as unanswered: the caller may
/// have stopped waiting for it.
struct Pending<'a> {
    calls: &'a Calls,
    call: Call,
    lost: &'a Notify,
    is_answered: bool,
}

/// The connection that a call takes.
#[derive(Clone, Copy)]
enum Lane {
    Channel,
    Reads,
    Writes,
    /// The writes, or the connection that waits for replicas if the settings ask for it.
    Replicated,
}

impl RedisStore {
    /// Creates a store with default settings. Opens no connection.
    ///
    /// The URL is `redis://host:port/database`, `rediss://…` for TLS, or
    /// `redis+sentinel://host:port,host:port/service/database`. User name and password stand before
    /// the host: `redis://user:password@host`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(url: &str) -> Result<Self, OpenError> {
        Self::builder(url).build()
    }

    /// Creates a builder with default settings.
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url)
    }

    /// Returns the state of the connection, the server as it described itself when the store
    /// connected, and a warning if its settings should be changed. Sends no command.
    ///
    /// For readiness probes use
    /// [`TieredCache::store_health`](sessile_store::TieredCache::store_health): it returns whether
    /// requests are answered.
    ///
    /// ```
    /// use sessile_redis::RedisStore;
    ///
    /// let store = RedisStore::open("redis://127.0.0.1")?;
    /// let health = store.health();
    /// assert!(!health.is_connected && health.server.is_none() && health.warning.is_none());
    /// # Ok::<(), sessile_redis::OpenError>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> RedisHealth {
        let (is_connected, server) =
            self.state(|state| (state.link.is_some(), state.server.clone()));
        RedisHealth {
            is_connected,
            warning: server.as_ref().and_then(ServerInfo::warning),
            server,
        }
    }

    pub(crate) fn new(connector: Connector, keys: Keys, wait: Option<Wait>) -> Self {
        Self(Arc::new(Inner {
            connector,
            keys,
            wait,
            state: Mutex::default(),
        }))
    }

    fn state<R>(&self, access: impl FnOnce(&mut State) -> R) -> R {
        access(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn link(&self) -> Result<Arc<Link>, StoreError> {
        let link = self.state(|state| state.link.clone());
        link.ok_or_else(|| StoreError::Unreachable("the store is not connected".into()))
    }

    /// Calls a script.
    async fn call<T: FromRedisValue>(
        &self,
        lane: Lane,
        script: &Script,
        arguments: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> Result<T, StoreError> {
        let link = self.link()?;
        let Connection { client, calls } = link.connection(lane);
        let mut connection = client.clone();
        let mut invocation = script.prepare_invoke();
        arguments(&mut invocation);
        let pending = link.begin(calls);
        let reply = invocation.invoke_async(&mut connection).await;
        pending.end(&reply);
        let reply = reply.map_err(|error| link.failure(&error))?;
        if let (Lane::Replicated, Some(wait)) = (lane, self.0.wait) {
            let waiting = link.wait_for_replicas(connection, calls, wait);
            let acknowledged = link.replication.wait(waiting).await?;
            if acknowledged < wait.replicas {
                let text = format!("{acknowledged} of {} replicas acknowledged", wait.replicas);
                return Err(StoreError::Unreplicated(text.into()));
            }
        }
        Ok(reply)
    }
}

impl Link {
    fn connection(&self, lane: Lane) -> &Connection {
        let connections = &self.connections;
        match lane {
            Lane::Channel => &connections.channel,
            Lane::Reads => &connections.reads,
            Lane::Writes => &connections.writes,
            Lane::Replicated => {
                let own = connections.replicated.as_ref();
                own.unwrap_or(&connections.writes)
            }
        }
    }

    fn begin<'a>(&'a self, calls: &'a Calls) -> Pending<'a> {
        Pending {
            calls,
            call: calls.begin(Instant::now()),
            lost: &self.lost,
            is_answered: false,
        }
    }

    /// Returns how many replicas have what this connection has written.
    async fn wait_for_replicas(
        &self,
        mut connection: MultiplexedConnection,
        calls: &Calls,
        wait: Wait,
    ) -> Result<usize, StoreError> {
        // The server has just answered, so this command does not count, whatever its result.
        calls.begin_wait(Instant::now(), wait.timeout);
        let mut command = redis::cmd("WAIT");
        command
            .arg(wait.replicas)
            .arg(wait.timeout.as_millis() as u64);
        let acknowledged = command.query_async(&mut connection).await;
        let acknowledged = acknowledged.map_err(|error| self.failure(&error))?;
        calls.end_wait();
        Ok(acknowledged)
    }

    /// Returns the error of a store. The connections are given up when one of them is closed, and
    /// when the server is no longer a primary.
    fn failure(&self, error: &RedisError) -> StoreError {
        let is_replica = error.code() == Some("READONLY");
        if is_replica || error.is_connection_dropped() {
            self.lost.notify_one();
        }
        error::store_error(error)
    }
}

impl Pending<'_> {
    /// Ends the call. An error of the server is an answer, too.
    fn end<T>(mut self, reply: &RedisResult<T>) {
        self.is_answered = !reply.as_ref().is_err_and(RedisError::is_io_error);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            self.calls.answered();
        } else if self.calls.unanswered(self.call) >= MAX_UNANSWERED {
            self.lost.notify_one();
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

/// Calls in a row that one connection leaves unanswered before all are given up.
const MAX_UNANSWERED: u32 = 3;

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
