//! The creation, the data and the end of sessions.

use super::advance;
use crate::{Request, Site, invariants::varies};

pub(super) fn values_stay_until_they_are_removed(site: &Site) {
    let mut browser = site.browser();
    let text = "snow ☃, \"quotes\", \\ and\nlines";
    browser.set("a", text);
    browser.set("b", "2");
    assert_eq!(
        (browser.value("a").as_str(), browser.value("b").as_str()),
        (text, "2")
    );
    assert_eq!(
        site.browser().value("a"),
        "",
        "another visitor sees nothing of it"
    );
    browser.set("a", "");
    browser.post("/remove", &[("key", "b")]);
    browser.post("/remove", &[("key", "none")]);
    assert_eq!(
        (browser.value("a").as_str(), browser.value("b").as_str()),
        ("", "")
    );
}

pub(super) fn a_value_that_is_taken_is_gone(site: &Site) {
    let mut browser = site.browser();
    browser.set("flash", "saved");
    browser.set("b", "2");
    assert_eq!(browser.post("/take", &[("key", "flash")]).body, "saved");
    assert_eq!(browser.post("/take", &[("key", "flash")]).body, "");
    assert_eq!(browser.value("b"), "2");
}

pub(super) fn a_session_that_was_emptied_is_ended(site: &Site) {
    for (path, form) in [
        ("/clear", &[][..]),
        ("/take", &[("key", "a")]),
        ("/remove", &[("key", "a")]),
    ] {
        let mut browser = site.browser();
        let [sessions, ..] = site.stats();
        browser.set("a", "1");
        let old = browser.cookie();
        assert_eq!(browser.post(path, form).status, 200, "{path}");
        assert_eq!(
            (browser.cookie().as_str(), site.stats()[0]),
            ("", sessions),
            "{path}"
        );
        assert_eq!(site.get("/get?key=a", &[old]).body, "", "{path}");
    }
}

// LIFE-4: docs/security-checklist.md
pub(super) fn a_visitor_that_stores_nothing_leaves_no_session(site: &Site) {
    let [sessions, created, _] = site.stats();
    let form = [("key", "a"), ("token", "made up")];
    let pages = [
        "/untouched",
        "/get?key=a",
        "/user",
        "/devices",
        "/stream?key=a",
    ]
    .map(Request::get);
    let actions = [
        "/remove",
        "/take",
        "/clear",
        "/rotate",
        "/sign-out",
        "/sign-out-everywhere",
        "/csrf",
    ];
    for request in pages
        .into_iter()
        .chain(actions.map(|path| Request::post(path, &form)))
    {
        let answer = site.send(&request);
        assert_eq!(answer.cookie(), None);
    }
    assert_eq!(site.stats()[..2], [sessions, created]);
}

// LIFE-4: docs/security-checklist.md
pub(super) fn ten_thousand_connections_without_a_cookie_leave_no_session(site: &Site) {
    let before = site.stats();
    let paths = ["/untouched", "/get?key=a", "/user", "/devices"];
    for _ in 0..10_000 / AT_ONCE {
        let mut crowd: Vec<_> = (0..AT_ONCE).map(|_| site.connect()).collect();
        for (at, robot) in crowd.iter_mut().enumerate() {
            robot.send(&Request::get(paths[at % paths.len()]).to_bytes());
        }
        for (at, robot) in crowd.iter_mut().enumerate() {
            let answer = robot.receive().expect("each is answered");
            assert_eq!((answer.status, answer.cookie()), (200, None));
            assert_eq!(varies(&answer), at % paths.len() != 0);
        }
    }
    assert_eq!(site.stats(), before);
}

const AT_ONCE: usize = 100;

// ST-38: tests/vectors/store_contract_cases.json
pub(super) fn a_session_that_did_not_change_is_neither_saved_nor_sent(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let before = site.stats();
    for path in ["/untouched", "/get?key=a", "/user", "/devices"] {
        assert_eq!(browser.get(path).cookie(), None, "{path}");
    }
    browser.set("a", "1");
    assert_eq!(site.stats(), before, "an equal value is not a change");

    let answer = browser.post("/set", &[("key", "a"), ("value", "2")]);
    assert_eq!(
        answer.cookie(),
        None,
        "the id is the same, so the cookie is"
    );
    let [sessions, created, saved] = before;
    assert_eq!(site.stats(), [sessions, created, saved + 1]);
}

// ST-30: tests/vectors/store_contract_cases.json
pub(super) fn a_session_that_ended_is_replaced_by_one_with_a_new_id(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let old = browser.cookie();
    site.post("/sign-out", &[], &[&old]);
    browser.set("b", "2");
    assert_ne!(browser.cookie(), old);
    assert_eq!(
        (browser.value("a").as_str(), browser.value("b").as_str()),
        ("", "2")
    );
}

// TIME-1: docs/security-checklist.md
pub(super) fn a_session_that_was_idle_is_gone(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    for _ in 0..3 {
        advance(site, 1_600);
        assert_eq!(browser.value("a"), "1", "it is in use");
    }
    advance(site, 1_800);
    assert_eq!(browser.value("a"), "");
    browser.set("b", "2");
    assert_eq!(browser.value("a"), "", "nothing of the old one is left");
}
