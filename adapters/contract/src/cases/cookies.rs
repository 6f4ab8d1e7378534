//! The parts of a response that concern the cookie, for browsers and caches.

use crate::{
    Answer, COOKIE_NAME, Request, Site,
    invariants::{attributes, own_cookies, varies},
    jar,
};

// COOK-1: docs/security-checklist.md
pub(super) fn the_cookie_is_tied_to_the_host_and_hidden_from_scripts(site: &Site) {
    let cookie = issued(&site.browser().post("/set", KEY_AND_VALUE)).to_owned();
    assert_eq!(
        attributes(&cookie),
        "path=/; httponly; secure; samesite=lax"
    );
    assert!(cookie.starts_with("__Host-session="));
}

// COOK-2: docs/security-checklist.md
pub(super) fn a_browser_keeps_the_cookie_over_tls_alone(site: &Site) {
    let answer = site.browser().post("/set", KEY_AND_VALUE);
    let cookie = issued(&answer);
    assert!(jar::Browser::new("shop.example").receive(cookie.as_bytes()));
    assert!(!jar::Browser::insecure("shop.example").receive(cookie.as_bytes()));
}

// COOK-3: docs/security-checklist.md
pub(super) fn no_input_gets_into_a_header(site: &Site) {
    let hostile = "a\r\nSet-Cookie: b=c\r\n\r\n; Domain=evil.example, \"\\\0\u{fffd}";
    let mut browser = site.browser();
    for (path, form) in [
        ("/set", [("key", hostile), ("value", hostile)]),
        ("/sign-in", [("user", hostile), ("label", hostile)]),
    ] {
        // The exact attributes of the cookie are checked by the invariants.
        let answer = browser.post(path, &form);
        assert_eq!(
            (answer.status, answer.all("set-cookie").len()),
            (200, 1),
            "{path}"
        );
    }
    assert_eq!(browser.user(), hostile);
}

// COOK-3: docs/security-checklist.md
pub(super) fn one_cookie_is_set_when_a_session_ends_and_another_begins(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let (old, [sessions, ..]) = (browser.cookie(), site.stats());
    let answer = browser.post("/sign-out-and-set", &[("key", "b"), ("value", "2")]);
    assert_eq!(answer.all("set-cookie").len(), 1);
    assert_ne!(browser.cookie(), old);
    assert_eq!(
        (browser.value("a").as_str(), browser.value("b").as_str()),
        ("", "2")
    );
    assert_eq!(site.get("/get?key=a", &[old]).body, "");
    assert_eq!(site.stats()[0], sessions, "one ended and one began");
}

// COOK-4: docs/security-checklist.md
pub(super) fn the_length_of_the_cookie_does_not_depend_on_the_data(site: &Site) {
    let mut browser = site.browser();
    let answer = browser.post("/set", &[("key", "a"), ("value", &"x".repeat(15_000))]);
    let pair = issued(&answer).split(';').next().unwrap_or_default();
    assert_eq!(pair.len(), COOKIE_NAME.len() + 1 + 48);
    assert_eq!(browser.value("a").len(), 15_000);
}

// COOK-5: docs/security-checklist.md
pub(super) fn the_cookie_lasts_until_the_browser_closes(site: &Site) {
    for path in ["/set", "/sign-in"] {
        let answer = site.browser().post(path, KEY_AND_VALUE);
        let attributes = attributes(issued(&answer));
        assert!(
            !attributes.contains("max-age") && !attributes.contains("expires"),
            "{path}"
        );
    }
}

// COOK-5: docs/security-checklist.md
pub(super) fn a_remembered_cookie_has_the_session_s_age(site: &Site) {
    let ten_years = "315360000";
    for (asked, most) in [("600", 600), (ten_years, 30 * 60)] {
        let form = [("user", "ada"), ("label", ""), ("remember", asked)];
        let answer = site.browser().post("/sign-in", &form);
        let attributes = attributes(issued(&answer));
        let age = attributes
            .split("; ")
            .find_map(|item| item.strip_prefix("max-age="));
        let age: u32 = age.and_then(|age| age.parse().ok()).expect("it has an age");
        assert!((most - 2..=most).contains(&age), "{age} of {most} seconds");
    }
}

