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
//! let cache = SessionCache::builder().memory(64 << 20).keys(KeyRing::generate()?).build()?;
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
//!   one session outgrows `max_session_size`, it is 500; when a user has as many sessions as may be, or the session
//!   is another one by now, it is 409: see [below](#responses-of-the-layer-409). Such a response keeps the headers of
//!   inner middlewares, and drops those that describe the handler's body or what it had done.
//! * The cookie's name, the timeouts, the memory and the keys are settings of the cache; the cookie's
//!   attributes, routine rotation and where one signs in are settings of the [`SessionLayer`].
//! * Of several cookies of the session's name the first four are tried.
//!
//! # What counts as a use
//! A request keeps its session alive if a handler or a middleware reads or writes the session. Only then has the
//! response `Vary: Cookie`, and `Cache-Control: no-store` only beside a `Set-Cookie` of the session, or in an error
//! response of the layer. A handler's own `Cache-Control` stays on all other responses. Static files behind the layer
//! thus have no header of it, and do not keep a visitor signed in. [`SessionLayer::with_touch_always`] counts every
//! request with a valid cookie.
//!
//! # Responses of the layer: 409
//! Changes that cannot be stored are never dropped: the layer replaces the handler's response. It answers 409 where
//! * a [guarded](Session::watch) key was changed by another request,
//! * the session was ended by another request, such as a sign-out everywhere, before the changes were stored,
//! * the request brought a cookie that another request's sign-in or rotation has just replaced. It also sets no cookie,
//!   because that would overwrite the new one. After [60 seconds](SessionLayer::with_replaced_window) such a cookie
//!   counts as none. Signing in always works.
//!
//! A client may repeat such a request: it then carries the new cookie, or none. Where a handler wants to react itself,
//! it calls [`Session::save`].
//!
//! # Websockets, streams and tasks
//! A [`Session`] that outlives its response can be read. Changes are [`AlreadyCommitted`](SessionError::AlreadyCommitted) once the
//! response's headers have left, in a task that the handler spawned as well: await what changes the session before the
//! handler returns, or call [`Session::save`] in time. What is open for long asks now and then whether the session is
//! still there:
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//! use axum::{Router, body::Body, routing::get};
//! use futures_util::{Stream, stream};
//! use sessile_tower::Session;
//!
//! /// Sends a line now and then, until the user signs out, here or elsewhere.
//! fn news(session: Session) -> impl Stream<Item = Result<&'static str, Infallible>> {
//!     stream::unfold(session, |session| async move {
//!         tokio::time::sleep(Duration::from_secs(5)).await;
//!         session.is_alive().then_some((Ok("news\n"), session))
//!     })
//! }
//!
//! async fn stream_news(session: Session) -> Body {
//!     Body::from_stream(news(session))
//! }
//! # let _: Router = Router::new().route("/news", get(stream_news));
//! ```
//!
//! A websocket's loop does the same before each message, and closes the socket: see [`Session::is_alive`].
//!
//! # Timeouts
//! A timeout belongs outside the session layer, so that nothing of a handler that was cut off is stored. Inside, its
//! response is one like any other: with a status below 500, such as 408, what the handler had changed until then is
//! stored, unless the response carries [`DiscardChanges`].
//!
//! ```
//! use std::time::Duration;
//! use axum::{BoxError, Router, error_handling::HandleErrorLayer, http::StatusCode, routing::get};
//! # use sessile::{KeyRing, SessionCache};
//! use sessile_tower::{Session, SessionLayer};
//! use tower::{ServiceBuilder, timeout::TimeoutLayer};
//!
//! async fn timed_out(_: BoxError) -> StatusCode {
//!     StatusCode::REQUEST_TIMEOUT
//! }
//!
//! # async fn slow(_: Session) {}
//! # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
//! let timeout = ServiceBuilder::new()
//!     .layer(HandleErrorLayer::new(timed_out))
//!     .layer(TimeoutLayer::new(Duration::from_secs(30)));
//! // The layer that is added last is outermost.
//! let app: Router =
//!     Router::new().route("/slow", get(slow)).layer(SessionLayer::new(cache)).layer(timeout);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Several layers
//! Build all session layers of a program with clones of one cache. Each layer that a request passes loads and stores a
//! session of its own, so a middleware between two layers and a handler behind both should not both write. If the outer
//! layer has its session [come along](SessionLayer::in_extensions), an inner one with equal settings shares it: it is
//! loaded and stored once.
//!
//! Two caches under one cookie name overwrite each other's cookie, and each sign-in at one of them signs the visitor
//! out at the other. A request that passes layers of both causes a warning, once per process. Give one of the caches
//! another `cookie_name`.
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
pub use sessile;
pub use sessile::{CookieError, Handle, SameSite, Timeouts};
#[cfg(feature = "testing")]
pub use sessile_web::testing;
pub use sessile_web::{
    CommitError, Key, ManagerError, MissingSession, Session, SessionError, SessionInfo, SessionKey,
    SessionManager, SessionManagerBuilder, SignIn, safe_redirect_path,
};
#[cfg(feature = "axum")]
pub use sessile_web::{NotSignedIn, SignedIn};

/// The examples of the repository's front page.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
