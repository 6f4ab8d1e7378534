//! Which address does what. Whatever changes something is a POST, and answers with where to look.

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
use sessile::{Handle, SessionCache};
use sessile_tower::{SessionError, SessionLayer, SignIn, SignedIn};

use crate::{
    cart::Cart,
    catalogue::{self, Product},
    device,
    form::{Posted, Sent},
    headers,
    pages::{self, Frame, NameWas},
    robots::Robots,
    server::REMEMBERED,
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

/// All routes of the shop, with that layer of sessions.
pub(crate) fn router(shop: Arc<Shop>, sessions: SessionLayer) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/sign-in", get(door).post(sign_in))
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

async fn home(State(shop): Place, visit: Visit) -> Answer {
    Ok(pages::home(&shop.frame(&visit)?).into_response())
}

async fn cart(State(shop): Place, visit: Visit) -> Answer {
    Ok(pages::cart(&shop.frame(&visit)?).into_response())
}

async fn nowhere(State(shop): Place, visit: Visit) -> Answer {
    Ok((
        StatusCode::NOT_FOUND,
        pages::not_found(&shop.frame(&visit)?),
    )
        .into_response())
}

async fn door(State(shop): Place, visit: Visit, Query(wish): Query<Wish>) -> Answer {
    visit.begin_sign_in(wish.next.as_deref())?;
    Ok(pages::sign_in(&shop.frame(&visit)?, &NameWas::Unasked).into_response())
}

async fn sign_in(State(shop): Place, headers: HeaderMap, posted: Posted<Name>) -> Answer {
    let Posted {
        visit,
        form,
        has_token,
    } = posted;
    if !has_token {
        // Nobody can have the page without a session, so nobody signs somebody else in unseen.
        return Ok(shop.out_of_date(&visit));
    }
    let name = form.name.trim();
    if let Err(must) = acceptable(name) {
        let page = pages::sign_in(&shop.frame(&visit)?, &NameWas::Refused { name, must });
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

async fn sign_out(Posted { visit, .. }: Posted<Sent>) -> Redirect {
    visit.session.sign_out().await;
    Redirect::to("/")
}

async fn devices(State(shop): Place, SignedIn { session, .. }: SignedIn, visit: Visit) -> Answer {
    Ok(pages::devices(&shop.frame(&visit)?, &session.user_sessions().await).into_response())
}

async fn end_device(State(shop): Place, posted: Posted<Which>) -> Answer {
    let Posted { visit, form, .. } = posted;
    let Ok(handle) = form.handle.parse::<Handle>() else {
        return Ok((
            StatusCode::NOT_FOUND,
            pages::not_found(&shop.frame(&visit)?),
        )
            .into_response());
    };
    let is_ended = visit.session.end_by_handle(&handle).await;
    // Nobody is left to be told if it was this one.
    if visit.session.is_authenticated() {
        visit.tell(if is_ended {
            "That device is signed out."
        } else {
            "That device was signed out already."
        })?;
    }
    Ok(Redirect::to("/devices").into_response())
}

async fn end_others(Posted { visit, .. }: Posted<Sent>) -> Answer {
    let ended = visit.session.sign_out_others().await;
    if visit.session.is_authenticated() {
        visit.tell(&match ended {
            0 => "You were signed in nowhere else.".to_owned(),
            1 => "One other device is signed out.".to_owned(),
            more => format!("{more} other devices are signed out."),
        })?;
    }
    Ok(Redirect::to("/devices").into_response())
}

async fn end_all(Posted { visit, .. }: Posted<Sent>) -> Redirect {
    visit.session.sign_out_everywhere().await;
    Redirect::to("/")
}

async fn add(place: Place, mut posted: Posted<Choice>) -> Answer {
    if let Some(product) = catalogue::find(&posted.form.product) {
        posted
            .visit
            .tell(&format!("{} is in your cart.", product.name))?;
    }
    let back = format!("/#{}", posted.form.product);
    change(&place, &mut posted, &back, Cart::add).await
}

async fn more(place: Place, mut posted: Posted<Choice>) -> Answer {
    change(&place, &mut posted, "/cart", Cart::add).await
}

async fn take(place: Place, mut posted: Posted<Choice>) -> Answer {
    change(&place, &mut posted, "/cart", Cart::take).await
}

async fn remove(place: Place, mut posted: Posted<Choice>) -> Answer {
    change(&place, &mut posted, "/cart", Cart::remove).await
}

/// Changes the cart by one product, and leads back; a product that is not in the shop is not found.
async fn change(
    State(shop): &Place,
    Posted { visit, form, .. }: &mut Posted<Choice>,
    back: &str,
    with: fn(&mut Cart, &Product),
) -> Answer {
    let Some(product) = catalogue::find(&form.product) else {
        let page = pages::not_found(&shop.frame(visit)?);
        return Ok((StatusCode::NOT_FOUND, page).into_response());
    };
    visit.change_cart(|cart| with(cart, product)).await?;
    Ok(Redirect::to(back).into_response())
}

async fn stats(State(shop): Place, visit: Visit) -> Answer {
    let report = shop.report(&visit.visitor);
    Ok(pages::stats(&shop.frame(&visit)?, &report).into_response())
}

async fn figures(State(shop): Place, visit: Visit) -> Json<Value> {
    Json(shop.report(&visit.visitor).json())
}

async fn release(State(shop): Place, _: Posted<Sent>) -> Redirect {
    // If a wave is under way the page shows it, which is all there is to say.
    shop.robots.release(&shop.cache);
    Redirect::to("/stats")
}

/// What a Prometheus scrapes.
async fn metrics(State(shop): Place) -> Response {
    let headers = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (headers, shop.cache.stats().prometheus().to_string()).into_response()
}

async fn icon() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "max-age=86400"),
    ];
    (headers, pages::ICON).into_response()
}

impl Shop {
    /// The page that a form gets which is not the visitor's own, or was once.
    pub(crate) fn out_of_date(&self, visit: &Visit) -> Response {
        match self.frame(visit) {
            Ok(frame) => (StatusCode::FORBIDDEN, pages::out_of_date(&frame)).into_response(),
            Err(error) => error.into_response(),
        }
    }

    /// Takes the message for this page, and asks for the token last, as it must be.
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
struct Wish {
    next: Option<String>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
    remember: Option<String>,
}

#[derive(Deserialize)]
struct Which {
    handle: String,
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
