//! The routes of the contract in axum: see the table of `sessile-contract`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Extension, Form, Router,
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use sessile::{KeyRing, ManualClock, SessionCache};
use sessile_tower::{Cache, Session, SessionError, SessionLayer, SessionManager, SignIn};
use tokio::sync::watch;

type Input = Form<HashMap<String, String>>;
type Answer = Result<String, SessionError>;
type Done = Result<&'static str, SessionError>;

pub(crate) fn app() -> Router {
    let clock = ManualClock::new();
    let cache = cache_with(clock.clone());
    app_of(layer(&cache), cache, clock)
}

/// Returns the layer of the contract, with the feature `identity-keys`.
pub(crate) fn layer(cache: &SessionCache) -> SessionLayer {
    layer_on(cache.clone())
}

pub(crate) fn layer_on(cache: impl Into<Cache>) -> SessionLayer {
    SessionLayer::new(
        SessionManager::builder(cache)
            .identity_keys(["user_id"])
            .build()
            .unwrap(),
    )
}

pub(crate) fn cache_with(clock: ManualClock) -> SessionCache {
    let keys = KeyRing::from_base64(sessile_contract::KEYS).unwrap();
    SessionCache::builder()
        .memory(16 << 20)
        .keys(keys)
        .clock(clock)
        .build()
        .unwrap()
}

pub(crate) fn app_of(layer: SessionLayer, cache: SessionCache, clock: ManualClock) -> Router {
    app_on(layer, Backend::local(cache, clock))
}

pub(crate) fn app_on(layer: SessionLayer, backend: Backend) -> Router {
    let others = with_other_settings(&layer);
    with_extensions(routes().layer(layer).merge(others), backend)
}

/// Returns the application for a layer around the whole router.
pub(crate) fn bare_app(layer: &SessionLayer, cache: SessionCache, clock: ManualClock) -> Router {
    let routes = routes().merge(with_other_settings(layer));
    with_extensions(routes, Backend::local(cache, clock))
}

/// Returns the routes behind layers of one cache with other settings, and those without a session.
fn with_other_settings(layer: &SessionLayer) -> Router {
    let sessions = || layer.manager();
    let rotating = sessions()
        .to_builder()
        .persistent_cookies(true)
        .rotate_every(Duration::from_secs(600))
        .build()
        .unwrap();
    let touched = sessions().to_builder().touch_always(true).build().unwrap();
    without_session()
        .nest("/rotating", routes().layer(SessionLayer::from(rotating)))
        .nest("/touched", routes().layer(SessionLayer::from(touched)))
}

fn with_extensions(app: Router, backend: Backend) -> Router {
    app.layer(Extension(backend))
        .layer(Extension(Held::default()))
}

/// The parts of the cache behind the layer that the routes of the tests need.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) stats: Arc<dyn Fn() -> [u64; 3] + Send + Sync>,
    pub(crate) advance: Arc<dyn Fn(Duration) + Send + Sync>,
}

impl Backend {
    fn local(cache: SessionCache, clock: ManualClock) -> Self {
        let stats = move || {
            cache.maintain(usize::MAX);
            let stats = cache.stats();
            [cache.len() as u64, stats.created, stats.saved]
        };
        Self {
            stats: Arc::new(stats),
            advance: Arc::new(move |by| clock.advance(by)),
        }
    }
}

fn without_session() -> Router {
    const FEATURES: &str = "panics\ncancels\nincrement\nremember\nclock\nlarge-headers\nidentity-keys\n\
                            touch-always\nrotates\nkeep\nguard";
    Router::new()
        .route("/features", get(|| async { FEATURES }))
        .route("/stats", get(stats))
        .route("/held", get(held))
        .route("/release", post(release))
        .route("/advance", post(advance))
}

/// Returns the routes that use the session, without a layer.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/untouched", get(|| async { "untouched" }))
        .route("/get", get(read))
        .route("/set", post(set))
        .route("/remove", post(remove))
        .route("/take", post(take))
        .route(
            "/clear",
            post(|session: Session| async move { session.clear().map(ok) }),
        )
        .route("/bump", post(bump))
        .route("/increment", post(increment))
        .route("/sign-in", post(sign_in))
        .route(
            "/user",
            get(|session: Session| async move { session.user().unwrap_or_default() }),
        )
        .route("/sign-out", post(sign_out))
        .route("/sign-out-and-set", post(sign_out_and_set))
        .route(
            "/sign-out-set-and-delete-cookie",
            post(sign_out_set_and_delete_cookie),
        )
        .route("/sign-out-everywhere", post(sign_out_everywhere))
        .route(
            "/rotate",
            post(|session: Session| async move { session.rotate().map(ok) }),
        )
        .route("/devices", get(devices))
        .route(
            "/csrf",
            get(|session: Session| async move { session.csrf_token() }).post(check_csrf),
        )
        .route("/own-headers", post(own_headers))
        .route("/unwritable", post(unwritable))
        .route("/fail", post(fail))
        .route("/sign-out-and-fail", post(sign_out_and_fail))
        .route("/panic", post(panic))
        .route("/sign-out-and-panic", post(sign_out_and_panic))
        .route("/stream", get(stream))
        .merge(routes_that_wait())
        .route("/save-and-go-on", post(save_and_go_on))
        .route("/remove-and-fail", post(remove_and_fail))
        .route("/keep", post(keep))
        .route("/framed-set", post(set).layer(map_response(framed)))
}

