//! Concurrent requests of one session: no change is lost.

use std::{env, panic::resume_unwind};

use super::while_held;
use crate::{Browser, Request, Site};

// LIFE-5: docs/security-checklist.md
pub(super) fn two_writers_of_different_keys_lose_nothing(site: &Site) {
    let mut browser = site.browser();
    browser.set("c", "3");
    let rounds = rounds();
    let request = |key| browser.with_cookie(&Request::post("/bump", &[("key", key)]));
    at_once(
        site,
        rounds,
        &[request("a"), request("b")],
        |round, body| {
            assert_eq!(
                body,
                (round + 1).to_string(),
                "the last value of this writer is stored"
            );
        },
    );
    let counts = ["a", "b", "c"].map(|key| browser.value(key));
    assert_eq!(
        counts,
        [rounds.to_string(), rounds.to_string(), "3".to_owned()]
    );
}

// LIFE-5: docs/security-checklist.md
pub(super) fn two_writers_of_one_sum_lose_nothing(site: &Site) {
    let mut browser = site.browser();
    browser.set("c", "3");
    let rounds = rounds() / 2;
    let request = || browser.with_cookie(&Request::post("/increment", &[("key", "sum")]));
    at_once(site, rounds, &[request(), request()], |round, body| {
        let sum: usize = body.parse().expect("it is a number");
        assert!(
            sum > round,
            "the sum {sum} includes this writer's increments"
        );
    });
    assert_eq!(browser.value("sum"), (2 * rounds).to_string());
}

/// Sends each request repeatedly, on its own connection and thread.
fn at_once(site: &Site, rounds: usize, requests: &[Request; 2], check: fn(usize, &str)) {
    let write = |request: &Request| {
        let mut connection = site.connect();
        for round in 0..rounds {
            let answer = connection
                .exchange(request)
                .expect("the connection is kept");
            assert_eq!(
                (answer.status, answer.cookie()),
                (200, None),
                "{}",
                answer.body
            );
            check(round, &answer.body);
        }
    };
    std::thread::scope(|scope| {
        for writer in requests
            .each_ref()
            .map(|request| scope.spawn(|| write(request)))
        {
            writer.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
}

/// Returns the number of writes of each of two writers.
fn rounds() -> usize {
    let set = env::var("SESSILE_CONTRACT_ROUNDS").ok();
    set.map_or(10_000, |rounds| {
        rounds.parse().expect("SESSILE_CONTRACT_ROUNDS is a number")
    })
}

// LIFE-5: docs/security-checklist.md
pub(super) fn a_slow_request_keeps_concurrent_changes(site: &Site) {
    let mut browser = site.browser();
    browser.set("kept", "1");
    browser.set("removed", "1");
    let answer = while_held(
        site,
        &mut browser,
        &slow_set(),
        |browser: &mut Browser<'_>| {
            browser.set("quick", "done");
            browser.set("kept", "2");
            browser.post("/remove", &[("key", "removed")]);
        },
    );
    assert_eq!((answer.status, answer.cookie()), (200, None));
    let values = ["slow", "quick", "kept", "removed"].map(|key| browser.value(key));
    assert_eq!(values, ["done", "done", "2", ""]);
}

// LIFE-3: docs/security-checklist.md
pub(super) fn a_slow_request_does_not_bring_a_session_back(site: &Site) {
    for path in ["/sign-out", "/sign-out-everywhere"] {
        let mut browser = site.browser();
        let [sessions, ..] = site.stats();
        browser.set("a", "1");
        browser.sign_in("franklin", "");
        let old = browser.cookie();
        let answer = while_held(
            site,
            &mut browser,
            &slow_set(),
            |browser: &mut Browser<'_>| {
                assert_eq!(browser.post(path, &[]).status, 200, "{path}");
            },
        );
        // No response claims that the change was stored, or sets a cookie: the browser may have
        // another one by now.
        assert_eq!((answer.status, answer.cookie()), (409, None), "{path}");
        for key in ["a", "slow"] {
            assert_eq!(
                site.get(&format!("/get?key={key}"), &[&old]).body,
                "",
                "{path}"
            );
        }
        assert_eq!(site.stats()[0], sessions, "{path}");
    }
}

fn slow_set() -> Request {
    Request::post("/held-set", &[("key", "slow"), ("value", "done")])
}
