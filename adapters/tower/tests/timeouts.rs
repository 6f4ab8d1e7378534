//! A handler that is cut off by a timeout, on a clock that advances by itself while all wait.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::{
    BoxError, Router,
    body::Body,
    error_handling::HandleErrorLayer,
    http::{Request, StatusCode},
    routing::get,
};
use sessile_tower::{Session, SessionError, SessionLayer};
use support::cache;
use tower::{ServiceBuilder, ServiceExt, timeout::TimeoutLayer};

async fn slow(session: Session) -> Result<(), SessionError> {
    session.insert("step", 1)?;
    session.csrf_token()?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    session.insert("step", 2)
}

/// The status of a response to a new visitor, from an application with a timeout of its own.
fn status(app: Router) -> StatusCode {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let request = Request::get("/slow").body(Body::empty()).unwrap();
    runtime.block_on(app.oneshot(request)).unwrap().status()
}

fn app(layers: impl FnOnce(Router) -> Router) -> Router {
    layers(Router::new().route("/slow", get(slow)))
}

#[test]
fn with_the_timeout_outside_the_session_layer_nothing_of_a_handler_that_is_cut_off_is_stored() {
    let cache = cache();
    let timeout = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(|_: BoxError| async { StatusCode::REQUEST_TIMEOUT }))
        .layer(TimeoutLayer::new(Duration::from_secs(30)));
    let app = app(|routes| routes.layer(SessionLayer::new(cache.clone())).layer(timeout));
    assert_eq!(status(app), StatusCode::REQUEST_TIMEOUT);
    assert!(cache.is_empty());
}
