//! The routes over tower-sessions, with either of its stores in memory or the one in Redis, signed.

use axum::{Router, routing::get};
use tower_sessions::{
    Expiry, MemoryStore, Session, SessionManagerLayer, SessionStore,
    cookie::{Key, time::Duration},
    service::SignedCookie,
    session::Error,
};
use tower_sessions_moka_store::MokaStore;
use tower_sessions_redis_store::{
    RedisStore,
    fred::{clients::Pool, interfaces::ClientLike, types::config::Config},
};

use super::{
    COOKIE, SESSIONS,
    cart::{USER, cart},
    server::none,
};

pub(crate) const MEMORY: &str = "tower-sessions, memory store";
pub(crate) const MOKA: &str = "tower-sessions, moka store";
pub(crate) const REDIS: &str = "tower-sessions, Redis store";

pub(crate) fn memory() -> SessionManagerLayer<MemoryStore, SignedCookie> {
    layer(MemoryStore::default())
}

/// Creates a store with room to spare, so that it evicts no session.
pub(crate) fn moka() -> SessionManagerLayer<MokaStore, SignedCookie> {
    layer(MokaStore::new(Some(2 * SESSIONS as u64)))
}

/// Connects to a server as the documentation of the store does, with six connections.
pub(crate) async fn redis(url: &str) -> SessionManagerLayer<RedisStore<Pool>, SignedCookie> {
    layer(redis_store(url, 6).await)
}

/// Connects to a server with a number of connections.
pub(crate) async fn redis_store(url: &str, connections: usize) -> RedisStore<Pool> {
    let config = Config::from_url(url).expect("a valid URL");
    let pool = Pool::new(config, None, None, None, connections).expect("valid settings");
    let _tasks = pool.connect();
    let connected = pool.wait_for_connect().await;
    connected.expect("the server is reachable");
    RedisStore::new(pool)
}

/// Uses sessile's settings: the cookie name and an idle timeout of half an hour.
fn layer<S: SessionStore>(store: S) -> SessionManagerLayer<S, SignedCookie> {
    SessionManagerLayer::new(store)
        .with_name(COOKIE)
        .with_expiry(Expiry::OnInactivity(Duration::minutes(30)))
        .with_signed(Key::from(&[0x5e; 64]))
}

pub(crate) fn routes<S>(layer: SessionManagerLayer<S, SignedCookie>) -> Router
where
    S: SessionStore + Clone,
{
    Router::new()
        .route("/start", get(start))
        .route("/none", get(none))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/visits", get(visits))
        .layer(layer)
}

async fn start(session: Session) -> Result<(), RouteError> {
    session.insert("cart", cart()).await?;
    session.insert("name", USER).await?;
    session.insert("visits", 0).await?;
    Ok(())
}

async fn read(session: Session) -> Result<String, RouteError> {
    Ok(session.get("name").await?.unwrap_or_default())
}

async fn write(session: Session) -> Result<String, RouteError> {
    let visits = session.get("visits").await?.unwrap_or(0) + 1;
    session.insert("visits", visits).await?;
    Ok(visits.to_string())
}

async fn visits(session: Session) -> Result<String, RouteError> {
    Ok(session.get("visits").await?.unwrap_or(0).to_string())
}

/// Wrapper that makes an error a response.
struct RouteError(Error);

impl From<Error> for RouteError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl axum::response::IntoResponse for RouteError {
    fn into_response(self) -> axum::response::Response {
        (http::StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}
