//! A clock that a test advances.

use pyo3::prelude::*;

use crate::errors::seconds;

/// A clock that only `advance` moves, for tests of expiry that do not wait.
#[pyclass(frozen, module = "sessile.testing")]
pub(crate) struct ManualClock(pub(crate) sessile::ManualClock);

#[pymethods]
impl ManualClock {
    #[new]
    fn new() -> Self {
        Self(sessile::ManualClock::new())
    }

    /// Moves the clock forward by `seconds`.
    #[pyo3(signature = (seconds, /))]
    fn advance(&self, seconds: f64) -> PyResult<()> {
        self.0.advance(self::seconds("seconds", seconds)?);
        Ok(())
    }
}
