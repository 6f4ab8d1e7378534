//! The layer with plain tower: any body with a default, no axum, no clone of the inner service.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    convert::Infallible,
    future::pending,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use sessile_tower::{Session, SessionLayer, SessionManager};
use support::cache;
use tower::{Layer, Service, ServiceExt, service_fn};

type Request = http::Request<()>;
type Response = http::Response<Full<Bytes>>;

/// Returns the session that the layer inserted into the request's extensions.
fn session_of(request: &Request) -> Session {
    request
        .extensions()
        .get()
        .cloned()
        .expect("the layer is in front")
}

/// Runs a future that needs no reactor.
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
    let response = run(SessionLayer::new(cache())
        .layer(inner)
        .oneshot(Request::default()))
    .unwrap();
    let cookie = &response.headers()[http::header::SET_COOKIE];
    assert!(cookie.is_sensitive(), "it is marked as sensitive");
}

#[test]
fn an_inner_service_is_called_without_a_clone_after_it_is_ready() {
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
            assert!(
                std::mem::take(&mut self.ready),
                "called before it was ready"
            );
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
fn a_client_that_disconnects_leaves_no_session() {
    let cache = cache();
    let inner = service_fn(async |request: Request| {
        session_of(&request).insert("half", "done").unwrap();
        session_of(&request).sign_in("alice").unwrap();
        pending::<Result<Response, Infallible>>().await
    });
    let mut future = Box::pin(
        SessionLayer::new(cache.clone())
            .layer(inner)
            .oneshot(Request::default()),
    );
    assert!(
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    drop(future);
    assert_eq!((cache.len(), cache.stats().created), (0, 0));
}

#[test]
fn a_service_may_ask_when_it_is_called_or_later() {
    let cache = cache();
    let inner = service_fn(|request: Request| {
        let session = session_of(&request);
        async move {
            session.insert("called", true).unwrap();
            yield_now().await;
            let session = session_of(&request);
            assert_eq!(
                session.get("called").unwrap(),
                Some(true),
                "it is the same session"
            );
            session.insert("polled", true).unwrap();
            Ok::<_, Infallible>(Response::default())
        }
    });
    let mut future = Box::pin(
        SessionLayer::new(cache.clone())
            .layer(inner)
            .oneshot(Request::default()),
    );
    assert!(poll(&mut future).is_pending());
    assert!(poll(&mut future).is_ready());
    assert_eq!(
        (cache.len(), cache.stats().saved),
        (1, 0),
        "both are stored, in one"
    );
}

#[test]
fn requests_that_take_turns_on_a_thread_keep_their_sessions() {
    let cache = cache();
    let inner = service_fn(async |request: Request| {
        let name = request.uri().path().to_owned();
        session_of(&request).insert("name", &name).unwrap();
        yield_now().await;
        assert_eq!(session_of(&request).get("name").unwrap(), Some(name));
        Ok::<_, Infallible>(Response::default())
    });
    let layer = SessionLayer::new(cache.clone());
    let mut requests: Vec<_> = (0..3)
        .map(|n| Request::builder().uri(format!("/{n}")).body(()).unwrap())
        .map(|request| Box::pin(layer.layer(inner).oneshot(request)))
        .collect();
    for request in &mut requests {
        assert!(poll(request).is_pending());
    }
    for request in requests.iter_mut().rev() {
        assert!(poll(request).is_ready());
    }
    assert_eq!(cache.len(), 3);
}

#[test]
fn a_layer_behind_a_layer_has_a_session_of_its_own() {
    let [outer, inner] = [cache(), cache()];
    let handler = service_fn(async |request: Request| {
        session_of(&request).insert("name", "inner").unwrap();
        Ok::<_, Infallible>(Response::default())
    });
    let behind = SessionLayer::new(inner.clone()).layer(handler);
    let between = service_fn(|request: Request| {
        let session = session_of(&request);
        session.insert("name", "outer").unwrap();
        let response = behind.clone().oneshot(request);
        async move {
            let response = response.await;
            assert_eq!(
                session.get::<String>("name").unwrap().as_deref(),
                Some("outer")
            );
            response
        }
    });
    let layer = SessionLayer::new(outer.clone());
    run(layer.layer(between).oneshot(Request::default())).unwrap();
    assert_eq!((outer.len(), inner.len()), (1, 1));
}

/// Performs a request of a new visitor, to which a middleware between the layers and the handler
/// both write.
fn write_between(outer: &SessionLayer, inner: &SessionLayer) {
    let handler = service_fn(async |request: Request| {
        session_of(&request).insert("handler", true).unwrap();
        Ok::<_, Infallible>(Response::default())
    });
    let behind = inner.layer(handler);
    let between = service_fn(|request: Request| {
        session_of(&request).insert("middleware", true).unwrap();
        behind.clone().oneshot(request)
    });
    run(outer.layer(between).oneshot(Request::default())).unwrap();
}

#[test]
fn a_layer_inside_one_with_equal_settings_shares_its_session() {
    let cache = cache();
    let every = Duration::from_secs(60);
    let layer = || {
        SessionManager::builder(cache.clone())
            .rotate_every(every)
            .build()
            .unwrap()
            .into()
    };
    let before = cache.stats();
    write_between(&layer(), &layer());
    let stats = cache.stats();
    assert_eq!(
        (stats.created, stats.saved),
        (before.created + 1, 0),
        "one commit, of both"
    );
}

#[test]
fn a_request_that_a_handler_makes_itself_has_a_session_of_its_own() {
    let cache = cache();
    let layer = SessionLayer::new(cache.clone());
    let other = service_fn(async |request: Request| {
        let session = session_of(&request);
        assert_eq!(
            session.get::<bool>("outer").unwrap(),
            None,
            "of another visitor"
        );
        session.insert("inner", true).unwrap();
        Ok::<_, Infallible>(Response::default())
    });
    let other = layer.layer(other);
    let handler = service_fn(move |request: Request| {
        session_of(&request).insert("outer", true).unwrap();
        other.clone().oneshot(Request::default())
    });
    run(layer.layer(handler).oneshot(Request::default())).unwrap();
    assert_eq!(cache.stats().created, 2);
}

#[test]
fn a_layer_behind_one_with_other_settings_has_a_session_of_its_own() {
    let cache = cache();
    let layer = SessionLayer::new(cache.clone());
    let other = layer
        .manager()
        .to_builder()
        .sign_in_page("/sign-in")
        .build()
        .unwrap();
    write_between(&layer, &SessionLayer::new(other));
    assert_eq!(cache.stats().created, 2);
    write_between(
        &layer,
        &layer.clone().with_admission_key(|_| b"192.0.2.1".to_vec()),
    );
    assert_eq!(cache.stats().created, 4);
}

#[test]
fn after_a_panic_nothing_is_stored() {
    let cache = cache();
    let inner = service_fn(async |request: Request| -> Result<Response, Infallible> {
        session_of(&request).insert("half", "done").unwrap();
        panic!("a mistake of the application");
    });
    let serve = || {
        run(SessionLayer::new(cache.clone())
            .layer(inner)
            .oneshot(Request::default()))
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(serve)).is_err());
    assert!(cache.is_empty());
}

#[test]
fn behind_a_buffer_the_session_is_in_the_extensions() {
    let cache = cache();
    let handler = service_fn(|request: Request| {
        session_of(&request).insert("n", 1).unwrap();
        async { Ok::<_, Infallible>(Response::default()) }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let buffer = tower::buffer::Buffer::new(handler, 1);
        let layer = SessionLayer::new(cache.clone());
        layer
            .layer(buffer)
            .oneshot(Request::default())
            .await
            .unwrap();
    });
    assert_eq!(cache.len(), 1);
}

#[test]
fn behind_two_layers_of_different_caches_the_session_is_of_the_inner_one() {
    let [outer, inner] = [cache(), cache()];
    let handler = service_fn(async |request: Request| {
        session_of(&request).insert("n", 1).unwrap();
        Ok::<_, Infallible>(Response::default())
    });
    let behind = SessionLayer::new(inner.clone()).layer(handler);
    let layers = SessionLayer::new(outer.clone()).layer(behind);
    run(layers.oneshot(Request::default())).unwrap();
    assert_eq!((outer.len(), inner.len()), (0, 1));
}

fn poll<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> Poll<F::Output> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

/// A future that is pending once.
async fn yield_now() {
    let mut is_first = true;
    std::future::poll_fn(|_| match std::mem::take(&mut is_first) {
        true => Poll::Pending,
        false => Poll::Ready(()),
    })
    .await;
}
