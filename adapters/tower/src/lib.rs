//! Session layer for [tower] and axum over [`sessile`]: data and sign-in of each client, in memory
//! of a fixed size.
//!
//! ```
//! use axum::{Router, routing::get};
//! use sessile_tower::{Session, SessionError, SessionLayer};
//! use sessile_tower::sessile::{KeyRing, SessionCache};
//!
//! async fn visits(session: Session) -> Result<String, SessionError> {
//!     let visits = session.increment("visits", 1)?;
//!     Ok(format!("Visit number {visits}"))
//! }
//!
//! let cache = SessionCache::builder().memory(64 << 20).keys(KeyRing::generate()?).build()?;
//! let app: Router = Router::new().route("/", get(visits)).layer(SessionLayer::new(cache));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * The layer inserts a [`Session`] into the request's extensions. Extractors,
//!   `Extension<Session>` and inner services find it there.
//! * A session is created when a handler first stores data. Until then no cookie is sent.
//! * Changes are stored before the response's headers are sent. A status of 500 or above stores
//!   nothing. [`Session::sign_out`] and [`Session::save`] take effect at once.
//!
//! # Install
//! ```sh
//! cargo add sessile-tower --features axum
//! ```
//!
//! The engine is re-exported as [`sessile`](mod@sessile), so that one dependency suffices. Create
//! the key of a deployment with `openssl rand -base64 32`, and pass it in an environment variable:
//! [`KeyRing::from_env`](sessile::KeyRing::from_env). With
//! [`KeyRing::generate`](sessile::KeyRing::generate) sessions end when the process restarts. Without
//! a store they do in any case.
//!
//! # Sign-in
//! A complete application with axum. `SignedIn` rejects requests without a user, or redirects
//! them to the sign-in page.
//!
//! ```
//! use axum::{
//!     Form, Router,
//!     http::StatusCode,
//!     response::{Html, IntoResponse, Redirect, Response},
//!     routing::{get, post},
//! };
//! use serde::Deserialize;
//! use sessile_tower::{Session, SessionError, SessionLayer, SessionManager, SignIn, SignedIn};
//! use sessile_tower::sessile::{KeyRing, SessionCache};
//!
//! #[derive(Deserialize)]
//! struct Credentials {
//!     user: String,
//!     password: String,
//!     csrf: String,
//! }
//!
//! #[derive(Deserialize)]
//! struct SignOut {
//!     csrf: String,
//! }
//!
//! async fn sign_in_page(session: Session) -> Result<Html<String>, SessionError> {
//!     let csrf = session.csrf_token()?;
//!     Ok(Html(format!(
//!         r#"<form method="post">
//!         <input name="user"> <input name="password" type="password">
//!         <input name="csrf" type="hidden" value="{csrf}"> <button>Sign in</button>
//!         </form>"#
//!     )))
//! }
//!
//! async fn sign_in(
//!     session: Session,
//!     Form(form): Form<Credentials>,
//! ) -> Result<Response, SessionError> {
//!     session.check_csrf(&form.csrf)?;
//!     if !is_password_valid(&form.user, &form.password) {
//!         return Ok((StatusCode::UNAUTHORIZED, "Wrong name or password.").into_response());
//!     }
//!     // The session gets a new id, so that a cookie planted by an attacker is rejected.
//!     session.sign_in(SignIn::of(form.user).label("web"))?;
//!     Ok(Redirect::to("/account").into_response())
//! }
//!
//! async fn sign_out(
//!     session: Session,
//!     Form(form): Form<SignOut>,
//! ) -> Result<Redirect, SessionError> {
//!     session.check_csrf(&form.csrf)?;
//!     session.sign_out().await?;
//!     Ok(Redirect::to("/sign-in"))
//! }
//!
//! async fn account(SignedIn { user, session }: SignedIn) -> Result<Html<String>, SessionError> {
//!     let csrf = session.csrf_token()?;
//!     let user = user.replace('&', "&amp;").replace('<', "&lt;");
//!     Ok(Html(format!(
//!         r#"<p>Hello, {user}!</p>
//!         <form method="post" action="/sign-out">
//!         <input name="csrf" type="hidden" value="{csrf}"> <button>Sign out</button>
//!         </form>"#
//!     )))
//! }
//!
//! // Replace it with a check of a password hash, with the crate `argon2` for instance.
//! fn is_password_valid(user: &str, password: &str) -> bool {
//!     (user, password) == ("ada", "a password")
//! }
//!
//! fn app(keys: KeyRing) -> Result<Router, Box<dyn std::error::Error>> {
//!     let cache = SessionCache::builder().memory(64 << 20).keys(keys).build()?;
//!     let manager = SessionManager::builder(cache).sign_in_page("/sign-in").build()?;
//!     Ok(Router::new()
//!         .route("/account", get(account))
//!         .route("/sign-in", get(sign_in_page).post(sign_in))
//!         .route("/sign-out", post(sign_out))
//!         .layer(SessionLayer::new(manager)))
//! }
//! # app(KeyRing::generate()?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Serve it with `axum::serve`. Browsers accept the cookie over HTTPS only; for development over
//! plain HTTP, call [`SessionManagerBuilder::insecure_http`].
//!
//! Call [`Session::rotate`] at any other change of privilege. [`Session::user_sessions`] lists the
//! sessions of a user; [`Session::sign_out_others`], [`Session::sign_out_everywhere`] and
//! [`Session::end_by_handle`] end them. [`Session::remember`] is "remember me".
//!
//! # Configuration
//! [`SessionLayer::new`] takes a cache, for the default settings, or a [`SessionManager`]. The
//! memory, the keys, the timeouts and the cookie's name are settings of the cache:
//! [`SessionCacheBuilder`](sessile::SessionCacheBuilder). The others are settings of the manager:
//!
//! | setting | default |
//! |---|---|
//! | [`same_site`](SessionManagerBuilder::same_site) | `Lax` |
//! | [`path`](SessionManagerBuilder::path) | `/` |
//! | [`domain`](SessionManagerBuilder::domain) | none: only the host that set the cookie |
//! | [`max_age`](SessionManagerBuilder::max_age) | none: until the browser is closed |
//! | [`partitioned`](SessionManagerBuilder::partitioned) | off |
//! | [`persistent_cookies`](SessionManagerBuilder::persistent_cookies) | off |
//! | [`timeouts`](SessionManagerBuilder::timeouts) | those of the cache: 30 minutes idle, 12 hours in all |
//! | [`touch_always`](SessionManagerBuilder::touch_always) | off |
//! | [`rotate_every`](SessionManagerBuilder::rotate_every) | off |
//! | [`grace`](SessionManagerBuilder::grace) | 10 seconds after a rotation by age, otherwise none |
//! | [`replaced_window`](SessionManagerBuilder::replaced_window) | 60 seconds |
//! | [`identity_keys`](SessionManagerBuilder::identity_keys) | none |
//! | [`sign_in_page`](SessionManagerBuilder::sign_in_page) | none: 401 |
//! | [`insecure_http`](SessionManagerBuilder::insecure_http) | off |
//!
//! # CSRF
//! The cookie is `SameSite=Lax`, so browsers do not send it with cross-site `POST` requests. This
//! does not protect against requests from other subdomains, and not in old browsers. Put
//! [`Session::csrf_token`] into each form, and call [`Session::check_csrf`] before the request has
//! any effect. A token is bound to the session's id: a sign-in or [`Session::rotate`] invalidates
//! it.
//!
//! # Concurrency
//! Concurrent requests that change one session are merged per key. If they set or remove the same
//! key, the later one wins; [`Session::increment`] and [`Session::append`] are all applied. To
//! detect a concurrent change instead, call [`Session::watch`] or [`Session::compare_and_set`].
//!
//! # Uses of a session
//! A request uses its session if a handler or a middleware reads or writes it. Only then the
//! response has `Vary: Cookie`. It has `Cache-Control: no-store` only beside a `Set-Cookie` of the
//! session, or in an error response of the layer. A handler's own `Cache-Control` is kept on all
//! other responses. Static files behind the layer have none of these headers, and do not keep a
//! user signed in. [`SessionManagerBuilder::touch_always`] counts every request with a valid
//! cookie.
//!
//! Of several cookies with the session's name the first four are tried.
//!
//! # Errors and statuses
//! Changes that cannot be stored are never dropped silently: the layer replaces the handler's
//! response.
//!
//! | status | cause |
//! |---|---|
//! | 401, or 303 to the sign-in page | `SignedIn`, and no user is signed in |
//! | 403 | [`check_csrf`](Session::check_csrf): the token is not valid |
//! | 409 | another request changed a [watched](Session::watch) key |
//! | 409 | another request ended the session before the changes were stored |
//! | 409 | a sign-in or a rotation by another request has just replaced the cookie |
//! | 409 | the user has too many sessions |
//! | 429 | the [admission hook](sessile::SessionCacheBuilder::admission) denied a new session |
//! | 500 | the session exceeds [`max_session_size`](sessile::SessionCacheBuilder::max_session_size), or the layer is missing |
//! | 503, with `Retry-After` | the cache is full and no session can be evicted, or the store cannot be reached |
//!
//! A client may repeat a request that was answered with 409: it then carries the new cookie, or
//! none. For a replaced cookie the response sets no cookie, because that would overwrite the new
//! one. After [60 seconds](SessionManagerBuilder::replaced_window) the replaced cookie is ignored.
//! Signing in always succeeds. A handler that calls [`Session::save`] receives the error instead.
//!
//! An error response keeps the headers of inner middlewares, except those that describe the
//! handler's body or its effects. Its body is the error's text if it is a `String` or axum's
//! `Body`, and empty otherwise.
//!
//! # Websockets, streams and tasks
//! A [`Session`] that outlives its response can be read. Changes fail with
//! [`AlreadyCommitted`](SessionError::AlreadyCommitted) once the response's headers are sent, in
//! spawned tasks too: await changes before the handler returns, or call [`Session::save`]. A
//! long-lived connection checks periodically that the session is live:
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
//!         session.is_alive().await.then_some((Ok("news\n"), session))
//!     })
//! }
//!
//! async fn stream_news(session: Session) -> Body {
//!     Body::from_stream(news(session))
//! }
//! # let _: Router = Router::new().route("/news", get(stream_news));
//! ```
//!
//! The loop of a websocket does the same before each message, and closes the socket: see
//! [`Session::is_alive`].
//!
//! # Timeouts of handlers
//! Add a timeout outside the session layer, so that no changes of an aborted handler are stored.
//! Inside it, the response of the timeout is a response like any other: with a status below 500,
//! such as 408, the handler's changes are stored, unless the response carries [`DiscardChanges`].
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
//! The body of a response may be of any type that implements `Default`, such as those of
//! `CompressionLayer`, `CatchPanicLayer` and `TimeoutLayer` of `tower-http`. The body of its
//! `TraceLayer` does not: add that layer outside the session layer, or
//! `MapResponseBodyLayer::new(axum::body::Body::new)` between the two.
//!
//! # Several layers
//! Build all session layers of a program with clones of one cache. An inner layer with equal
//! settings shares the session of the outer one: it is loaded and stored once. With other settings
//! it has its own session, so a middleware between the layers and a handler behind both should not
//! both write.
//!
//! Two caches under one cookie name overwrite each other's cookie, and each sign-in in one of them
//! signs the user out of the other. A request that passes layers of both logs a warning, once per
//! process. Give one of the caches another `cookie_name`.
//!
//! # Around the routes, or around the router
//! [`Router::layer`] wraps each route, and axum then allocates several times more per request,
//! whatever the layer does. Wrapping the router as a whole avoids that:
//!
//! ```no_run
//! # use axum::{Router, ServiceExt, extract::Request, routing::get};
//! # use sessile_tower::SessionLayer;
//! use tower_layer::Layer;
//!
//! # async fn serve(
//! #     app: Router,
//! #     layer: SessionLayer,
//! #     listener: tokio::net::TcpListener,
//! # ) -> std::io::Result<()> {
//! let service = layer.layer(app.with_state(()));
//! axum::serve(listener, ServiceExt::<Request>::into_make_service(service)).await
//! # }
//! ```
//!
//! [`Router::layer`]: https://docs.rs/axum/latest/axum/struct.Router.html#method.layer
//!
//! # Testing
//! With the feature `testing`, a `Visitor` keeps the cookie between requests,
//! and a manual clock expires sessions:
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, body::Body, routing::get};
//! use sessile_tower::{SessionLayer, SignedIn, testing::{self, Visitor}};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let (manager, clock) = testing::sessions();
//! let app: Router = Router::new()
//!     .route("/account", get(|SignedIn { user, .. }: SignedIn| async move { user }))
//!     .layer(SessionLayer::new(manager.clone()));
//!
//! let ada = Visitor::signed_in(&manager, "ada")?;
//! let response = app.clone().oneshot(ada.request("/account").body(Body::empty())?).await?;
//! assert_eq!(response.status(), 200);
//!
//! clock.advance(Duration::from_secs(30 * 60));
//! let response = app.oneshot(ada.request("/account").body(Body::empty())?).await?;
//! assert_eq!(response.status(), 401);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Migrating from tower-sessions and axum-login
//! A store is optional, and only verbs that may reach one are `async`.
//!
//! | there | here |
//! |---|---|
//! | `flush` | [`Session::sign_out`] |
//! | `cycle_id` | [`Session::rotate`] |
//! | `remove`, which returns the value | [`Session::take`]; [`Session::remove`] returns nothing |
//! | `with_name`, `with_expiry`, `with_signed` | `cookie_name`, `idle_timeout` and `lifetime`, `keys` of the [cache's builder](sessile::SessionCacheBuilder) |
//! | `with_secure(false)` | [`SessionManagerBuilder::insecure_http`] |
//! | `AuthSession` | [`Session`], or `SignedIn` as an extractor |
//! | `login_required!` | `SignedIn` with [`SessionManagerBuilder::sign_in_page`] |
//!
//! # Features
//! * `axum`: [`Session`], `Option<Session>` and `SignedIn` as extractors, and errors as
//!   responses, on `axum-core`. Without it, services behind the layer read the [`Session`] from the
//!   request's extensions.
//! * `testing`: visitors for the tests of an application.
//!
//! No feature is enabled by default.
//!
//! # Minimum supported Rust version
//! Rust 1.88.
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
    Cache, CommitError, Key, ManagerError, MissingSession, Session, SessionError, SessionInfo,
    SessionKey, SessionManager, SessionManagerBuilder, SignIn, safe_redirect_path,
};
#[cfg(feature = "axum")]
pub use sessile_web::{NotSignedIn, SignedIn};

/// The example of the package's page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct PackageReadme;
