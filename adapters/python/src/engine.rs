//! The engine of a cache, and its replacement by an empty engine in a forked child.
//!
//! Owns the settings: a child builds an empty engine with the same settings and keys, which
//! generates different ids. The lock is held only briefly, by threads that hold the interpreter
//! lock and do not release it. A thread that forks holds the interpreter lock, so the lock is free
//! in the child. The child does not touch the parent's engine.

use core::ffi::CStr;

use parking_lot::Mutex;
use pyo3::{exceptions::PyRuntimeWarning, prelude::*};
use sessile::{KeyRing, SessionCache, SessionCacheBuilder};

use crate::{errors::value_error, fork::OfProcess};

/// A cache that is rebuilt, empty, in a forked process.
pub(crate) struct Engine(Mutex<State>);

struct State {
    cache: OfProcess<SessionCache>,
    settings: SessionCacheBuilder,
}

impl Engine {
    pub(crate) fn new(py: Python<'_>, settings: SessionCacheBuilder) -> PyResult<Self> {
        let cache = build(py, &settings)?;
        Ok(Self(Mutex::new(State {
            cache: OfProcess::new(cache),
            settings,
        })))
    }

    /// Returns the cache of this process.
    pub(crate) fn cache(&self, py: Python<'_>) -> PyResult<SessionCache> {
        let state = self.0.lock();
        if let Some(cache) = state.cache.get() {
            return Ok(cache.clone());
        }
        let settings = state.settings.clone();
        drop(state);
        self.rebuild(py, &settings)
    }

    pub(crate) fn set_keys(&self, py: Python<'_>, keys: KeyRing) -> PyResult<()> {
        self.cache(py)?.set_keys(&keys).map_err(value_error)?;
        let mut state = self.0.lock();
        state.settings = state.settings.clone().keys(keys);
        Ok(())
    }

    /// Builds the cache of a forked process. If several threads build one concurrently, the first
    /// one is used.
    #[cold]
    fn rebuild(&self, py: Python<'_>, settings: &SessionCacheBuilder) -> PyResult<SessionCache> {
        PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), FORKED, 2)?;
        let cache = build(py, settings)?;
        let mut state = self.0.lock();
        if let Some(first) = state.cache.get() {
            return Ok(first.clone());
        }
        state.cache = OfProcess::new(cache.clone());
        Ok(cache)
    }
}

/// Builds a cache without the interpreter lock, because building initialises all of the memory.
fn build(py: Python<'_>, settings: &SessionCacheBuilder) -> PyResult<SessionCache> {
    py.detach(|| settings.clone().build()).map_err(value_error)
}

const FORKED: &CStr = c"this process was forked after its session cache was built: its cache is \
    empty, and processes do not share sessions. Run one worker process, or route each visitor to \
    the same process";
