//! The compiled part of sessile for Python: the engine's methods, and the conversion between a
//! request's headers and the handler's dict for `sessile.starlette`.
//!
//! It relies on the global interpreter lock (`gil_used`). Free-threaded builds are untested.

mod arguments;
mod cache;
mod clock;
mod engine;
mod errors;
mod fork;
mod json;
mod jwt;
mod keys;
mod known;
mod moving;
mod records;
mod response;
mod sessions;
mod starlette_cookie;
mod stats;
mod visit;

/// The compiled part of the package `sessile`.
#[pyo3::pymodule(gil_used = true)]
mod _sessile {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::{
        cache::SessionCache,
        clock::ManualClock,
        json::{from_json, to_json},
        jwt::{Revocations, TokenName, Verifier, read, sign},
        records::{Event, IssuedSession, Record, SessionId, SessionInfo},
        sessions::Sessions,
        starlette_cookie::unsign,
        visit::{Visit, nothing},
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::errors::register(module)?;
        crate::fork::register(module)
    }
}
