//! The engine of a cache, and a fresh one in each child after a fork.
//!
//! Owns the settings, so that a child can build an empty engine of the same kind, with the same keys and ids of
//! its own. The lock here is held for a moment only, by threads that hold the interpreter and do not let go of it:
//! whoever forks holds the interpreter, so in the child the lock is free. The old engine is left as it is.

use core::ffi::CStr;

use parking_lot::Mutex;
use pyo3::{exceptions::PyRuntimeWarning, prelude::*};
use sessile::{KeyRing, SessionCache, SessionCacheBuilder};

use crate::{errors::wrong, fork::OfProcess};

/// An engine that survives a fork by being empty.
pub(crate) struct Engine(Mutex<State>);

struct State {
    cache: OfProcess<SessionCache>,
    settings: SessionCacheBuilder,
}

impl Engine {
    pub(crate) fn new(py: Python<'_>, settings: SessionCacheBuilder) -> PyResult<Self> {
        let cache = build(py, &settings)?;
        Ok(Self(Mutex::new(State { cache: OfProcess::new(cache), settings })))
    }

    /// The cache of this process.
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
        self.cache(py)?.set_keys(&keys).map_err(wrong)?;
        let mut state = self.0.lock();
        state.settings = state.settings.clone().keys(keys);
        Ok(())
    }

    /// Of several threads that find out at once, one prevails.
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

/// Touches all of the memory, so others may run meanwhile.
fn build(py: Python<'_>, settings: &SessionCacheBuilder) -> PyResult<SessionCache> {
    py.detach(|| settings.clone().build()).map_err(wrong)
}

const FORKED: &CStr = c"this process was forked after its session cache was made: it begins with an empty one, and \
    processes share no sessions. Run one worker process, or see to it that a visitor always meets the same one";