// COOK-6: docs/security-checklist.md
pub(super) fn vary_is_set_whenever_the_session_was_read(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    for path in ["/get?key=a", "/get?key=none", "/user", "/devices", "/csrf"] {
        let answer = browser.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(varies(&answer), "{path} with a session");
        assert!(
            varies(&site.browser().get(path)),
            "{path} without a session"
        );
    }
    for path in [
        "/remove",
        "/take",
        "/clear",
        "/sign-out",
        "/rotate",
        "/sign-out-everywhere",
    ] {
        let answer = site.browser().post(path, &[("key", "a")]);
        assert_eq!(answer.status, 200, "{path}");
        assert!(varies(&answer), "{path} without a session");
    }
    let answer = browser.get("/untouched");
    let own = ["vary", "set-cookie", "cache-control"].map(|name| answer.all(name).len());
    assert_eq!(own, [0; 3], "no handler used the session");
}

// COOK-6: docs/security-checklist.md
pub(super) fn the_headers_of_the_session_and_of_the_handler_are_both_kept(site: &Site) {
    let mut browser = site.browser();
    let first = browser.post("/own-headers", &[]);
    let cookies = first.all("set-cookie");
    assert_eq!((cookies.len(), own_cookies(&first).len()), (2, 1));
    assert!(cookies.contains(&"theme=dark"));
    assert_eq!(
        first.all("vary").join(", ").to_lowercase(),
        "accept-language, cookie"
    );
    assert_eq!(
        first.only("cache-control"),
        Some("no-store"),
        "in place of public"
    );

    let again = browser.post("/own-headers", &[]);
    assert_eq!(
        again.all("set-cookie"),
        ["theme=dark"],
        "nothing new to send"
    );
    assert_eq!(
        again.all("vary").join(", ").to_lowercase(),
        "accept-language, cookie"
    );
    assert_eq!(
        again.only("cache-control"),
        Some("public, max-age=60"),
        "the handler's value"
    );
}

// COOK-7: docs/security-checklist.md
pub(super) fn forwarded_headers_of_a_client_change_nothing(site: &Site) {
    let plain = issued(&site.browser().post("/set", KEY_AND_VALUE))
        .split_once(';')
        .map(own);
    for (name, value) in [
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Ssl", "off"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "proto=http;host=evil.example"),
        ("X-Url-Scheme", "http"),
        ("Front-End-Https", "off"),
        ("Origin", "http://evil.example"),
    ] {
        let request = Request::post("/set", KEY_AND_VALUE).field(name, value.as_bytes());
        let answer = site.send(&request);
        assert_eq!(
            issued(&answer).split_once(';').map(own),
            plain,
            "{name}: {value}"
        );
    }
    let elsewhere = site.send(&Request::of_host("evil.example", "POST", "/own-headers"));
    let own_cookie = own_cookies(&elsewhere)
        .first()
        .and_then(|field| field.split_once(';'));
    assert_eq!(own_cookie.map(own), plain, "another host");
}

// TERM-6: docs/security-checklist.md
pub(super) fn the_removal_repeats_the_attributes(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let answer = browser.post("/sign-out", &[]);
    let [removal] = own_cookies(&answer)[..] else {
        panic!("there is one removal")
    };
    assert!(removal.starts_with("__Host-session=; "));
    assert_eq!(
        attributes(removal),
        "path=/; max-age=0; expires=thu, 01 jan 1970 00:00:00 gmt; httponly; secure; samesite=lax",
    );
    assert_eq!(browser.cookie(), "", "the browser has none now");
}

/// Returns the `Set-Cookie` field of the session cookie.
fn issued(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200, "{}", answer.body);
    own_cookies(answer)
        .into_iter()
        .next()
        .expect("the cookie is set")
}

fn own((_, attributes): (&str, &str)) -> String {
    attributes.to_owned()
}

/// Parameters that suffice for each route.
const KEY_AND_VALUE: &[(&str, &str)] =
    &[("key", "a"), ("value", "1"), ("user", "ada"), ("label", "")];
