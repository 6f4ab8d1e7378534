//! The same routes without sessions: what one visitor would have is in the program itself.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};

use super::{cart::USER, server::none};

pub(crate) const NAME: &str = "no sessions";

pub(crate) fn routes() -> Router {
    let visitor = Visitor { name: format!("{USER:?}"), visits: AtomicU64::new(0) };
    Router::new()
        .route("/start", get(start))
        .route("/none", get(none))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/visits", get(visits))
        .with_state(Arc::new(visitor))
}

struct Visitor {
    /// As JSON, as the others have it.
    name: String,
    visits: AtomicU64,
}

async fn start() {}

async fn read(State(visitor): State<Arc<Visitor>>) -> Result<String, StatusCode> {
    serde_json::from_str(&visitor.name).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn write(State(visitor): State<Arc<Visitor>>) -> String {
    (visitor.visits.fetch_add(1, Ordering::Relaxed) + 1).to_string()
}

async fn visits(State(visitor): State<Arc<Visitor>>) -> String {
    visitor.visits.load(Ordering::Relaxed).to_string()
}
