//! Who asks: the name, the cart, and the session that holds both.
//!
//! Owns what the shop keeps in a session. Knows nothing of pages.

use std::time::{Duration, Instant};

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use sessile_tower::{Key, Session, SessionError, SignIn, safe_redirect_path};

use crate::cart::Cart;

/// What a page shows of whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Visitor {
    pub(crate) name: Option<String>,
    pub(crate) cart: Cart,
    /// How long it took from the request's cookie to the session's data; none where there is none.
    pub(crate) read: Option<Duration>,
}

/// A request with its visitor: what a handler takes.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) visitor: Visitor,
    pub(crate) session: Session,
}

impl Visit {
    /// Changes the cart and stores it. The last thing out of the cart of a visitor who is not
    /// signed in leaves nothing to keep, so their session goes too.
    pub(crate) async fn change_cart(
        &mut self,
        change: impl FnOnce(&mut Cart) + Send,
    ) -> Result<(), SessionError> {
        change(&mut self.visitor.cart);
        match self.visitor.cart.is_empty() {
            false => self.session.insert(CART.as_ref(), &self.visitor.cart),
            true if self.visitor.name.is_some() => self.session.remove(CART),
            true => {
                self.session.sign_out().await;
                Ok(())
            }
        }
    }

    /// Leaves a message for the next page.
    pub(crate) fn tell(&self, message: &str) -> Result<(), SessionError> {
        self.session.insert(FLASH, message.to_owned())
    }

    /// The message that was left for this page.
    pub(crate) fn message(&self) -> Result<Option<String>, SessionError> {
        self.session.take(FLASH)
    }

    /// Whether there is a session, counting one of this request.
    pub(crate) fn has_session(&self) -> bool {
        self.session.is_authenticated() || !self.session.keys().is_empty()
    }

    /// What the forms of a page carry, for a visitor with a session. One without gets none: looking
    /// around stores nothing.
    pub(crate) fn form_token(&self) -> Result<Option<String>, SessionError> {
        self.has_session()
            .then(|| self.session.csrf_token())
            .transpose()
    }

    /// The page that signs in starts a session, so that its form can carry a token, and notes where
    /// the visitor wanted to go.
    pub(crate) fn begin_sign_in(&self, next: Option<&str>) -> Result<(), SessionError> {
        let next = next.and_then(safe_redirect_path).unwrap_or("/");
        self.session.insert(NEXT, next.to_owned())
    }

    /// Signs in, and says where the visitor wanted to go. The cart stays, unless it is that of
    /// somebody else who was signed in.
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
    /// The first look at a session is what reads it.
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

/// What the next page tells, once.
const FLASH: Key<String> = Key::new("flash");

/// Where a visitor goes on to who is signing in.
const NEXT: Key<String> = Key::new("next");
