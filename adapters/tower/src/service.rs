//! The service: a session begins with the request and is committed before the response's headers leave.
//!
//! It boxes nothing and calls the inner service at once, so it needs no clone of it. A handler that
//! panics, and a client that goes away, leave a future that is dropped, and nothing is stored.

use core::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use sessile_web::Pending;
use tower_service::Service;

use crate::SessionLayer;

/// What [`SessionLayer`] makes of a service.
///
/// The body must be one that a text can become, for the answer to changes that could not be stored:
/// axum's `Body` and `http-body-util`'s `Full` are.
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
    ResBody: From<String>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut request, admission_key) = self.layer.admission_key(request);
        let mut pending = self.layer.pend(&mut request, admission_key);
        let inner = pending.enter(|| self.inner.call(request));
        ResponseFuture { inner, pending }
    }
}

pin_project! {
    /// The response, once the session is committed.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        pending: Pending,
    }
}

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: From<String>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = this.pending.enter(|| this.inner.poll(context));
        if !this.pending.is_begun() {
            return answer;
        }
        answer.map_ok(|response| commit(this.pending, response))
    }
}

/// An extension of a response: what its request changed is not stored, as if its status was 500 or above.
///
/// For a layer inside the session layer that answers in place of a handler which it gave up half-way, such as a timeout
/// of one route:
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

fn commit<B: From<String>>(pending: &Pending, mut response: Response<B>) -> Response<B> {
    let status = match response.extensions().get::<DiscardChanges>() {
        Some(DiscardChanges) => StatusCode::INTERNAL_SERVER_ERROR,
        None => response.status(),
    };
    let Err(error) = pending.commit(status, response.headers_mut()) else {
        return response;
    };
    let mut refusal = Response::new(B::from(error.to_string()));
    *refusal.status_mut() = error.status();
    *refusal.version_mut() = response.version();
    core::mem::swap(refusal.headers_mut(), response.headers_mut());
    refusal
}
