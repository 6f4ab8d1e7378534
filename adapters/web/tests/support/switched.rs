//! A store that refuses all calls while it is switched off, holds writes back while it is asked to,
//! and counts what was created and saved.

// Each test binary uses a part of this module.
#![allow(dead_code, clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use sessile::{KeyRing, ManualClock, SessionCache, SessionId, UserHash, Version};
use sessile_store::{
    Abilities, BoxFuture, Created, Ended, Heartbeat, Lifetime, MemoryStore, NewAlias, NewRecord,
    NewTimeouts, Proposal, Revocation, RevocationPage, Rewrite, Rotated, ServerTime, Sink, Store,
    StoreError, StoreExt, StoreState, StoredData, StoredRecord, TieredCache, UserIds,
};
use tokio::sync::watch;

/// A store that a test switches off and on. Clones are one switch over one store.
#[derive(Clone)]
pub(crate) struct Switched {
    pub(crate) memory: MemoryStore,
    switch: Arc<Switch>,
}

struct Switch {
    is_off: AtomicBool,
    is_held: watch::Sender<bool>,
    held: watch::Sender<usize>,
    reads: AtomicU64,
    heartbeats: AtomicU64,
    nodes: AtomicU64,
    created: AtomicU64,
    saved: AtomicU64,
}

impl Switched {
    /// Creates an empty store whose time is that of a clock.
    pub(crate) fn new(time: &Time) -> Self {
        let millis = Arc::clone(&time.millis);
        let memory = MemoryStore::with_clock(move || ServerTime(millis.load(SeqCst)));
        Self::over(memory)
    }

    /// Creates another switch over the same store.
    pub(crate) fn beside(&self) -> Self {
        Self::over(self.memory.clone())
    }

    fn over(memory: MemoryStore) -> Self {
        let switch = Switch {
            is_off: AtomicBool::new(false),
            is_held: watch::Sender::new(false),
            held: watch::Sender::new(0),
            reads: AtomicU64::new(0),
            heartbeats: AtomicU64::new(0),
            nodes: AtomicU64::new(0),
            created: AtomicU64::new(0),
            saved: AtomicU64::new(0),
        };
        Self {
            memory,
            switch: Arc::new(switch),
        }
    }

    /// Refuses all calls, and closes the channels.
    pub(crate) fn turn_off(&self) {
        self.switch.is_off.store(true, SeqCst);
        self.memory.disconnect();
    }

    /// Answers calls again, and waits until a cache has noticed.
    pub(crate) fn turn_on(&self, cache: &TieredCache) {
        self.switch.is_off.store(false, SeqCst);
        eventually("the store is up", || {
            cache.store_health().state == StoreState::Up
        });
    }

    /// Holds saves and creations back until [`release`](Self::release).
    pub(crate) fn hold(&self) {
        self.switch.is_held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.switch.is_held.send_replace(false);
    }

    /// Waits until a write is held back.
    pub(crate) async fn until_held(&self) {
        self.switch
            .held
            .subscribe()
            .wait_for(|held| *held > 0)
            .await
            .unwrap();
    }

    /// Returns the number of sessions, and the numbers ever created and saved.
    pub(crate) fn stats(&self) -> [u64; 3] {
        let mut sessions = 0;
        self.memory.for_each_stored(|key, value| {
            // A header of 64 bytes, and its kind.
            let is_session = key.len() == 16 && value.len() >= 64 && value[1] == 1;
            sessions += u64::from(is_session);
        });
        let Switch { created, saved, .. } = &*self.switch;
        [sessions, created.load(SeqCst), saved.load(SeqCst)]
    }

    /// Returns the number of reads.
    pub(crate) fn reads(&self) -> u64 {
        self.switch.reads.load(SeqCst)
    }

    /// Waits for a few heartbeats: a node sends its touches as often.
    fn until_touches_are_sent(&self) {
        let beats = || self.switch.heartbeats.load(SeqCst);
        let wanted = beats() + 3 * self.switch.nodes.load(SeqCst);
        eventually("the nodes send their touches", || beats() >= wanted);
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.switch.is_off.load(SeqCst) {
            return Err(StoreError::Unreachable("switched off".into()));
        }
        Ok(())
    }

    async fn wait(&self) {
        self.switch.held.send_modify(|held| *held += 1);
        let mut is_held = self.switch.is_held.subscribe();
        is_held.wait_for(|is_held| !is_held).await.unwrap();
        self.switch.held.send_modify(|held| *held -= 1);
    }
}

impl Store for Switched {
    fn abilities(&self) -> Abilities {
        self.memory.abilities()
    }

