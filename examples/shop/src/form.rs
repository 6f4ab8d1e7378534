//! A form that came back, and whether it is the visitor's own.
//!
//! Whatever changes something is taken through [`Posted`], so no handler can forget the check.
//! Knows nothing of what a form asks for.

use std::sync::Arc;

use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{headers, routes::Shop, visitor::Visit};

/// A form of the visitor's own: what a handler of a POST takes.
///
/// It carries the session's token. Where nobody is signed in it is enough that the browser says
/// that it comes from a page of the shop, for that page may be older than the session. Where there
/// is no session, nothing but what [`headers`] refuses for all.
#[derive(Debug)]
pub(crate) struct Posted<T> {
    pub(crate) visit: Visit,
    pub(crate) form: T,
    /// Whether it carried the session's token.
    pub(crate) has_token: bool,
}

impl<T: DeserializeOwned> FromRequest<Arc<Shop>> for Posted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, shop: &Arc<Shop>) -> Result<Self, Response> {
        let is_vouched_for = headers::is_vouched_for(request.headers());
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, shop).await?;
        let fields = Form::from_request(Request::from_parts(parts, body), shop).await;
        let Form(Fields { csrf, form }) = fields.map_err(IntoResponse::into_response)?;
        let has_token = csrf.is_some_and(|token| visit.session.check_csrf(&token).is_ok());
        let is_nobody = visit.visitor.name.is_none() && (is_vouched_for || !visit.has_session());
        match has_token || is_nobody {
            true => Ok(Self {
                visit,
                form,
                has_token,
            }),
            false => Err(shop.out_of_date(&visit)),
        }
    }
}

/// A form that says nothing but that it was sent.
#[derive(Debug, Deserialize)]
pub(crate) struct Sent {}

#[derive(Deserialize)]
struct Fields<T> {
    csrf: Option<String>,
    #[serde(flatten)]
    form: T,
}
