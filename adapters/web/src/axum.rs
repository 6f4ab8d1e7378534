//! The session as an axum extractor, and answers for the errors of this crate.

use axum_core::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use crate::{MissingSession, Session, SessionError};

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = MissingSession;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, MissingSession> {
        parts.extensions.get::<Self>().cloned().ok_or(MissingSession)
    }
}

impl IntoResponse for MissingSession {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        tracing::error!(error = %self, "a handler gave up on its session");
        (StatusCode::INTERNAL_SERVER_ERROR, "The session could not be used.").into_response()
    }
}
