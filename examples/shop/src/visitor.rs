//! The visitor of a request: the name, the cart, and the session that stores both.
//!
//! Owns the keys of the session's data. It does not know pages.

use std::time::{Duration, Instant};

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use sessile_tower::{Key, Session, SessionError, SignIn, safe_redirect_path};

use crate::cart::Cart;

/// The part of a session that pages show.
#[derive(Debug, Default)]
pub(crate) struct Visitor {
    pub(crate) name: Option<String>,
    pub(crate) cart: Cart,
    /// The time from the request's cookie to the session's data; `None` without a session.
    pub(crate) read: Option<Duration>,
}

/// The extractor of the handlers: a session and its visitor.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) visitor: Visitor,
    pub(crate) session: Session,
}

impl Visit {
    /// Changes the cart and stores it. An empty cart of a visitor who is not signed in ends the
    /// session, because there is nothing to keep.
    pub(crate) async fn change_cart(
        &mut self,
        change: impl FnOnce(&mut Cart) + Send,
    ) -> Result<(), SessionError> {
        change(&mut self.visitor.cart);
        match self.visitor.cart.is_empty() {
            false => self.session.insert(CART.as_ref(), &self.visitor.cart),
            true if self.visitor.name.is_some() => self.session.remove(CART),
            true => self.session.sign_out().await,
        }
    }

    /// Stores a message for the next page.
    pub(crate) fn set_message(&self, message: &str) -> Result<(), SessionError> {
        self.session.insert(FLASH, message.to_owned())
    }

    /// Removes and returns the message for this page.
    pub(crate) fn message(&self) -> Result<Option<String>, SessionError> {
        self.session.take(FLASH)
    }

    /// Returns true if there is a session, including one that this request creates.
    pub(crate) fn has_session(&self) -> bool {
        self.session.is_authenticated() || !self.session.keys().is_empty()
    }

    /// Returns the CSRF token for the forms of a page; `None` without a session, because viewing
    /// pages must not create one.
    pub(crate) fn form_token(&self) -> Result<Option<String>, SessionError> {
        self.has_session()
            .then(|| self.session.csrf_token())
            .transpose()
    }

    /// Creates a session for the sign-in page, so that its form can carry a CSRF token, and stores
    /// the path to which the visitor returns.
    pub(crate) fn prepare_sign_in(&self, next: Option<&str>) -> Result<(), SessionError> {
        let next = next.and_then(safe_redirect_path).unwrap_or("/");
        self.session.insert(NEXT, next.to_owned())
    }

    /// Signs a user in and returns the path of the next page. The cart is kept, unless another user
    /// was signed in.
    pub(crate) fn sign_in(self, who: SignIn, name: &str) -> Result<String, SessionError> {
        let next = self.session.take(NEXT)?;
        if self.visitor.name.is_some_and(|before| before != name) {
            self.session.clear()?;
        }
        self.session.sign_in(who)?;
        Ok(next.unwrap_or_else(|| "/".into()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        let visitor = Visitor::of(&session).map_err(IntoResponse::into_response)?;
        Ok(Self { visitor, session })
    }
}

impl Visitor {
    /// Reads a session. The first call of a verb loads it, so that call is timed.
    fn of(session: &Session) -> Result<Self, SessionError> {
        let start = Instant::now();
        let name = session.user();
        let took = start.elapsed();
        let exists = name.is_some() || !session.keys().is_empty();
        let cart = session.get(CART)?.unwrap_or_default();
        Ok(Self {
            name,
            cart,
            read: exists.then_some(took),
        })
    }
}

const CART: Key<Cart> = Key::new("cart");

/// The message for the next page.
const FLASH: Key<String> = Key::new("flash");

/// The path to which a visitor returns after signing in.
const NEXT: Key<String> = Key::new("next");
