//! The session as an axum extractor, and responses for the errors of this crate.

use core::fmt;

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};

use sessile::Error;

use crate::{
    CommitError, MissingSession, Session, SessionError, adapter::SessionExt,
    commit::RETRY_AFTER_SECONDS,
};

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = MissingSession;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, MissingSession> {
        loaded(parts).await.ok_or(MissingSession)
    }
}

/// Extracts `None` if the request passed no session layer.
impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = core::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(loaded(parts).await)
    }
}

/// An extractor for routes that require a signed-in user.
///
/// Other requests are rejected with 401, or redirected to the [sign-in
/// page](crate::SessionManagerBuilder::sign_in_page). `Option<SignedIn>` accepts both.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The name of the user.
    pub user: String,
    /// The user's session.
    pub session: Session,
}

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = NotSignedIn;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NotSignedIn> {
        let session = session_of(parts).ok_or(NotSignedIn::MissingSession)?;
        session.load().await.map_err(|_| NotSignedIn::Unreachable)?;
        match session.user() {
            Some(user) => Ok(Self { user, session }),
            None => Err(NotSignedIn::Anonymous {
                page: session.sign_in_address(),
            }),
        }
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for SignedIn {
    type Rejection = NotSignedIn;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, NotSignedIn> {
        let session = session_of(parts).ok_or(NotSignedIn::MissingSession)?;
        session.load().await.map_err(|_| NotSignedIn::Unreachable)?;
        Ok(session.user().map(|user| Self { user, session }))
    }
}

/// Returns the session that the layer inserted into the request's extensions.
fn session_of(parts: &Parts) -> Option<Session> {
    parts.extensions.get().cloned()
}

/// Returns the session, loaded. An error is kept for the first verb that needs the session.
async fn loaded(parts: &Parts) -> Option<Session> {
    let session = session_of(parts)?;
    let _ = session.load().await;
    Some(session)
}

/// The rejection of [`SignedIn`] and `Option<SignedIn>`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSignedIn {
    /// No user is signed in. The response is 303 to `page`, or 401 without one.
    Anonymous {
        /// The sign-in page, with the requested path as the parameter `next`.
        page: Option<HeaderValue>,
    },
    /// The request passed no session layer. The response is 500, as for [`MissingSession`].
    MissingSession,
    /// The store cannot be reached. The response is 503, as for [`SessionError::Unreachable`].
    Unreachable,
}

impl fmt::Display for NotSignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous { .. } => f.write_str("Please sign in."),
            Self::MissingSession => MissingSession.fmt(f),
            Self::Unreachable => SessionError::Unreachable.fmt(f),
        }
    }
}

impl std::error::Error for NotSignedIn {}

impl IntoResponse for NotSignedIn {
    fn into_response(self) -> Response {
        let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Anonymous { page: Some(page) } => {
                (StatusCode::SEE_OTHER, [(header::LOCATION, page), no_store]).into_response()
            }
            Self::Anonymous { page: None } => {
                (StatusCode::UNAUTHORIZED, [no_store], "Please sign in.").into_response()
            }
            Self::MissingSession => MissingSession.into_response(),
            Self::Unreachable => SessionError::Unreachable.into_response(),
        }
    }
}

impl IntoResponse for MissingSession {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl IntoResponse for CommitError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_string()).into_response();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let status = self.status();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %self, "session error returned by handler");
        }
        match self {
            Self::Store(error) => error.into_response(),
            Self::Unreachable => CommitError::from(Error::Unreachable).into_response(),
            Self::Conflict { key } => CommitError::conflict(key.into()).into_response(),
            Self::InvalidCsrfToken => (status, INVALID_CSRF_TOKEN).into_response(),
            _ => (status, "The session could not be used.").into_response(),
        }
    }
}

const INVALID_CSRF_TOKEN: &str =
    "This form is out of date. Go back, reload the page and try again.";
