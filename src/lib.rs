//! sessile: web sessions at memory speed.

mod cache;
mod clock;
mod config;
pub mod cookie;
mod error;
mod id;
mod shard;
mod sync;

pub use cache::{
    Evicted, Issued, Maintained, Maintenance, Memory, Record, Refused, SessionCache, Sessions,
    Stats,
};
pub use clock::Clock;
pub use config::{Builder, Deadlines};
pub use cookie::{KeyRing, SameSite, SetCookie, SetCookieBuilder, Token};
pub use error::{BuildError, CookieError, Error, KeyError};
pub use id::{SessionId, UserHash};

/// For this repository's own tests, benchmarks and fuzz targets; no promise holds for what it shows.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    pub use crate::{
        cookie::internals as cookie,
        shard::{heap, list, region, wheel},
    };
}
