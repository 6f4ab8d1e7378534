//! A server on a free port of the loopback interface, and the application of the contract for it.

// Each test binary uses a part of this module.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod contract;

use std::net::SocketAddr;

use axum::{Router, ServiceExt, extract::Request};
use sessile::{ManualClock, SessionCache};
use sessile_contract::Site;
use sessile_tower::SessionLayer;
use tokio::{net::TcpListener, runtime::Runtime};
use tower::Layer;

/// Creates a cache with default settings except its memory, and a manual clock.
pub(crate) fn cache() -> SessionCache {
    contract::cache_with(ManualClock::new())
}

/// A server that stops when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) runtime: Runtime,
}

impl Server {
    pub(crate) fn start(app: Router) -> Self {
        Self::serve(|listener| async move { axum::serve(listener, app).await })
    }

    /// Starts a server with a layer around the whole router.
    pub(crate) fn start_behind(layer: &SessionLayer, app: Router) -> Self {
        let service = ServiceExt::<Request>::into_make_service(layer.layer(app));
        Self::serve(|listener| async move { axum::serve(listener, service).await })
    }

    fn serve<F>(serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener));
        Self { address, runtime }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a client for an application other than that of the contract.
    pub(crate) fn site(&self) -> Site {
        Site::any(&self.base_url()).unwrap()
    }
}
