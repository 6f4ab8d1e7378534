//! The routes. Requests that change something are `POST` requests, and their responses redirect.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Query, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{from_fn, map_response},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::Value;
use sessile::Handle;
use sessile_tower::{Cache, SessionError, SessionLayer, SignIn, SignedIn};

use crate::{
    cart::Cart,
    catalogue::{self, Product},
    device,
    form::{Empty, Posted},
    headers,
    pages::{self, Frame, NameField},
    robots::Robots,
    server::REMEMBERED,
    stats::{Instruments, Report},
    visitor::{Visit, Visitor},
};

/// The state that the handlers share.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) cache: Cache,
    pub(crate) instruments: Instruments,
    pub(crate) robots: Arc<Robots>,
}

/// Returns all routes of the shop behind the session layer.
pub(crate) fn router(shop: Arc<Shop>, sessions: SessionLayer) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/sign-in", get(sign_in_page).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/devices", get(devices))
        .route("/devices/end", post(end_device))
        .route("/devices/end-others", post(end_others))
        .route("/devices/end-all", post(end_all))
        .route("/cart", get(cart))
        .route("/cart/add", post(add))
        .route("/cart/more", post(more))
        .route("/cart/take", post(take))
        .route("/cart/remove", post(remove))
        .route("/stats", get(stats))
        .route("/stats.json", get(figures))
        .route("/robots", post(release))
        .fallback(not_found)
        .layer(sessions)
        .route("/icon.svg", get(icon))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(MAX_FORM_LEN))
        .layer(from_fn(headers::own_site_only))
        .layer(map_response(headers::add_security_headers))
        .with_state(shop)
}

type SharedShop = State<Arc<Shop>>;
type HandlerResult = Result<Response, SessionError>;

async fn home(State(shop): SharedShop, visit: Visit) -> HandlerResult {
    Ok(pages::home(&shop.frame(&visit)?).into_response())
}

async fn cart(State(shop): SharedShop, visit: Visit) -> HandlerResult {
    Ok(pages::cart(&shop.frame(&visit)?).into_response())
}

async fn not_found(State(shop): SharedShop, visit: Visit) -> HandlerResult {
    Ok((
        StatusCode::NOT_FOUND,
        pages::not_found(&shop.frame(&visit)?),
    )
        .into_response())
}

async fn sign_in_page(
    State(shop): SharedShop,
    visit: Visit,
    Query(query): Query<SignInQuery>,
) -> HandlerResult {
    visit.prepare_sign_in(query.next.as_deref())?;
    Ok(pages::sign_in(&shop.frame(&visit)?, &NameField::Suggested).into_response())
}

