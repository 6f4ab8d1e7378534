//! A store in the memory of this process.
//!
//! For tests of applications, and for the simulator of the protocol. It does what the scripts of a
//! server do, one call at a time, on the same bytes. It keeps nothing across a restart.

mod data;
mod revocations;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sessile::{SessionId, UserHash, Version};
use tokio::sync::oneshot;

use crate::{
    revocation::{Revocation, RevocationPage},
    store::{
        Abilities, BoxFuture, Change, Created, Ended, Heartbeat, NewAlias, NewRecord, NewTimeouts,
        Proposal, Revalidated, Rewrite, Rotated, ServerTime, Sink, Store, StoreError, StoredData,
        StoredRecord, UserIds,
    },
};
use data::Data;

/// A store in the memory of this process. Clones share the sessions; each stands for the connection
/// of one node.
///
/// ```
/// use sessile_store::{MemoryStore, Store};
///
/// let store = MemoryStore::new();
/// assert!(store.abilities().push);
/// assert!(store.is_empty());
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

/// The content of a [`MemoryStore`] at one moment: a replica that is behind.
#[derive(Clone)]
pub struct MemorySnapshot(Data);

struct Shared {
    clock: Box<dyn Fn() -> ServerTime + Send + Sync>,
    state: Mutex<State>,
}

/// The data and its watchers have one lock, so that changes are published in the order in which
/// they are made.
#[derive(Default)]
struct State {
    data: Data,
    watchers: BTreeMap<u64, Watcher>,
    next_watcher: u64,
}

struct Watcher {
    sink: Arc<dyn Sink>,
    /// Dropping it ends the watch.
    _lost: oneshot::Sender<()>,
}

impl MemoryStore {
    /// Creates an empty store with the time of the system.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            ServerTime(0).after(now.unwrap_or_default())
        })
    }

    /// Creates an empty store with a clock of its own.
    #[must_use]
    pub fn with_clock(clock: impl Fn() -> ServerTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            clock: Box::new(clock),
            state: Mutex::default(),
        }))
    }

    /// Returns the number of records, aliases included. Expired ones do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        let now = self.now();
        self.state().data.len(now)
    }

    /// Returns true if there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes everything and reports [`Change::DataLost`] to all watchers, as `FLUSHALL` does.
    pub fn clear(&self) {
        let mut state = self.state();
        state.data = Data::default();
        state.publish([Change::DataLost]);
    }

    /// Closes the channels of all nodes.
    pub fn disconnect(&self) {
        self.state().watchers.clear();
    }

    /// Copies the content.
    #[must_use]
    pub fn snapshot(&self) -> MemorySnapshot {
        MemorySnapshot(self.state().data.clone())
    }

    /// Replaces the content and closes the channels of all nodes, as a failover to a replica does.
    pub fn restore(&self, snapshot: MemorySnapshot) {
        let mut state = self.state();
        state.data = snapshot.0;
        state.watchers.clear();
    }

    /// Calls `each` with every key and value, as a dump of a server shows them.
    pub fn for_each_stored(&self, each: impl FnMut(&[u8], &[u8])) {
        self.state().data.for_each_stored(each);
    }

    /// Executes a call, which publishes its changes.
    fn call<T>(
        &self,
        not_after: ServerTime,
        call: impl FnOnce(&mut Data, ServerTime, &mut Vec<Change>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.state();
        let now = self.now();
        if now > not_after {
            return Err(StoreError::Late);
        }
        let mut changes = Vec::new();
        let result = call(&mut state.data, now, &mut changes);
        state.publish(changes);
        result
    }

    fn now(&self) -> ServerTime {
        (self.0.clock)()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn publish(&self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.watchers
                .values()
                .for_each(|watcher| watcher.sink.change(change));
        }
    }
}

impl Store for MemoryStore {
    fn abilities(&self) -> Abilities {
        Abilities {
            push: true,
            user_index: true,
            session_limit: true,
            revocations: true,
        }
    }

