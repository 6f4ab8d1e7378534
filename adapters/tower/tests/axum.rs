//! The integration with axum: extractors, their rejections, and errors as responses.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    pin::Pin,
    sync::{Arc, mpsc},
    thread,
};

use axum::{
    Router,
    extract::{self, FromRequestParts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sessile_contract::Request;
use sessile_tower::{
    Key, NotSignedIn, Session, SessionError, SessionLayer, SessionManager, SignIn, SignedIn,
    safe_redirect_path,
};
use support::{Server, cache};
use tokio::sync::{Mutex, Notify, mpsc::unbounded_channel, oneshot};

const VISITS: Key<u32> = Key::new("visits");

async fn account(SignedIn { user, session }: SignedIn) -> Result<String, SessionError> {
    Ok(format!(
        "{user}, {} visits",
        session.get(VISITS)?.unwrap_or(0)
    ))
}

async fn maybe(signed_in: Option<SignedIn>) -> String {
    signed_in.map_or("nobody".to_owned(), |signed_in| signed_in.user)
}

async fn session_or_none(session: Option<Session>) -> &'static str {
    if session.is_some() {
        "a session"
    } else {
        "no layer"
    }
}

async fn own_answer(signed_in: Result<SignedIn, NotSignedIn>) -> Response {
    match signed_in {
        Ok(signed_in) => signed_in.user.into_response(),
        Err(NotSignedIn::Anonymous { .. }) => "a teaser".into_response(),
        Err(other) => other.into_response(),
    }
}

fn routes() -> Router {
    Router::new()
        .route("/account", get(account).post(account))
        .route("/maybe", get(maybe))
        .route("/option", get(session_or_none))
        .route("/own", get(own_answer))
        .route(
            "/sign-in",
            get(|session: Session| async move {
                session.insert(VISITS, 7)?;
                session.sign_in(SignIn::of("ada").label("laptop"))
            }),
        )
        .route(
            "/forged",
            post(|session: Session| async move { session.check_csrf("made up") }),
        )
        .route(
            "/conflict",
            get(|session: Session| async move {
                let twin = session.clone();
                twin.watch(VISITS)?;
                Err::<(), _>(SessionError::Conflict {
                    key: "visits".to_owned(),
                })
            }),
        )
}

#[test]
fn signed_in_users_are_extracted_and_others_are_401() {
    let server = Server::start(routes().layer(SessionLayer::new(cache())));
    let site = server.site();
    let mut browser = site.browser();
    for _ in 0..2 {
        let reply = browser.get("/account");
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (401, "Please sign in.")
        );
        assert_eq!(
            (reply.only("vary"), reply.only("cache-control")),
            (Some("Cookie"), Some("no-store"))
        );
        assert_eq!(browser.get("/maybe").body, "nobody");
        assert_eq!(browser.get("/own").body, "a teaser");
        assert_eq!(
            (reply.cookie(), browser.cookie().as_str()),
            (None, ""),
            "nothing is made of it"
        );
    }
    browser.get("/sign-in");
    assert_eq!(browser.get("/account").body, "ada, 7 visits");
    assert_eq!(
        (browser.get("/maybe").body, browser.get("/own").body),
        ("ada".into(), "ada".into())
    );
}

#[test]
fn others_are_sent_to_the_page_where_they_sign_in_and_come_back_from_it() {
    let layer = SessionLayer::new(
        SessionManager::builder(cache())
            .sign_in_page("/sign-in")
            .build()
            .unwrap(),
    );
    // A nested router removes the prefix from the path that its handlers receive.
    let server = Server::start(Router::new().nest("/shop", routes()).layer(layer));
    let site = server.site();
    for (path, next) in [
        ("/shop/account", "/shop/account"),
        (
            "/shop/account?a=1&b=%2F",
            "/shop/account%3Fa%3D1%26b%3D%252F",
        ),
    ] {
        let reply = site.send(&Request::get(path));
        let location = format!("/sign-in?next={next}");
        assert_eq!(
            (reply.status, reply.only("location")),
            (303, Some(location.as_str()))
        );
        assert_eq!(reply.only("cache-control"), Some("no-store"));
    }
    // A path that a redirect would repeat as a GET is not passed on.
    let reply = site.send(&Request::post("/shop/account", &[]));
    assert_eq!(
        (reply.status, reply.only("location")),
        (303, Some("/sign-in"))
    );
    assert_eq!(safe_redirect_path("//shop/account"), None);
}

#[test]
fn a_path_that_leads_elsewhere_is_not_come_back_to() {
    let layer = SessionLayer::new(
        SessionManager::builder(cache())
            .sign_in_page("/sign-in?lang=en")
            .build()
            .unwrap(),
    );
    let server = Server::start(Router::new().fallback(account).layer(layer));
    let site = server.site();
    for path in ["//evil.example", "/\\evil.example", "//evil.example/%2e%2e"] {
        let reply = site.send(&Request::get(path));
        assert!([303, 400].contains(&reply.status), "{path}");
        assert!(
            reply
                .only("location")
                .is_none_or(|location| location == "/sign-in?lang=en")
        );
    }
    assert!(
        SessionManager::builder(cache())
            .sign_in_page("a b")
            .build()
            .is_err()
    );
}

