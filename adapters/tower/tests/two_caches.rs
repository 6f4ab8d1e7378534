//! Two session layers with different caches in one request. It needs its own process, because the
//! warning is logged once per process.

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
use tower::{Layer, ServiceExt, service_fn};

#[test]
fn two_caches_under_one_cookie_name_are_warned_about_once_with_the_remedy() {
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
            let inner = inner.layer(handler());
            outer
                .layer(inner)
                .oneshot(Request::default())
                .await
                .unwrap();
        });
    };
    let layer = || SessionLayer::new(cache());
    let (outer, inner) = (layer(), layer());
    let plain_http = inner
        .manager()
        .to_builder()
        .insecure_http()
        .build()
        .unwrap();
    let other_name = SessionLayer::new(plain_http);
    let before = warnings().len();
    request(&outer, &outer.clone());
    request(&outer, &other_name);
    assert_eq!(
        warnings().len(),
        before,
        "one cache, or two cookies, are right"
    );

    for _ in 0..3 {
        request(&outer, &inner);
        request(&inner, &outer);
    }
    let warnings = &warnings()[before..];
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in [
        "__Host-session",
        "clones of one cache",
        "another `cookie_name`",
    ] {
        assert!(warnings[0].contains(part), "{part}: {warnings:?}");
    }
}
