//! Which address does what. Whatever changes something is a POST, and answers with where to look.

use std::sync::Arc;

use axum::{
    Form, Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    middleware::{from_fn, map_response},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::Value;
use sessile::SessionCache;
use sessile_tower::{SessionError, SessionLayer};

use crate::{
    cart::Cart,
    catalogue::{self, Product},
    headers,
    pages::{self, Frame, NameWas},
    robots::Robots,
    stats::{Instruments, Report},
    visitor::{Visit, Visitor},
};

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) cache: SessionCache,
    pub(crate) instruments: Instruments,
    pub(crate) robots: Arc<Robots>,
}

/// All routes of the shop. On plain HTTP, for it listens on the loopback address only.
pub(crate) fn router(shop: Arc<Shop>) -> Router {
    let sessions = SessionLayer::new(shop.cache.clone()).insecure_http();
    Router::new()
        .route("/", get(home))
        .route("/sign-in", get(door).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/cart", get(cart))
        .route("/cart/add", post(add))
        .route("/cart/more", post(more))
        .route("/cart/take", post(take))
        .route("/cart/remove", post(remove))
        .route("/stats", get(stats))
        .route("/stats.json", get(figures))
        .route("/robots", post(release))
        .fallback(nowhere)
        .layer(sessions)
        .route("/icon.svg", get(icon))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(LONGEST_FORM))
        .layer(from_fn(headers::own_site_only))
        .layer(map_response(headers::guard))
        .with_state(shop)
}

type Place = State<Arc<Shop>>;
type Answer = Result<Response, SessionError>;

async fn home(State(shop): Place, visit: Visit) -> Response {
    pages::home(&shop.frame(&visit.visitor)).into_response()
}

async fn cart(State(shop): Place, visit: Visit) -> Response {
    pages::cart(&shop.frame(&visit.visitor)).into_response()
}

async fn nowhere(State(shop): Place, visit: Visit) -> Response {
    (StatusCode::NOT_FOUND, pages::not_found(&shop.frame(&visit.visitor))).into_response()
}

async fn door(State(shop): Place, visit: Visit) -> Response {
    pages::sign_in(&shop.frame(&visit.visitor), &NameWas::Unasked).into_response()
}

async fn sign_in(State(shop): Place, visit: Visit, Form(form): Form<Name>) -> Answer {
    let name = form.name.trim();
    if let Err(must) = acceptable(name) {
        let page = pages::sign_in(&shop.frame(&visit.visitor), &NameWas::Refused { name, must });
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    visit.sign_in(name)?;
    Ok(Redirect::to("/").into_response())
}

async fn sign_out(visit: Visit) -> Redirect {
    visit.sign_out();
    Redirect::to("/")
}

async fn add(place: Place, visit: Visit, Form(choice): Form<Choice>) -> Answer {
    let back = format!("/#{}", choice.product);
    change(place, visit, &choice, &back, Cart::add)
}

async fn more(place: Place, visit: Visit, Form(choice): Form<Choice>) -> Answer {
    change(place, visit, &choice, "/cart", Cart::add)
}

async fn take(place: Place, visit: Visit, Form(choice): Form<Choice>) -> Answer {
    change(place, visit, &choice, "/cart", Cart::take)
}

async fn remove(place: Place, visit: Visit, Form(choice): Form<Choice>) -> Answer {
    change(place, visit, &choice, "/cart", Cart::remove)
}

/// Changes the cart by one product, and leads back; a product that is not in the shop is not found.
fn change(
    State(shop): Place,
    visit: Visit,
    choice: &Choice,
    back: &str,
    with: fn(&mut Cart, &Product),
) -> Answer {
    let Some(product) = catalogue::find(&choice.product) else {
        let page = pages::not_found(&shop.frame(&visit.visitor));
        return Ok((StatusCode::NOT_FOUND, page).into_response());
    };
    visit.change_cart(|cart| with(cart, product))?;
    Ok(Redirect::to(back).into_response())
}

async fn stats(State(shop): Place, visit: Visit) -> Response {
    let report = shop.report(&visit.visitor);
    pages::stats(&shop.frame(&visit.visitor), &report).into_response()
}

async fn figures(State(shop): Place, visit: Visit) -> Json<Value> {
    Json(shop.report(&visit.visitor).json())
}

async fn release(State(shop): Place) -> Redirect {
    // If a wave is under way the page shows it, which is all there is to say.
    shop.robots.release(&shop.cache);
    Redirect::to("/stats")
}

/// What a Prometheus scrapes.
async fn metrics(State(shop): Place) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, shop.cache.stats().prometheus().to_string()).into_response()
}

async fn icon() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "max-age=86400")];
    (headers, pages::ICON).into_response()
}

impl Shop {
    fn frame<'a>(&self, visitor: &'a Visitor) -> Frame<'a> {
        Frame { visitor, memory: self.cache.stats().memory.budget as u64 }
    }

    fn report(&self, visitor: &Visitor) -> Report {
        self.instruments.read(&self.cache, self.robots.progress(), visitor.name.as_deref())
    }
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Choice {
    product: String,
}

/// Any text that a person can read, of one to 40 characters.
fn acceptable(name: &str) -> Result<(), &'static str> {
    match name.chars().count() {
        0 => Err("The shop needs something to call you."),
        1..=pages::LONGEST_NAME if !name.contains(char::is_control) => Ok(()),
        _ => Err("A name has at most 40 characters, all of them visible."),
    }
}

/// Bytes that a form of this shop may have.
const LONGEST_FORM: usize = 4096;
