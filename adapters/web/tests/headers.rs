//! The headers of requests and responses.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use sessile::SameSite;
use sessile_web::adapter::{SessionExt, ready};
use sessile_web::{Session, SessionManager, SessionManagerBuilder};
use support::{Visitor, builder, cache};

// COOK-6: docs/security-checklist.md
#[test]
fn every_accessor_sets_vary() {
    type Act = fn(&Session);
    let accessors: [(&str, Act); 29] = [
        ("get", |session| drop(session.get::<u32>("a"))),
        ("contains", |session| _ = session.contains_key("a")),
        ("keys", |session| drop(session.keys())),
        ("is_authenticated", |session| _ = session.is_authenticated()),
        ("insert", |session| session.insert("a", 2).unwrap()),
        ("remove", |session| session.remove("a").unwrap()),
        ("clear", |session| session.clear().unwrap()),
        ("sign_in", |session| session.sign_in("alice").unwrap()),
        ("take", |session| drop(session.take::<u32>("a"))),
        ("increment", |session| {
            _ = session.increment("a", 1).unwrap();
        }),
        ("append", |session| session.append("list", 1).unwrap()),
        ("compare_and_set", |session| {
            _ = session.compare_and_set("b", None, 1).unwrap();
        }),
        ("guard", |session| session.watch("a").unwrap()),
        ("save", |session| ready(session.save()).unwrap()),
        ("json", |session| drop(session.json("a"))),
        ("json, reserved", |session| {
            drop(session.json("sessile:user"));
        }),
        ("pairs", |session| drop(session.pairs())),
        ("insert_json", |session| {
            session.insert_json("a", "2").unwrap();
        }),
        ("user", |session| drop(session.user())),
        ("authenticated_for", |session| {
            _ = session.authenticated_for();
        }),
        ("assurance", |session| _ = session.assurance_level()),
        ("devices", |session| {
            drop(ready(session.user_sessions()).unwrap());
        }),
        ("sign_out_others", |session| {
            _ = ready(session.sign_out_others()).unwrap();
        }),
        ("sign_out_everywhere", |session| {
            _ = ready(session.sign_out_everywhere()).unwrap();
        }),
        ("csrf_token", |session| drop(session.csrf_token().unwrap())),
        ("check_csrf", |session| drop(session.check_csrf("a"))),
        ("persistent", |session| session.make_persistent().unwrap()),
        ("rotate", |session| session.rotate().unwrap()),
        ("sign_out", |session: &Session| {
            ready(session.sign_out()).unwrap();
        }),
    ];
    for (name, act) in accessors {
        let mut visitor = Visitor::of(&cache());
        let (_, reply) = visitor.visit(act);
        assert_eq!(
            reply.headers[header::VARY],
            "Cookie",
            "{name} without a cookie"
        );
        visitor.visit(|session| session.insert("a", 1).unwrap());
        let (_, reply) = visitor.visit(act);
        assert_eq!(reply.headers[header::VARY], "Cookie", "{name}");
    }
}

// COOK-6: docs/security-checklist.md
#[test]
fn a_response_that_did_not_read_the_session_has_no_vary() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let before = cache.stats();
    let (_, reply) = visitor.visit(|_| ());
    assert!(reply.headers.is_empty());
    assert_eq!(cache.stats(), before, "and the engine was not asked");
}

// COOK-1, COOK-6: docs/security-checklist.md
#[test]
fn a_cookie_is_safe_sensitive_and_not_stored_by_caches() {
    let (_, reply) = Visitor::of(&cache()).visit(|session| session.insert("a", 1).unwrap());
    let cookie = reply.set_cookie().unwrap();
    assert!(cookie.starts_with("__Host-session="));
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(
        !cookie.contains("Domain") && !cookie.contains("Max-Age"),
        "{cookie}"
    );
    assert!(reply.headers[header::SET_COOKIE].is_sensitive());
    assert_eq!(reply.headers[header::CACHE_CONTROL], "no-store");
}

// TERM-6: docs/security-checklist.md
#[test]
fn a_removal_repeats_the_attributes_of_the_cookie() {
    let cache = builder().cookie_name("__Secure-shop").build().unwrap();
    let sessions = SessionManager::builder(cache)
        .path("/shop")
        .domain("shop.example")
        .same_site(SameSite::None)
        .partitioned(true)
        .max_age(Duration::from_secs(3_600))
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&sessions);
    let (_, set) = visitor.visit(|session| session.insert("a", 1).unwrap());
    let (_, removed) = visitor.visit(|session: &Session| ready(session.sign_out()).unwrap());
    let attributes = [
        "Path=/shop",
        "Domain=shop.example",
        "Secure",
        "HttpOnly",
        "SameSite=None",
        "Partitioned",
    ];
    for (reply, max_age) in [(&set, "Max-Age=3600"), (&removed, "Max-Age=0")] {
        let cookie = reply.set_cookie().unwrap();
        assert!(cookie.starts_with("__Secure-shop="), "{cookie}");
        for attribute in attributes.iter().chain([&max_age]) {
            let times = cookie.split("; ").filter(|part| part == attribute).count();
            assert_eq!(times, 1, "{attribute} in {cookie}");
        }
        assert_eq!(reply.headers[header::CACHE_CONTROL], "no-store");
    }
}

