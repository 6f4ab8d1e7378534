//! Rejected cookies: the response does not reveal the reason.

use crate::{
    Request, Site,
    tokens::{of_an_unknown_session, under_another_key},
};

// SIGN-8: docs/security-checklist.md
pub(super) fn every_rejected_cookie_gets_the_same_response(site: &Site) {
    let rejected = rejected(site);
    for request in [
        Request::get("/get?key=a"),
        Request::get("/user"),
        Request::get("/devices"),
        Request::post("/take", &[("key", "a")]),
        Request::post("/rotate", &[]),
        Request::post("/csrf", &[("token", "made up")]),
        Request::post("/fail", &[("key", "a"), ("value", "1")]),
        Request::post("/sign-out", &[]),
    ] {
        let answers: Vec<_> = rejected
            .iter()
            .map(|(why, value)| (why, site.send(&request.clone().cookies(&[value])).undated()))
            .collect();
        for (why, answer) in &answers {
            assert_eq!(answer, &answers[0].1, "{why} and {}", answers[0].0);
        }
        if !is_sign_out(&request) {
            assert_eq!(
                answers[0].1,
                site.send(&request).undated(),
                "as without a cookie"
            );
        }
    }
}

// ID-4: docs/security-checklist.md
pub(super) fn a_rejected_cookie_is_never_adopted(site: &Site) {
    for (why, cookie) in rejected(site) {
        let [_, created, _] = site.stats();
        let answer = site.get("/get?key=a", &[&cookie]);
        assert_eq!((answer.body.as_str(), answer.cookie()), ("", None), "{why}");
        assert_eq!(site.stats()[1], created, "{why}: nothing is made of it");

        let form = [("key", "a"), ("value", "2")];
        let answer = site.post("/set", &form, &[&cookie]);
        if REPLACED.contains(&why.as_str()) {
            assert_eq!(
                (answer.status, answer.cookie()),
                (409, None),
                "{why}: there is a newer one"
            );
            continue;
        }
        assert!(
            answer.cookie().is_some_and(|own| own != cookie),
            "{why}: there is a new id"
        );
        assert_eq!(site.get("/get?key=a", &[cookie]).body, "", "{why}");
    }
}

/// The reasons for which the browser has, or is about to receive, a newer cookie.
const REPLACED: [&str; 2] = ["rotated away", "before a sign-in"];

/// A sign-out removes a rejected cookie, so its response differs from that without a cookie.
fn is_sign_out(request: &Request) -> bool {
    request.to_bytes().starts_with(b"POST /sign-out ")
}

/// Returns `Cookie` fields that are rejected, each with the reason.
fn rejected(site: &Site) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |why: &str, value: &str| {
        all.push((why.to_owned(), format!("__Host-session={value}")));
    };
    for (why, value) in malformed() {
        add(why, &value);
    }
    add("of another key", &under_another_key());
    add("unknown", &of_an_unknown_session());
    if site.has("clock") {
        let expired = value_of(site, &[]);
        site.post("/advance", &[("seconds", "1800")], crate::site::NO_COOKIES);
        add("expired", &expired);
    }
    add("ended", &value_of(site, &[("/sign-out", &[])]));
    add(REPLACED[0], &value_of(site, &[("/rotate", &[])]));
    let sign_in: &[_] = &[("user", "ada"), ("label", "")];
    add(REPLACED[1], &value_of(site, &[("/sign-in", sign_in)]));
    add(
        "ended everywhere",
        &value_of(
            site,
            &[("/sign-in", sign_in), ("/sign-out-everywhere", &[])],
        ),
    );
    for at in [0, 1, 3, 10, 26, 30, 47] {
        let good = value_of(site, &[]);
        let other = if good.as_bytes()[at] == b'A' {
            "Q"
        } else {
            "A"
        };
        add(
            &format!("damaged at {at}"),
            &[&good[..at], other, &good[at + 1..]].concat(),
        );
    }
    all
}

fn malformed() -> [(&'static str, String); 11] {
    [
        ("empty", String::new()),
        ("short", "A".to_owned()),
        ("an equals sign", "=".to_owned()),
        ("quotes", "\"\"".to_owned()),
        ("a path", "../../etc/passwd".to_owned()),
        ("an escape", "%00".to_owned()),
        ("an id of others", "AAAAAAAAAAAAAAAAAAAAAA".to_owned()),
        ("zeros", "A".repeat(48)),
        ("ones", "_".repeat(48)),
        ("no base64", "!".repeat(48)),
        ("long", "A".repeat(4_000)),
    ]
}

/// Returns the value of the cookie that a visitor had before the last of the requests.
fn value_of(site: &Site, then: &[(&str, &[(&str, &str)])]) -> String {
    let mut browser = site.browser();
    browser.set("a", "1");
    let mut old = browser.cookie();
    for (path, form) in then {
        old = browser.cookie();
        assert_eq!(browser.post(path, form).status, 200, "{path}");
    }
    old.split_once('=')
        .map(|(_, value)| value.to_owned())
        .expect("a cookie has a value")
}
