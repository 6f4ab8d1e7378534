//! Failures of handlers and connections, and the data that is stored then.

use super::Release;
use crate::{Request, Site, site::NO_COOKIES};

pub(super) fn a_response_of_500_stores_nothing_but_an_end(site: &Site) {
    let before = site.stats();
    let mut browser = site.browser();
    let form = [("key", "a"), ("value", "1")];
    let answer = browser.post("/fail", &form);
    assert_eq!(
        (answer.status, answer.cookie(), site.stats()),
        (500, None, before)
    );

    browser.set("a", "0");
    let answer = browser.post("/fail", &form);
    assert_eq!((answer.status, answer.cookie()), (500, None));
    assert_eq!(
        answer.all("vary"),
        ["Cookie"],
        "it was looked at all the same"
    );
    assert_eq!(
        (browser.value("a").as_str(), browser.user().as_str()),
        ("0", "")
    );

    let old = browser.cookie();
    let answer = browser.post("/sign-out-and-fail", &form);
    assert_eq!(
        (answer.status, answer.cookie()),
        (500, Some("__Host-session="))
    );
    assert_eq!(site.get("/get?key=a", &[old]).body, "");
    assert_eq!(site.stats()[0], before[0]);
}

pub(super) fn a_handler_that_panics_stores_nothing(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let before = site.stats();
    let request = Request::post("/panic", &[("key", "a"), ("value", "2")]);
    for request in [browser.with_cookie(&request), request] {
        let answer = site.try_send(&request);
        let status = answer.as_ref().map(|answer| answer.status);
        assert!([None, Some(500)].contains(&status), "{status:?}");
        assert_eq!(
            answer.and_then(|answer| answer.cookie().map(str::len)),
            None
        );
        assert_eq!(site.stats(), before);
    }
    assert_eq!(browser.value("a"), "1", "the application still responds");
}

pub(super) fn a_sign_out_takes_effect_though_the_handler_panics(site: &Site) {
    let mut browser = site.browser();
    let [sessions, ..] = site.stats();
    browser.sign_in("bartik", "");
    let request = browser.with_cookie(&Request::post("/sign-out-and-panic", &[]));
    let status = site.try_send(&request).map(|answer| answer.status);
    assert!([None, Some(500)].contains(&status), "{status:?}");
    assert_eq!((browser.user().as_str(), site.stats()[0]), ("", sessions));
}

pub(super) fn a_client_that_disconnects_leaves_no_session(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let before = site.stats();
    let request = Request::post("/held-set", &[("key", "a"), ("value", "2")]);
    for request in [browser.with_cookie(&request), request] {
        let _release = Release(site);
        let mut connection = site.connect();
        connection.send(&request.to_bytes());
        site.get("/held?requests=1", NO_COOKIES);
        drop(connection);
        site.get("/held?requests=0", NO_COOKIES);
        assert_eq!(site.stats(), before);
    }
    assert_eq!(browser.value("a"), "1");
}

pub(super) fn a_body_dropped_half_way_stores_nothing(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let before = site.stats();
    let request = Request::post("/set", &[("key", "a"), ("value", &"2".repeat(1_000))]);
    for request in [browser.with_cookie(&request), request] {
        let bytes = request.to_bytes();
        let mut connection = site.connect();
        connection.send(&bytes[..bytes.len() - 500]);
        connection.send_no_more();
        let answer = connection.receive();
        assert!(answer.is_none_or(|answer| answer.status >= 400 && answer.cookie().is_none()));
        assert_eq!(site.stats(), before);
    }
    assert_eq!(browser.value("a"), "1");
}

pub(super) fn a_session_over_the_limit_is_an_error_that_names_it(site: &Site) {
    let mut browser = site.browser();
    let secret = "secret ".repeat(1_300);
    browser.set("first", &secret);
    let old = browser.cookie();
    let before = site.stats();
    let answer = browser.post("/set", &[("key", "second"), ("value", &secret)]);
    assert_eq!((answer.status, answer.cookie()), (500, None));
    assert!(
        answer.body.contains("16384"),
        "it names the limit: {}",
        answer.body
    );
    assert!(
        answer.body.contains("max_session_size"),
        "and the setting: {}",
        answer.body
    );
    assert!(!answer.body.contains("secret"));
    assert_eq!((browser.cookie(), site.stats()), (old, before));
    assert_eq!(browser.value("first"), secret, "it is as it was");
    assert_eq!(browser.value("second"), "");
}

