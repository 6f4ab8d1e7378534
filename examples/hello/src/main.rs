//! A visit counter on axum: everything that an application needs for sessions.
//!
//! Run `cargo run -p hello`, open <http://127.0.0.1:3000> and reload the page.

#![allow(clippy::print_stdout)]

use std::{env, error::Error};

use axum::{Router, routing::get};
use sessile::{KeyRing, SessionCache};
use sessile_tower::{Session, SessionError, SessionLayer, SessionManager};

async fn hello(session: Session) -> Result<String, SessionError> {
    let visits = session.increment("visits", 1)?;
    Ok(format!("Hello! This is your visit number {visits}.\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // In production, set SESSILE_KEYS. Generated keys suffice for development.
    let keys = match env::var_os("SESSILE_KEYS") {
        Some(_) => KeyRing::from_env("SESSILE_KEYS")?,
        None => KeyRing::generate()?,
    };
    let cache = SessionCache::builder()
        .memory(64 << 20)
        .keys(keys)
        .build()?;

    // In production, serve over HTTPS and remove `insecure_http`.
    let manager = SessionManager::builder(cache).insecure_http().build()?;
    let app = Router::new()
        .route("/", get(hello))
        .layer(SessionLayer::new(manager));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("Listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
