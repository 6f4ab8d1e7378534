//! Cookies with other settings, and `Cookie` fields of HTTP/2. The contract covers the behaviour
//! that is common to all adapters.

#![allow(clippy::unwrap_used)]

mod support;

use axum::http::Request;
use h2::client;
use http::header::{COOKIE, SET_COOKIE};
use sessile::{KeyRing, SessionCache};
use sessile_contract::{Answer, Browser};
use sessile_tower::{SameSite, SessionLayer, SessionManager};
use support::{Server, cache, contract};
use tokio::net::TcpStream;

#[test]
fn plain_http_works_without_secure_and_without_the_prefix() {
    let layer = SessionLayer::new(
        SessionManager::builder(cache())
            .same_site(SameSite::None)
            .insecure_http()
            .build()
            .unwrap(),
    );
    let server = Server::start(contract::routes().layer(layer));
    let site = server.site();
    let mut browser = site.browser();
    let cookie = set_cookie(&mut browser);
    assert!(cookie.starts_with("session="));
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"));

    assert_eq!(browser.value("a"), "1");
    let old = browser.cookie();
    browser.sign_in("ada", "");
    assert_eq!(
        (browser.value("a").as_str(), browser.user().as_str()),
        ("1", "ada")
    );
    assert_eq!(site.get("/get?key=a", &[old]).body, "");
    assert!(
        browser
            .post("/sign-out", &[])
            .only("set-cookie")
            .unwrap()
            .starts_with("session=;")
    );
    assert_eq!(browser.cookie(), "");
}

// PARSE-6: docs/security-checklist.md
#[test]
fn plain_http_tries_four_values_over_all_fields_and_no_more() {
    let layer = SessionLayer::new(
        SessionManager::builder(cache())
            .insecure_http()
            .build()
            .unwrap(),
    );
    let server = Server::start(contract::routes().layer(layer));
    let site = server.site();
    let mut browser = site.browser();
    browser.set("a", "1");
    let (ours, bad) = (browser.cookie(), "session=damaged; session=");
    assert_eq!(site.get("/get?key=a", &[bad, "session=x", &ours]).body, "1");
    assert_eq!(site.get("/get?key=a", &[bad, bad, &ours]).body, "");
}

// ST-20: tests/vectors/store_contract_cases.json
#[test]
fn another_name_and_path_are_honoured() {
    let settings = SessionCache::builder()
        .memory(4 << 20)
        .cookie_name("__Secure-shop");
    let cache = settings.keys(KeyRing::generate().unwrap()).build().unwrap();
    let layer = SessionLayer::new(
        SessionManager::builder(cache)
            .path("/shop")
            .build()
            .unwrap(),
    );
    let server = Server::start(contract::routes().layer(layer));
    let site = server.site();
    let mut browser = site.browser();
    let cookie = set_cookie(&mut browser);
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert!(pair.starts_with("__Secure-shop="));
    assert_eq!(attributes, "Path=/shop; HttpOnly; Secure; SameSite=Lax");
    assert_eq!(browser.cookie(), "", "it is not for this path");
    assert_eq!(site.get("/get?key=a", &[pair]).body, "1");
}

fn set_cookie(browser: &mut Browser<'_>) -> String {
    let answer: Answer = browser.post("/set", &[("key", "a"), ("value", "1")]);
    answer.only("set-cookie").unwrap().to_owned()
}

/// HTTP/2 sends each cookie in a field of its own (RFC 9113, section 8.2.3).
// PARSE-5: docs/security-checklist.md
#[test]
fn http_2_splits_the_cookie_field() {
    let server = Server::start(contract::app());
    let address = server.address;
    server.runtime.block_on(async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut http2, connection) = client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut ask = async |method, path: &str, body: &'static str, cookies: &[&str]| {
            let uri = format!("http://{address}{path}");
            let mut request = Request::builder().method(method).uri(uri);
            if !body.is_empty() {
                request = request.header("content-type", "application/x-www-form-urlencoded");
            }
            let request = cookies
                .iter()
                .fold(request, |request, one| request.header(COOKIE, *one));
            let request = request.body(()).unwrap();
            let (response, mut sender) = http2.send_request(request, body.is_empty()).unwrap();
            if !body.is_empty() {
                sender.send_data(body.into(), true).unwrap();
            }
            let (head, mut body) = response.await.unwrap().into_parts();
            let mut text = Vec::new();
            while let Some(chunk) = body.data().await {
                text.extend_from_slice(&chunk.unwrap());
            }
            (head, String::from_utf8(text).unwrap())
        };
        let (head, _) = ask("POST", "/set", "key=a&value=1", &[]).await;
        assert_eq!(
            (head.status.as_u16(), head.version),
            (200, http::Version::HTTP_2)
        );
        let cookie = head.headers[SET_COOKIE]
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap();
        for fields in [
            &[cookie][..],
            &["a=1", cookie, "b=2"],
            &["a=1; b=2", "c", cookie],
            &["__Host-session=damaged", "a=1", cookie],
            &["a=\"", cookie, "a=\""],
        ] {
            let (head, body) = ask("GET", "/get?key=a", "", fields).await;
            assert_eq!((body.as_str(), head.headers.get(SET_COOKIE)), ("1", None));
        }
        assert_eq!(ask("GET", "/get?key=a", "", &["a=1", "b=2"]).await.1, "");
    });
}
