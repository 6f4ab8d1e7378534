//! The session's cookie: read from a request's header, parsed, signed and verified, written into a
//! response.
//!
//! ```text
//!  Cookie: a=1; __Host-session=AcUBAA…; b=2        Set-Cookie: __Host-session=AcUBAA…; Path=/; …
//!     │ header: candidates of that name                            ▲ set_cookie: name, attributes
//!     ▼                                                            │
//!  48 characters ── token: format, key number, home, id, tag ── 48 characters
//!                              │                 ▲
//!                              ▼ keys: verify    │ keys: sign
//! ```
//!
//! Each part can be read and tested alone: the header reader knows no cryptography, the token knows
//! no keys, and nothing here knows whether a session exists.

mod header;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod keys;
mod set_cookie;
mod token;
mod well_known;

pub use crate::error::{CookieError, KeyError};
pub use header::candidates;
pub use keys::KeyRing;
pub use set_cookie::{SameSite, SetCookie, SetCookieBuilder};
pub use token::Token;

pub(crate) use header::Reader;
pub(crate) use keys::{Keys, Prf};
pub(crate) use set_cookie::check_name;
pub(crate) use token::{Parts, Tag};

/// How many values of the session's cookie name a request may hold before the rest is ignored, over
/// all its `Cookie` fields. A browser sends one; more come from cookies with other paths or domains,
/// or from somebody who tosses them in.
pub const MAX_CANDIDATES: usize = 4;
