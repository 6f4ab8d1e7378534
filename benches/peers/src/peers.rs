//! The peers, each configured for speed.
//!
//! Peers with a configurable hasher use foldhash, the fastest here on 16 bytes, unless another is
//! named; `lookup` also measures them with their default, [`SipHash`]. A store that lends its value
//! keeps a `Box<[u8]>`, copied under the guard. A store that only returns clones keeps an
//! `Arc<[u8]>`, the cheapest clone. Other settings are each crate's defaults.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use foldhash::fast::RandomState;

use crate::{contender::Contender, workload::Id};

/// The default hasher of the standard library's map, papaya, dashmap, scc and moka.
pub(crate) type SipHash = std::hash::RandomState;

/// The hashers of the peers.
pub(crate) trait Hash: BuildHasher + Clone + Default + Send + Sync + 'static {}

impl<S: BuildHasher + Clone + Default + Send + Sync + 'static> Hash for S {}

/// The standard library's map behind one lock: no expiry, no bound.
pub(crate) struct MutexMap<S = RandomState>(Mutex<HashMap<Id, Box<[u8]>, S>>);

impl<S: Hash> Contender for MutexMap<S> {
    const NAME: &'static str = "mutex + std HashMap";
    type Key = Id;

    fn build(sessions: usize) -> Self {
        Self(Mutex::new(HashMap::with_capacity_and_hasher(
            sessions,
            S::default(),
        )))
    }

    fn insert(&self, id: Id, value: &[u8]) -> Id {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, value.into());
        id
    }

    #[inline(always)]
    fn lookup(&self, key: &Id, buffer: &mut BytesMut) -> bool {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(key).is_some_and(|value| copy(value, buffer))
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// No expiry, no bound.
pub(crate) struct Papaya<S = RandomState>(papaya::HashMap<Id, Box<[u8]>, S>);

impl<S: Hash> Contender for Papaya<S> {
    const NAME: &'static str = "papaya";
    type Key = Id;

    fn build(sessions: usize) -> Self {
        Self(papaya::HashMap::with_capacity_and_hasher(
            sessions,
            S::default(),
        ))
    }

    fn insert(&self, id: Id, value: &[u8]) -> Id {
        self.0.pin().insert(id, value.into());
        id
    }

    #[inline(always)]
    fn lookup(&self, key: &Id, buffer: &mut BytesMut) -> bool {
        self.0
            .pin()
            .get(key)
            .is_some_and(|value| copy(value, buffer))
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// No expiry, no bound.
pub(crate) struct DashMap<S = RandomState>(dashmap::DashMap<Id, Box<[u8]>, S>);

impl<S: Hash> Contender for DashMap<S> {
    const NAME: &'static str = "dashmap";
    type Key = Id;

    fn build(sessions: usize) -> Self {
        Self(dashmap::DashMap::with_capacity_and_hasher(
            sessions,
            S::default(),
        ))
    }

    fn insert(&self, id: Id, value: &[u8]) -> Id {
        self.0.insert(id, value.into());
        id
    }

    #[inline(always)]
    fn lookup(&self, key: &Id, buffer: &mut BytesMut) -> bool {
        self.0.get(key).is_some_and(|value| copy(&value, buffer))
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// No expiry, no bound.
pub(crate) struct Scc<S: BuildHasher = RandomState>(scc::HashMap<Id, Box<[u8]>, S>);

impl<S: Hash> Contender for Scc<S> {
    const NAME: &'static str = "scc";
    type Key = Id;

    fn build(sessions: usize) -> Self {
        Self(scc::HashMap::with_capacity_and_hasher(
            sessions,
            S::default(),
        ))
    }

    fn insert(&self, id: Id, value: &[u8]) -> Id {
        self.0.upsert_sync(id, value.into());
        id
    }

    #[inline(always)]
    fn lookup(&self, key: &Id, buffer: &mut BytesMut) -> bool {
        self.0
            .read_sync(key, |_, value| copy(value, buffer))
            .is_some()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Bounded by the number of sessions; no expiry. Its own default hasher is foldhash.
pub(crate) struct QuickCache(quick_cache::sync::Cache<Id, Arc<[u8]>>);

impl Contender for QuickCache {
    const NAME: &'static str = "quick_cache";
    type Key = Id;

    fn build(sessions: usize) -> Self {
        Self(quick_cache::sync::Cache::new(sessions))
    }

    fn insert(&self, id: Id, value: &[u8]) -> Id {
        self.0.insert(id, value.into());
        id
    }

    #[inline(always)]
    fn lookup(&self, key: &Id, buffer: &mut BytesMut) -> bool {
        self.0.get(key).is_some_and(|value| copy(&value, buffer))
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Bounded by the number of sessions, with an idle timeout and a lifetime.
pub(crate) struct Moka<S = RandomState>(moka::sync::Cache<Id, Arc<[u8]>, S>);

impl<S: Hash> Moka<S> {
    /// Creates the cache with another idle timeout.
    pub(crate) fn with_idle_timeout(sessions: usize, idle_timeout: Duration) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(sessions as u64)
            .initial_capacity(sessions)
            .time_to_idle(idle_timeout)
            .time_to_live(Duration::from_secs(12 * 60 * 60));
        Self(cache.build_with_hasher(S::default()))
    }

    /// Does moka's deferred work: its queues, its evictions, its expiry.
    pub(crate) fn settle(&self) {
        self.0.run_pending_tasks();
    }

    /// Entries as of the last [`settle`](Self::settle).
    pub(crate) fn settled(&self) -> u64 {
        self.0.entry_count()
    }
}

impl<S: Hash> Contender for Moka<S> {
    const NAME: &'static str = "moka";
    type Key = Id;

    fn build(sessions: usize) -> Self {
        Self::with_idle_timeout(sessions, Duration::from_secs(30 * 60))
    }

    fn insert(&self, id: Id, value: &[u8]) -> Id {
        self.0.insert(id, value.into());
        id
    }

    #[inline(always)]
    fn lookup(&self, key: &Id, buffer: &mut BytesMut) -> bool {
        self.0.get(key).is_some_and(|value| copy(&value, buffer))
    }

    fn len(&self) -> usize {
        self.settle();
        usize::try_from(self.settled()).unwrap_or(usize::MAX)
    }
}

#[inline(always)]
fn copy(value: &[u8], buffer: &mut BytesMut) -> bool {
    buffer.clear();
    buffer.extend_from_slice(value);
    true
}