#[test]
fn a_missing_layer_is_500_from_each_extractor_that_needs_it() {
    let server = Server::start(routes());
    let site = server.site();
    for path in ["/account", "/maybe", "/own", "/sign-in"] {
        let reply = site.send(&Request::get(path));
        assert_eq!(reply.status, 500, "{path}");
        assert!(
            reply.body.contains("the session layer is missing"),
            "{path}: {}",
            reply.body
        );
    }
    assert_eq!(site.send(&Request::get("/option")).body, "no layer");
}

#[test]
fn errors_have_the_status_of_their_cause() {
    let server = Server::start(routes().layer(SessionLayer::new(cache())));
    let site = server.site();
    let forged = site.send(&Request::post("/forged", &[]));
    assert_eq!(forged.status, 403);
    assert!(forged.body.contains("reload the page"), "{}", forged.body);
    let conflict = site.send(&Request::get("/conflict"));
    assert_eq!(conflict.status, 409);
    assert!(!conflict.body.contains("visits"), "{}", conflict.body);
}

// LIFE-5: docs/security-checklist.md
#[test]
fn a_concurrent_change_of_a_watched_key_is_409_and_stores_nothing() {
    let (tell, under_way) = mpsc::channel();
    let go_on = Arc::new(Notify::new());
    let gate = go_on.clone();
    let check_out = move |session: Session| async move {
        session.watch(VISITS)?;
        session.insert("ordered", true)?;
        tell.send(()).unwrap();
        gate.notified().await;
        Ok::<_, SessionError>("ordered")
    };
    let visit = |session: Session| async move { session.increment(VISITS, 1).map(drop) };
    let is_ordered = |session: Session| async move {
        session
            .get::<bool>("ordered")
            .map(|ordered| format!("{ordered:?}"))
    };
    let routes = routes()
        .route("/check-out", get(check_out))
        .route("/visit", get(visit))
        .route("/is-ordered", get(is_ordered));
    let server = Server::start(routes.layer(SessionLayer::new(cache())));
    let site = server.site();
    let mut browser = site.browser();
    browser.get("/visit");
    for (meanwhile, expected) in [("/visit", (409, "None")), ("/maybe", (200, "Some(true)"))] {
        let request = browser.with_cookie(&Request::get("/check-out"));
        let reply = thread::scope(|scope| {
            let check_out = scope.spawn(|| site.send(&request));
            under_way.recv().unwrap();
            browser.get(meanwhile);
            go_on.notify_one();
            check_out.join().unwrap()
        });
        assert_eq!(
            (reply.status, browser.get("/is-ordered").body.as_str()),
            expected
        );
        assert_eq!(
            reply.status == 409,
            reply.body.contains("at the same time"),
            "{}",
            reply.body
        );
    }
}

/// Returns the session of a request, as an extractor does.
async fn extracted(request: extract::Request) -> Result<String, String> {
    let (mut parts, _) = request.into_parts();
    let session = Session::from_request_parts(&mut parts, &()).await;
    session
        .map(|session| session.user().unwrap_or_default())
        .map_err(|missing| missing.to_string())
}

#[test]
fn an_extractor_on_a_task_that_another_request_polls_returns_the_session_of_its_own_request() {
    type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
    let (task, tasks) = unbounded_channel::<Task>();
    let tasks = Arc::new(Mutex::new(tasks));
    let queued = move |request: extract::Request| async move {
        let (answer, answered) = oneshot::channel();
        task.send(Box::pin(async move {
            answer.send(extracted(request).await).unwrap();
        }))
        .unwrap();
        answered.await.unwrap()
    };
    let run_queue = move |session: Session| async move {
        let task = tasks.lock().await.recv().await.unwrap();
        task.await;
        session.user().unwrap_or_default()
    };
    let sign_in = |session: Session, name: String| async move { session.sign_in(name.as_str()) };
    let routes = Router::new()
        .route("/queued", get(queued))
        .route("/run-queue", get(run_queue))
        .route("/sign-in", post(sign_in));
    let server = Server::start(routes.layer(SessionLayer::new(cache())));
    let site = server.site();
    let (mut ada, mut bob) = (site.browser(), site.browser());
    ada.post("/sign-in", &[("user", "ada")]);
    bob.post("/sign-in", &[("user", "bob")]);
    let request = ada.with_cookie(&Request::get("/queued"));
    let (of_ada, of_bob) = thread::scope(|scope| {
        let of_ada = scope.spawn(|| site.send(&request).body);
        let of_bob = bob.get("/run-queue").body;
        (of_ada.join().unwrap(), of_bob)
    });
    assert_eq!((of_ada.as_str(), of_bob.as_str()), ("user=ada", "user=bob"));
}

#[test]
fn an_extractor_on_another_task_finds_the_session() {
    let spawned =
        |request: extract::Request| async move { tokio::spawn(extracted(request)).await.unwrap() };
    let routes = routes().route("/spawned", get(spawned));
    let server = Server::start(routes.layer(SessionLayer::new(cache())));
    let site = server.site();
    let mut browser = site.browser();
    browser.get("/sign-in");
    assert_eq!(browser.get("/spawned").body, "ada");
}

#[test]
fn a_missing_session_names_each_cause_and_its_remedy() {
    let text = Server::start(routes())
        .site()
        .send(&Request::get("/sign-in"))
        .body;
    for part in [
        "the session layer is missing",
        ".layer(sessile_tower::SessionLayer::new(cache))",
        "a middleware outside the session layer",
        "copy the extensions",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
