//! The session's cookie: reads it from a request header, parses, signs and verifies it, and writes
//! it to a response header.
//!
//! ```text
//!  Cookie: a=1; __Host-session=AcUBAA…; b=2        Set-Cookie: __Host-session=AcUBAA…; Path=/; …
//!     │ header: candidates of that name                            ▲ set_cookie: name, attributes
//!     ▼                                                            │
//!  48 characters ── token: format, key number, place, id, tag ── 48 characters
//!                              │                 ▲
//!                              ▼ keys: verify    │ keys: sign
//! ```
//!
//! Each part can be read and tested alone. The header reader does not know cryptography, the token
//! does not know keys, and none of them knows whether a session exists.

mod header;
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod internals;
pub(crate) mod keys;
pub(crate) mod set_cookie;
pub(crate) mod token;
mod well_known;

pub use header::candidates;

pub(crate) use header::Reader;
pub(crate) use keys::{KeyRing, Keys, Prf, store::StoreKeys};
pub(crate) use set_cookie::check_name;
pub(crate) use token::{Parts, Tag, Token};

/// The maximum number of values of the session's cookie name that are read from one request, over
/// all its `Cookie` fields. A browser sends one; more come from cookies with other paths or
/// domains, or from an attacker.
pub const MAX_CANDIDATES: usize = 4;
