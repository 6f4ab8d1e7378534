//! The list of revocations, for `sessile.jwt.Revocations`.
//!
//! Owns the list of this process. Without a store, a forked child begins with an empty list, as a
//! restarted process does: a thread that does not exist in the child may have held the list's lock.
//! With a store, the list belongs to the cache of the process, and is built again with it.

use core::{
    ffi::CStr,
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use std::time::SystemTime;

use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyRuntimeWarning, PyValueError},
    prelude::*,
};
use sessile_jwt::{RevocationsBuildError, RevocationsBuilder, RevokeError};
use sessile_store::MirrorError;
use sessile_web::Cache;

use super::verifier::TokenName;
use crate::{
    arguments::Argument,
    cache::SessionCache,
    errors::{Full, Unreachable, engine_exception, seconds, value_error},
    fork::OfProcess,
    pending::settle,
};

/// A list of revocations. Created by `sessile.jwt.Revocations`.
#[pyclass(frozen, module = "sessile._sessile", name = "_Revocations")]
pub(crate) struct Revocations {
    settings: RevocationsBuilder,
    /// The cache whose store keeps the revocations.
    cache: Option<Py<SessionCache>>,
    /// `None` before the first use in a process that is about to be forked. Held only by threads
    /// that hold the interpreter lock.
    built: Mutex<Option<OfProcess<Built>>>,
    /// The number of lists that were built. It protects no other data.
    builds: AtomicU64,
}

/// The list of this process.
#[derive(Clone)]
pub(super) struct Built {
    pub(super) list: sessile_jwt::Revocations,
    /// Different for each list of this object.
    pub(super) number: u64,
    /// The number of the cache that the list belongs to; 0 without a store.
    cache_number: u64,
}

#[pymethods]
impl Revocations {
    /// Creates a list in the memory of this process, or with the store of `cache`.
    #[new]
    fn new(
        py: Python<'_>,
        capacity: Argument<usize>,
        max_lifetime: Argument<f64>,
        cache: Option<Py<SessionCache>>,
    ) -> PyResult<Self> {
        let max_lifetime = seconds("max_lifetime", max_lifetime.named("max_lifetime")?)?;
        let settings = sessile_jwt::Revocations::builder(capacity.named("capacity")?)
            .max_lifetime(max_lifetime);
        let is_local = |cache: &Py<SessionCache>| !cache.get().engine.has_store();
        if cache.as_ref().is_some_and(is_local) {
            return Err(PyValueError::new_err(
                "`cache` must have a store, as SessionCache(store=…) has; without one, call \
                 Revocations.in_memory(…), which a restart empties",
            ));
        }
        let is_ready = |cache: &Py<SessionCache>| cache.get().engine.is_built();
        let builds_now = cache.as_ref().is_none_or(is_ready);
        let revocations = Self {
            settings,
            cache,
            built: Mutex::new(None),
            builds: AtomicU64::new(0),
        };
        if builds_now {
            revocations.rebuild(py)?;
        }
        Ok(revocations)
    }

    // Each verb returns `None`, or a `_Pending` that waits for the store.

    fn revoke_token(&self, py: Python<'_>, token: &TokenName) -> PyResult<Py<PyAny>> {
        let (list, claims) = (self.current(py)?.list, token.0.clone());
        settle(py, async move { list.revoke_token(&claims).await }, done)
    }

    fn revoke_id(&self, py: Python<'_>, id: String, expires_at: f64) -> PyResult<Py<PyAny>> {
        let list = self.current(py)?.list;
        // A time before 1970 has passed as well.
        let since = seconds("exp", expires_at.max(0.0))?;
        let expires_at = SystemTime::UNIX_EPOCH.checked_add(since);
        let expires_at = expires_at.ok_or_else(|| value_error("`exp` is too large"))?;
        settle(
            py,
            async move { list.revoke_id(&id, expires_at).await },
            done,
        )
    }

    fn revoke_subject(&self, py: Python<'_>, subject: Argument<String>) -> PyResult<Py<PyAny>> {
        let (list, subject) = (self.current(py)?.list, subject.named("subject")?);
        settle(py, async move { list.revoke_subject(&subject).await }, done)
    }

