//! The compiled part of sessile for Python: the engine's methods, and the conversion between a
//! request's headers and the handler's dict for `sessile.starlette`.
//!
//! It relies on the global interpreter lock (`gil_used`). Free-threaded builds are untested.

mod arguments;
mod awaitable;
mod cache;
mod clock;
mod engine;
mod errors;
mod fork;
mod json;
mod keys;
mod known;
mod moving;
mod pending;
mod reader;
mod records;
mod response;
mod sessions;
mod starlette_cookie;
mod stats;
mod store;
mod verbs;
mod visit;
mod wakeups;

/// The compiled part of the package `sessile`.
#[pyo3::pymodule(gil_used = true)]
mod _sessile {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::{
        cache::SessionCache,
        clock::ManualClock,
        engine::close_all,
        json::{from_json, to_json},
        pending::Pending,
        reader::{StoreReader, stored_alias, stored_session},
        records::{Event, IssuedSession, Record, SessionId, SessionInfo, StoreHealth},
        sessions::Sessions,
        starlette_cookie::unsign,
        visit::{Visit, nothing},
        wakeups::Wakeups,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::errors::register(module)?;
        let close_all = module.getattr("_close_all")?;
        module
            .py()
            .import("atexit")?
            .call_method1("register", (close_all,))?;
        crate::fork::register(module)
    }
}
