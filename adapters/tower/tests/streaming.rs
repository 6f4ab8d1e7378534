//! Bodies that outlive the handler: streams, server-sent events, upgrades, and bodies that are dropped.

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
use http_body_util::BodyExt;
use sessile_tower::{Session, SessionError, SessionLayer};
use support::{Server, cache};

/// A body that asks the session when it is sent, and tells of what it was told.
struct Late {
    session: Session,
    told: Sender<Result<(), SessionError>>,
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
        self.told.send(self.session.insert("late", 1)).unwrap();
        let count: u32 = self.session.get("count").unwrap().unwrap_or(0);
        Poll::Ready(Some(Ok(http_body::Frame::data(format!("data: {count}\n\n").into()))))
    }
}

/// Stores something, then streams.
async fn events(
    session: Session,
    Extension(told): Extension<Sender<Result<(), SessionError>>>,
) -> Result<Response, SessionError> {
    session.insert("count", 41)?;
    let body = Body::new(Late { session, told, left: 2 });
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], body).into_response())
}

fn app() -> (Router, sessile::SessionCache, Receiver<Result<(), SessionError>>) {
    let ((told, tells), cache) = (channel(), cache());
    let app = support::routes()
        .route("/events", get(events))
        .route("/upload", post(upload))
        .route("/upgrade", get(upgrade))
        .layer(Extension(told));
    (app.layer(SessionLayer::new(cache.clone())), cache, tells)
}

#[test]
fn a_stream_s_headers_bring_the_cookie_and_what_it_writes_is_refused() {
    let (app, cache, tells) = app();
    let server = Server::start(app);
    let mut browser = server.browser();
    let reply = browser.get("/events");
    assert_eq!(reply.only("content-type"), Some("text/event-stream"));
    assert!(reply.cookie().is_some(), "it was stored before the headers left");
    assert!(reply.body.contains("data: 41\n\n"), "and can be read: {}", reply.body);
    let told: Vec<_> = tells.try_iter().collect();
    assert_eq!(told.len(), 2);
    assert!(
        told.iter().all(|told| matches!(told, Err(SessionError::TooLate))),
        "not lost silently"
    );
    assert_eq!(browser.get("/count").body, "42");
    assert_eq!(cache.len(), 1);
}

/// Stores something, then reads the whole body.
async fn upload(session: Session, body: Body) -> Result<StatusCode, SessionError> {
    session.insert("count", 1)?;
    Ok(body.collect().await.map_or(StatusCode::BAD_REQUEST, |_| StatusCode::CREATED))
}

#[test]
fn a_body_that_is_dropped_half_way_leaves_no_half_state() {
    let (app, cache, _tells) = app();
    let server = Server::start(app);
    let half = "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf";
    let reply = server.send_half(half.as_bytes());
    assert!([0, 400].contains(&reply.status), "{}", reply.status);
    // Whatever the handler answered, its cookie reached nobody, or all of it was stored.
    let stored = cache.stats().created;
    assert_eq!(cache.len() as u64, stored);
    let whole = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";
    let reply = server.send_raw(whole);
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
    let request =
        b"GET /upgrade HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n";
    let reply = server.send_raw(request);
    assert_eq!((reply.status, reply.cookie().is_some(), cache.len()), (101, true, 1));
    assert!(reply.only("upgrade") == Some("test"));
}
