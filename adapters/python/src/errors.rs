//! The exceptions of the package, and which of them an answer of the engine becomes.

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
    "Why something was not done to a session. Nothing was changed."
);
create_exception!(
    sessile,
    Gone,
    SessionError,
    "There is no such session: it never was, it ended, it expired, or it has a new id."
);
create_exception!(
    sessile,
    Conflict,
    SessionError,
    "Somebody else saved the session since that version was read."
);
create_exception!(sessile, Full, SessionError, "No room, and nothing there that may go.");
create_exception!(
    sessile,
    TooLarge,
    SessionError,
    "The data is longer than `max_session_size`, in bytes."
);
create_exception!(
    sessile,
    Forked,
    SessionError,
    "The session was found before the process forked; in this one it does not exist."
);
create_exception!(
    sessile,
    InvalidCSRFToken,
    SessionError,
    "The token of a form is not one of this session's pages: the request was made elsewhere, or the page is older \
     than the session's id."
);

/// The exception that an error of the engine is.
pub(crate) fn raise(error: sessile::Error) -> PyErr {
    let text = error.to_string();
    match error {
        sessile::Error::Gone | sessile::Error::Rotated => Gone::new_err(text),
        sessile::Error::Conflict => Conflict::new_err(text),
        sessile::Error::Full => Full::new_err(text),
        sessile::Error::TooLarge { .. } => TooLarge::new_err(text),
        sessile::Error::EmptyUser | sessile::Error::LabelTooLong { .. } => {
            PyValueError::new_err(text)
        }
        _ => SessionError::new_err(text),
    }
}

/// The exception that an error of a session's verb is.
pub(crate) fn refusal(error: sessile_web::SessionError) -> PyErr {
    match error {
        sessile_web::SessionError::Store(error) => raise(error.cause()),
        sessile_web::SessionError::TooLarge { .. } => TooLarge::new_err(error.to_string()),
        sessile_web::SessionError::Conflict { .. } => Conflict::new_err(error.to_string()),
        sessile_web::SessionError::Forged => InvalidCSRFToken::new_err(error.to_string()),
        sessile_web::SessionError::TooLate => PyRuntimeError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// What is wrong with a setting.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn wrong(error: impl ToString) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A span that was given in seconds.
pub(crate) fn seconds(setting: &str, given: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(given).map_err(|_| {
        PyValueError::new_err(format!("`{setting}` was {given}; it must be seconds, 0 or more"))
    })
}

/// The error of a session whose data is the application's own bytes.
pub(crate) fn foreign_data() -> PyErr {
    SessionError::new_err(
        "the session holds data that `SessionMiddleware` did not write, such as that of `cache.create()`: give the \
         middleware a cache of its own. The data is unchanged",
    )
}

/// Adds the exceptions to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("SessionError", py.get_type::<SessionError>())?;
    module.add("Gone", py.get_type::<Gone>())?;
    module.add("Conflict", py.get_type::<Conflict>())?;
    module.add("Full", py.get_type::<Full>())?;
    module.add("TooLarge", py.get_type::<TooLarge>())?;
    module.add("Forked", py.get_type::<Forked>())?;
    module.add("InvalidCSRFToken", py.get_type::<InvalidCSRFToken>())
}
