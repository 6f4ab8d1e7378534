//! Errors between a handler and its session, and the texts for the client.
//!
//! No text here contains a value of a session, a token or a key of the key ring.

use core::{any::type_name, fmt};
use http::StatusCode;
use sessile::Error;

/// Errors of the verbs of [`Session`](crate::Session). The session is unchanged, unless the verb's
/// documentation says otherwise.
///
/// With the feature `axum` it is a response with the status [`status`](Self::status) and a text
/// without details. The texts of `Display` are for developers, except that of
/// [`Store`](Self::Store), which is the text of the [`CommitError`].
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// The value in the session does not have the requested type.
    Decode {
        /// The requested type.
        wanted: &'static str,
        /// The error of `serde_json`. Its text may quote the value.
        source: serde_json::Error,
    },
    /// The value cannot be encoded as JSON.
    Encode(serde_json::Error),
    /// A key and its value alone are larger than a session may be.
    TooLarge {
        /// The length of the encoded key and value, in bytes.
        given: usize,
        /// The maximum, in bytes:
        /// [`max_session_size`](sessile::SessionCacheBuilder::max_session_size).
        max: usize,
    },
    /// A key is too long.
    KeyTooLong {
        /// The length of the key, in bytes.
        given: usize,
        /// The maximum, in bytes: 65,535.
        max: usize,
    },
    /// A key begins with `sessile:`. Such names are reserved for this crate.
    ReservedKey {
        /// The key.
        key: String,
    },
    /// The name of a user is empty.
    EmptyUser,
    /// The response's headers were sent, so the change cannot be stored or its cookie not be set.
    AlreadyCommitted,
    /// Another request changed a key that this request [watches](crate::Session::watch) or
    /// [compared](crate::Session::compare_and_set), or that can no longer be incremented or
    /// appended to.
    Conflict {
        /// The key.
        key: String,
    },
    /// The CSRF token of a form is not one of this session: the request is forged, or the page is
    /// older than the session's id.
    InvalidCsrfToken,
    /// The changes could not be stored now.
    Store(CommitError),
    /// The session is in a store and was not loaded: await [`load`](crate::Session::load) before
    /// the first use.
    NotLoaded,
    /// The store could not be reached, so that the session cannot be read or the change not be
    /// confirmed.
    Unreachable,
}

impl SessionError {
    /// Returns the status of the response: 409 for [`Conflict`](Self::Conflict), 403 for
    /// [`InvalidCsrfToken`](Self::InvalidCsrfToken), [`CommitError::status`] for
    /// [`Store`](Self::Store), 503 for [`Unreachable`](Self::Unreachable), and 500 for errors of
    /// the application.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::InvalidCsrfToken => StatusCode::FORBIDDEN,
            Self::Store(error) => error.status(),
            Self::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(crate) fn decode<T>(source: serde_json::Error) -> Self {
        Self::Decode {
            wanted: type_name::<T>(),
            source,
        }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode { wanted, .. } => {
                write!(f, "value in the session is not a `{wanted}`")
            }
            Self::Encode(_) => f.write_str("value cannot be encoded as JSON"),
            Self::TooLarge { given, max } => write!(
                f,
                "key and value must be at most {max} bytes (`max_session_size`), got {given}"
            ),
            Self::KeyTooLong { given, max } => {
                write!(f, "key must be at most {max} bytes, got {given}")
            }
            Self::ReservedKey { key } => {
                write!(
                    f,
                    "key must not begin with `sessile:`, got {key:?}; choose another"
                )
            }
            Self::Conflict { key } => {
                write!(
                    f,
                    "key {key:?} was changed by another request; read it again"
                )
            }
            Self::InvalidCsrfToken => {
                f.write_str("CSRF token is not valid for this session; show the form again")
            }
            Self::Store(error) => error.fmt(f),
            Self::NotLoaded => f.write_str("session is not loaded; call `load().await` first"),
            Self::Unreachable => f.write_str("store of the sessions cannot be reached; try again"),
            Self::EmptyUser => f.write_str("user name must not be empty"),
            Self::AlreadyCommitted => f.write_str(
                "response headers were sent; change the session before the handler returns",
            ),
        }
    }
}

/// `Store` is transparent: its text and source are those of the inner error.
impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Decode { source, .. } | Self::Encode(source) => Some(source),
            Self::Store(error) => error.source(),
            _ => None,
        }
    }
}

/// The changes of a request could not be stored. Its response is replaced by an error response.
///
/// The text of `Display` is meant for the client: it is the body of that response. The cause is in
/// [`source`](std::error::Error::source) and [`cause`](Self::cause).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitError {
    cause: Error,
    key: Option<Box<str>>,
}

impl CommitError {
    pub(crate) fn conflict(key: Box<str>) -> Self {
        Self {
            cause: Error::Conflict,
            key: Some(key),
        }
    }

    /// Returns the status of the response:
    ///
    /// | status | cause |
    /// |---|---|
    /// | 409 | another request changed a watched key; the session ended or got a new id; the user has too many sessions |
    /// | 429 | the admission hook denied a new session |
    /// | 503, with `Retry-After` | the cache is full, the session changes too often, or the store cannot be reached |
    /// | 500 | all others |
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.cause {
            Error::Conflict if self.key.is_some() => StatusCode::CONFLICT,
            Error::TooManySessions | Error::Gone | Error::Rotated => StatusCode::CONFLICT,
            Error::Full | Error::Conflict | Error::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
            Error::AdmissionDenied => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the error of the engine.
    #[must_use]
    pub fn cause(&self) -> Error {
        self.cause
    }

    /// Returns the key that another request changed although this one watches it; `None` for other
    /// causes.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl From<Error> for CommitError {
    fn from(cause: Error) -> Self {
        Self { cause, key: None }
    }
}

impl From<CommitError> for SessionError {
    fn from(error: CommitError) -> Self {
        match error.key {
            Some(key) => Self::Conflict { key: key.into() },
            None if error.cause == Error::Unreachable => Self::Unreachable,
            None => Self::Store(error),
        }
    }
}

impl From<Error> for SessionError {
    fn from(error: Error) -> Self {
        CommitError::from(error).into()
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Error::TooLarge { given, max } => {
                write!(
                    f,
                    "The session must be at most {max} bytes (max_session_size), got {given}."
                )
            }
            Error::TooManySessions => f.write_str(
                "You are signed in on too many devices. Sign out on one of them and try again.",
            ),
            Error::Gone => f.write_str(
                "Your session has ended, so your changes were not saved. Reload the page and try again.",
            ),
            Error::Rotated => f.write_str(
                "Your session was renewed at the same time, so your changes were not saved. \
                 Reload the page and try again.",
            ),
            _ if self.status() == StatusCode::CONFLICT => f.write_str(
                "Another request changed this at the same time. Reload the page and try again.",
            ),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => f.write_str(
                "The session could not be stored. Please try again in a moment.",
            ),
            _ => f.write_str("The session could not be stored."),
        }
    }
}

impl std::error::Error for CommitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// A handler required the session of a request that passed no session layer.
///
/// With the feature `axum` it is a response with the status 500 and the text of `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingSession;

impl fmt::Display for MissingSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "This request has no session. Either the session layer is missing: add it to the router, \
             after the routes that need it: `.layer(sessile_tower::SessionLayer::new(cache))`. Or a \
             middleware outside the session layer reads the session: add the session layer after it. Or \
             a middleware created a new request: copy the extensions of the original one.",
        )
    }
}

impl std::error::Error for MissingSession {}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
