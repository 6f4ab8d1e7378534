//! Posted forms and their protection against forgery.
//!
//! Every handler that changes something takes [`Posted`], so no handler can omit the check. The
//! module does not know the fields of a form.

use std::sync::Arc;

use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{headers, routes::Shop, visitor::Visit};

/// The extractor of a `POST` handler: a form that passed the CSRF check.
///
/// The form carries the session's CSRF token. If no user is signed in, it suffices that the browser
/// reports a page of the shop as the origin, because the page may be older than the session.
/// Without a session, only the check in [`headers`] applies.
#[derive(Debug)]
pub(crate) struct Posted<T> {
    pub(crate) visit: Visit,
    pub(crate) form: T,
    /// True if the form carried the session's token.
    pub(crate) has_token: bool,
}

impl<T: DeserializeOwned> FromRequest<Arc<Shop>> for Posted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, shop: &Arc<Shop>) -> Result<Self, Response> {
        let is_same_origin = headers::is_same_origin(request.headers());
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, shop).await?;
        let fields = Form::from_request(Request::from_parts(parts, body), shop).await;
        let Form(Fields { csrf, form }) = fields.map_err(IntoResponse::into_response)?;
        let has_token = csrf.is_some_and(|token| visit.session.check_csrf(&token).is_ok());
        let is_anonymous = visit.visitor.name.is_none() && (is_same_origin || !visit.has_session());
        match has_token || is_anonymous {
            true => Ok(Self {
                visit,
                form,
                has_token,
            }),
            false => Err(shop.out_of_date(&visit)),
        }
    }
}

/// A form without fields.
#[derive(Debug, Deserialize)]
pub(crate) struct Empty {}

#[derive(Deserialize)]
struct Fields<T> {
    csrf: Option<String>,
    #[serde(flatten)]
    form: T,
}