pub(super) fn an_error_response_keeps_the_headers_that_are_not_the_handler_s(site: &Site) {
    let kept = [
        ("access-control-allow-origin", "https://shop.example"),
        ("x-request-id", "7"),
    ];
    let large = "x".repeat(9_000);
    let mut browser = site.browser();
    let answer = browser.post("/framed-set", &[("key", "first"), ("value", &large)]);
    assert_eq!((answer.status, answer.all("set-cookie").len()), (200, 2));
    for (name, value) in kept.iter().chain(&OF_THE_HANDLER) {
        assert_eq!(
            answer.only(name),
            Some(*value),
            "{name} of a response that is stored"
        );
    }

    let answer = browser.post("/framed-set", &[("key", "second"), ("value", &large)]);
    assert_eq!(answer.status, 500);
    for (name, value) in kept {
        assert_eq!(answer.only(name), Some(value), "{name}");
    }
    for (name, _) in OF_THE_HANDLER {
        assert_eq!(
            answer.all(name),
            [""; 0],
            "{name} is of the handler's response"
        );
    }
    assert_eq!(answer.all("set-cookie"), [""; 0]);
    assert_eq!(
        answer.only("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let len = answer.body.len().to_string();
    assert!(
        answer
            .only("content-length")
            .is_none_or(|given| given == len),
        "of its own body"
    );

    // A single value may already be rejected when the handler sets it.
    let larger = "x".repeat(17_000);
    let answer = browser.post("/framed-set", &[("key", "second"), ("value", &larger)]);
    assert_eq!(
        (
            answer.status,
            answer.cookie().filter(|own| !own.starts_with("theme="))
        ),
        (500, None)
    );
    for (name, value) in kept {
        assert_eq!(answer.only(name), Some(value), "{name}, one value alone");
    }
    assert_eq!(
        (browser.value("first"), browser.value("second")),
        (large, String::new())
    );
}

/// The headers by which the middleware of `/framed-set` describes the handler's response. Headers
/// that a server writes itself, such as `Content-Length`, are omitted.
const OF_THE_HANDLER: [(&str, &str); 12] = [
    ("accept-ranges", "bytes"),
    ("age", "1"),
    ("content-disposition", "inline"),
    ("content-language", "en"),
    ("content-location", "/framed"),
    ("content-range", "bytes 0-1/2"),
    ("etag", "\"1\""),
    ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
    ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("link", "</style.css>; rel=preload"),
    ("location", "/elsewhere"),
    ("refresh", "60"),
];

pub(super) fn a_value_that_cannot_be_written_stores_nothing(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let before = site.stats();
    for answer in [
        browser.post("/unwritable", &[]),
        site.post("/unwritable", &[], NO_COOKIES),
    ] {
        assert_eq!((answer.status, answer.cookie()), (500, None));
    }
    assert_eq!(site.stats(), before);
    assert_eq!(browser.value("a"), "1");
}

pub(super) fn a_change_after_the_headers_left_is_refused_or_stored_and_never_lost(site: &Site) {
    let mut browser = site.browser();
    browser.set("a", "1");
    let answer = browser.get("/stream?key=a");
    assert_eq!((answer.status, answer.cookie()), (200, None));
    let lines: Vec<_> = answer.body.lines().collect();
    assert_eq!(lines[0], "1", "a body may read");
    let expected = match lines[1..] {
        ["refused"] => "1",
        ["stored"] => "late",
        _ => panic!("the second line is {:?}", &lines[1..]),
    };
    assert_eq!(browser.value("a"), expected, "{}", lines[1]);
    let [sessions, created, _] = site.stats();
    assert_eq!(site.get("/stream?key=a", NO_COOKIES).cookie(), None);
    assert_eq!(
        site.stats()[..2],
        [sessions, created],
        "no client received its cookie"
    );
}
