//! The engine of a cache, and its replacement by another one in a forked child.
//!
//! Owns the settings: a child builds an engine with the same settings and keys. Without a store it
//! is empty and generates different ids; with one it opens its own connections. The lock is held
//! only briefly, by threads that hold the interpreter lock and do not release it. A thread that
//! forks holds the interpreter lock, so the lock is free in the child. The child does not touch the
//! parent's engine.

use core::{
    ffi::CStr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pyo3::{exceptions::PyRuntimeWarning, prelude::*};
use sessile::{KeyRing, SessionCacheBuilder};
use sessile_store::TieredCache;
use sessile_web::Cache;

use crate::{
    errors::{value_error, warn},
    fork::OfProcess,
    keys,
    records::StoreHealth,
    store::{Given, StoreSettings},
};

/// A cache that is built again in a forked process, and after it was closed.
pub(crate) struct Engine {
    state: Arc<Mutex<State>>,
    /// Held without the interpreter lock while a cache with a store is built, so that only one of
    /// several threads builds it.
    opening: Mutex<OfProcess<Arc<Mutex<()>>>>,
    /// The number of caches that were built. It protects no other data.
    builds: AtomicU64,
    store: Option<StoreSettings>,
    facts: Facts,
}

struct State {
    /// `None` before the first use in a process that is about to be forked, and after a close.
    cache: Option<OfProcess<Cache>>,
    settings: SessionCacheBuilder,
    /// The name of the setting that defines the keys, for errors.
    keys_setting: &'static str,
}

/// The parts of the settings that are known without a cache.
pub(crate) struct Facts {
    pub(crate) cookie_name: String,
    pub(crate) max_session_size: usize,
}

impl Engine {
    pub(crate) fn new(
        py: Python<'_>,
        settings: SessionCacheBuilder,
        keys_setting: &'static str,
        store: Option<Given>,
        facts: Facts,
    ) -> PyResult<Self> {
        let opens = store.as_ref().is_none_or(|given| !given.is_before_fork);
        let engine = Self {
            state: Arc::new(Mutex::new(State {
                cache: None,
                settings,
                keys_setting,
            })),
            opening: Mutex::new(OfProcess::new(Arc::default())),
            builds: AtomicU64::new(0),
            store: store.map(|given| given.store),
            facts,
        };
        if engine.has_store() {
            register(&engine.state);
        }
        if opens {
            engine.rebuild(py)?;
        }
        Ok(engine)
    }

    /// Returns the cache of this process. With a store, the first call in a forked child waits for
    /// the store.
    pub(crate) fn cache(&self, py: Python<'_>) -> PyResult<Cache> {
        if let Some(cache) = self.built() {
            return Ok(cache);
        }
        if self.store.is_none() {
            PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), FORKED, 2)?;
        }
        self.rebuild(py)
    }

    /// Returns the cache of this process if it was built.
    pub(crate) fn built(&self) -> Option<Cache> {
        let state = self.state.lock();
        state.cache.as_ref().and_then(OfProcess::get).cloned()
    }

    /// Returns true if this process has a cache.
    pub(crate) fn is_built(&self) -> bool {
        self.built().is_some()
    }

    /// Returns true if the sessions are in a store.
    pub(crate) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Returns the name of the cookie, also before the cache is built.
    pub(crate) fn cookie_name(&self) -> &str {
        &self.facts.cookie_name
    }

    /// Returns the maximum length of a session's data, in bytes, also before the cache is built.
    pub(crate) fn max_session_size(&self) -> usize {
        self.facts.max_session_size
    }

    /// Returns the state of the store; `None` without one.
    pub(crate) fn store_health(&self, py: Python<'_>) -> PyResult<Option<StoreHealth>> {
        let health = self.cache(py)?.store_health();
        Ok(health.map(|health| StoreHealth {
            health,
            keys_setting: self.state.lock().keys_setting,
        }))
    }

    /// Returns the number of caches that were built. A manager of an earlier one is out of date.
    pub(crate) fn builds(&self) -> u64 {
        self.builds.load(Relaxed)
    }

    /// Replaces the keys. `setting` is their name in errors.
    pub(crate) fn set_keys(
        &self,
        py: Python<'_>,
        keys: KeyRing,
        setting: &'static str,
    ) -> PyResult<()> {
        match self.cache(py)? {
            Cache::Local(cache) => cache.set_keys(&keys),
            Cache::Tiered(cache) => cache.set_keys(&keys),
        }
        .map_err(keys::rejected(setting))?;
        let mut state = self.state.lock();
        state.settings = state.settings.clone().keys(keys);
        state.keys_setting = setting;
        Ok(())
    }

    /// Takes the cache out, to be closed, if it has a store. A later use builds another one.
    pub(crate) fn take(&self) -> Option<TieredCache> {
        self.store.as_ref()?;
        take(&self.state)
    }

    /// Builds the cache of this process. If several threads build one concurrently, the first one
    /// is used.
    #[cold]
    fn rebuild(&self, py: Python<'_>) -> PyResult<Cache> {
        let (settings, keys_setting) = self.settings();
        let Some(store) = &self.store else {
            // Without the interpreter lock, because building initialises all of the memory.
            let built = py.detach(|| settings.build());
            let cache =
                built.map_err(|error| value_error(keys::with_setting(&error, keys_setting)))?;
            return Ok(self.install(Cache::Local(cache)));
        };
        let opening = self.opening();
        let built: PyResult<(Cache, Option<String>)> = py.detach(|| {
            let _guard = opening.lock();
            // The state is locked only with the interpreter lock.
            if let Some(cache) = Python::attach(|_| self.built()) {
                return Ok((cache, None));
            }
            let (cache, warning) = store.open(settings, keys_setting)?;
            let cache = Python::attach(|_| self.install(Cache::Tiered(cache)));
            Ok((cache, warning))
        });
        let (cache, warning) = built?;
        if let Some(text) = warning {
            warn(py, &text)?;
        }
        Ok(cache)
    }

    /// Returns the settings, and the name of the one that defines the keys.
    fn settings(&self) -> (SessionCacheBuilder, &'static str) {
        let state = self.state.lock();
        (state.settings.clone(), state.keys_setting)
    }

    /// Returns the lock of this process.
    fn opening(&self) -> Arc<Mutex<()>> {
        let mut opening = self.opening.lock();
        if opening.get().is_none() {
            *opening = OfProcess::new(Arc::default());
        }
        opening.get().cloned().unwrap_or_default()
    }

    fn install(&self, cache: Cache) -> Cache {
        let mut state = self.state.lock();
        if let Some(first) = state.cache.as_ref().and_then(OfProcess::get) {
            return first.clone();
        }
        state.cache = Some(OfProcess::new(cache.clone()));
        self.builds.fetch_add(1, Relaxed);
        cache
    }
}

