//! The persistence of sessions and cookies: rotation by age, and verbs that change how long they
//! are kept.

use super::{Release, advance, while_held};
use crate::{Browser, Request, Site, invariants::attributes, site::NO_COOKIES};

/// Returns a browser whose cookie was just replaced by a rotation by age, and the old cookie.
fn rotated(site: &Site) -> (Browser<'_>, String) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let old = browser.cookie();
    advance(site, 600);
    assert_eq!(browser.get("/rotating/get?key=a").body, "1");
    assert_ne!(browser.cookie(), old, "it was time");
    (browser, old)
}

pub(super) fn a_cookie_that_a_routine_rotation_replaced_opens_the_session_and_is_not_sent_again(
    site: &Site,
) {
    let (mut browser, old) = rotated(site);
    for path in ["/rotating/get?key=a", "/get?key=a"] {
        let answer = site.get(path, &[&old]);
        assert_eq!(
            (answer.body.as_str(), answer.cookie()),
            ("1", None),
            "{path}"
        );
    }
    let set = [("key", "b"), ("value", "2")];
    let answer = site.post("/rotating/set", &set, &[&old]);
    assert_eq!(
        (answer.status, answer.cookie(), browser.value("b").as_str()),
        (200, None, "2")
    );

    advance(site, 11);
    let answer = site.post("/rotating/set", &[("key", "b"), ("value", "3")], &[&old]);
    assert_eq!(
        (answer.status, answer.cookie()),
        (409, None),
        "the grace is over"
    );
    assert_eq!(site.get("/rotating/get?key=a", &[&old]).body, "");
    assert_eq!(
        (browser.value("a").as_str(), browser.value("b").as_str()),
        ("1", "2")
    );
}

pub(super) fn a_cookie_that_was_replaced_is_not_sent_again_to_be_kept(site: &Site) {
    for form in [&[][..], &[("seconds", "1200")]] {
        let (mut browser, old) = rotated(site);
        let answer = site.post("/rotating/keep", form, &[&old]);
        assert_eq!((answer.status, answer.cookie()), (200, None), "{form:?}");
        advance(site, 11);
        assert_eq!(browser.value("a"), "1", "{form:?}: it has the new cookie");
    }
}

pub(super) fn a_client_that_disconnects_from_a_form_remains_signed_in(site: &Site) {
    let mut browser = site.browser();
    browser.sign_in("franklin", "");
    advance(site, 600);
    let request = browser.with_cookie(&Request::get("/rotating/held-csrf"));
    let _release = Release(site);
    let mut connection = site.connect();
    connection.send(&request.to_bytes());
    site.get("/held?requests=1", NO_COOKIES);
    drop(connection);
    site.get("/held?requests=0", NO_COOKIES);
    assert_eq!(browser.user(), "franklin");
}

pub(super) fn a_session_is_kept_from_now_on_however_old_it_is(site: &Site) {
    let mut browser = site.browser();
    browser.sign_in("hopper", "");
    for _ in 0..3 {
        advance(site, 1_200);
        assert_eq!(browser.user(), "hopper");
    }
    let answer = browser.post("/keep", &[("seconds", "900")]);
    assert_eq!(answer.status, 200);
    let attributes = answer
        .only("set-cookie")
        .map(attributes)
        .unwrap_or_default();
    assert!(attributes.contains("; max-age=900;"), "{attributes}");
    advance(site, 890);
    assert_eq!(browser.user(), "hopper");
    advance(site, 20);
    assert_eq!(browser.user(), "", "whether it was used or not");
}

pub(super) fn a_change_that_failed_leaves_the_timeouts_as_they_were(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let slow = Request::post(
        "/held-guarded-set",
        &[
            ("guard", "a"),
            ("seconds", "600"),
            ("key", "b"),
            ("value", "2"),
        ],
    );
    let answer = while_held(site, &mut browser, &slow, |browser: &mut Browser<'_>| {
        browser.set("a", "3");
    });
    assert_eq!((answer.status, answer.cookie()), (409, None));
    advance(site, 900);
    assert_eq!(
        (browser.value("a").as_str(), browser.value("b").as_str()),
        ("3", "")
    );
}
