//! Nodes: tiered caches of one data set.

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use sessile::{CreateOptions, Error, IssuedSession, KeyRing, SessionCache, SessionId, UserInfo};
use sessile_memcached::MemcachedStore;
use sessile_store::{Blocking, LookUp, StoreExt, StoreState, TieredCache, TieredCacheBuilder};

/// The lease of entries unless it is set.
pub const LEASE: Duration = Duration::from_secs(2);

/// One process with a tiered cache, as far as the store can tell.
pub struct Node {
    pub cache: TieredCache,
    pub verbs: Blocking,
}

impl Node {
    pub fn start(store: MemcachedStore) -> Self {
        let node = Self::begin(store);
        node.until_up();
        node
    }

    /// Starts a node without waiting for its store.
    pub fn begin(store: MemcachedStore) -> Self {
        let cache = Self::builder(store).build().expect("valid settings");
        Self {
            verbs: cache.blocking(),
            cache,
        }
    }

    pub fn builder(store: MemcachedStore) -> TieredCacheBuilder {
        let keys = KeyRing::from_base64(KEY).expect("a key");
        SessionCache::builder()
            .memory(16 << 20)
            .max_session_size(2 << 20)
            .keys(keys)
            .max_sessions_per_user(None)
            .tiered(store)
    }

    pub fn until_up(&self) {
        until("the store is up", || self.is_up());
    }

    pub fn is_up(&self) -> bool {
        self.cache.store_health().state == StoreState::Up
    }

    /// Creates a session of a user, or an anonymous one for an empty name.
    pub fn create(&self, user: &str) -> IssuedSession {
        let options = match user {
            "" => CreateOptions::new(),
            user => CreateOptions::new().user(UserInfo::new(user)),
        };
        let created = self.verbs.create_with(b"a cart", options);
        created.expect("the store answers")
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

    pub fn is_open(&self, session: &IssuedSession) -> bool {
        self.open(session).expect("the store answers").is_some()
    }

    /// Waits until a session is not opened any more, and returns the time that this took. After a
    /// fence the store does not answer for a moment.
    pub fn until_ended(&self, session: &IssuedSession) -> Duration {
        let began = Instant::now();
        until("the session has ended", || self.open(session) == Ok(None));
        began.elapsed()
    }

    /// Returns the value of a metric of this node.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.cache.prometheus();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no metric {name}: {text}"));
        value.trim().parse().expect("a number")
    }
}

/// Returns the name of a record.
pub fn key(id: &SessionId) -> String {
    format!("sessile:s:{:032x}", u128::from_be_bytes(id.to_bytes()))
}

/// Waits until a condition holds, for at most 30 seconds.
pub fn until(name: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{name}: not within 30 s");
        thread::sleep(Duration::from_millis(5));
    }
}

/// 32 bytes, base64.
const KEY: &str = "qLW9fC0Sq3ZtKkQ1mW0c8pGv5uYbR2nJ7hXeTdA4oL8=";
