//! The list of revocations, for `sessile.jwt.Revocations`.
//!
//! A forked child begins with an empty list, as a restarted process does: a thread that does not
//! exist in the child may have held the list's lock.

use core::{ffi::CStr, fmt::Write as _};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use pyo3::{exceptions::PyRuntimeWarning, prelude::*};
use sessile_jwt::RevokeError;

use super::verifier::TokenName;
use crate::{
    arguments::Argument,
    errors::{Full, engine_exception, seconds, value_error},
    fork::OfProcess,
};

/// A list of revocations. Created by `sessile.jwt.Revocations`.
#[pyclass(frozen, module = "sessile._sessile", name = "_Revocations")]
pub(crate) struct Revocations {
    capacity: usize,
    max_lifetime: Duration,
    /// Held only by threads that hold the interpreter lock.
    list: Mutex<OfProcess<sessile_jwt::Revocations>>,
}

#[pymethods]
impl Revocations {
    /// Creates a list in the memory of this process.
    #[staticmethod]
    fn in_memory(
        py: Python<'_>,
        capacity: Argument<usize>,
        max_lifetime: Argument<f64>,
    ) -> PyResult<Self> {
        let capacity = capacity.named("capacity")?;
        let max_lifetime = seconds("max_lifetime", max_lifetime.named("max_lifetime")?)?;
        let list = build(py, capacity, max_lifetime)?;
        Ok(Self {
            capacity,
            max_lifetime,
            list: Mutex::new(OfProcess::new(list)),
        })
    }

    fn revoke_token(&self, py: Python<'_>, token: &TokenName) -> PyResult<()> {
        let list = self.list(py)?;
        py.detach(|| list.blocking().revoke_token(&token.0))
            .map_err(revoke_error)
    }

    fn revoke_id(&self, py: Python<'_>, id: &str, expires_at: f64) -> PyResult<()> {
        let list = self.list(py)?;
        // A time before 1970 has passed as well.
        let since = seconds("exp", expires_at.max(0.0))?;
        let expires_at = SystemTime::UNIX_EPOCH.checked_add(since);
        let expires_at = expires_at.ok_or_else(|| value_error("`exp` is too large"))?;
        py.detach(|| list.blocking().revoke_id(id, expires_at))
            .map_err(revoke_error)
    }

    fn revoke_subject(&self, py: Python<'_>, subject: Argument<String>) -> PyResult<()> {
        let subject = subject.named("subject")?;
        let list = self.list(py)?;
        py.detach(|| list.blocking().revoke_subject(&subject))
            .map_err(revoke_error)
    }

    fn revoke_all(&self, py: Python<'_>) -> PyResult<()> {
        let list = self.list(py)?;
        py.detach(|| list.blocking().revoke_all())
            .map_err(revoke_error)
    }

    /// Returns true if tokens can be accepted: without a store always.
    fn are_current(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.list(py)?.are_current())
    }

    #[getter]
    fn capacity(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.list(py)?.capacity())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.list(py)?.len())
    }
}

impl Revocations {
    /// Returns the list of this process.
    pub(super) fn list(&self, py: Python<'_>) -> PyResult<sessile_jwt::Revocations> {
        if let Some(list) = self.list.lock().get() {
            return Ok(list.clone());
        }
        self.rebuild(py)
    }

    /// Builds the list of a forked process. If several threads build one concurrently, the first
    /// one is used.
    #[cold]
    fn rebuild(&self, py: Python<'_>) -> PyResult<sessile_jwt::Revocations> {
        PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), FORKED, 2)?;
        let built = build(py, self.capacity, self.max_lifetime)?;
        let mut list = self.list.lock();
        if let Some(first) = list.get() {
            return Ok(first.clone());
        }
        *list = OfProcess::new(built.clone());
        Ok(built)
    }

    /// Returns the use of the list in the text format of Prometheus.
    pub(super) fn prometheus(&self, py: Python<'_>) -> PyResult<String> {
        let list = self.list(py)?;
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

/// Builds a list without the interpreter lock, because building initialises all of the memory.
fn build(
    py: Python<'_>,
    capacity: usize,
    max_lifetime: Duration,
) -> PyResult<sessile_jwt::Revocations> {
    let settings = sessile_jwt::Revocations::builder(capacity).max_lifetime(max_lifetime);
    py.detach(|| settings.in_memory()).map_err(value_error)
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn revoke_error(error: RevokeError) -> PyErr {
    match error {
        RevokeError::Store(error) => engine_exception(error),
        error => Full::new_err(error.to_string()),
    }
}

const FORKED: &CStr =
    c"this process was forked after its list of revocations was created: its list \
    is empty, and processes do not share it without a store";
