//! Sessions for [tower] and axum over [`sessile`]: a visitor's data and sign-in, kept in memory that is
//! fixed at start and never grows.
//!
//! ```
//! use axum::{Router, routing::get};
//! use sessile::{KeyRing, SessionCache};
//! use sessile_tower::{Session, SessionError, SessionLayer};
//!
//! async fn visits(session: Session) -> Result<String, SessionError> {
//!     let visits = session.get("visits")?.unwrap_or(0) + 1;
//!     session.insert("visits", visits)?;
//!     Ok(format!("Visit number {visits}"))
//! }
//!
//! let cache = SessionCache::builder().memory(64 << 20).keys(KeyRing::random()?).build()?;
//! let app: Router = Router::new().route("/", get(visits)).layer(SessionLayer::new(cache));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What to know
//! * A session begins when a handler first stores something; until then nothing is kept and no cookie
//!   is sent. A request whose handler never looks at its [`Session`] costs next to nothing.
//! * Changes are stored when the response's headers are about to leave. A response of 500 or above
//!   stores nothing; [`Session::sign_out`] alone acts at once. A body that is streamed later can read the
//!   session, and is told so if it tries to change it.
//! * Call [`Session::sign_in`] when somebody proved who they are, [`Session::rotate`] at any other change
//!   of privilege, [`Session::sign_out`] when they sign out.
//! * When the memory is full of sessions that may not go, the response is 503 with `Retry-After`; when
//!   one session outgrows `max_session_size`, it is 500.
//! * The cookie's name, the timeouts, the memory and the keys are settings of the cache; the cookie's
//!   attributes are settings of the [`SessionLayer`].
//!
//! # Coming from tower-sessions
//! The verbs keep their names but are not `async`, for nothing waits: `flush` is [`Session::sign_out`],
//! `cycle_id` is [`Session::rotate`]. There is no store to choose. `with_name` and `with_expiry` are
//! `cookie_name`, `idle_timeout` and `lifetime` of the cache's builder, `with_signed` its `keys`, and
//! `with_secure(false)` is [`SessionLayer::insecure_http`].
//!
//! # Features
//! `axum`: [`Session`] as an extractor, on `axum-core`. Without it, a [`Session`] is in the request's
//! extensions.
//!
//! [tower]: https://docs.rs/tower

mod layer;
mod service;

pub use layer::SessionLayer;
pub use service::{ResponseFuture, SessionService};
pub use sessile::{CookieError, Deadlines, Handle, SameSite};
#[cfg(feature = "testing")]
pub use sessile_web::testing;
pub use sessile_web::{
    Accepts, AsKey, CommitError, Device, Key, MissingSession, Session, SessionError, SignIn,
    local_path,
};
#[cfg(feature = "axum")]
pub use sessile_web::{NotSignedIn, SignedIn};

/// The examples of the repository's front page.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
