//! The extractor of axum.

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use http_body_util::BodyExt;
use serde::Deserialize;
use sessile_jwt::{BearerRejection, Claims, Rejection, Revocations, Verifier};
use tower::ServiceExt;

use crate::support::{builder, with_claims};

#[derive(Deserialize)]
struct User {
    sub: String,
}

async fn required(user: Claims<User>) -> String {
    user.into_inner().sub
}

async fn optional(user: Option<Claims<User>>) -> String {
    user.map_or_else(|| "none".to_owned(), |user| user.into_inner().sub)
}

/// The status, the challenge and the body of a response.
type Answer = (StatusCode, Option<String>, String);

async fn answer(verifier: &Verifier, path: &str, fields: &[&str]) -> Answer {
    let routes = Router::new()
        .route("/", get(required))
        .route("/optional", get(optional))
        .with_state(verifier.clone());
    let mut request = Request::get(path);
    for field in fields {
        request = request.header(header::AUTHORIZATION, *field);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = routes.oneshot(request).await.unwrap();
    let challenge = response.headers().get(header::WWW_AUTHENTICATE);
    let challenge = challenge.map(|value| value.to_str().unwrap().to_owned());
    if challenge.is_some() {
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, challenge, String::from_utf8(body.to_vec()).unwrap())
}

fn rejected(challenge: &str) -> Answer {
    let body = "Please sign in.".to_owned();
    (StatusCode::UNAUTHORIZED, Some(challenge.to_owned()), body)
}

fn accepted(body: &str) -> Answer {
    (StatusCode::OK, None, body.to_owned())
}

const INVALID: &str = "Bearer error=\"invalid_token\"";

#[tokio::test]
async fn a_token_is_read_from_the_field() {
    let verifier = builder().build().unwrap();
    let token = with_claims(",\"sub\":\"ada\"");
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let field = format!("{scheme} {token}");
        assert_eq!(answer(&verifier, "/", &[&field]).await, accepted("ada"));
    }
    let field = format!("Bearer   {token}  ");
    assert_eq!(
        answer(&verifier, "/optional", &[&field]).await,
        accepted("ada")
    );
}

#[tokio::test]
async fn a_request_without_a_token_gets_a_plain_challenge() {
    let verifier = builder().build().unwrap();
    for fields in [&[][..], &["Basic YTpi"], &["Bear x"], &[""], &["Bearér x"]] {
        assert_eq!(
            answer(&verifier, "/", fields).await,
            rejected("Bearer"),
            "{fields:?}"
        );
        assert_eq!(
            answer(&verifier, "/optional", fields).await,
            accepted("none")
        );
    }
    assert!(verifier.prometheus().contains("{cause=\"missing\"} 5\n"));
}

fn field(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn the_client_does_not_learn_the_cause() {
    let verifier = builder().audience("api").build().unwrap();
    let good = with_claims(",\"sub\":\"ada\",\"aud\":\"api\"");
    let fields = [
        field(&with_claims(",\"sub\":\"ada\"")),
        field(&with_claims(",\"sub\":\"ada\",\"aud\":\"other\"")),
        field(&with_claims(",\"aud\":\"api\"")),
        field(&format!("{good}A")),
        field("x"),
        field(""),
        "Bearer".to_owned(),
        format!("Bearer\t{good}"),
        format!("Bearer,{good}"),
        format!("Bearer {good} {good}"),
    ];
    for field in &fields {
        for path in ["/", "/optional"] {
            let answer = answer(&verifier, path, &[field]).await;
            assert_eq!(answer, rejected(INVALID), "{field}");
        }
    }
    let twice = [&*field(&good), &field(&good)];
    assert_eq!(answer(&verifier, "/", &twice).await, rejected(INVALID));
    let text = verifier.prometheus();
    for (cause, count) in [("audience", 2), ("missing_claim", 2), ("claims", 2)] {
        let line = format!("{{cause=\"{cause}\"}} {count}\n");
        assert!(text.contains(&line), "{text}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_rejected_as_any_other() {
    let revocations = Revocations::in_memory(8).unwrap();
    let verifier = builder().revocations(revocations.clone()).build().unwrap();
    let good = field(&with_claims(",\"sub\":\"ada\""));
    assert_eq!(answer(&verifier, "/", &[&good]).await, accepted("ada"));
    revocations.revoke_all().await.unwrap();
    assert_eq!(answer(&verifier, "/", &[&good]).await, rejected(INVALID));
    let line = "{cause=\"revoked\"} 1\n";
    assert!(verifier.prometheus().contains(line));
}

#[test]
fn unknown_revocations_are_503_with_a_time_to_retry() {
    let response = BearerRejection::Rejected(Rejection::Unavailable).into_response();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
}