async fn sign_in(
    State(shop): SharedShop,
    headers: HeaderMap,
    posted: Posted<SignInForm>,
) -> HandlerResult {
    let Posted {
        visit,
        form,
        has_token,
    } = posted;
    if !has_token {
        // The page always creates a session. A form without its token comes from an attacker who
        // tries to sign the visitor in as another user.
        return Ok(shop.out_of_date(&visit));
    }
    let name = form.name.trim();
    if let Err(must) = check_name(name) {
        let page = pages::sign_in(&shop.frame(&visit)?, &NameField::Rejected { name, must });
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let browser = headers
        .get(header::USER_AGENT)
        .and_then(|text| text.to_str().ok());
    let who = SignIn::of(name).label(&device::name(browser.unwrap_or_default()));
    let who = if form.remember.is_some() {
        who.remember(REMEMBERED)
    } else {
        who
    };
    Ok(Redirect::to(&visit.sign_in(who, name)?).into_response())
}

async fn sign_out(Posted { visit, .. }: Posted<Empty>) -> HandlerResult {
    visit.session.sign_out().await?;
    Ok(Redirect::to("/").into_response())
}

async fn devices(
    State(shop): SharedShop,
    SignedIn { session, .. }: SignedIn,
    visit: Visit,
) -> HandlerResult {
    let devices = session.user_sessions().await?;
    Ok(pages::devices(&shop.frame(&visit)?, &devices).into_response())
}

async fn end_device(State(shop): SharedShop, posted: Posted<DeviceForm>) -> HandlerResult {
    let Posted { visit, form, .. } = posted;
    let Ok(handle) = form.handle.parse::<Handle>() else {
        return Ok((
            StatusCode::NOT_FOUND,
            pages::not_found(&shop.frame(&visit)?),
        )
            .into_response());
    };
    let is_ended = visit.session.end_by_handle(&handle).await?;
    // If it was this session, there is no page to show a message on.
    if visit.session.is_authenticated() {
        visit.set_message(if is_ended {
            "That device is signed out."
        } else {
            "That device was signed out already."
        })?;
    }
    Ok(Redirect::to("/devices").into_response())
}

async fn end_others(Posted { visit, .. }: Posted<Empty>) -> HandlerResult {
    let ended = visit.session.sign_out_others().await?;
    if visit.session.is_authenticated() {
        visit.set_message(&match ended {
            0 => "You were signed in nowhere else.".to_owned(),
            1 => "One other device is signed out.".to_owned(),
            more => format!("{more} other devices are signed out."),
        })?;
    }
    Ok(Redirect::to("/devices").into_response())
}

async fn end_all(Posted { visit, .. }: Posted<Empty>) -> HandlerResult {
    visit.session.sign_out_everywhere().await?;
    Ok(Redirect::to("/").into_response())
}

async fn add(place: SharedShop, mut posted: Posted<ProductForm>) -> HandlerResult {
    if let Some(product) = catalogue::find(&posted.form.product) {
        posted
            .visit
            .set_message(&format!("{} is in your cart.", product.name))?;
    }
    let back = format!("/#{}", posted.form.product);
    change(&place, &mut posted, &back, Cart::add).await
}

async fn more(place: SharedShop, mut posted: Posted<ProductForm>) -> HandlerResult {
    change(&place, &mut posted, "/cart", Cart::add).await
}

async fn take(place: SharedShop, mut posted: Posted<ProductForm>) -> HandlerResult {
    change(&place, &mut posted, "/cart", Cart::take).await
}

async fn remove(place: SharedShop, mut posted: Posted<ProductForm>) -> HandlerResult {
    change(&place, &mut posted, "/cart", Cart::remove).await
}

/// Changes the cart by one product and redirects. An unknown product is 404.
async fn change(
    State(shop): &SharedShop,
    Posted { visit, form, .. }: &mut Posted<ProductForm>,
    back: &str,
    with: fn(&mut Cart, &Product),
) -> HandlerResult {
    let Some(product) = catalogue::find(&form.product) else {
        let page = pages::not_found(&shop.frame(visit)?);
        return Ok((StatusCode::NOT_FOUND, page).into_response());
    };
    visit.change_cart(|cart| with(cart, product)).await?;
    Ok(Redirect::to(back).into_response())
}

async fn stats(State(shop): SharedShop, visit: Visit) -> HandlerResult {
    let report = shop.report(&visit.visitor);
    Ok(pages::stats(&shop.frame(&visit)?, &report).into_response())
}

async fn figures(State(shop): SharedShop, visit: Visit) -> Json<Value> {
    Json(shop.report(&visit.visitor).json())
}

async fn release(State(shop): SharedShop, _: Posted<Empty>) -> Redirect {
    // If a wave is running already, the page shows its progress.
    shop.robots.release(&shop.cache);
    Redirect::to("/stats")
}

/// Serves the metrics in Prometheus' text format.
async fn metrics(State(shop): SharedShop) -> Response {
    let headers = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (headers, shop.cache.prometheus()).into_response()
}

async fn icon() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "max-age=86400"),
    ];
    (headers, pages::ICON).into_response()
}

impl Shop {
    /// Returns the response to a form whose CSRF token is not valid.
    pub(crate) fn out_of_date(&self, visit: &Visit) -> Response {
        match self.frame(visit) {
            Ok(frame) => (StatusCode::FORBIDDEN, pages::out_of_date(&frame)).into_response(),
            Err(error) => error.into_response(),
        }
    }

    /// Returns the frame of a page. The CSRF token is created last, because a rotation before it
    /// would invalidate it.
    fn frame<'a>(&self, visit: &'a Visit) -> Result<Frame<'a>, SessionError> {
        Ok(Frame {
            visitor: &visit.visitor,
            memory: self.cache.stats().memory.budget as u64,
            message: visit.message()?,
            token: visit.form_token()?,
        })
    }

    fn report(&self, visitor: &Visitor) -> Report {
        self.instruments
            .read(&self.cache, self.robots.progress(), visitor.name.as_deref())
    }
}

#[derive(Deserialize)]
struct SignInQuery {
    next: Option<String>,
}

#[derive(Deserialize)]
struct SignInForm {
    name: String,
    remember: Option<String>,
}

#[derive(Deserialize)]
struct DeviceForm {
    handle: String,
}

#[derive(Deserialize)]
struct ProductForm {
    product: String,
}

/// Accepts names of 1 to 40 visible characters.
fn check_name(name: &str) -> Result<(), &'static str> {
    match name.chars().count() {
        0 => Err("Please enter a name."),
        1..=pages::MAX_NAME_LEN if !name.contains(char::is_control) => Ok(()),
        _ => Err("A name has at most 40 characters, all of them visible."),
    }
}

/// The maximum length of a form, in bytes.
const MAX_FORM_LEN: usize = 4096;