fn routes_that_wait() -> Router {
    Router::new()
        .route("/held-set", post(held_set))
        .route("/held-take", post(held_take))
        .route("/held-sign-in", post(held_sign_in))
        .route("/held-guarded-set", post(held_guarded_set))
        .route("/held-csrf", get(held_csrf))
        .route("/slow-set", post(slow_set))
        .route("/slow-csrf", get(slow_csrf))
}

fn ok((): ()) -> &'static str {
    "ok"
}

fn text(value: Option<Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

async fn stats(Extension(backend): Extension<Backend>) -> String {
    let [sessions, created, saved] = (backend.stats)();
    format!("{sessions} {created} {saved}")
}

async fn read(session: Session, Form(input): Input) -> Answer {
    Ok(text(session.get(&input["key"])?))
}

async fn set(session: Session, Form(input): Input) -> Done {
    session.insert(&input["key"], &input["value"]).map(ok)
}

async fn remove(session: Session, Form(input): Input) -> Done {
    session.remove(&input["key"]).map(ok)
}

async fn take(session: Session, Form(input): Input) -> Answer {
    Ok(text(session.take(&input["key"])?))
}

async fn bump(session: Session, Form(input): Input) -> Answer {
    let key = &input["key"];
    let next = session.get::<u64>(key)?.unwrap_or(0) + 1;
    session.insert(key, next)?;
    Ok(next.to_string())
}

async fn increment(session: Session, Form(input): Input) -> Answer {
    Ok(session.increment(&input["key"], 1)?.to_string())
}

async fn sign_in(session: Session, Form(input): Input) -> Done {
    let mut who = SignIn::of(&input["user"]).label(&input["label"]);
    if let Some(seconds) = input.get("remember") {
        who = who.remember(Duration::from_secs(seconds.parse().unwrap()));
    }
    session.sign_in(who).map(ok)
}

async fn sign_out(session: Session) -> Done {
    session.sign_out().await.map(ok)
}

async fn sign_out_and_set(session: Session, input: Input) -> Done {
    session.sign_out().await?;
    set(session, input).await
}

async fn sign_out_set_and_delete_cookie(
    session: Session,
    input: Input,
) -> Result<impl IntoResponse, SessionError> {
    let done = sign_out_and_set(session, input).await?;
    Ok((
        [(header::SET_COOKIE, "__Host-session=; Path=/; Max-Age=0")],
        done,
    ))
}

async fn sign_out_everywhere(session: Session) -> Result<String, SessionError> {
    Ok(session.sign_out_everywhere().await?.to_string())
}

async fn devices(session: Session) -> Result<String, SessionError> {
    let devices = session.user_sessions().await?;
    let line = |device: &sessile_tower::SessionInfo| {
        format!(
            "{}{}",
            if device.is_current() { "* " } else { "" },
            device.label()
        )
    };
    Ok(devices.iter().map(line).collect::<Vec<_>>().join("\n"))
}

async fn check_csrf(session: Session, Form(input): Input) -> Done {
    session.check_csrf(&input["token"]).map(ok)
}

async fn own_headers(session: Session) -> Result<impl IntoResponse, SessionError> {
    session.insert("a", "1")?;
    let headers = [
        (header::SET_COOKIE, "theme=dark"),
        (header::VARY, "accept-language"),
        (header::CACHE_CONTROL, "public, max-age=60"),
    ];
    Ok((headers, "ok"))
}

async fn unwritable(session: Session) -> Done {
    session.insert("a", HashMap::from([((1, 2), 3)])).map(ok)
}

async fn fail(session: Session, Form(input): Input) -> Result<impl IntoResponse, SessionError> {
    session.insert(&input["key"], &input["value"])?;
    session.sign_in("mallory")?;
    Ok((StatusCode::INTERNAL_SERVER_ERROR, "failed"))
}

async fn sign_out_and_fail(
    session: Session,
    Form(input): Input,
) -> Result<impl IntoResponse, SessionError> {
    session.sign_out().await?;
    session.insert(&input["key"], &input["value"])?;
    Ok((StatusCode::INTERNAL_SERVER_ERROR, "failed"))
}

async fn panic(session: Session, Form(input): Input) -> Done {
    session.insert(&input["key"], &input["value"])?;
    panic!("a handler of the contract panics, as it should");
}

async fn sign_out_and_panic(session: Session) {
    session.sign_out().await.unwrap();
    panic!("a handler of the contract panics, as it should");
}

async fn stream(session: Session, Form(input): Input) -> Result<Body, SessionError> {
    let key = input["key"].clone();
    let first = format!("{}\n", text(session.get(&key)?));
    let late = async move {
        match session.insert(&key, "late") {
            Ok(()) => "stored",
            Err(SessionError::AlreadyCommitted) => "refused",
            Err(error) => panic!("{error}"),
        }
    };
    let chunks = stream::iter([Bytes::from(first)]).chain(stream::once(late).map(Bytes::from));
    Ok(Body::from_stream(
        chunks.map(Ok::<_, std::convert::Infallible>),
    ))
}

async fn held_set(session: Session, held: Extension<Held>, input: Input) -> Done {
    session.get::<Value>(&input["key"])?;
    held.wait().await;
    set(session, input).await
}

async fn held_take(session: Session, held: Extension<Held>, input: Input) -> Answer {
    session.get::<Value>(&input["key"])?;
    held.wait().await;
    take(session, input).await
}

async fn held_sign_in(session: Session, held: Extension<Held>, input: Input) -> Done {
    let _ = session.user();
    held.wait().await;
    sign_in(session, input).await
}

async fn held_guarded_set(session: Session, held: Extension<Held>, input: Input) -> Done {
    session.watch(&input["guard"])?;
    held.wait().await;
    keep(session.clone(), Form(input.0.clone())).await?;
    set(session, input).await
}

async fn held_csrf(session: Session, held: Extension<Held>) -> Answer {
    let token = session.csrf_token()?;
    held.wait().await;
    Ok(token)
}

async fn slow_set(session: Session, held: Extension<Held>, input: Input) -> Done {
    held.wait().await;
    set(session, input).await
}

async fn slow_csrf(session: Session, held: Extension<Held>) -> Answer {
    held.wait().await;
    session.csrf_token()
}

async fn save_and_go_on(session: Session, Form(input): Input) -> Done {
    match input["verb"].as_str() {
        "sign-in" => session.sign_in(&*input["user"])?,
        "rotate" => session.rotate()?,
        _ => session.clear()?,
    }
    for key in ["x", "y"] {
        session.insert(key, &input["value"])?;
    }
    let saved = session.save().await;
    for key in ["x", "y"] {
        session.remove(key)?;
    }
    Ok(if saved.is_ok() { "stored" } else { "rejected" })
}

async fn remove_and_fail(
    session: Session,
    input: Input,
) -> Result<impl IntoResponse, SessionError> {
    remove(session, input).await?;
    Ok((StatusCode::INTERNAL_SERVER_ERROR, "failed"))
}

async fn keep(session: Session, Form(input): Input) -> Done {
    match input.get("seconds") {
        Some(seconds) => session.remember(Duration::from_secs(seconds.parse().unwrap())),
        None => session.make_persistent(),
    }
    .map(ok)
}

/// The middleware of `/framed-set`.
async fn framed(mut response: Response) -> Response {
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "https://shop.example"),
        (HeaderName::from_static("x-request-id"), "7"),
        (header::SET_COOKIE, "theme=dark"),
        (header::ACCEPT_RANGES, "bytes"),
        (header::AGE, "1"),
        (header::CONTENT_DISPOSITION, "inline"),
        (header::CONTENT_LANGUAGE, "en"),
        (header::CONTENT_LOCATION, "/framed"),
        (header::CONTENT_RANGE, "bytes 0-1/2"),
        (header::ETAG, "\"1\""),
        (header::EXPIRES, "Thu, 01 Jan 2099 00:00:00 GMT"),
        (header::LAST_MODIFIED, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (header::LINK, "</style.css>; rel=preload"),
        (header::LOCATION, "/elsewhere"),
        (header::REFRESH, "60"),
    ] {
        response
            .headers_mut()
            .append(name, HeaderValue::from_static(value));
    }
    response
}

