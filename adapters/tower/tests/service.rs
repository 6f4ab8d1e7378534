//! The layer as tower sees it: any body that a text can become, no axum, no clone of the inner service.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    convert::Infallible,
    future::pending,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body_util::Full;
use sessile_tower::{Session, SessionLayer};
use support::cache;
use tower::{Layer, Service, ServiceExt, service_fn};

type Request = http::Request<()>;
type Response = http::Response<Full<Bytes>>;

fn session_of<B>(request: &http::Request<B>) -> Session {
    request.extensions().get::<Session>().expect("the layer puts it there").clone()
}

/// Runs what needs no reactor.
fn run<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}

#[test]
fn without_axum_the_session_is_in_the_extensions() {
    let inner = service_fn(async |request: Request| {
        session_of(&request).insert("name", "sessile").unwrap();
        Ok::<_, Infallible>(Response::default())
    });
    let response =
        run(SessionLayer::new(cache()).layer(inner).oneshot(Request::default())).unwrap();
    let cookie = &response.headers()[http::header::SET_COOKIE];
    assert!(cookie.is_sensitive(), "it is marked, so that nobody logs or indexes it");
}

#[test]
fn an_inner_service_that_is_no_clone_is_called_once_it_is_ready() {
    struct Once {
        ready: bool,
    }
    impl Service<Request> for Once {
        type Response = Response;
        type Error = &'static str;
        type Future = std::future::Ready<Result<Response, &'static str>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            self.ready = true;
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request) -> Self::Future {
            assert!(std::mem::take(&mut self.ready), "called before it was ready");
            std::future::ready(Err("refused"))
        }
    }
    let mut service = SessionLayer::new(cache()).layer(Once { ready: false });
    for _ in 0..2 {
        let answer = run(async { service.ready().await?.call(Request::default()).await });
        assert_eq!(answer.unwrap_err(), "refused", "its errors are handed on");
    }
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let cache = cache();
    let inner = service_fn(async |request: Request| {
        session_of(&request).insert("half", "done").unwrap();
        session_of(&request).sign_in("alice").unwrap();
        pending::<Result<Response, Infallible>>().await
    });
    let mut future =
        Box::pin(SessionLayer::new(cache.clone()).layer(inner).oneshot(Request::default()));
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(future);
    assert_eq!((cache.len(), cache.stats().created), (0, 0));
}
