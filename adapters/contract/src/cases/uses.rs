//! A request uses a session if its handler reads or writes it, unless the application counts all
//! requests.

use super::advance;
use crate::{Browser, Request, Site};

pub(super) fn a_request_that_does_not_read_the_session_is_not_a_use(site: &Site) {
    let mut browser = site.browser();
    browser.sign_in("ride", "");
    ask_for_forty_minutes(site, &mut browser, "/untouched");
    assert_eq!(browser.user(), "", "the idle timeout is half an hour");
}

pub(super) fn every_request_is_a_use_where_the_application_asks_for_that(site: &Site) {
    let mut browser = site.browser();
    browser.sign_in("ride", "");
    ask_for_forty_minutes(site, &mut browser, "/touched/untouched");
    assert_eq!(browser.user(), "ride");
    assert_eq!(browser.post("/sign-out", &[]).status, 200);
}

/// Requests once a minute a route that never reads the session. Its responses have no header of the
/// session.
fn ask_for_forty_minutes(site: &Site, browser: &mut Browser<'_>, path: &str) {
    for _ in 0..40 {
        advance(site, 60);
        let answer = browser.send(&Request::get(path));
        assert_eq!((answer.status, answer.body.as_str()), (200, "untouched"));
        let own = ["vary", "set-cookie", "cache-control"].map(|name| answer.all(name).len());
        assert_eq!(own, [0; 3], "{path}");
    }
}
