//! The routes over our own layer.

use axum::{Router, routing::get};
use sessile::{Clock, SessionCache};
use sessile_tower::{Session, SessionError, SessionLayer};

use super::{
    SESSIONS,
    cart::{USER, cart},
    server::none,
};
use crate::ours;

pub(crate) const NAME: &str = "sessile";

/// With room to spare, so that none has to go.
pub(crate) fn cache() -> SessionCache {
    ours::cache_of(ROOM * SESSIONS, &Clock::system())
}

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/start", get(start))
        .route("/none", get(none))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/visits", get(visits))
        .layer(SessionLayer::new(cache()))
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

/// Bytes of memory for each session.
const ROOM: usize = 8 << 10;