#[test]
fn a_domain_may_have_a_leading_dot_and_the_removal_repeats_it() {
    let cache = builder().cookie_name("shop").build().unwrap();
    let sessions = SessionManager::builder(cache)
        .domain(".shop.example")
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&sessions);
    let (_, set) = visitor.visit(|session| session.insert("a", 1).unwrap());
    let (_, removed) = visitor.visit(|session: &Session| ready(session.sign_out()).unwrap());
    for reply in [set, removed] {
        assert!(
            reply
                .set_cookie()
                .unwrap()
                .contains("; Domain=.shop.example;")
        );
    }
    assert!(
        sessions
            .to_builder()
            .domain("..shop.example")
            .build()
            .is_err()
    );
}

// COOK-2: docs/security-checklist.md
#[test]
fn contradictions_are_rejected_by_build() {
    let host = SessionManager::builder(cache());
    assert!(host.clone().domain("shop.example").build().is_err());
    assert!(host.clone().path("/shop").build().is_err());
    assert!(
        host.clone()
            .max_age(Duration::from_secs(401 * 24 * 60 * 60))
            .build()
            .is_err()
    );
    assert!(
        host.clone()
            .insecure_http()
            .domain("shop.example")
            .build()
            .is_err(),
        "in development already"
    );
    let plain = SessionManager::builder(builder().cookie_name("shop").build().unwrap());
    for path in ["shop", "/a;b", "/a\r\nSet-Cookie: b=c"] {
        assert!(plain.clone().path(path).build().is_err(), "{path}");
    }
    assert!(plain.domain("a b").build().is_err());
}

// COOK-4: docs/security-checklist.md
#[test]
fn attributes_that_browsers_would_truncate_are_rejected_by_build() {
    let plain = SessionManager::builder(builder().cookie_name("shop").build().unwrap());
    assert!(plain.clone().path("/".repeat(1024)).build().is_ok());
    assert!(plain.clone().path("/".repeat(1025)).build().is_err());
    assert!(plain.domain("a.".repeat(127) + "b").build().is_err());
}

#[test]
fn plain_http_drops_attributes_that_need_https_in_any_order() {
    let set = |builder: SessionManagerBuilder| builder.same_site(SameSite::None).partitioned(true);
    let before = set(SessionManager::builder(cache()).insecure_http())
        .build()
        .unwrap();
    let after = set(SessionManager::builder(cache()))
        .insecure_http()
        .build()
        .unwrap();
    for sessions in [before, after] {
        let (_, reply) = Visitor::new(&sessions).visit(|session| session.insert("a", 1).unwrap());
        let cookie = reply.set_cookie().unwrap();
        assert!(
            cookie.starts_with("session=") && cookie.contains("; SameSite=Lax"),
            "{cookie}"
        );
        assert!(
            !cookie.contains("Secure") && !cookie.contains("Partitioned"),
            "{cookie}"
        );
    }
}

#[test]
fn plain_http_does_not_take_the_cookie_of_https() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let cookie = visitor.cookie.unwrap();
    let mut visitor = Visitor::new(
        &SessionManager::builder(cache)
            .insecure_http()
            .build()
            .unwrap(),
    );
    visitor.cookie = Some(cookie.clone());
    assert!(visitor.begin().keys().is_empty());
    visitor.cookie = Some(cookie.replace("__Host-", ""));
    assert_eq!(
        visitor.begin().keys(),
        ["a"],
        "the value is the same, the name is not"
    );
}

// PARSE-5: docs/security-checklist.md
#[test]
fn every_split_into_fields_gives_the_same_session() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let ours = visitor.cookie.unwrap();
    let pairs = [
        "theme=dark",
        ours.as_str(),
        "__Host-session=other",
        "lang=en",
    ];
    let plain = pairs.map(|pair| pair.replace("__Host-", ""));
    let plain = [0, 1, 2, 3].map(|at| plain[at].as_str());
    for split in 0..8_u32 {
        for (sessions, pairs) in [
            (SessionManager::new(cache.clone()), pairs),
            (
                SessionManager::builder(cache.clone())
                    .insecure_http()
                    .build()
                    .unwrap(),
                plain,
            ),
        ] {
            let session = sessions.begin(&fields(&pairs, split));
            assert_eq!(session.get("a").unwrap(), Some(1), "split {split:03b}");
        }
    }
}

/// Returns the pairs, with a new field after each whose bit is set.
fn fields(pairs: &[&str], split: u32) -> HeaderMap {
    let mut fields = vec![String::new()];
    for (at, pair) in pairs.iter().enumerate() {
        let field = fields.last_mut().unwrap();
        field.push_str(if field.is_empty() { "" } else { "; " });
        field.push_str(pair);
        if split >> at & 1 == 1 {
            fields.push(String::new());
        }
    }
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(header::COOKIE, HeaderValue::try_from(field).unwrap());
    }
    headers
}

// PARSE-8: docs/security-checklist.md
#[test]
fn a_cookie_of_invalid_text_affects_no_other_cookie() {
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| session.insert("a", 1).unwrap());
    let ours = visitor.cookie.unwrap();
    let mut headers = HeaderMap::new();
    let cookie = [b"a=\xff\xfe; ", ours.as_bytes(), b"; b=\x80"].concat();
    headers.insert(header::COOKIE, HeaderValue::from_bytes(&cookie).unwrap());
    assert_eq!(
        SessionManager::new(cache).begin(&headers).get("a").unwrap(),
        Some(1)
    );
}