    fn read(&self, id: SessionId) -> BoxFuture<'_, Result<Option<StoredRecord>, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.switch.reads.fetch_add(1, SeqCst);
            self.memory.read(id).await
        })
    }

    fn create<'a>(
        &'a self,
        new: &'a NewRecord<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Created, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.wait().await;
            let created = self.memory.create(new, not_after).await?;
            if matches!(new.lifetime, Lifetime::New(_)) {
                self.switch.created.fetch_add(1, SeqCst);
            }
            Ok(created)
        })
    }

    fn save<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        data: StoredData<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.wait().await;
            let saved = self
                .memory
                .save(id, expected, next, data, not_after)
                .await?;
            self.switch.saved.fetch_add(1, SeqCst);
            Ok(saved)
        })
    }

    fn touch<'a>(
        &'a self,
        batch: &'a [(SessionId, Duration)],
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.memory.touch(batch, not_after).await
        })
    }

    fn set_timeouts<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        timeouts: NewTimeouts,
        data: Option<StoredData<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            self.check()?;
            let set = self
                .memory
                .set_timeouts(id, expected, next, timeouts, data, not_after);
            set.await
        })
    }

    fn rotate<'a>(
        &'a self,
        id: SessionId,
        alias: NewAlias,
        rewrite: Option<Rewrite<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Rotated, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.memory.rotate(id, alias, rewrite, not_after).await
        })
    }

    fn retire(
        &self,
        id: SessionId,
        expected: Option<Version>,
        alias: NewAlias,
        not_after: ServerTime,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.memory.retire(id, expected, alias, not_after).await
        })
    }

    fn end(&self, id: SessionId) -> BoxFuture<'_, Result<Ended, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.memory.end(id).await
        })
    }

    fn end_if_unchanged(
        &self,
        id: SessionId,
        expected: Version,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.memory.end_if_unchanged(id, expected).await
        })
    }

    fn user_ids(
        &self,
        user: UserHash,
        up_to: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<UserIds, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.memory.user_ids(user, up_to).await
        })
    }

    fn end_all(
        &self,
        at_least: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.memory.end_all(at_least).await
        })
    }

    fn revoke<'a>(
        &'a self,
        revocations: &'a [Revocation],
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.memory.revoke(revocations).await
        })
    }

    fn revocations(&self, cursor: u64) -> BoxFuture<'_, Result<RevocationPage, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.memory.revocations(cursor).await
        })
    }

    fn watch(&self, sink: Arc<dyn Sink>, timeout: Duration) -> BoxFuture<'_, StoreError> {
        Box::pin(async move {
            match self.check() {
                Ok(()) => self.memory.watch(sink, timeout).await,
                Err(error) => error,
            }
        })
    }

    fn heartbeat<'a>(
        &'a self,
        proposal: &'a Proposal,
    ) -> BoxFuture<'a, Result<Heartbeat, StoreError>> {
        Box::pin(async move {
            self.check()?;
            let heartbeat = self.memory.heartbeat(proposal).await?;
            self.switch.heartbeats.fetch_add(1, SeqCst);
            Ok(heartbeat)
        })
    }
}

/// The time of the nodes and their store, which stands still between two advances.
#[derive(Clone)]
pub(crate) struct Time {
    clock: ManualClock,
    millis: Arc<AtomicU64>,
}

impl Time {
    pub(crate) fn new() -> Self {
        Self {
            clock: ManualClock::new(),
            millis: Arc::new(AtomicU64::new(1_700_000_000_000)),
        }
    }

    /// Returns the time.
    pub(crate) fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.millis.load(SeqCst))
    }

    /// Advances the time.
    pub(crate) fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap();
        self.millis.fetch_add(millis, SeqCst);
        self.clock.advance(by);
    }

    /// Advances the time, after the nodes sent their touches if the time is long, and waits until a
    /// heartbeat has given a node the store's time.
    pub(crate) fn advance_with(&self, by: Duration, store: &Switched, cache: &TieredCache) {
        if by > SHORT {
            store.until_touches_are_sent();
        }
        self.advance(LEASE.max(by));
        eventually("a heartbeat was answered", || {
            cache.store_health().lease_remaining > Duration::ZERO
        });
    }
}

/// A time in which no session expires because its touch was not sent yet.
const SHORT: Duration = Duration::from_secs(5 * 60);

/// The lease of a node, and more: after this time it does not trust its memory.
pub(crate) const LEASE: Duration = Duration::from_secs(6);

/// Creates a node: a cache with a store.
pub(crate) fn node(store: &Switched, time: &Time, keys: &KeyRing) -> TieredCache {
    let cache = starting_node(store, time, keys);
    eventually("the store is up", || {
        cache.store_health().state == StoreState::Up
    });
    cache
}

/// Creates a node, and does not wait until its store is up.
pub(crate) fn starting_node(store: &Switched, time: &Time, keys: &KeyRing) -> TieredCache {
    let builder = SessionCache::builder().memory(16 << 20).keys(keys.clone());
    store.switch.nodes.fetch_add(1, SeqCst);
    let builder = builder.clock(time.clock.clone());
    builder.store(store.clone()).unwrap()
}

/// Asks until the answer is yes, for what another thread does without being asked.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::yield_now();
    }
}
