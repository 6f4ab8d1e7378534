//! A visit counter on axum: the whole of what an application needs to have sessions.
//!
//! `cargo run -p hello`, then open <http://127.0.0.1:3000> and reload it.

#![allow(clippy::print_stdout)]

use std::{env, error::Error};

use axum::{Router, routing::get};
use sessile::{KeyRing, SessionCache};
use sessile_tower::{Session, SessionError, SessionLayer, SessionManager};

async fn hello(session: Session) -> Result<String, SessionError> {
    let visits = session.get("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    Ok(format!("Hello! This is your visit number {visits}.\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Keys that outlive a restart come from outside, fresh ones do for a first look.
    let keys = match env::var_os("SESSILE_KEYS") {
        Some(_) => KeyRing::from_env("SESSILE_KEYS")?,
        None => KeyRing::generate()?,
    };
    let cache = SessionCache::builder()
        .memory(64 << 20)
        .keys(keys)
        .build()?;

    // Leave `insecure_http` out where the application is served over HTTPS.
    let manager = SessionManager::builder(cache).insecure_http().build()?;
    let app = Router::new()
        .route("/", get(hello))
        .layer(SessionLayer::new(manager));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("Listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
