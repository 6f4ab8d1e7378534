//! Sign-in, sign-out, the rotation of the id, the user's sessions, and CSRF tokens.

use crate::{Site, site::NO_COOKIES};

// LIFE-1: docs/security-checklist.md
pub(super) fn sign_in_and_rotation_change_the_id_and_end_the_old_one(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let sign_in = &[("user", "ada"), ("label", "laptop")][..];
    for (path, form, user) in [
        ("/rotate", &[][..], ""),
        ("/sign-in", sign_in, "ada"),
        ("/rotate", &[], "ada"),
    ] {
        let old = browser.cookie();
        assert!(
            browser.post(path, form).cookie().is_some(),
            "{path} sends a new cookie"
        );
        assert_ne!(browser.cookie(), old, "{path}");
        assert_eq!(
            (browser.value("a").as_str(), browser.user().as_str()),
            ("1", user),
            "{path}"
        );
        assert_eq!(
            site.get("/get?key=a", &[&old]).body,
            "",
            "the old cookie, after {path}"
        );
        assert_eq!(
            site.get("/user", &[&old]).body,
            "",
            "the old cookie, after {path}"
        );
    }
}

// LIFE-1: docs/security-checklist.md
pub(super) fn a_visitor_without_a_session_signs_in(site: &Site) {
    let mut browser = site.browser();
    let [sessions, ..] = site.stats();
    browser.sign_in("Grace ☃", "");
    assert_eq!(
        (browser.user().as_str(), site.stats()[0]),
        ("Grace ☃", sessions + 1)
    );
}

// ST-24: tests/vectors/store_contract_cases.json
pub(super) fn signing_out_ends_the_session(site: &Site) {
    let mut browser = site.browser();
    let [sessions, ..] = site.stats();
    browser.set("a", "1");
    browser.sign_in("hamilton", "");
    let old = browser.cookie();
    assert_eq!(browser.post("/sign-out", &[]).status, 200);
    assert_eq!(
        (browser.cookie().as_str(), browser.user().as_str()),
        ("", "")
    );
    let left = [("/get?key=a"), "/user", "/devices"].map(|path| site.get(path, &[&old]).body);
    assert_eq!(left, ["", "", ""]);
    assert_eq!(site.stats()[0], sessions);
}

pub(super) fn a_value_set_after_a_sign_out_is_stored_though_the_handler_deletes_the_cookie(
    site: &Site,
) {
    let mut browser = site.browser();
    browser.sign_in("clarke", "");
    let old = browser.cookie();
    let flash = [("key", "flash"), ("value", "Good bye.")];
    let answer = browser.post("/sign-out-set-and-delete-cookie", &flash);
    assert_eq!((answer.status, answer.all("set-cookie").len()), (200, 1));
    assert_eq!(
        (browser.value("flash").as_str(), browser.user().as_str()),
        ("Good bye.", "")
    );
    assert_eq!(site.get("/user", &[old]).body, "");
}

// ST-54: tests/vectors/store_contract_cases.json
pub(super) fn signing_out_without_a_session_creates_none(site: &Site) {
    let before = site.stats();
    assert_eq!(site.post("/sign-out", &[], NO_COOKIES).cookie(), None);
    let answer = site.post("/sign-out", &[], &["__Host-session=stale"]);
    assert_eq!(
        answer.cookie(),
        Some("__Host-session="),
        "a dead cookie is taken away"
    );
    assert_eq!(site.stats(), before);
}

pub(super) fn a_user_s_devices_are_listed_and_ended(site: &Site) {
    let (mut laptop, mut phone, mut other) = (site.browser(), site.browser(), site.browser());
    laptop.sign_in("lovelace", "laptop");
    phone.sign_in("lovelace", "phone");
    other.sign_in("hopper", "tablet");
    assert_eq!(devices(&laptop.get("/devices").body), ["* laptop", "phone"]);
    assert_eq!(devices(&phone.get("/devices").body), ["* phone", "laptop"]);
    assert_eq!(
        site.browser().get("/devices").body,
        "",
        "no user is signed in"
    );

    let old = laptop.cookie();
    assert_eq!(laptop.post("/sign-out-everywhere", &[]).body, "2");
    let left = (
        laptop.cookie(),
        laptop.user(),
        phone.user(),
        site.get("/user", &[old]).body,
    );
    assert_eq!(left, Default::default());
    assert_eq!(
        devices(&other.get("/devices").body),
        ["* tablet"],
        "another user"
    );
}

/// Sorted, because the order of recent use depends on the clock's ticks.
fn devices(body: &str) -> Vec<&str> {
    let mut devices: Vec<_> = body.lines().collect();
    devices.sort_unstable();
    devices
}

pub(super) fn a_form_counts_in_its_own_session_until_the_id_changes(site: &Site) {
    let (mut browser, mut stranger) = (site.browser(), site.browser());
    let token = browser.get("/csrf").body;
    let another = browser.get("/csrf").body;
    assert!(
        token.len() >= 22 && token != another,
        "it is another one each time"
    );
    let of_a_stranger = stranger.get("/csrf").body;
    let cookie = browser.cookie();
    assert!(
        !token.contains(cookie.split('=').nth(1).unwrap_or_default()),
        "it is not the token"
    );
    for good in [&token, &another] {
        assert_eq!(browser.post("/csrf", &[("token", good)]).status, 200);
    }
    for bad in ["", "made up", &token[1..], &of_a_stranger] {
        assert_eq!(browser.post("/csrf", &[("token", bad)]).status, 403);
    }
    assert_eq!(
        site.post("/csrf", &[("token", &token)], NO_COOKIES).status,
        403,
        "no session"
    );

    browser.sign_in("ada", "");
    assert_eq!(
        browser.post("/csrf", &[("token", &token)]).status,
        403,
        "it is out of date"
    );
    let token = browser.get("/csrf").body;
    assert_eq!(browser.post("/csrf", &[("token", &token)]).status, 200);
}
