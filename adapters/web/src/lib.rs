//! What every web framework needs of [`sessile`]: a session as a map of keys to JSON values, loaded
//! when a handler first looks at it, saved when it changed, and the response headers that go with it.
//!
//! A framework's adapter is thin over two calls: [`SessionManager::begin`] when a request comes in, and
//! [`SessionManager::commit`] before its response's headers leave. Between them a handler holds a
//! [`Session`], or asks for it when it needs one, if the adapter [pends](SessionManager::pend) it. Applications use an
//! adapter, `sessile-tower` for instance, and meet only [`Session`].
//!
//! ```
//! use http::{HeaderMap, StatusCode, header};
//! use sessile::{KeyRing, SessionCache};
//! use sessile_web::SessionManager;
//!
//! let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
//! let sessions = SessionManager::new(cache);
//!
//! // A visitor without a cookie; the handler stores something.
//! let session = sessions.begin(&HeaderMap::new());
//! session.insert("visits", 1)?;
//! let mut response = HeaderMap::new();
//! SessionManager::commit(&session, StatusCode::OK, &mut response)?;
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
//! let cache = SessionCache::builder().keys(KeyRing::generate()?).build()?;
//! assert_eq!(cache.idle_timeout(), Duration::from_secs(30 * 60));
//! assert_eq!(cache.lifetime(), Duration::from_secs(12 * 60 * 60));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What counts as a use
//! A request is a use of its session if a handler or a middleware reads or writes the session, by any verb of
//! [`Session`]. To receive a `Session` is no use. So a page that only asks for static files, or calls an API that never
//! reads the session, does not keep its visitor signed in. [`SessionManager::with_touch_always`] counts every request with a
//! valid cookie instead. The rule is the same in every adapter.
//!
//! # What a response carries
//! * Nothing, when the request is no use of the session.
//! * `Vary: Cookie`, when a handler looked at the session.
//! * `Set-Cookie`, when a session was made, signed in, rotated, signed out or emptied, or when its cookie is to be kept
//!   longer. It stands beside those of the handler and replaces only one of its own name. `Cache-Control` then says
//!   `no-store`: what the handler said stays if it holds that directive, and is replaced if it does not.
//!
//! # When changes are stored
//! Once, at [`SessionManager::commit`]; a response of 500 or above stores nothing but the removal of an
//! [identity key](SessionManager::with_identity_keys). [`Session::sign_out`] acts at once, whatever the response will be, and
//! so does [`Session::save`] where a handler wants to see how it went.
//!
//! # When the session is not there any more
//! Another request may end the session, or give it a new id, while a handler runs. A response never claims a change
//! that was dropped:
//! * A session without a user that ended, expired or was emptied: what this request changed begins a new session. It
//!   holds nothing else, and no user is signed in to it. A [guarded](Session::watch) key is then missing, so the response
//!   is 409.
//! * A session with a user: the response is 409 if there was something to store, also after the user's own sign-out.
//! * A session that got a new id, by a sign-in or a rotation, whose old one opens nothing any more: the response is 409
//!   and sets no cookie, because the browser has, or is about to get, the new one. So is, for 60 seconds, a request that
//!   brings only the old cookie and would start a session, by [`Session::csrf_token`] too; see
//!   [`SessionManager::with_replaced_window`].
//! * A request that signs in always gets a session. If its own got a new id, it carries on with the data that it read,
//!   and the other one ends.
//!
//! The response of a request whose session has ended leaves the cookie alone: the visitor may have signed in again.
//!
//! # Lost responses
//! A response that gives the session a new id may be lost on the way. The browser then has the old cookie, which opens
//! nothing once the [grace](SessionManager::with_grace) is over: the visitor is signed out, and can sign in again at once. A
//! grace that lasted until the new id is first used would avoid that, but a stolen old cookie would live as long.
//! A rotation that is due happens only as the response's headers leave. If the client disconnects before, nothing has
//! changed.

mod adapters;
mod attributes;
mod changes;
mod commit;
mod csrf;
mod detached;
mod devices;
mod error;
mod headers;
mod identity;
mod json;
mod key;
mod lost;
mod nested;
mod notes;
mod pairs;
mod path;
mod pending;
mod request;
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
pub use key::{Accepts, AsKey, Key};
pub use path::safe_redirect_path;
pub use pending::Pending;
pub use request::SessionRequest;
pub use session::Session;
pub use sessions::SessionManager;
pub use sign_in::SignIn;
