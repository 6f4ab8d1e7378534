//! What every web framework needs of [`sessile`]: a session as a map of keys to JSON values, loaded
//! when a handler first looks at it, saved when it changed, and the response headers that go with it.
//!
//! A framework's adapter is thin over two calls: [`Sessions::begin`] when a request comes in, and
//! [`Sessions::commit`] before its response's headers leave. Between them a handler holds a
//! [`Session`], or asks for it when it needs one, if the adapter [pends](Sessions::pend) it. Applications use an
//! adapter, `sessile-tower` for instance, and meet only [`Session`].
//!
//! ```
//! use http::{HeaderMap, StatusCode, header};
//! use sessile::{KeyRing, SessionCache};
//! use sessile_web::Sessions;
//!
//! let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::random()?).build()?;
//! let sessions = Sessions::new(cache);
//!
//! // A visitor without a cookie; the handler stores something.
//! let session = sessions.begin(&HeaderMap::new());
//! session.insert("visits", 1)?;
//! let mut response = HeaderMap::new();
//! Sessions::commit(&session, StatusCode::OK, &mut response)?;
//! let set_cookie = response[header::SET_COOKIE].to_str()?;
//!
//! // The cookie comes back.
//! let mut request = HeaderMap::new();
//! let cookie = set_cookie.split(';').next().unwrap_or_default();
//! request.insert(header::COOKIE, cookie.parse()?);
//! let session = sessions.begin(&request);
//! assert_eq!(session.get::<u32>("visits")?, Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Defaults, and what they are held to
//! A session is refused 30 minutes after its last use and 12 hours after it began, which is what NIST SP 800-63B
//! (draft 4 of 2023) asks for at level 2; its final text of 2025 recommends one hour and 24 hours there. For level
//! 3 set the idle timeout to 15 minutes. Both are settings of the cache, and caps for [`Session::remember`].
//! A user has at most 32 sessions, then the stalest goes. The cookie is `__Host-session`, with `Secure`,
//! `HttpOnly`, `SameSite=Lax` and `Path=/`, and ends with the browser.
//!
//! ```
//! # use std::time::Duration;
//! # use sessile::{KeyRing, SessionCache};
//! let cache = SessionCache::builder().keys(KeyRing::random()?).build()?;
//! assert_eq!(cache.idle_timeout(), Duration::from_secs(30 * 60));
//! assert_eq!(cache.lifetime(), Duration::from_secs(12 * 60 * 60));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a response carries
//! * Nothing, when no handler looked at the session.
//! * `Vary: Cookie`, when one did.
//! * `Set-Cookie`, when a session was made, signed in, rotated, signed out or emptied, when it ended while the
//!   handler ran, or when its cookie is to be kept longer. It stands beside those of the handler and replaces only one
//!   of its own name. `Cache-Control` then says `no-store`: what the handler said stays if it holds that directive, and
//!   is replaced if it does not.
//!
//! # When changes are stored
//! Once, at [`Sessions::commit`]; a response of 500 or above stores nothing. [`Session::sign_out`] acts at
//! once, whatever the response will be, and so does [`Session::save`] where a handler wants to see how it went.

mod attributes;
mod changes;
mod commit;
mod csrf;
mod detached;
mod devices;
mod error;
mod headers;
mod identity;
mod incoming;
mod json;
mod key;
mod lost;
mod nested;
mod notes;
mod pairs;
mod path;
mod pending;
mod session;
mod sessions;
mod sign_in;
mod state;
mod store;
mod verbs;

#[cfg(feature = "axum")]
mod axum;

#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "axum")]
pub use axum::{NotSignedIn, SignedIn};
pub use devices::Device;
pub use error::{CommitError, MissingSession, SessionError};
pub use incoming::Incoming;
pub use key::{Accepts, AsKey, Key};
pub use path::local_path;
pub use pending::Pending;
pub use session::Session;
pub use sessions::Sessions;
pub use sign_in::SignIn;
