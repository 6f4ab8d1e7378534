//! Overlapping requests of one browser: one was sent before the response to another that changed,
//! replaced or ended the session.

use super::{advance, while_held};
use crate::{Browser, Request, Site};

pub(super) fn a_flash_message_and_a_cart_that_cross_are_both_as_they_should_be(site: &Site) {
    let insert = [("key", "cart"), ("value", "tea")];
    let take = [("key", "flash")];
    let routes = [
        (
            Request::post("/held-set", &insert),
            Request::post("/take", &take),
        ),
        (
            Request::post("/held-take", &take),
            Request::post("/set", &insert),
        ),
    ];
    for (slow, quick) in routes {
        let mut browser = site.browser();
        browser.set("flash", "welcome");
        let answer = while_held(site, &mut browser, &slow, |browser: &mut Browser<'_>| {
            assert_eq!(browser.send(&quick).status, 200);
        });
        assert_eq!(answer.status, 200, "{}", answer.body);
        browser.keep(&answer);
        assert_eq!(
            (
                browser.value("cart").as_str(),
                browser.value("flash").as_str()
            ),
            ("tea", "")
        );
    }
}

/// Requests that replace the cookie of a browser.
const REPLACEMENTS: [(&str, &[(&str, &str)]); 2] = [
    ("/sign-in", &[("user", "ada"), ("label", "")]),
    ("/rotate", &[]),
];

pub(super) fn a_slow_request_with_a_replaced_cookie_sets_none_and_is_409(site: &Site) {
    let slow = Request::post("/slow-set", &[("key", "slow"), ("value", "done")]);
    for (path, form) in REPLACEMENTS {
        let mut browser = site.browser();
        browser.set("a", "1");
        let mut created = 0;
        let answer = while_held(site, &mut browser, &slow, |browser: &mut Browser<'_>| {
            assert_eq!(browser.post(path, form).status, 200, "{path}");
            created = site.stats()[1];
        });
        assert_eq!(
            (answer.status, answer.cookie()),
            (409, None),
            "{path}: {}",
            answer.body
        );
        assert_eq!(site.stats()[1], created, "{path}: no session is made of it");
        let values = ["a", "slow"].map(|key| browser.value(key));
        assert_eq!(values, ["1", ""], "{path}: the browser has the new cookie");
        let user = if path == "/sign-in" { "ada" } else { "" };
        assert_eq!(browser.user(), user);
    }
}

pub(super) fn a_form_of_a_slow_request_with_a_cookie_that_was_replaced_starts_no_session(
    site: &Site,
) {
    for (path, form) in REPLACEMENTS {
        let mut browser = site.browser();
        browser.set("a", "1");
        let slow = Request::get("/slow-csrf");
        let mut created = 0;
        let answer = while_held(site, &mut browser, &slow, |browser: &mut Browser<'_>| {
            assert_eq!(browser.post(path, form).status, 200, "{path}");
            created = site.stats()[1];
        });
        assert_eq!(
            (answer.status, answer.cookie()),
            (409, None),
            "{path}: {}",
            answer.body
        );
        assert_eq!(
            (site.stats()[1], browser.value("a").as_str()),
            (created, "1"),
            "{path}"
        );
    }
}

pub(super) fn a_replaced_cookie_starts_a_session_a_minute_later(site: &Site) {
    let set = [("key", "b"), ("value", "2")];
    for (path, form) in REPLACEMENTS {
        let mut browser = site.browser();
        browser.set("a", "1");
        let old = browser.cookie();
        browser.post(path, form);
        advance(site, 59);
        let answer = site.post("/set", &set, &[&old]);
        assert_eq!(
            (answer.status, answer.cookie()),
            (409, None),
            "{path}: {}",
            answer.body
        );
        assert_eq!(
            site.get("/get?key=a", &[&old]).body,
            "",
            "{path}: it is rejected"
        );
        advance(site, 2);
        let answer = site.post("/set", &set, &[&old]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(
            answer.cookie().is_some_and(|new| new != old),
            "{path}: a session of its own"
        );
        assert_eq!(
            (browser.value("a").as_str(), browser.value("b").as_str()),
            ("1", ""),
            "{path}"
        );
    }
}

pub(super) fn a_visitor_who_never_received_the_cookie_of_a_sign_in_can_sign_in_again(site: &Site) {
    let mut browser = site.browser();
    browser.set("cart", "tea");
    let form = [("user", "lamarr"), ("label", "phone")];
    // The response is lost.
    site.send(&browser.with_cookie(&Request::post("/sign-in", &form)));
    assert_eq!(browser.user(), "", "the browser has the old cookie still");
    assert_eq!(browser.post("/sign-in", &form).status, 200);
    assert_eq!(browser.user(), "lamarr");
    assert_eq!(
        browser.get("/devices").body,
        "* phone",
        "the lost one is ended"
    );
}

pub(super) fn two_sign_ins_that_cross_keep_the_cart_and_leave_one_session(site: &Site) {
    let mut browser = site.browser();
    browser.set("cart", "tea");
    let form = [("user", "johnson"), ("label", "phone")];
    let slow = Request::post("/held-sign-in", &form);
    let answer = while_held(site, &mut browser, &slow, |browser: &mut Browser<'_>| {
        browser.sign_in("johnson", "phone");
    });
    assert_eq!(answer.status, 200, "{}", answer.body);
    browser.keep(&answer);
    assert_eq!(
        (browser.user().as_str(), browser.value("cart").as_str()),
        ("johnson", "tea")
    );
    assert_eq!(browser.get("/devices").body, "* phone");
}