async fn held(Extension(held): Extension<Held>, Form(input): Input) -> &'static str {
    let requests: usize = input["requests"].parse().unwrap();
    let mut changes = held.0.subscribe();
    changes
        .wait_for(|now| now.requests == requests)
        .await
        .unwrap();
    "ok"
}

async fn release(Extension(held): Extension<Held>) -> &'static str {
    held.0.send_modify(|now| now.releases += 1);
    "ok"
}

async fn advance(Extension(backend): Extension<Backend>, Form(input): Input) -> &'static str {
    (backend.advance)(Duration::from_secs(input["seconds"].parse().unwrap()));
    "ok"
}

/// Requests that wait for `/release`.
#[derive(Clone, Default)]
struct Held(watch::Sender<Now>);

#[derive(Default)]
struct Now {
    requests: usize,
    releases: usize,
}

impl Held {
    /// Counts a request until it is released, or dropped because its client disconnected.
    async fn wait(&self) {
        let mut changes = self.0.subscribe();
        let releases = changes.borrow().releases;
        self.0.send_modify(|now| now.requests += 1);
        let _count = Count(self);
        changes
            .wait_for(|now| now.releases > releases)
            .await
            .unwrap();
    }
}

struct Count<'h>(&'h Held);

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|now| now.requests -= 1);
    }
}
