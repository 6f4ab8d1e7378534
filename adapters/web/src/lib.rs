//! Framework-independent web sessions over [`sessile`]: a map from keys to JSON values for each
//! client, sign-in, CSRF tokens, and the response headers of a session.
//!
//! Applications use the adapter of their framework and handle a [`Session`]. For tower and axum the
//! adapter is [`sessile-tower`](https://docs.rs/sessile-tower); its documentation has a complete
//! sign-in example. An adapter is thin over two calls: [`SessionManager::begin`] when a request
//! arrives, and [`SessionManager::commit`] before the response's headers are sent.
//!
//! ```
//! use http::{HeaderMap, StatusCode, header};
//! use sessile::{KeyRing, SessionCache};
//! use sessile_web::SessionManager;
//!
//! let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
//! let manager = SessionManager::new(cache);
//!
//! // A visitor without a cookie; the handler stores a value.
//! let session = manager.begin(&HeaderMap::new());
//! session.insert("visits", 1)?;
//! let mut response = HeaderMap::new();
//! # sessile_web::adapter::ready(async {
//! SessionManager::commit(&session, StatusCode::OK, &mut response).await
//! # })?;
//! let set_cookie = response[header::SET_COOKIE].to_str()?;
//!
//! // The next request carries the cookie.
//! let mut request = HeaderMap::new();
//! let cookie = set_cookie.split(';').next().unwrap_or_default();
//! request.insert(header::COOKIE, cookie.parse()?);
//! let session = manager.begin(&request);
//! assert_eq!(session.get::<u32>("visits")?, Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Install
//! ```sh
//! cargo add sessile-tower --features axum   # applications with axum
//! cargo add sessile-web                     # adapters for other frameworks
//! ```
//!
//! # Sign-in
//! A handler signs a user in after it verified the password. The session gets a new id at commit,
//! so that a cookie planted by an attacker is rejected:
//!
//! ```
//! # use http::{HeaderMap, StatusCode};
//! # use sessile::{KeyRing, SessionCache};
//! # use sessile_web::SessionManager;
//! use sessile_web::{Session, SessionError, SignIn};
//!
//! fn sign_in(session: &Session, user: &str, csrf_token: &str) -> Result<(), SessionError> {
//!     session.check_csrf(csrf_token)?;
//!     // Verify the password here.
//!     session.sign_in(SignIn::of(user).label("Firefox on Linux"))
//! }
//!
//! async fn sign_out(session: &Session, csrf_token: &str) -> Result<(), SessionError> {
//!     session.check_csrf(csrf_token)?;
//!     session.sign_out().await
//! }
//! # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
//! # let session = SessionManager::new(cache).begin(&HeaderMap::new());
//! # let token = session.csrf_token()?;
//! # sign_in(&session, "ada", &token)?;
//! # assert_eq!(session.user().as_deref(), Some("ada"));
//! # sessile_web::adapter::ready(sign_out(&session, &token))?;
//! # assert!(!session.is_authenticated());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Session::user_sessions`] lists the sessions of the user, for a page with a "sign out" button
//! for each: [`Session::end_by_handle`].
//!
//! # Configuration
//! The memory, the keys, the timeouts and the cookie's name are settings of the cache:
//! [`SessionCacheBuilder`](sessile::SessionCacheBuilder). The attributes of the cookie, rotation by
//! age and the sign-in page are settings of the [`SessionManagerBuilder`].
//!
//! A session expires 30 minutes after its last use and 12 hours after its creation, as NIST SP
//! 800-63B (draft 4 of 2023) requires at level 2; the final text of 2025 recommends one hour and 24
//! hours. For level 3 set the idle timeout to 15 minutes. Both timeouts cap [`Session::remember`].
//! A user has at most 32 sessions; with one more, the least recently used ends. The cookie is
//! `__Host-session`, with `Secure`, `HttpOnly`, `SameSite=Lax` and `Path=/`, and the browser
//! discards it when it is closed.
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
//! # CSRF
//! Put [`Session::csrf_token`] into each form, and call [`Session::check_csrf`] before the request
//! has any effect. `SameSite=Lax` alone does not protect against requests from other subdomains.
//!
//! # Uses of a session
//! A request uses its session if a handler or a middleware reads or writes it, by any verb of
//! [`Session`]. Receiving a `Session` is not a use. A page that requests only static files, or
//! calls an API that never reads the session, does not keep its user signed in.
//! [`SessionManagerBuilder::touch_always`] counts every request with a valid cookie instead. The
//! rule is the same in every adapter.
//!
//! # Response headers
//! * None, if the request does not use the session.
//! * `Vary: Cookie`, if it does.
//! * `Set-Cookie`, if a session was created, signed in, rotated, signed out or emptied, or if its
//!   cookie is to be kept longer. It is added to those of the handler and replaces only one of its
//!   own name. `Cache-Control` is then `no-store`, unless the handler's value contains that
//!   directive already.
//!
//! # Storing changes
//! Changes are stored once, by [`SessionManager::commit`]. For a status of 500 or above nothing is
//! stored, except the removal of an [identity key](SessionManagerBuilder::identity_keys).
//! [`Session::sign_out`] takes effect at once, for any status, and so does [`Session::save`], which
//! returns the result to the handler.
//!
//! [`Session::load`], [`Session::save`], [`Session::is_alive`], [`Session::sign_out`],
//! [`Session::sign_out_others`], [`Session::sign_out_everywhere`], [`Session::end_by_handle`],
//! [`Session::user_sessions`] and [`SessionManager::commit`] are `async`, because a store may be
//! involved. On a local cache they are ready at the first poll: see [`adapter::ready`]. All other
//! verbs are synchronous.
//!
//! Data that was not written by this crate reads as empty, for instance that of
//! [`SessionCache::create`](sessile::SessionCache::create). A warning is logged at commit, and the
//! next change overwrites the data. Adapters detect it with
//! [`is_foreign`](adapter::SessionExt::is_foreign).
//!
//! # Concurrency
//! Concurrent requests that change one session are merged per key: see [`Session`].
//!
//! Another request may end the session, or give it a new id, while a handler runs. Changes are
//! never dropped silently:
//! * If a session without a user ended, expired or was emptied, the changes of this request create
//!   a new session. It contains nothing else, and no user is signed in. A [watched](Session::watch)
//!   key is then missing, so the response is 409.
//! * If a session with a user ended, the response is 409 if there are changes to store, also after
//!   the user's own sign-out.
//! * If a sign-in or a rotation gave the session a new id and the old one is rejected by now, the
//!   response is 409 and sets no cookie, because the browser has the new one or is about to receive
//!   it. The same holds for 60 seconds for a request that brings only the old cookie and would
//!   create a session, by [`Session::csrf_token`] too; see
//!   [`SessionManagerBuilder::replaced_window`].
//! * A request that signs in always gets a session. If its own got a new id, it continues with the
//!   data that it read, and the other session ends.
//!
//! The response of a request whose session has ended does not touch the cookie: the client may have
//! signed in again.
//!
//! # Sessions in a store
//! A manager takes a local cache or a [`TieredCache`](sessile_store::TieredCache), whose sessions
//! are in a store that several processes share. Await [`Session::load`] before the first use; the
//! extractors for axum do. An unreachable store is an error of the first use, and requests that do
//! not use their session are unaffected.
//!
//! # Lost responses
//! A response that gives the session a new id may be lost. The browser then has the old cookie,
//! which is rejected after the [grace period](SessionManagerBuilder::grace): the user is signed
//! out, and can sign in again. A grace period until the new id is first used would avoid that, but
//! would keep a stolen old cookie valid as long. A rotation by age happens only when the response's
//! headers are sent. If the client disconnects before, nothing changes.
//!
//! # Limitations
//! A slow request whose anonymous session ended creates a new session; see
//! [Concurrency](#concurrency). If the user has signed in by then with a request that brought no
//! valid cookie, the slow response overwrites the cookie of the sign-in, and the user must sign in
//! again. Ended sessions are not remembered, so this cannot be detected. The new session has a
//! fresh id, contains only the changes of the slow request, and no user is signed in to it.
//!
//! # Errors and statuses
//! The verbs of a session return [`SessionError`], the commit returns [`CommitError`]; both have a
//! `status`. The texts of `Display` contain no values, tokens or keys of the key ring.
//!
//! | status | cause |
//! |---|---|
//! | 401, or 303 to the sign-in page | the extractor `SignedIn`, and no user is signed in |
//! | 403 | [`InvalidCsrfToken`](SessionError::InvalidCsrfToken) |
//! | 409 | a watched key was changed, the session ended or got a new id, or the user has too many sessions |
//! | 429 | the [admission hook](sessile::SessionCacheBuilder::admission) denied a new session |
//! | 500 | all other errors, such as a value of another type or a session over `max_session_size` |
//! | 503, with `Retry-After` | the cache is full, the session changes too often, or the store cannot be reached |
//!
//! # Testing
//! The feature `testing` adds the module `testing`: a visitor that keeps the cookie between
//! requests, and a manual clock.
//!
//! # Features
//! * `axum`: [`Session`], `Option<Session>` and `SignedIn` as extractors, and errors as responses,
//!   on `axum-core`.
//! * `testing`: utilities for the tests of an application.
//!
//! No feature is enabled by default.
//!
//! # Minimum supported Rust version
//! Rust 1.88.

pub mod adapter;
mod attributes;
mod auth;
mod builder;
mod cache;
mod changes;
mod commit;
mod create;
mod csrf;
mod detached;
mod encoding;
mod error;
mod gone;
mod headers;
mod identity;
mod json;
mod key;
mod load;
mod log_lines;
mod manager;
mod nested;
mod perform;
mod persist;
mod redirect;
mod request;
mod reserve;
mod session;
mod sign_in;
mod state;
mod stored;
mod taken;
mod user_sessions;

#[cfg(feature = "axum")]
mod axum;

#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "axum")]
pub use axum::{NotSignedIn, SignedIn};
pub use builder::{ManagerError, SessionManagerBuilder};
pub use cache::Cache;
pub use error::{CommitError, MissingSession, SessionError};
pub use key::{Key, SessionKey};
pub use manager::SessionManager;
pub use redirect::safe_redirect_path;
pub use request::SessionRequest;
pub use session::Session;
pub use sign_in::SignIn;
pub use user_sessions::SessionInfo;
