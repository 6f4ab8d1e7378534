//! Errors of revocations.

use core::{fmt, time::Duration};

use sessile::Error;
use sessile_store::MirrorError;

/// A revocation was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevokeError {
    /// The table is full of revocations that have not expired. Nothing was revoked.
    Full {
        /// The number of revocations that fit.
        capacity: usize,
    },
    /// The store did not confirm the revocation in time. It is effective in this process, and is
    /// sent to the store until that confirms it or this process ends.
    Store(Error),
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { capacity } => write!(
                f,
                "table of revocations is full; raise `capacity`, which is {capacity}"
            ),
            Self::Store(_) => {
                f.write_str("revocation is effective in this process, and queued for the store")
            }
        }
    }
}

impl core::error::Error for RevokeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Full { .. } => None,
        }
    }
}

/// The settings of revocations cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationsBuildError {
    /// `capacity` is out of bounds.
    Capacity {
        /// The setting.
        given: usize,
        /// The minimum.
        min: usize,
        /// The maximum.
        max: usize,
    },
    /// `max_lifetime` is out of bounds.
    MaxLifetime {
        /// The setting.
        given: Duration,
        /// The minimum.
        min: Duration,
        /// The maximum.
        max: Duration,
    },
    /// The operating system does not provide the memory.
    Allocation {
        /// The size of the table, in bytes.
        bytes: usize,
    },
    /// The operating system returned no random bytes.
    Entropy,
    /// The cache has a list already, or its store keeps no revocations.
    Store(MirrorError),
}

impl fmt::Display for RevocationsBuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity { given, min, max } => {
                write!(f, "`capacity` must be between {min} and {max}, got {given}")
            }
            Self::MaxLifetime { given, min, max } => write!(
                f,
                "`max_lifetime` must be between {min:?} and {max:?}, got {given:?}"
            ),
            Self::Allocation { bytes } => write!(
                f,
                "operating system did not provide {bytes} bytes; lower `capacity`"
            ),
            Self::Entropy => f.write_str("operating system returned no random bytes"),
            Self::Store(_) => f.write_str("cache cannot keep this list of revocations"),
        }
    }
}

impl core::error::Error for RevocationsBuildError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}