    fn read(&self, id: SessionId) -> BoxFuture<'_, Result<Option<StoredRecord>, StoreError>> {
        Box::pin(async move { self.call(ANY_TIME, |data, now, _| Ok(data.read(&id, now))) })
    }

    fn revalidate(
        &self,
        id: SessionId,
        known: Version,
    ) -> BoxFuture<'_, Result<Revalidated, StoreError>> {
        Box::pin(async move {
            self.call(
                ANY_TIME,
                |data, now, _| Ok(data.revalidate(&id, known, now)),
            )
        })
    }

    fn create<'a>(
        &'a self,
        new: &'a NewRecord<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Created, StoreError>> {
        Box::pin(async move { self.call(not_after, |data, now, out| data.create(new, now, out)) })
    }

    fn save<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        stored: StoredData<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            self.call(not_after, |data, now, out| {
                data.save(&id, expected, next, stored, now, out)
            })
        })
    }

    fn touch<'a>(
        &'a self,
        batch: &'a [(SessionId, Duration)],
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(async move {
            self.call(not_after, |data, now, _| {
                let touched = batch.iter().map(|(id, since)| data.touch(id, *since, now));
                Ok(touched.collect())
            })
        })
    }

    fn set_timeouts<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        timeouts: NewTimeouts,
        stored: Option<StoredData<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            self.call(not_after, |data, now, out| {
                data.set_timeouts(&id, expected, next, timeouts, stored, now, out)
            })
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
            self.call(not_after, |data, now, out| {
                data.rotate(&id, alias, rewrite, now, out)
            })
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
            self.call(not_after, |data, now, out| {
                data.retire(&id, expected, alias, now, out)
            })
        })
    }

    fn end(&self, id: SessionId) -> BoxFuture<'_, Result<Ended, StoreError>> {
        Box::pin(async move { self.call(ANY_TIME, |data, now, out| Ok(data.end(&id, now, out))) })
    }

    fn end_if_unchanged(
        &self,
        id: SessionId,
        expected: Version,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            self.call(ANY_TIME, |data, now, out| {
                data.end_if_unchanged(&id, expected, now, out)
            })
        })
    }

    fn user_ids(
        &self,
        user: UserHash,
        up_to: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<UserIds, StoreError>> {
        Box::pin(async move {
            self.call(
                ANY_TIME,
                |data, now, _| Ok(data.user_ids(&user, up_to, now)),
            )
        })
    }

    fn end_all(
        &self,
        at_least: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            self.call(ANY_TIME, |data, now, out| {
                Ok(data.end_all(at_least.unwrap_or(now), out))
            })
        })
    }

    fn revoke<'a>(
        &'a self,
        revocations: &'a [Revocation],
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            self.call(ANY_TIME, |data, now, out| {
                out.extend(data.revocations.record(revocations, now));
                Ok(now)
            })
        })
    }

    fn revocations(&self, cursor: u64) -> BoxFuture<'_, Result<RevocationPage, StoreError>> {
        Box::pin(async move {
            self.call(ANY_TIME, |data, now, _| {
                Ok(data.revocations.page(cursor, now))
            })
        })
    }

    fn watch(&self, sink: Arc<dyn Sink>, _: Duration) -> BoxFuture<'_, StoreError> {
        Box::pin(async move {
            let (sender, lost) = oneshot::channel();
            let watch = Watch::register(self, sink, sender);
            // The sender is never used, only dropped.
            let _ = lost.await;
            drop(watch);
            StoreError::Unreachable("the channel was closed".into())
        })
    }

    fn heartbeat<'a>(
        &'a self,
        proposal: &'a Proposal,
    ) -> BoxFuture<'a, Result<Heartbeat, StoreError>> {
        Box::pin(
            async move { self.call(ANY_TIME, |data, now, _| Ok(data.heartbeat(proposal, now))) },
        )
    }
}

/// A registered watcher, which is removed on drop.
struct Watch<'a> {
    store: &'a MemoryStore,
    number: u64,
}

impl<'a> Watch<'a> {
    fn register(store: &'a MemoryStore, sink: Arc<dyn Sink>, lost: oneshot::Sender<()>) -> Self {
        let mut state = store.state();
        let number = state.next_watcher;
        state.next_watcher += 1;
        sink.change(Change::Subscribed);
        state.watchers.insert(number, Watcher { sink, _lost: lost });
        Self { store, number }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.store.state().watchers.remove(&self.number);
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The bound of calls that have none.
const ANY_TIME: ServerTime = ServerTime::MAX;
