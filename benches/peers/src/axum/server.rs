//! The servers: three routes over axum, with sessile, with tower-sessions, or without sessions.
//!
//! A server is this program with a hidden argument and one thread; sessile with a store has a
//! second one. It prints its port to standard output and exits when its standard input is closed,
//! so that none outlives the benchmark.

use std::{
    io::{self, Read, Write},
    process, thread,
};

use axum::{ServiceExt, extract::Request};
use tokio::{net::TcpListener, runtime};

use super::{peer_routes, plain, sessile_routes};

/// The argument that makes this program a server: `serve NAME`, or `serve NAME URL` with a store.
pub(crate) const SERVE: &str = "serve";

/// Serves until standard input is closed; returns only on an error at the start.
pub(crate) fn serve(name: &str, store: Option<&str>) -> io::Result<()> {
    let mut runtime = runtime::Builder::new_current_thread();
    runtime.enable_io();
    if store.is_some() {
        // The client of tower-sessions' store needs timers.
        runtime.enable_time();
    }
    let store = store.unwrap_or_default();
    runtime.build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        end_with_the_parent();
        writeln!(io::stdout(), "{port}")?;
        match name {
            plain::NAME => axum::serve(listener, plain::routes()).await,
            plain::LAYERED => axum::serve(listener, plain::layered_routes()).await,
            sessile_routes::NAME => {
                axum::serve(listener, sessile_routes::routes(sessile_routes::cache())).await
            }
            sessile_routes::AROUND => {
                let around = sessile_routes::around(sessile_routes::cache());
                axum::serve(listener, ServiceExt::<Request>::into_make_service(around)).await
            }
            peer_routes::MEMORY => {
                axum::serve(listener, peer_routes::routes(peer_routes::memory())).await
            }
            peer_routes::MOKA => {
                axum::serve(listener, peer_routes::routes(peer_routes::moka())).await
            }
            sessile_routes::TIERED => {
                axum::serve(
                    listener,
                    sessile_routes::routes(sessile_routes::tiered(store)),
                )
                .await
            }
            peer_routes::REDIS => {
                axum::serve(
                    listener,
                    peer_routes::routes(peer_routes::redis(store).await),
                )
                .await
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    })
}

/// The route that never accesses the session, the same for all contenders.
pub(crate) async fn none() -> &'static str {
    "Hello"
}

fn end_with_the_parent() {
    thread::spawn(|| {
        // The parent never writes here. The read returns when the pipe is closed, or with an error
        // that means the same.
        let _ = io::stdin().read(&mut [0]);
        process::exit(0);
    });
}
