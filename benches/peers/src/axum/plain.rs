//! The routes without sessions: the state of one visitor is part of the server. With and without an
//! empty layer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tower_layer::layer_fn;
use tower_service::Service;

use super::{cart::USER, server::none};

pub(crate) const NAME: &str = "no sessions";

pub(crate) const LAYERED: &str = "no sessions, an empty layer";

pub(crate) fn layered_routes() -> Router {
    routes().layer(layer_fn(PassThrough))
}

/// An empty layer, which shows the cost of any layer in axum.
#[derive(Clone)]
struct PassThrough<S>(S);

impl<S: Service<R>, R> Service<R> for PassThrough<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}

pub(crate) fn routes() -> Router {
    let visitor = VisitorState {
        name: format!("{USER:?}"),
        visits: AtomicU64::new(0),
    };
    Router::new()
        .route("/start", get(start))
        .route("/none", get(none))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/visits", get(visits))
        .with_state(Arc::new(visitor))
}

struct VisitorState {
    /// JSON, as in the other contenders.
    name: String,
    visits: AtomicU64,
}

async fn start() {}

async fn read(State(visitor): State<Arc<VisitorState>>) -> Result<String, StatusCode> {
    serde_json::from_str(&visitor.name).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn write(State(visitor): State<Arc<VisitorState>>) -> String {
    (visitor.visits.fetch_add(1, Ordering::Relaxed) + 1).to_string()
}

async fn visits(State(visitor): State<Arc<VisitorState>>) -> String {
    visitor.visits.load(Ordering::Relaxed).to_string()
}