fn take(state: &Mutex<State>) -> Option<TieredCache> {
    let taken = state.lock().cache.take();
    taken.as_ref()?.get()?.tiered().cloned()
}

/// Adds a cache with a store to those that are closed when the interpreter exits.
fn register(state: &Arc<Mutex<State>>) {
    let mut caches = WITH_STORE.lock();
    caches.retain(|cache| cache.strong_count() > 0);
    caches.push(Arc::downgrade(state));
}

/// Closes the caches of this process that have a store, when the interpreter exits.
#[pyfunction]
#[pyo3(name = "_close_all")]
pub(crate) fn close_all(py: Python<'_>) -> PyResult<()> {
    let caches: Vec<_> = WITH_STORE.lock().iter().filter_map(Weak::upgrade).collect();
    let until = Instant::now() + EXIT;
    let mut unconfirmed = 0;
    for cache in caches.iter().filter_map(|state| take(state)) {
        let left = until.saturating_duration_since(Instant::now());
        unconfirmed += py.detach(|| cache.blocking().close(left));
    }
    if unconfirmed == 0 {
        return Ok(());
    }
    warn(py, &format!("{unconfirmed} {LOST}"))
}

/// The caches with a store. Global, because only the process knows when it exits. It is locked
/// briefly, by threads that hold the interpreter lock.
static WITH_STORE: Mutex<Vec<Weak<Mutex<State>>>> = Mutex::new(Vec::new());

/// The longest time that the caches of a process are given to send what is queued.
const EXIT: Duration = Duration::from_secs(3);

const LOST: &str = "sign-outs and revocations were not confirmed by the store of the sessions \
    before the process ended";

const FORKED: &CStr = c"this process was forked after its session cache was built: its cache is \
    empty, and processes do not share sessions. Run one worker process, set a `store` that processes share, \
    or route each visitor to the same process";
