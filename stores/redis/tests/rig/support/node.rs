//! Nodes: tiered caches of one data set, each behind a proxy of its own. They use the documented
//! permissions only.

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use sessile::{Error, IssuedSession, KeyRing, SessionCache, SessionId, SessionLimitPolicy};
use sessile_redis::RedisStore;
use sessile_store::{Blocking, LookUp, StoreExt, StoreState, TieredCache, TieredCacheBuilder};

use super::{proxy::Proxy, server::Server};

/// The shortest lease that the settings allow.
pub const LEASE: Duration = Duration::from_secs(3);
/// The time of a call to the store. Longer than the default, for machines that do other work.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// One process with a tiered cache, as far as the store can tell.
pub struct Node {
    pub cache: TieredCache,
    pub verbs: Blocking,
    pub proxy: Proxy,
}

/// Creates nodes over one server.
pub struct Site {
    keys: KeyRing,
    limit: Option<(usize, SessionLimitPolicy)>,
}

impl Site {
    pub fn new(server: &Server) -> Self {
        permit(server);
        Self {
            keys: KeyRing::generate().expect("random bytes"),
            limit: None,
        }
    }

    /// Creates a site that limits the sessions of each user.
    pub fn limited(server: &Server, limit: usize, policy: SessionLimitPolicy) -> Self {
        Self {
            limit: Some((limit, policy)),
            ..Self::new(server)
        }
    }

    /// Starts a node whose connections pass a proxy, and waits until its store is up.
    pub fn node(&self, server: &Server) -> Node {
        self.node_with(server, |builder| builder)
    }

    pub fn node_with(
        &self,
        server: &Server,
        set: impl FnOnce(TieredCacheBuilder) -> TieredCacheBuilder,
    ) -> Node {
        let proxy = Proxy::start(server.port());
        let store = RedisStore::open(&url(proxy.port())).expect("a valid URL");
        self.over(store, proxy, set)
    }

    pub fn over(
        &self,
        store: RedisStore,
        proxy: Proxy,
        set: impl FnOnce(TieredCacheBuilder) -> TieredCacheBuilder,
    ) -> Node {
        let cache = set(self.builder(store)).build().expect("valid settings");
        let node = Node {
            verbs: cache.blocking(),
            cache,
            proxy,
        };
        node.until_up();
        node
    }

    pub fn builder(&self, store: RedisStore) -> TieredCacheBuilder {
        let mut builder = SessionCache::builder()
            .memory(16 << 20)
            .keys(self.keys.clone());
        if let Some((limit, policy)) = self.limit {
            builder = builder
                .max_sessions_per_user(limit)
                .session_limit_policy(policy);
        }
        builder.tiered(store).lease(LEASE).timeout(TIMEOUT)
    }
}

/// Adds the user that the nodes log in as, with the documented permissions.
pub fn permit(server: &Server) {
    let user = ["ACL", "SETUSER", "app", "reset", "on", ">secret"];
    let rules = include_str!("../../../acl.txt");
    let command: Vec<&str> = user.into_iter().chain(rules.split_whitespace()).collect();
    server.command(&command);
}

/// Returns the URL of a port, for the user that [`permit`] adds.
pub fn url(port: u16) -> String {
    format!("redis://app:secret@127.0.0.1:{port}")
}

impl Node {
    pub fn until_up(&self) {
        until("the store is up", || self.is_up());
    }

    pub fn until_down(&self) {
        until("the store is down", || !self.is_up());
    }

    pub fn is_up(&self) -> bool {
        self.cache.store_health().state == StoreState::Up
    }

    /// Returns true if L1 answers.
    pub fn hits(&self, session: &IssuedSession) -> bool {
        let token = session.token.as_str().as_bytes();
        let opened = self.cache.try_open_token(token, &mut BytesMut::new());
        matches!(opened, LookUp::Hit(_))
    }

    /// Opens a session by its token and returns its data.
    pub fn open(&self, session: &IssuedSession) -> Result<Option<Vec<u8>>, Error> {
        let mut data = BytesMut::new();
        let token = session.token.as_str().as_bytes();
        let opened = self.verbs.open_token(token, &mut data)?;
        Ok(opened.map(|_| data.to_vec()))
    }

    /// Returns the value of a metric of this node.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.cache.prometheus();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no metric {name}: {text}"));
        value.trim().parse().expect("a number")
    }

    /// Returns the number of ends that the store has not confirmed.
    pub fn ends_queued(&self) -> usize {
        self.cache.store_health().ends_queued
    }

    /// Waits until the store has confirmed all ends.
    pub fn until_sent(&self) {
        until("the queue is empty", || self.ends_queued() == 0);
    }

    /// Returns the number of fences of all causes.
    pub fn fences(&self) -> f64 {
        let causes = ["channel_lost", "unanswered", "data_lost"];
        let metric =
            |cause| self.metric(&format!("sessile_store_fences_total{{cause=\"{cause}\"}}"));
        causes.into_iter().map(metric).sum()
    }
}

/// Returns the name of a record.
pub fn key(id: &SessionId) -> String {
    let digits = u128::from_be_bytes(id.to_bytes());
    format!("sessile:{{{:02x}}}:s:{digits:032x}", id.partition())
}

/// Repeats a request while the store cannot be reached, for at most a minute. A node that is up
/// after a failover or a reload may lose its connections once more: Sentinels close them, a server
/// that was promoted may be slow at first, and the node may notice the reload only now.
pub fn answered<T>(mut request: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut answer = Err(Error::Unreachable);
    until_within(Duration::from_secs(60), "an answer", || {
        answer = request();
        !matches!(answer, Err(Error::Unreachable))
    });
    answer
}

/// Waits until a condition holds, for at most 20 seconds.
pub fn until(name: &str, condition: impl FnMut() -> bool) {
    until_within(Duration::from_secs(20), name, condition);
}

/// Waits until a condition holds.
pub fn until_within(limit: Duration, name: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "{name}: not within {limit:?}");
        thread::sleep(Duration::from_millis(2));
    }
}
