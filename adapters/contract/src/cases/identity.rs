//! Identity keys of the application, and verbs that are performed though a save failed.

use crate::{Browser, Site};

/// An identity key of every application with the feature.
const USER: &str = "user_id";

pub(super) fn naming_a_user_by_an_identity_key_changes_the_id_and_ends_the_planted_cookie(
    site: &Site,
) {
    for planted_user in ["", "mallory"] {
        let mut mallory = site.browser();
        mallory.set("cart", "tea");
        if !planted_user.is_empty() {
            mallory.set(USER, planted_user);
        }
        let planted = mallory.cookie();
        // An attacker planted his own cookie in Ada's browser.
        let mut ada = mallory;
        ada.set(USER, "ada");
        assert_ne!(ada.cookie(), planted);
        assert_eq!(
            (ada.value(USER).as_str(), ada.value("cart").as_str()),
            ("ada", "tea")
        );
        for key in [USER, "cart"] {
            assert_eq!(site.get(&format!("/get?key={key}"), &[&planted]).body, "");
        }
    }
}

pub(super) fn an_identity_key_that_names_the_same_user_or_none_keeps_the_id(site: &Site) {
    let mut browser = site.browser();
    browser.set(USER, "ada");
    let cookie = browser.cookie();
    browser.set(USER, "ada");
    browser.set("cart", "tea");
    browser.post("/remove", &[("key", USER)]);
    assert_eq!(
        (browser.cookie(), browser.value(USER).as_str()),
        (cookie.clone(), "")
    );
    browser.set(USER, "ada");
    assert_ne!(
        browser.cookie(),
        cookie,
        "to name a user again is a sign-in"
    );
}

pub(super) fn a_replaced_cookie_signs_in_by_an_identity_key(site: &Site) {
    let mut browser = site.browser();
    browser.set("cart", "tea");
    let old = browser.cookie();
    // The response with the new cookie is lost.
    site.post("/rotate", &[], &[&old]);
    assert_eq!(browser.value("cart"), "", "the old cookie is rejected");
    browser.set(USER, "ada");
    assert_ne!(browser.cookie(), old);
    assert_eq!(browser.value(USER), "ada");
}

pub(super) fn removing_an_identity_key_is_stored_though_the_response_is_an_error(site: &Site) {
    let mut browser = site.browser();
    browser.set(USER, "ada");
    browser.set("cart", "tea");
    let answer = browser.post("/remove-and-fail", &[("key", "cart")]);
    assert_eq!(
        (answer.status, browser.value("cart").as_str()),
        (500, "tea")
    );
    let answer = browser.post("/remove-and-fail", &[("key", USER)]);
    assert_eq!((answer.status, answer.cookie()), (500, None));
    assert_eq!(
        (browser.value(USER).as_str(), browser.value("cart").as_str()),
        ("", "tea")
    );
}

/// Two such values exceed the maximum size of a session.
const LARGE: usize = 9_000;

pub(super) fn a_verb_whose_save_failed_is_performed_all_the_same(site: &Site) {
    for (verb, expected) in [
        ("sign-in", ("1", "goddard")),
        ("rotate", ("1", "")),
        ("clear", ("", "")),
    ] {
        let mut browser = site.browser();
        browser.set("a", "1");
        let old = browser.cookie();
        let large = "x".repeat(LARGE);
        let answer = browser.post(
            "/save-and-go-on",
            &[("verb", verb), ("user", "goddard"), ("value", &large)],
        );
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "rejected"),
            "{verb}"
        );
        assert_eq!(
            (browser.value("a").as_str(), browser.user().as_str()),
            expected,
            "{verb}"
        );
        for key in ["x", "y"] {
            assert_eq!(browser.value(key), "", "{verb}");
        }
        let of_old = site.get("/get?key=a", &[&old]).body;
        assert_eq!(of_old, "", "{verb}: the old cookie is rejected");
        end(&mut browser);
    }
}

fn end(browser: &mut Browser<'_>) {
    assert_eq!(browser.post("/sign-out", &[]).status, 200);
}
