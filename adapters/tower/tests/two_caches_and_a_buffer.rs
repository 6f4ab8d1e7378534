//! As `two_caches`, for layers whose services run on other tasks. It needs its own process, because
//! the warning is logged once per process.

#![allow(clippy::unwrap_used)]

#[path = "../../web/tests/support/log.rs"]
mod log;
mod support;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use log::Log;
use sessile_tower::SessionLayer;
use support::cache;
use tower::{Layer, ServiceExt, buffer::Buffer, service_fn};

#[test]
fn two_caches_are_warned_about_though_a_buffer_is_between_their_layers() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let warnings = || {
        log.lines()
            .into_iter()
            .filter(|line| line.starts_with("WARN"))
            .collect::<Vec<_>>()
    };
    let handler = || {
        service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        })
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let request = |outer: &SessionLayer, inner: &SessionLayer| {
        runtime.block_on(async {
            let inner = Buffer::new(inner.layer(handler()), 1);
            outer
                .layer(inner)
                .oneshot(Request::default())
                .await
                .unwrap();
        });
    };
    let layer = || SessionLayer::new(cache());
    let (outer, inner) = (layer(), layer());
    for _ in 0..3 {
        request(&outer, &inner);
    }
    let warnings = warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}
