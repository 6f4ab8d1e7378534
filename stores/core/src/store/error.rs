//! Errors of a store.

use std::{error, fmt, sync::Arc};

/// Errors of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no session with that id.
    Gone,
    /// The id was replaced.
    Rotated,
    /// The session has another version.
    Conflict,
    /// The user has reached the limit of sessions.
    TooMany,
    /// The new id exists.
    Taken,
    /// The server reached the call after its time: nothing was done.
    Late,
    /// The store has no memory left.
    Full,
    /// The store cannot be reached, or did not answer in time. The text names no secret.
    Unreachable(Arc<str>),
    /// The server executed the call, and not enough replicas acknowledged it in time: a failover
    /// may lose it. The text names the numbers.
    Unreplicated(Arc<str>),
    /// This store cannot do that; see [`Abilities`](super::Abilities).
    Unsupported(&'static str),
    /// The store cannot be used with these settings: the text names the setting, what was found and
    /// what it must be. Another attempt fails too.
    Incompatible(Arc<str>),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the session does not exist"),
            Self::Rotated => f.write_str("the id was replaced"),
            Self::Conflict => f.write_str("the session has another version"),
            Self::TooMany => f.write_str("the user has reached the limit of sessions"),
            Self::Taken => f.write_str("the new id exists"),
            Self::Late => f.write_str("the server reached the call after its time"),
            Self::Full => f.write_str(
                "the store has no room for it: raise `maxmemory`, or `-m` and `-I` of memcached",
            ),
            Self::Unreachable(cause) => write!(f, "the store cannot be reached: {cause}"),
            Self::Unreplicated(cause) => {
                write!(
                    f,
                    "the store executed the call, and it is not replicated: {cause}"
                )
            }
            Self::Unsupported(verb) => write!(f, "this store does not support {verb}"),
            Self::Incompatible(cause) => f.write_str(cause),
        }
    }
}

impl error::Error for StoreError {}
