//! Claims as an axum extractor, and responses for rejections.
//!
//! Owns the header fields of RFC 6750. The client does not learn why a token was rejected.

use core::fmt;

use axum_core::{
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use serde::de::DeserializeOwned;

use crate::{Claims, Rejection, Verifier};

/// Verifies the token of the field `Authorization`, with the [`Verifier`] of the router's state.
///
/// ```
/// use axum::{Router, routing::get};
/// use serde::Deserialize;
/// use sessile_jwt::{Claims, Verifier};
///
/// #[derive(Deserialize)]
/// struct User {
///     sub: String,
/// }
///
/// async fn profile(user: Claims<User>) -> String {
///     format!("Hello, {}.", user.sub)
/// }
///
/// fn routes(verifier: Verifier) -> Router {
///     Router::new().route("/", get(profile)).with_state(verifier)
/// }
/// # let _ = routes;
/// ```
impl<T, S> FromRequestParts<S> for Claims<T>
where
    T: DeserializeOwned,
    S: Sync,
    Verifier: FromRef<S>,
{
    type Rejection = BearerRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, BearerRejection> {
        let verifier = Verifier::from_ref(state);
        match verify(&parts.headers, &verifier)? {
            Some(claims) => Ok(claims),
            None => {
                verifier.count_missing();
                Err(BearerRejection::Missing)
            }
        }
    }
}

/// Extracts `None` from a request without a token.
impl<T, S> OptionalFromRequestParts<S> for Claims<T>
where
    T: DeserializeOwned,
    S: Sync,
    Verifier: FromRef<S>,
{
    type Rejection = BearerRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<Option<Self>, BearerRejection> {
        verify(&parts.headers, &Verifier::from_ref(state))
    }
}

/// Verifies the token of a request, or returns `None` if it has none.
fn verify<T: DeserializeOwned>(
    headers: &HeaderMap,
    verifier: &Verifier,
) -> Result<Option<Claims<T>>, BearerRejection> {
    let token = bearer(headers).inspect_err(|rejection| verifier.count(*rejection));
    let Some(token) = token.map_err(BearerRejection::Rejected)? else {
        return Ok(None);
    };
    let claims = verifier.verify(token);
    claims.map(Some).map_err(BearerRejection::Rejected)
}

/// Returns the token of the only field `Authorization`. Another scheme is no token.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Rejection> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    if fields.next().is_some() {
        return Err(Rejection::Malformed);
    }
    let bytes = field.as_bytes();
    let (scheme, rest) = bytes.split_at_checked(SCHEME.len()).unwrap_or((bytes, b""));
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Ok(None);
    }
    let token = rest.strip_prefix(b" ").map(<[u8]>::trim_ascii);
    let token = token.and_then(|token| str::from_utf8(token).ok());
    token.map(Some).ok_or(Rejection::Malformed)
}

/// A request has no token that is accepted.
///
/// As a response it is 401 with `WWW-Authenticate: Bearer`, and with `error="invalid_token"` if
/// there is a token; or 503 with `Retry-After` for [`Rejection::Unavailable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BearerRejection {
    /// The request has no field `Authorization` with the scheme `Bearer`.
    Missing,
    /// The token was rejected. The cause is not in the response.
    Rejected(Rejection),
}

impl BearerRejection {
    /// Returns the status of the response: 401 or 503.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Rejected(Rejection::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }
}

impl IntoResponse for BearerRejection {
    fn into_response(self) -> Response {
        let status = self.status();
        let field = match self {
            _ if status == StatusCode::SERVICE_UNAVAILABLE => (header::RETRY_AFTER, RETRY_AFTER),
            Self::Missing => (header::WWW_AUTHENTICATE, CHALLENGE),
            Self::Rejected(_) => (header::WWW_AUTHENTICATE, INVALID_TOKEN),
        };
        let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        (status, [field, no_store], self.text()).into_response()
    }
}

impl BearerRejection {
    fn text(self) -> &'static str {
        match self.status() {
            StatusCode::SERVICE_UNAVAILABLE => "Please try again in a moment.",
            _ => "Please sign in.",
        }
    }
}

/// Shows the text of the response.
impl fmt::Display for BearerRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for BearerRejection {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            Self::Missing => None,
        }
    }
}

const SCHEME: &[u8] = b"Bearer";
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer");
const INVALID_TOKEN: HeaderValue = HeaderValue::from_static("Bearer error=\"invalid_token\"");
/// In seconds, as for sessions: a store that answers again renews the lease sooner.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
