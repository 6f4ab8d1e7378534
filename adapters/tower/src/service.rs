//! The service: a session begins with the request and is committed before the response's headers
//! are sent.
//!
//! It calls the inner service at once, so it needs no clone of it. A future is boxed only where the
//! commit may wait for a store; a local cache never does. If a handler panics or a client
//! disconnects, the future is dropped and nothing is stored, or a commit that waited for the store
//! is not awaited.

use core::{
    any::Any,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE};
use pin_project_lite::pin_project;
use sessile_web::{CommitError, Session, SessionManager, adapter::SessionExt};
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
            waiting: None,
        }
    }
}

pin_project! {
    /// Resolves to the response after the session is committed.
    pub struct ResponseFuture<F>
    where
        F: Future,
    {
        #[pin]
        inner: F,
        session: Option<Session>,
        waiting: Option<Box<Waiting<F::Output>>>,
    }
}

/// A response whose commit waits for the store.
struct Waiting<R> {
    /// Without its headers, which the commit has.
    response: Option<R>,
    commit: Pin<Box<dyn Future<Output = Committed> + Send>>,
}

type Committed = (HeaderMap, Result<(), CommitError>);

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: Default + 'static,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some(waiting) = this.waiting {
            return waiting.poll(context);
        }
        let answer = this.inner.poll(context);
        let Some(session) = this.session else {
            return answer;
        };
        let Poll::Ready(Ok(mut response)) = answer else {
            return answer;
        };
        let status = status_of(&response);
        match session.commit_now(status, response.headers_mut()) {
            Some(stored) => Poll::Ready(Ok(finish(stored, response))),
            None => {
                let waiting = Waiting::new(session.clone(), status, response);
                this.waiting.insert(waiting).poll(context)
            }
        }
    }
}

impl<B: Default + 'static, E> Waiting<Result<Response<B>, E>> {
    #[cold]
    fn new(session: Session, status: StatusCode, mut response: Response<B>) -> Box<Self> {
        let mut headers = core::mem::take(response.headers_mut());
        let commit = Box::pin(async move {
            let stored = SessionManager::commit(&session, status, &mut headers).await;
            (headers, stored)
        });
        Box::new(Self {
            response: Some(Ok(response)),
            commit,
        })
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<B>, E>> {
        let Poll::Ready((headers, stored)) = self.commit.as_mut().poll(context) else {
            return Poll::Pending;
        };
        let response = self
            .response
            .take()
            .expect("polled once more after completion");
        Poll::Ready(response.map(|mut response| {
            *response.headers_mut() = headers;
            finish(stored, response)
        }))
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

/// Returns the status that decides what is stored.
fn status_of<B>(response: &Response<B>) -> StatusCode {
    match response.extensions().get::<DiscardChanges>() {
        Some(DiscardChanges) => StatusCode::INTERNAL_SERVER_ERROR,
        None => response.status(),
    }
}

fn finish<B: Default + 'static>(
    stored: Result<(), CommitError>,
    response: Response<B>,
) -> Response<B> {
    match stored {
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
