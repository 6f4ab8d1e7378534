//! What can go wrong between a handler and its session, and what the client is told.
//!
//! No text here holds a value of a session, a token or a key.

use core::{any::type_name, fmt};
use http::StatusCode;
use sessile::Error;

/// Why a verb of [`Session`](crate::Session) did nothing.
///
/// With the feature `axum` it is a response: [`status`](Self::status), and a text without details.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// A value is in the session, but not of the type that was asked for.
    Decode {
        /// The type that was asked for.
        wanted: &'static str,
        /// What `serde_json` says; it may quote the value.
        source: serde_json::Error,
    },
    /// A value has no form in JSON.
    Encode(serde_json::Error),
    /// A key and its value alone are larger than a session may be.
    TooLarge {
        /// Bytes that they take.
        len: usize,
        /// Bytes that a session may take: `max_session_size` of the cache.
        limit: usize,
    },
    /// A key is longer than 65,535 bytes.
    KeyTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A key begins with `sessile:`: those are kept for this crate.
    ReservedKey {
        /// The key.
        key: String,
    },
    /// The name of a user is empty.
    EmptyUser,
    /// The response's headers have left, so that nothing can be stored any more.
    AlreadyCommitted,
    /// Somebody else changed a key that must not change: [`guard`](crate::Session::watch),
    /// [`compare_and_set`](crate::Session::compare_and_set), or a value that cannot grow any more.
    Conflict {
        /// The key.
        key: String,
    },
    /// What came with a form is not what this session's pages hold: the request was made elsewhere, or the
    /// page is older than the sign-in.
    InvalidCsrfToken,
    /// What was to be stored at once could not be.
    Store(CommitError),
}

impl SessionError {
    /// What the response may say if the handler says nothing better: 409 for a conflict, 403 for a forged
    /// form, what [`CommitError::status`] says where nothing could be stored, and 500 for the application's
    /// own mistakes.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::InvalidCsrfToken => StatusCode::FORBIDDEN,
            Self::Store(error) => error.status(),
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
                write!(f, "the value in the session is not a `{wanted}`")
            }
            Self::Encode(_) => f.write_str("the value cannot be written as JSON"),
            Self::TooLarge { len, limit } => {
                write!(
                    f,
                    "a key and its value take {len} bytes, a session may take {limit} (`max_session_size`)"
                )
            }
            Self::KeyTooLong { len } => write!(f, "a key of {len} bytes, it may have {}", u16::MAX),
            Self::ReservedKey { key } => write!(
                f,
                "the key {key:?} begins with `sessile:`, which is kept for the session itself; choose another"
            ),
            Self::Conflict { key } => {
                write!(
                    f,
                    "the key {key:?} was changed by another request: read it again"
                )
            }
            Self::InvalidCsrfToken => f.write_str(
                "the form's token is not this session's: show the form again, with `csrf_token`",
            ),
            Self::Store(error) => error.fmt(f),
            Self::EmptyUser => {
                f.write_str("the name of a user is empty; sign in with one that is not")
            }
            Self::AlreadyCommitted => f.write_str(
                "the response's headers have left: change the session before the handler returns",
            ),
        }
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Decode { source, .. } | Self::Encode(source) => Some(source),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a request's changes could not be stored: its response is replaced by this one.
///
/// `Display` is the text for the client.
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

    /// 409 where a key that must not change was changed by another request, where the session ended or got a new id
    /// while the handler ran, and where the user has as many sessions as may be; 503 where trying again may help; 429
    /// where the application's own hook refused a new session; 500 otherwise.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.cause {
            Error::Conflict if self.key.is_some() => StatusCode::CONFLICT,
            Error::TooManySessions | Error::Gone | Error::Rotated => StatusCode::CONFLICT,
            Error::Full | Error::Conflict => StatusCode::SERVICE_UNAVAILABLE,
            Error::AdmissionDenied => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the engine said.
    #[must_use]
    pub fn cause(&self) -> Error {
        self.cause
    }

    /// The key that was changed meanwhile and must not be, if that is why.
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
            None => Self::Store(error),
        }
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Error::TooLarge { given: len, max: limit } => {
                write!(
                    f,
                    "The session would take {len} bytes; it may take {limit} (max_session_size)."
                )
            }
            Error::TooManySessions => f.write_str(
                "You are signed in on too many devices. Sign out on one of them and try again.",
            ),
            Error::Gone => f.write_str(
                "Your session has ended, so this was not stored. Please load the page again and retry.",
            ),
            Error::Rotated => f.write_str(
                "Your session was renewed at the same time, so this was not stored. Please load the page again and \
                 retry.",
            ),
            _ if self.status() == StatusCode::CONFLICT => f.write_str(
                "This was changed by another request at the same time. Please look again and retry.",
            ),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => f.write_str(
                "The session could not be stored just now. Please try again in a moment.",
            ),
            _ => f.write_str("The session could not be stored."),
        }
    }
}

impl std::error::Error for CommitError {}

/// A handler asked for the session of a request that passed no session layer.
///
/// With the feature `axum` it is a response: 500, and the text that `Display` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingSession;

impl fmt::Display for MissingSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "This request has no session. Either the session layer is missing: add it to the router, after \
             the routes that need it: `.layer(sessile_tower::SessionLayer::new(cache))`. Or a middleware outside \
             the session layer asks for the session: add the session layer after it. Or a middleware made a new \
             request: copy the extensions of the original one.",
        )
    }
}

impl std::error::Error for MissingSession {}
