//! The service: a session begins with the request and is committed before the response's headers
//! are sent.
//!
//! It boxes no future and calls the inner service at once, so it needs no clone of it. If a handler
//! panics or a client disconnects, the future is dropped and nothing is stored.

use core::{
    any::Any,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use pin_project_lite::pin_project;
use sessile_web::{CommitError, Session, SessionManager};
use tower_service::Service;

use crate::SessionLayer;

/// A service inside a [`SessionLayer`].
///
/// The body may be of any type with a default, as those of axum, `http-body-util` and `tower-http`
/// have. Where changes cannot be stored, the response has an empty body, or the error's text if the
/// body is a `String` or, with the feature `axum`, axum's `Body`.
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    layer: SessionLayer,
}

impl<S> SessionService<S> {
    pub(crate) fn new(inner: S, layer: SessionLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SessionService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Default + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (request, session) = self.layer.begin(request);
        ResponseFuture {
            inner: self.inner.call(request),
            session,
        }
    }
}

pin_project! {
    /// Resolves to the response after the session is committed.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        session: Option<Session>,
    }
}

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: Default + 'static,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = this.inner.poll(context);
        match this.session {
            Some(session) => answer.map_ok(|response| commit(session, response)),
            None => answer,
        }
    }
}

/// An extension of a response: the changes of its request are not stored, as with a status of 500
/// or above.
///
/// Use it in a layer inside the session layer that responds in place of a handler that it aborted,
/// such as a timeout of one route:
///
/// ```
/// use axum::{BoxError, Extension, http::StatusCode, response::IntoResponse};
/// use sessile_tower::DiscardChanges;
///
/// // For `HandleErrorLayer::new`, in front of tower's `TimeoutLayer`.
/// async fn timed_out(_: BoxError) -> impl IntoResponse {
///     (StatusCode::REQUEST_TIMEOUT, Extension(DiscardChanges), "This took too long.")
/// }
/// # let _ = timed_out;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscardChanges;

fn commit<B: Default + 'static>(session: &Session, mut response: Response<B>) -> Response<B> {
    let status = match response.extensions().get::<DiscardChanges>() {
        Some(DiscardChanges) => StatusCode::INTERNAL_SERVER_ERROR,
        None => response.status(),
    };
    match SessionManager::commit(session, status, response.headers_mut()) {
        Ok(()) => response,
        Err(error) => error_response(&error, response),
    }
}

/// Takes the headers over from the handler's response, from which the commit removed those of its
/// body.
#[cold]
fn error_response<B: Default + 'static>(error: &CommitError, from: Response<B>) -> Response<B> {
    let (from, _) = from.into_parts();
    let mut response = Response::new(B::default());
    *response.status_mut() = error.status();
    *response.version_mut() = from.version;
    *response.headers_mut() = from.headers;
    if !set_text(response.body_mut(), error) {
        response.headers_mut().remove(CONTENT_TYPE);
    }
    response
}

/// Sets the error's text as the body, if its type is known here. Returns true if it is.
fn set_text(body: &mut dyn Any, error: &CommitError) -> bool {
    if let Some(text) = body.downcast_mut::<String>() {
        *text = error.to_string();
        return true;
    }
    #[cfg(feature = "axum")]
    if let Some(body) = body.downcast_mut::<axum_core::body::Body>() {
        *body = error.to_string().into();
        return true;
    }
    false
}
