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
//!   stores nothing; [`Session::sign_out`] and [`Session::save`] alone act at once. A body that is streamed
//!   later, an upgraded connection and a task can read the session, and are told so if they try to change it.
//! * Requests that change one session at the same time do not undo each other: see [`Session`].
//! * Call [`Session::sign_in`] when somebody proved who they are, [`Session::rotate`] at any other change
//!   of privilege, [`Session::sign_out`] when they sign out; and put [`Session::csrf_token`] in each form.
//! * When the memory is full of sessions that may not go, the response is 503 with `Retry-After`; when
//!   one session outgrows `max_session_size`, it is 500; when a key that was [guarded](Session::guard) was
//!   changed meanwhile, or a user has as many sessions as may be, it is 409. Such a response keeps what layers
//!   below said of the connection, and drops what the handler said of its body and of what it had done.
//! * The cookie's name, the timeouts, the memory and the keys are settings of the cache; the cookie's
//!   attributes, routine rotation and where one signs in are settings of the [`SessionLayer`].
//! * Of several cookies of the session's name the first four are tried.
//!
//! # Around the routes, or around the router
//! [`Router::layer`] puts a layer around each route, for which axum allocates a few times more for each request,
//! whatever the layer does. Around the router as a whole it does not:
//!
//! ```no_run
//! # use axum::{Router, ServiceExt, extract::Request, routing::get};
//! # use sessile_tower::SessionLayer;
//! use tower_layer::Layer;
//!
//! # async fn serve(app: Router, layer: SessionLayer, listener: tokio::net::TcpListener) -> std::io::Result<()> {
//! let service = layer.layer(app.with_state(()));
//! axum::serve(listener, ServiceExt::<Request>::into_make_service(service)).await
//! # }
//! ```
//!
//! [`Router::layer`]: https://docs.rs/axum/latest/axum/struct.Router.html#method.layer
//!
//! # Coming from tower-sessions and axum-login
//! The verbs keep their names but are not `async`, for nothing waits: `flush` is [`Session::sign_out`],
//! `cycle_id` is [`Session::rotate`]. There is no store to choose. `with_name` and `with_expiry` are
//! `cookie_name`, `idle_timeout` and `lifetime` of the cache's builder, `with_signed` its `keys`, and
//! `with_secure(false)` is [`SessionLayer::insecure_http`]. `AuthSession` is [`Session`] itself, or
//! `SignedIn` as an extractor; `login_required!` is that with [`SessionLayer::with_sign_in_page`].
//!
//! # Features
//! * `axum`: [`Session`], `Option<Session>` and `SignedIn` as extractors, and errors as responses, on
//!   `axum-core`. Without it, services behind the layer ask for [`Session::current`].
//! * `testing`: visitors for the tests of an application.
//!
//! [tower]: https://docs.rs/tower

mod layer;
mod service;

pub use layer::SessionLayer;
pub use service::{DiscardChanges, ResponseFuture, SessionService};
pub use sessile::{CookieError, Deadlines, Handle, SameSite};
#[cfg(feature = "testing")]
pub use sessile_web::testing;
pub use sessile_web::{
    Accepts, AsKey, CommitError, Device, Key, MissingSession, Session, SessionError, Sessions,
    SignIn, local_path,
};
#[cfg(feature = "axum")]
pub use sessile_web::{NotSignedIn, SignedIn};

/// The examples of the repository's front page.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
