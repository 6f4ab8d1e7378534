//! The statistics page: robots, figures, metrics.

use serde_json::Value;

use crate::driver::{Browser, Shop, program, until};

#[test]
fn robots_leave_the_memory_flat_and_the_visitor_signed_in() {
    let shop = Shop::opened_by(program(&[
        "--memory",
        "8MiB",
        "--robots",
        &ROBOTS.to_string(),
    ]));
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    visitor.submit("/cart/add", "product=anemone");
    let before = visitor.figures();

    visitor.submit("/robots", "");
    let under_way = visitor.figures();
    let after = until_robots_are_through(&mut visitor);

    assert_eq!(after["robots"]["released"], ROBOTS);
    assert_eq!(after["robots"]["rejected"], 0);
    let made = after["counts"]["created"].as_u64().unwrap_or(0);
    assert!(
        (ROBOTS + 2..ROBOTS + 10).contains(&made),
        "all that were made: {made}"
    );
    assert_eq!(after["you"], "Ada", "robots evict no session of a user");
    assert_eq!(after["counts"]["authenticated"], 1);
    assert_eq!(after["counts"]["evicted_authenticated"], 0);
    assert!(visitor.get("/cart").has("Anemone lamp"));
    for figures in [&before, &under_way, &after] {
        assert_eq!(figures["memory"]["budget"], 8 << 20);
        assert!(figures["memory"]["used"].as_u64() <= Some(8 << 20));
    }
    // All memory is allocated at the start. Without a bound, the sessions would take 40 MiB more.
    if let (Some(before), Some(after)) = (resident(&before), resident(&after)) {
        assert!(
            before > 8 << 20,
            "{before} bytes, so the memory is not taken yet"
        );
        assert!(after < before + (8 << 20), "from {before} to {after} bytes");
    }
}

#[test]
fn events_are_counted_by_kind_and_those_of_users_show_handles() {
    let shop = Shop::open();
    let (mut ada, mut other) = (shop.visit(), shop.visit());
    ada.submit("/cart/add", "product=coral");
    ada.sign_in("Ada");
    other.sign_in("Ada");
    let handle = other.get("/devices").body;
    let (_, handle) = handle
        .split_once("name=\"handle\" value=\"")
        .expect("it is listed");
    let end = handle[36..52].to_owned();
    other.submit("/devices/end-others", "");
    other.submit("/sign-out", "");

    let events = &ada.figures()["events"];
    for (event, count) in [
        // The sessions of two visitors and of the probe.
        ("event_created", 3),
        ("event_signed_in", 2),
        ("event_ended_by_user", 1),
        ("event_signed_out", 1),
        ("event_evicted", 0),
        ("event_other", 0),
    ] {
        assert_eq!(events[event], count, "{event}: {events}");
    }
    let texts = &ada.figures()["texts"];
    let line = |number: u32| {
        texts[format!("latest_{number}")]
            .as_str()
            .unwrap_or_default()
    };
    assert!(
        line(1).starts_with("Signed out, ") && line(1).ends_with(&end),
        "{texts}"
    );
    assert!(line(2).starts_with("Ended from the list of devices, ") && !line(2).ends_with(&end));
    assert!(line(3).starts_with("Signed in, ") && line(4).starts_with("Signed in, "));
    assert_eq!(line(5), "");
    let page = ada.get("/stats");
    assert!(
        page.has(&format!("<li data-value=\"latest_1\">{}", &line(1)[..10])),
        "{}",
        page.body
    );
    assert!(!page.has("Ada"));
}

// OPS-1: docs/security-checklist.md
#[test]
fn metrics_are_text_that_prometheus_reads() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.submit("/cart/add", "product=coral");
    visitor.sign_in("Ada");
    let mut thief = shop.visit();
    let (name, token) = visitor.cookie();
    let last = if token.ends_with('A') { 'B' } else { 'A' };
    let forged = format!("{}{last}", &token[..47]);
    thief.cookies.insert(name.to_owned(), forged);
    assert!(!thief.get("/").greets("Ada"));

    let answer = visitor.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(answer.header("set-cookie"), None);
    assert!(answer.body.ends_with('\n'));
    for sample in [
        "sessile_memory_budget_bytes 8388608",
        "sessile_sessions{class=\"authenticated\"} 1",
        "sessile_rejected_total{cause=\"forged\"} 1",
        "sessile_signed_in_total 1",
    ] {
        let is_there = answer.body.lines().any(|line| line == sample);
        assert!(is_there, "{sample}: {}", answer.body);
    }
    assert!(!answer.has("Ada"));
    assert_eq!(visitor.post("/metrics", "").status, 405);
}

/// Waits as long as robots are added.
fn until_robots_are_through(visitor: &mut Browser) -> Value {
    let (mut figures, mut most) = (visitor.figures(), 0);
    while figures["robots"]["running"] == true {
        until("another robot", || {
            figures = visitor.figures();
            let released = figures["robots"]["released"].as_u64().unwrap_or(0);
            figures["robots"]["running"] == false
                || released > std::mem::replace(&mut most, released)
        });
    }
    figures
}

fn resident(figures: &Value) -> Option<u64> {
    figures["memory"]["resident"].as_u64()
}

/// Five times the number that fits in 8 MiB. The default of a million takes most of a minute in a
/// debug build.
const ROBOTS: u64 = 120_000;
