//! Sessions for [tower] and axum over [`sessile`]: data and sign-in of each client, in memory of a fixed size.
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
//! [`SessionLayer::new`] takes a cache, for the default settings, or a [`SessionManager`]:
//! `SessionManager::builder(cache).same_site(…).build()?`. The engine is re-exported as [`sessile`](mod@sessile).
//!
//! # Overview
//! * The layer puts a [`Session`] into the request's extensions, where extractors, `Extension<Session>` and services on
//!   other tasks find it.
//! * A session is created when a handler first stores data; until then no cookie is sent.
//! * Changes are stored before the response's headers are sent. A status of 500 or above stores nothing;
//!   [`Session::sign_out`] and [`Session::save`] take effect at once. Streaming bodies, upgraded connections and spawned
//!   tasks can read the session; writes fail with [`AlreadyCommitted`](SessionError::AlreadyCommitted).
//! * Concurrent requests that change one session are merged per key: see [`Session`].
//! * Call [`Session::sign_in`] after authentication, [`Session::rotate`] at any other change of privilege and
//!   [`Session::sign_out`] to sign out. Put [`Session::csrf_token`] into each form.
//! * If the cache is full and no session can be evicted, the response is 503 with `Retry-After`. If a session exceeds
//!   `max_session_size`, it is 500. If the user has too many sessions or the session was replaced, it is
//!   [409](#responses-with-status-409). Such a response keeps the headers of inner middlewares, except those that describe
//!   the handler's body or its effects. Its body is the error's text if it is a `String` or axum's `Body`, and empty
//!   otherwise.
//! * The cookie's name, the timeouts, the memory and the keys are settings of the cache. The cookie's attributes, rotation
//!   by age and the sign-in page are settings of the [`SessionManager`].
//! * Of several cookies with the session's name the first four are tried.
//!
//! # Uses of a session
//! A request uses its session if a handler or a middleware reads or writes it. Only then the response has `Vary: Cookie`,
//! and `Cache-Control: no-store` only beside a `Set-Cookie` of the session, or in an error response of the layer. A
//! handler's own `Cache-Control` is kept on all other responses. Static files behind the layer have none of these headers,
//! and do not keep a visitor signed in. [`SessionManagerBuilder::touch_always`] counts every request with a valid cookie.
//!
//! # Responses with status 409
//! Changes that cannot be stored are never dropped silently: the layer replaces the handler's response with 409 where
//! * a [watched](Session::watch) key was changed by another request,
//! * another request ended the session, by a sign-out everywhere for instance, before the changes were stored,
//! * the request brought a cookie that another request's sign-in or rotation has just replaced. The response sets no
//!   cookie, because that would overwrite the new one. After [60 seconds](SessionManagerBuilder::replaced_window) such a
//!   cookie is ignored. Signing in always succeeds.
//!
//! A client may repeat such a request: it then carries the new cookie, or none. A handler that calls [`Session::save`]
//! receives the error instead.
//!
//! # Websockets, streams and tasks
//! A [`Session`] that outlives its response can be read. Changes fail with
//! [`AlreadyCommitted`](SessionError::AlreadyCommitted) once the response's headers are sent, in spawned tasks too: await
//! changes before the handler returns, or call [`Session::save`]. A long-lived connection checks periodically that the
//! session is live:
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//! use axum::{Router, body::Body, routing::get};
//! use futures_util::{Stream, stream};
//! use sessile_tower::Session;
//!
//! /// Sends a line every five seconds until the user signs out, on this device or another.
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
//! # Bodies
//! The body of a response may be of any type that implements `Default`, such as those of `CompressionLayer`,
//! `CatchPanicLayer` and `TimeoutLayer` of `tower-http`. The body of its `TraceLayer` does not: add that outside the session
//! layer, or `MapResponseBodyLayer::new(axum::body::Body::new)` between the two.
//!
//! # Several layers
//! Build all session layers of a program with clones of one cache. An inner layer with equal settings shares the session of
//! the outer one: it is loaded and stored once. With other settings it has its own session, so a middleware between the
//! layers and a handler behind both should not both write.
//!
//! Two caches under one cookie name overwrite each other's cookie, and each sign-in in one of them signs the visitor out of
//! the other. A request that passes layers of both logs a warning, once per process. Give one of the caches another
//! `cookie_name`.
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
//! The verbs keep their names, and only those that may reach a store are `async`: `flush` is [`Session::sign_out`],
//! `cycle_id` is [`Session::rotate`]. There is no store to choose. `with_name` and `with_expiry` are `cookie_name`,
//! `idle_timeout` and `lifetime` of the cache's builder, `with_signed` its `keys`, and `with_secure(false)` is
//! [`SessionManagerBuilder::insecure_http`]. `AuthSession` is [`Session`] itself, or `SignedIn` as an extractor;
//! `login_required!` is that with [`SessionManagerBuilder::sign_in_page`].
//!
//! # Features
//! * `axum`: [`Session`], `Option<Session>` and `SignedIn` as extractors, and errors as responses, on `axum-core`. Without
//!   it, services behind the layer read the [`Session`] from the request's extensions.
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

/// The example of the package's page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct PackageReadme;
