//! Bodies that outlive the handler: streams, server-sent events, upgrades, and dropped bodies.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::mpsc::{Receiver, Sender, channel},
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::Extension,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream;
use http_body_util::BodyExt;
use sessile_contract::Request;
use sessile_tower::{Session, SessionError, SessionLayer};
use support::{Server, cache, contract};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A body that changes the session when it is sent, and reports the result.
struct Late {
    session: Session,
    results: Sender<Result<(), SessionError>>,
    left: u8,
}

impl HttpBody for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.results.send(self.session.insert("late", 1)).unwrap();
        let count: u32 = self.session.get("count").unwrap().unwrap_or(0);
        Poll::Ready(Some(Ok(http_body::Frame::data(
            format!("data: {count}\n\n").into(),
        ))))
    }
}

/// Stores a value, then streams.
async fn events(
    session: Session,
    Extension(results): Extension<Sender<Result<(), SessionError>>>,
) -> Result<Response, SessionError> {
    session.insert("count", 41)?;
    let body = Body::new(Late {
        session,
        results,
        left: 2,
    });
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], body).into_response())
}

fn app() -> (
    Router,
    sessile::SessionCache,
    Receiver<Result<(), SessionError>>,
) {
    let ((results, received), cache) = (channel(), cache());
    let app = contract::routes()
        .route("/events", get(events))
        .route("/upload", post(upload))
        .route("/upgrade", get(upgrade))
        .layer(Extension(results));
    (app.layer(SessionLayer::new(cache.clone())), cache, received)
}

#[test]
fn a_stream_sends_the_cookie_with_its_headers_and_rejects_later_changes() {
    let (app, cache, received) = app();
    let server = Server::start(app);
    let site = server.site();
    let mut browser = site.browser();
    let reply = browser.get("/events");
    assert_eq!(reply.only("content-type"), Some("text/event-stream"));
    assert!(
        reply.cookie().is_some(),
        "it was stored before the headers left"
    );
    assert!(
        reply.body.contains("data: 41\n\n"),
        "and can be read: {}",
        reply.body
    );
    let results: Vec<_> = received.try_iter().collect();
    assert_eq!(results.len(), 2);
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(SessionError::AlreadyCommitted))),
        "not lost silently"
    );
    assert_eq!(browser.post("/bump", &[("key", "count")]).body, "42");
    assert_eq!(cache.len(), 1);
}

/// Stores a value, then reads the whole body.
async fn upload(session: Session, body: Body) -> Result<StatusCode, SessionError> {
    session.insert("count", 1)?;
    Ok(body
        .collect()
        .await
        .map_or(StatusCode::BAD_REQUEST, |_| StatusCode::CREATED))
}

#[test]
fn a_body_that_is_dropped_half_way_leaves_no_half_state() {
    let (app, cache, _tells) = app();
    let server = Server::start(app);
    let site = server.site();
    let upload = Request::post("/upload", &[("a", "1")]);
    let mut connection = site.connect();
    connection.send(&upload.to_bytes()[..upload.to_bytes().len() - 1]);
    connection.send_no_more();
    let status = connection.receive().map(|reply| reply.status);
    assert!([None, Some(400)].contains(&status), "{status:?}");
    // Either the cookie reached no client, or everything was stored.
    let stored = cache.stats().created;
    assert_eq!(cache.len() as u64, stored);
    let reply = site.send(&upload);
    assert_eq!((reply.status, reply.cookie().is_some()), (201, true));
    assert_eq!(cache.stats().created, stored + 1);
}

async fn upgrade(session: Session) -> Result<impl IntoResponse, SessionError> {
    session.insert("count", 1)?;
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "test")];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers))
}

#[test]
fn an_upgrade_s_response_brings_the_cookie() {
    let (app, cache, _tells) = app();
    let server = Server::start(app);
    let request = Request::get("/upgrade")
        .field("Connection", b"upgrade")
        .field("Upgrade", b"test");
    let reply = server.site().connect().exchange(&request).unwrap();
    assert_eq!(
        (reply.status, reply.cookie().is_some(), cache.len()),
        (101, true, 1)
    );
    assert!(reply.only("upgrade") == Some("test"));
}

/// Returns a stream that sends a line for each tick until its session ends.
fn watch(session: Session, ticks: UnboundedReceiver<()>, sent: Sender<()>) -> Body {
    let lines = stream::unfold((session, ticks), move |(session, mut ticks)| {
        let sent = sent.clone();
        async move {
            ticks.recv().await?;
            if !session.is_alive().await {
                return None;
            }
            sent.send(()).unwrap();
            Some((Ok::<_, Infallible>("tick\n"), (session, ticks)))
        }
    });
    Body::from_stream(lines)
}

#[test]
fn a_stream_that_asks_ends_once_its_user_signs_out_elsewhere() {
    let ((tick, ticks), (sent, is_sent)) = (unbounded_channel(), channel());
    let ticks = std::sync::Arc::new(std::sync::Mutex::new(Some(ticks)));
    let handler = move |session: Session| {
        let ticks = ticks.lock().unwrap().take().unwrap();
        std::future::ready(watch(session, ticks, sent.clone()))
    };
    let app = contract::routes().route("/watch", get(handler));
    let server = Server::start(app.layer(SessionLayer::new(cache())));
    let site = server.site();
    let mut browser = site.browser();
    browser.sign_in("ada", "");
    let request = browser.with_cookie(&Request::get("/watch"));
    let lines = std::thread::scope(|scope| {
        let stream = scope.spawn(|| site.send(&request).body);
        for _ in 0..2 {
            tick.send(()).unwrap();
            is_sent.recv().unwrap();
        }
        browser.post("/sign-out", &[]);
        tick.send(()).unwrap();
        stream.join().unwrap()
    });
    assert_eq!(lines, "tick\ntick\n");
}
