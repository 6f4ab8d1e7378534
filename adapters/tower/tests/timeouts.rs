//! Handlers that a timeout aborts, on a clock that advances while all tasks are idle.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::{
    BoxError, Extension, Router,
    body::Body,
    error_handling::HandleErrorLayer,
    http::{Request, StatusCode},
    response::IntoResponse,
    routing::get,
};
use sessile_tower::{DiscardChanges, Session, SessionError, SessionLayer};
use support::cache;
use tower::{ServiceBuilder, ServiceExt, timeout::TimeoutLayer};

async fn slow(session: Session) -> Result<(), SessionError> {
    session.insert("step", 1)?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    session.insert("step", 2)
}

/// Returns the status of a response to a new visitor, from an application with its own timeout.
fn status(app: Router) -> StatusCode {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let request = Request::get("/slow").body(Body::empty()).unwrap();
    runtime.block_on(app.oneshot(request)).unwrap().status()
}

async fn timed_out(_: BoxError) -> impl IntoResponse {
    StatusCode::REQUEST_TIMEOUT
}

async fn timed_out_and_discarded(_: BoxError) -> impl IntoResponse {
    (StatusCode::REQUEST_TIMEOUT, Extension(DiscardChanges))
}

const PATIENCE: TimeoutLayer = TimeoutLayer::new(Duration::from_secs(30));

#[test]
fn a_timeout_outside_the_session_layer_stores_nothing_of_a_handler_that_is_cut_off() {
    let cache = cache();
    let timeout = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(timed_out))
        .layer(PATIENCE);
    let routes = Router::new()
        .route("/slow", get(slow))
        .layer(SessionLayer::new(cache.clone()));
    assert_eq!(status(routes.layer(timeout)), StatusCode::REQUEST_TIMEOUT);
    assert!(cache.is_empty());
}

#[test]
fn a_timeout_inside_the_session_layer_stores_nothing_with_discard_changes() {
    let cache = cache();
    let timeout = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(timed_out_and_discarded))
        .layer(PATIENCE);
    let routes = Router::new().route("/slow", get(slow)).layer(timeout);
    let app = routes.layer(SessionLayer::new(cache.clone()));
    assert_eq!(status(app), StatusCode::REQUEST_TIMEOUT);
    assert!(cache.is_empty());
}
