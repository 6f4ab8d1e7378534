//! Who asks: the name, the cart, and the session that holds both.
//!
//! Owns what the shop keeps in a session. A name counts only while the engine says that the session
//! is signed in. Knows nothing of pages.

use std::time::{Duration, Instant};

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use sessile_tower::{Session, SessionError};

use crate::cart::{self, Cart};

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
    session: Session,
}

impl Visit {
    /// Changes the cart and stores it. The last thing out of the cart of a visitor who is not signed
    /// in leaves nothing to keep, so their session goes too.
    pub(crate) fn change_cart(
        mut self,
        change: impl FnOnce(&mut Cart),
    ) -> Result<(), SessionError> {
        change(&mut self.visitor.cart);
        match self.visitor.cart.is_empty() {
            false => self.session.insert(cart::KEY, &self.visitor.cart),
            true if self.session.is_authenticated() => self.session.remove(cart::KEY),
            true => self.session.clear(),
        }
    }

    /// Signs in under that name. The cart stays, unless it is that of somebody else who was signed in.
    pub(crate) fn sign_in(self, name: &str) -> Result<(), SessionError> {
        if self.visitor.name.is_some_and(|before| before != name) {
            self.session.clear()?;
        }
        self.session.insert(NAME, name)?;
        self.session.sign_in(name)
    }

    /// Ends the session on the server.
    pub(crate) fn sign_out(self) {
        self.session.sign_out();
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let session =
            Session::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let visitor = Visitor::of(&session).map_err(IntoResponse::into_response)?;
        Ok(Self { visitor, session })
    }
}

impl Visitor {
    /// The first look at a session is what reads it.
    fn of(session: &Session) -> Result<Self, SessionError> {
        let start = Instant::now();
        let is_authenticated = session.is_authenticated();
        let took = start.elapsed();
        let name = if is_authenticated { session.get(NAME)? } else { None };
        let cart: Cart = session.get(cart::KEY)?.unwrap_or_default();
        let exists = name.is_some() || !cart.is_empty();
        Ok(Self { name, cart, read: exists.then_some(took) })
    }
}

/// Where a session keeps the name of who is signed in.
const NAME: &str = "name";
