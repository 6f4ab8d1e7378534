//! The routes over sessile's layer.

use axum::{Router, routing::get};
use sessile::{Clock, SessionCache};
use sessile_store::TieredCache;
use sessile_tower::{Session, SessionError, SessionLayer, SessionManager, SessionService};
use tower_layer::Layer;

use super::{
    SESSIONS,
    cart::{USER, cart},
    server::none,
};
use crate::sessile_cache;

pub(crate) const NAME: &str = "sessile";
pub(crate) const AROUND: &str = "sessile, around the router";
pub(crate) const TIERED: &str = "sessile with the store";

/// Creates a cache with room to spare, so that no session is evicted.
pub(crate) fn cache() -> SessionCache {
    sessile_cache::cache_of(ROOM * SESSIONS, &Clock::system())
}

/// Creates a cache of the same size before a store.
pub(crate) fn tiered(url: &str) -> TieredCache {
    sessile_cache::tiered(url, ROOM * SESSIONS)
}

/// The usual setup: the layer around each route.
pub(crate) fn routes(cache: impl Into<SessionManager>) -> Router {
    router().layer(SessionLayer::new(cache))
}

/// The layer around the router, which costs nothing in axum.
pub(crate) fn around(cache: SessionCache) -> SessionService<Router> {
    SessionLayer::new(cache).layer(router().with_state(()))
}

fn router() -> Router {
    Router::new()
        .route("/start", get(start))
        .route("/none", get(none))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/visits", get(visits))
}

async fn start(session: Session) -> Result<(), SessionError> {
    session.insert("cart", cart())?;
    session.insert("name", USER)?;
    session.insert("visits", 0)
}

async fn read(session: Session) -> Result<String, SessionError> {
    Ok(session.get("name")?.unwrap_or_default())
}

async fn write(session: Session) -> Result<String, SessionError> {
    let visits = session.get("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    Ok(visits.to_string())
}

async fn visits(session: Session) -> Result<String, SessionError> {
    Ok(session.get("visits")?.unwrap_or(0).to_string())
}

/// Bytes of memory per session.
const ROOM: usize = 8 << 10;
