//! The exceptions of the package, and the mapping from errors of the engine to them.

use std::time::Duration;

use pyo3::{
    create_exception,
    exceptions::{PyException, PyRuntimeError, PyValueError},
    prelude::*,
};

create_exception!(
    sessile,
    SessionError,
    PyException,
    "An operation on a session failed. Except for `Unreachable`, it changed nothing."
);
create_exception!(
    sessile,
    Gone,
    SessionError,
    "The session does not exist: it was never created, ended or expired, or has a new id."
);
create_exception!(
    sessile,
    Conflict,
    SessionError,
    "Another request or thread saved the session since that version was read."
);
create_exception!(
    sessile,
    Full,
    SessionError,
    "The cache is full, and no session can be evicted."
);
create_exception!(
    sessile,
    TooLarge,
    SessionError,
    "The data is longer than `max_session_size` bytes."
);
create_exception!(
    sessile,
    Unreachable,
    SessionError,
    "The store of the sessions did not answer in time. If the application does not handle it, the \
     middleware responds with status 503 and `Retry-After`."
);
create_exception!(
    sessile,
    ForkedProcess,
    SessionError,
    "The session was read before the process forked. It does not exist in the child process."
);
create_exception!(
    sessile,
    InvalidCSRFToken,
    SessionError,
    "The CSRF token was not created by this session: the request is forged, or the page is older \
     than the session's id. If the application does not handle it, the middleware responds with \
     status 403."
);

/// Returns the exception for an error of the engine.
pub(crate) fn engine_exception(error: sessile::Error) -> PyErr {
    let text = error.to_string();
    match error {
        sessile::Error::Gone | sessile::Error::Rotated => Gone::new_err(text),
        sessile::Error::Conflict => Conflict::new_err(text),
        sessile::Error::Full => Full::new_err(text),
        sessile::Error::Unreachable => Unreachable::new_err(UNREACHABLE),
        sessile::Error::TooLarge { .. } => TooLarge::new_err(text),
        sessile::Error::EmptyUser | sessile::Error::LabelTooLong { .. } => {
            PyValueError::new_err(text)
        }
        _ => SessionError::new_err(text),
    }
}

/// Returns the exception for an error of a session's operation.
pub(crate) fn session_exception(error: sessile_web::SessionError) -> PyErr {
    match error {
        sessile_web::SessionError::Store(error) => engine_exception(error.cause()),
        sessile_web::SessionError::Unreachable => engine_exception(sessile::Error::Unreachable),
        sessile_web::SessionError::TooLarge { .. } => TooLarge::new_err(error.to_string()),
        sessile_web::SessionError::Conflict { .. } => Conflict::new_err(error.to_string()),
        sessile_web::SessionError::InvalidCsrfToken => InvalidCSRFToken::new_err(error.to_string()),
        sessile_web::SessionError::AlreadyCommitted => PyRuntimeError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

const UNREACHABLE: &str = "the store of the sessions cannot be reached; try again";

/// Returns the exception for a setting that was rejected.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn value_error(error: impl ToString) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Converts a number of seconds; `setting` is its name in the error.
pub(crate) fn seconds(setting: &str, given: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(given).map_err(|_| {
        PyValueError::new_err(format!(
            "`{setting}` must be a number of seconds, 0 or more, got {given}"
        ))
    })
}

/// Returns the error of a session whose data was written by the application, not by the middleware.
pub(crate) fn foreign_data() -> PyErr {
    SessionError::new_err(
        "the session holds data that `SessionMiddleware` did not write, such as data of \
         `cache.create()`; use a separate cache for the middleware. The data is unchanged",
    )
}

/// Logs a warning of the logger `sessile`.
pub(crate) fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    let logger = py
        .import("logging")?
        .call_method1("getLogger", ("sessile",))?;
    logger.call_method1("warning", (text,)).map(drop)
}

/// Adds the exceptions to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("SessionError", py.get_type::<SessionError>())?;
    module.add("Gone", py.get_type::<Gone>())?;
    module.add("Conflict", py.get_type::<Conflict>())?;
    module.add("Full", py.get_type::<Full>())?;
    module.add("TooLarge", py.get_type::<TooLarge>())?;
    module.add("Unreachable", py.get_type::<Unreachable>())?;
    module.add("ForkedProcess", py.get_type::<ForkedProcess>())?;
    module.add("InvalidCSRFToken", py.get_type::<InvalidCSRFToken>())
}
