//! Errors of a verifier's settings.

use core::{fmt, time::Duration};

use crate::Algorithm;

/// The settings of a verifier cannot be used. No text contains a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifierBuildError {
    /// `algorithms` is empty.
    NoAlgorithm,
    /// No key verifies an algorithm of `algorithms`.
    NoKey {
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// A key is for an algorithm that is not in `algorithms`.
    UnusedKey {
        /// The algorithm of the key.
        algorithm: Algorithm,
    },
    /// Two keys have the same key id.
    RepeatedKeyId {
        /// The key id.
        id: Box<str>,
    },
    /// There are too many keys.
    TooManyKeys {
        /// The number of keys.
        given: usize,
        /// The maximum.
        max: usize,
    },
    /// `leeway` is too long.
    Leeway {
        /// The setting.
        given: Duration,
        /// The maximum.
        max: Duration,
    },
    /// `max_token_len` is out of bounds.
    MaxTokenLen {
        /// The setting, in bytes.
        given: usize,
        /// The minimum, in bytes.
        min: usize,
        /// The maximum, in bytes.
        max: usize,
    },
    /// `require_exp(false)` and `revocations` exclude each other: the revocation of a token that
    /// does not expire could never be freed.
    Contradiction,
}

impl fmt::Display for VerifierBuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAlgorithm => f.write_str("`algorithms` must contain at least one algorithm"),
            Self::NoKey { algorithm } => write!(
                f,
                "`algorithms` contains {algorithm}, which needs {}; add it with `key`",
                algorithm.needed_key()
            ),
            Self::UnusedKey { algorithm } => write!(
                f,
                "`key` has a key for {algorithm}, which must be in `algorithms`"
            ),
            Self::RepeatedKeyId { id } => {
                write!(
                    f,
                    "`key` must have one key for each key id, got two with {id:?}"
                )
            }
            Self::TooManyKeys { given, max } => {
                write!(f, "`key` must have at most {max} keys, got {given}")
            }
            Self::Leeway { given, max } => {
                write!(f, "`leeway` must be at most {max:?}, got {given:?}")
            }
            Self::MaxTokenLen { given, min, max } => write!(
                f,
                "`max_token_len` must be between {min} and {max} bytes, got {given}"
            ),
            Self::Contradiction => f.write_str(
                "`require_exp` must be true with `revocations`: a revocation is kept until `exp`",
            ),
        }
    }
}

impl core::error::Error for VerifierBuildError {}