    fn revoke_all(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let list = self.current(py)?.list;
        settle(py, async move { list.revoke_all().await }, done)
    }

    /// Returns true if tokens can be accepted: without a store always.
    fn are_current(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.current(py)?.list.are_current())
    }

    #[getter]
    fn capacity(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.current(py)?.list.capacity())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.current(py)?.list.len())
    }
}

impl Revocations {
    /// Returns the list of this process. With a store, the first call in a forked child waits for
    /// the store.
    pub(super) fn current(&self, py: Python<'_>) -> PyResult<Built> {
        let cache_number = match &self.cache {
            Some(cache) => {
                let engine = &cache.get().engine;
                engine.cache(py)?;
                engine.builds()
            }
            None => 0,
        };
        if let Some(built) = self.built_for(cache_number) {
            return Ok(built);
        }
        if self.cache.is_none() {
            PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), FORKED, 2)?;
        }
        self.rebuild(py)
    }

    /// Returns the list of this process, if it belongs to this cache.
    fn built_for(&self, cache_number: u64) -> Option<Built> {
        let built = self.built.lock();
        let built = built.as_ref().and_then(OfProcess::get);
        built
            .filter(|built| built.cache_number == cache_number)
            .cloned()
    }

    /// Builds the list of this process. If several threads build one concurrently, the first one is
    /// used.
    #[cold]
    fn rebuild(&self, py: Python<'_>) -> PyResult<Built> {
        match &self.cache {
            None => {
                // Without the interpreter lock, because building initialises all of the memory.
                let list = py.detach(|| self.settings.clone().in_memory());
                self.install(list, 0)
            }
            Some(cache) => {
                let engine = &cache.get().engine;
                let Cache::Tiered(tiered) = engine.cache(py)? else {
                    unreachable!("`new` rejects a cache without a store");
                };
                let cache_number = engine.builds();
                if let Some(first) = self.built_for(cache_number) {
                    return Ok(first);
                }
                self.install(self.settings.clone().with_store(&tiered), cache_number)
            }
        }
    }

    fn install(
        &self,
        list: Result<sessile_jwt::Revocations, RevocationsBuildError>,
        cache_number: u64,
    ) -> PyResult<Built> {
        let list = list.map_err(build_error)?;
        if let Some(first) = self.built_for(cache_number) {
            return Ok(first);
        }
        let built = Built {
            list,
            number: self.builds.fetch_add(1, Relaxed),
            cache_number,
        };
        *self.built.lock() = Some(OfProcess::new(built.clone()));
        Ok(built)
    }

    /// Returns the use of the list in the text format of Prometheus.
    pub(super) fn prometheus(&self, py: Python<'_>) -> PyResult<String> {
        let list = self.current(py)?.list;
        let gauges = [
            ("revocations", "Revocations in memory.", list.len()),
            (
                "revocations_capacity",
                "Revocations that fit into memory.",
                list.capacity(),
            ),
        ];
        let mut text = String::new();
        for (name, help, value) in gauges {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "# HELP sessile_jwt_{name} {help}\n# TYPE sessile_jwt_{name} gauge\n\
                 sessile_jwt_{name} {value}"
            );
        }
        Ok(text)
    }
}

/// Returns the result of a verb.
fn done(py: Python<'_>, result: Result<(), RevokeError>) -> PyResult<Py<PyAny>> {
    match result {
        Ok(()) => Ok(py.None()),
        Err(RevokeError::Store(sessile::Error::Unreachable)) => Err(Unreachable::new_err(
            "the store did not confirm the revocation; it is effective in this process, and queued \
             for the store",
        )),
        Err(RevokeError::Store(error @ sessile::Error::Unsupported { .. })) => {
            Err(engine_exception(error))
        }
        Err(error) => Err(Full::new_err(error.to_string())),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn build_error(error: RevocationsBuildError) -> PyErr {
    match error {
        RevocationsBuildError::Store(MirrorError::Exists) => PyValueError::new_err(
            "`cache` must have one list of revocations; pass the first one to all verifiers",
        ),
        // The cause names the setting.
        RevocationsBuildError::Store(error) => value_error(error),
        error => value_error(error),
    }
}

const FORKED: &CStr =
    c"this process was forked after its list of revocations was created: its list \
    is empty, and processes do not share it without a store";
