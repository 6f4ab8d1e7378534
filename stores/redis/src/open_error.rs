//! Errors of the settings of a store. Invariant: no text contains a password.

use std::{error, fmt, time::Duration};

use crate::settings::MAX_PREFIX_LEN;

/// Errors of the settings of a [`RedisStore`](crate::RedisStore). No text contains a password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL has another scheme.
    Scheme {
        /// The scheme, or the text before the first colon. Empty if it may contain a password.
        given: String,
    },
    /// The URL cannot be read.
    Url {
        /// The reason.
        reason: String,
    },
    /// `prefix` is empty, longer than 64 characters, or contains a space, a brace or a character
    /// that is not printable ASCII.
    Prefix {
        /// The setting.
        given: String,
    },
    /// `wait` names no replica, or takes less than `min`.
    Wait {
        /// The number of replicas.
        replicas: usize,
        /// Its timeout.
        given: Duration,
        /// The minimum.
        min: Duration,
    },
    /// A certificate cannot be used.
    Certificate {
        /// The reason.
        reason: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme { given } if given.is_empty() => f.write_str(SCHEMES),
            Self::Scheme { given } => write!(f, "{SCHEMES}, got `{given}`"),
            Self::Url { reason } => write!(f, "the URL of the store is not valid: {reason}"),
            Self::Prefix { given } => write!(
                f,
                "`prefix` must be 1 to {MAX_PREFIX_LEN} printable ASCII characters without spaces \
                 and braces, got {given:?}"
            ),
            Self::Wait {
                replicas,
                given,
                min,
            } => write!(
                f,
                "`wait` must name at least 1 replica and take at least {min:?}, got {replicas} \
                 replicas and {given:?}"
            ),
            Self::Certificate { reason } => write!(f, "a certificate cannot be used: {reason}"),
        }
    }
}

impl error::Error for OpenError {}

/// Returns the error of a URL whose scheme is another. Does not quote what may be a password: the
/// login of a URL without a scheme.
pub(crate) fn scheme_error(given: &str) -> OpenError {
    let given = match given.contains('@') {
        true => "",
        false => given.split(':').next().unwrap_or_default(),
    };
    OpenError::Scheme {
        given: given.to_owned(),
    }
}

pub(crate) fn url_error(reason: impl Into<String>) -> OpenError {
    let reason = reason.into();
    OpenError::Url { reason }
}

pub(crate) fn certificate_error(reason: impl Into<String>) -> OpenError {
    let reason = reason.into();
    OpenError::Certificate { reason }
}

const SCHEMES: &str = "the URL of the store must begin with `redis://`, `rediss://`, \
                       `redis+sentinel://` or `rediss+sentinel://`";
