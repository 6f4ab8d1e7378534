//! Layers of tower and tower-http inside the session layer: their bodies need only a default.

#![allow(clippy::unwrap_used)]

mod support;

use std::{convert::Infallible, time::Duration};

use axum::{Extension, Router, body::Body, http::StatusCode, routing::get};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use sessile_tower::{DiscardChanges, Session, SessionError, SessionLayer};
use support::cache;
use tower::{Service, ServiceBuilder, ServiceExt, buffer::BufferLayer, service_fn};
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer,
    map_response_body::MapResponseBodyLayer, timeout::TimeoutLayer, trace::TraceLayer,
};

type Answer = Result<Response<Full<bytes::Bytes>>, Infallible>;

/// A handler that increments a number, panics, or makes the commit fail.
async fn page(request: Request<Body>) -> Answer {
    let session: &Session = request.extensions().get().unwrap();
    session.increment("visits", 1).unwrap();
    match request.uri().path() {
        "/panic" => panic!("a handler panics, as it should"),
        // Together the values exceed `max_session_size`.
        "/fail" => ["a", "b"].map(|key| session.insert(key, "x".repeat(10_000)).unwrap()),
        _ => [(), ()],
    };
    Ok(Response::new(Full::from("x".repeat(1_000))))
}

fn get_request(uri: &str) -> Request<Body> {
    let request = Request::builder()
        .uri(uri)
        .header(header::ACCEPT_ENCODING, "gzip");
    request.body(Body::empty()).unwrap()
}

async fn respond<S, B>(service: S, uri: &str) -> Response<Vec<u8>>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let response = service.oneshot(get_request(uri)).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Response::from_parts(parts, body)
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(future)
}

#[test]
fn a_compressed_response_sets_the_cookie() {
    let service = ServiceBuilder::new()
        .layer(SessionLayer::new(cache()))
        .layer(CompressionLayer::new());
    let response = run(respond(service.service_fn(page), "/"));
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(response.headers().contains_key(header::SET_COOKIE));
}

#[test]
fn an_error_response_with_a_compressed_body_is_empty() {
    let cache = cache();
    let service = ServiceBuilder::new()
        .layer(SessionLayer::new(cache.clone()))
        .layer(CompressionLayer::new())
        .service_fn(page);
    let response = run(respond(service, "/fail"));
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!((response.body().as_slice(), cache.len()), (&b""[..], 0));
    for name in [
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::SET_COOKIE,
    ] {
        assert!(!response.headers().contains_key(&name), "{name}");
    }
}

#[test]
fn the_changes_of_a_handler_that_panics_are_not_stored() {
    let cache = cache();
    let service = ServiceBuilder::new()
        .layer(SessionLayer::new(cache.clone()))
        .layer(CatchPanicLayer::new());
    let response = run(respond(service.service_fn(page), "/panic"));
    assert_eq!(
        (response.status(), cache.len()),
        (StatusCode::INTERNAL_SERVER_ERROR, 0)
    );
}

#[test]
fn an_aborted_handler_stores_nothing_with_discard_changes() {
    let cache = cache();
    let slow = service_fn(async |request: Request<Body>| {
        let session: &Session = request.extensions().get().unwrap();
        session.insert("half", "done").unwrap();
        std::future::pending::<Answer>().await
    });
    let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::ZERO);
    let discard = tower::util::MapResponseLayer::new(|mut response: Response<_>| {
        response.extensions_mut().insert(DiscardChanges);
        response
    });
    let layers = ServiceBuilder::new().layer(SessionLayer::new(cache.clone()));
    let response = run(respond(
        layers.layer(discard).layer(timeout).service(slow),
        "/",
    ));
    assert_eq!(
        (response.status(), cache.len()),
        (StatusCode::REQUEST_TIMEOUT, 0)
    );
}

#[test]
fn a_service_behind_a_buffer_and_inside_a_trace_finds_the_session() {
    let cache = cache();
    run(async {
        let layers = ServiceBuilder::new().layer(TraceLayer::new_for_http());
        let layers = layers
            .layer(SessionLayer::new(cache.clone()))
            .layer(BufferLayer::new(1));
        let response = respond(layers.service(service_fn(page)), "/").await;
        assert!(response.headers().contains_key(header::SET_COOKIE));
    });
    assert_eq!(cache.len(), 1);
}

#[test]
fn all_of_them_fit_around_a_router() {
    async fn visits(session: Session) -> Result<String, SessionError> {
        Ok(session.increment("visits", 1)?.to_string())
    }
    async fn extension(Extension(session): Extension<Session>) -> Result<String, SessionError> {
        Ok(session.increment("visits", 1)?.to_string())
    }
    let layers = ServiceBuilder::new()
        .layer(SessionLayer::new(cache()))
        // The body of `TraceLayer` has no default; axum's has.
        .layer(MapResponseBodyLayer::new(Body::new))
        .layer(TraceLayer::new_for_http())
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::new())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(9),
        ));
    let routes = Router::new()
        .route("/", get(visits))
        .route("/extension", get(extension));
    let service = layers.service(routes.with_state(()));
    for path in ["/", "/extension"] {
        let response = run(respond(service.clone(), path));
        assert_eq!(response.body(), b"1", "{path}");
    }
}
