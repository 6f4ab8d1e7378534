//! The shop as a visitor meets it: the real program, real HTTP, a jar of cookies.
#![allow(missing_docs)]

mod driver;

use driver::{Shop, program, run};
use serde_json::Value;

#[test]
fn life_4_looking_around_stores_nothing_and_sets_no_cookie() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    for path in ["/", "/cart", "/sign-in", "/stats", "/nowhere"] {
        let answer = visitor.get(path);
        assert_eq!(answer.status, if path == "/nowhere" { 404 } else { 200 });
        assert_eq!(answer.header("set-cookie"), None, "{path}");
        assert!(answer.has("You have no session"));
    }
    assert_eq!(visitor.figures()["counts"]["authenticated"], 0);
    // The probe's own session is the only one.
    assert_eq!(visitor.figures()["counts"]["created"], 1);
}

#[test]
fn a_cart_is_there_on_the_next_page_and_after_a_reload() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    let page = visitor.submit("/cart/add", "product=coral");
    assert!(page.has("1 in cart"));
    visitor.submit("/cart/add", "product=sponge");
    visitor.submit("/cart/more", "product=coral");
    for _ in 0..2 {
        let page = visitor.get("/cart");
        assert!(page.has("Coral bookend") && page.has("Bath sponge"));
        assert!(page.has("<strong id=\"total\">£73</strong>"), "{}", page.body);
    }

    let page = visitor.submit("/cart/take", "product=coral");
    assert!(page.has("<strong id=\"total\">£41</strong>"), "{}", page.body);
    let page = visitor.submit("/cart/remove", "product=coral");
    assert!(page.has("£9</strong>") && !page.has("Coral"));

    let page = visitor.submit("/cart/remove", "product=sponge");
    assert!(page.has("There is nothing in it yet"));
    assert_eq!(visitor.cookies.len(), 0, "an empty cart needs no session");
}

#[test]
fn a_product_that_is_not_there_changes_nothing() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    for path in ["/cart/add", "/cart/more", "/cart/take", "/cart/remove"] {
        assert_eq!(visitor.post(path, "product=shark%0d%0aset-cookie:%20a=b").status, 404);
        assert_eq!(visitor.post(path, "nothing=at-all").status, 422);
        assert_eq!(visitor.get(path).status, 405);
    }
    assert_eq!(visitor.cookies.len(), 0);
}

#[test]
fn life_1_signing_in_keeps_the_cart_and_ends_the_cookie_from_before() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    assert!(visitor.get("/sign-in").has("value=\"Ada\""), "a name is filled in");
    visitor.submit("/cart/add", "product=limpet");
    let mut before = shop.visit();
    before.cookies = visitor.cookies.clone();

    assert!(visitor.sign_in("Ada+Lovelace").greets("Ada Lovelace"));
    assert_ne!(visitor.cookie(), before.cookie());
    assert!(visitor.get("/cart").has("Limpet paperweight"));
    let page = before.get("/cart");
    assert!(!page.has("Limpet paperweight") && !page.greets("Ada Lovelace"));
}

#[test]
fn a_second_visitor_sees_nothing_of_the_first() {
    let shop = Shop::open();
    let (mut ada, mut grace) = (shop.visit(), shop.visit());
    ada.sign_in("Ada");
    ada.submit("/cart/add", "product=kelp");
    let page = grace.get("/cart");
    assert!(!page.greets("Ada") && page.has("There is nothing in it yet"));

    grace.sign_in("Grace");
    grace.submit("/cart/add", "product=oyster");
    assert_ne!(ada.cookie(), grace.cookie());
    let (of_ada, of_grace) = (ada.get("/cart"), grace.get("/cart"));
    assert!(of_ada.greets("Ada") && of_ada.has("Kelp") && !of_ada.has("Oyster"));
    assert!(of_grace.greets("Grace") && of_grace.has("Oyster") && !of_grace.has("Kelp"));
}

#[test]
fn another_name_on_the_same_browser_does_not_inherit_the_cart() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    visitor.submit("/cart/add", "product=kelp");
    assert!(visitor.sign_in("Grace").greets("Grace"));
    assert!(visitor.get("/cart").has("There is nothing in it yet"));
    assert_eq!(visitor.figures()["you"], "Grace");
}

#[test]
fn term_1_after_signing_out_the_old_cookie_opens_nothing() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    visitor.submit("/cart/add", "product=coral");
    let mut thief = shop.visit();
    thief.cookies = visitor.cookies.clone();
    assert!(thief.get("/").greets("Ada"), "until then the cookie is as good as any");

    assert!(!visitor.submit("/sign-out", "").greets("Ada"));
    assert_eq!(visitor.cookies.len(), 0, "the browser is told to forget it");
    let page = thief.get("/cart");
    assert!(!page.greets("Ada") && page.has("There is nothing in it yet"));
    let figures = thief.figures();
    assert_eq!(figures["you"], Value::Null);
    assert_eq!(figures["counts"]["authenticated"], 0);
    assert!(figures["counts"]["refused_unknown"].as_u64() >= Some(1), "{figures}");
}

#[test]
fn sign_1_a_cookie_with_any_character_changed_opens_nothing() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    let (name, value) = visitor.cookie();
    let (name, value) = (name.to_owned(), value.to_owned());
    for at in 0..value.len() {
        let mut forged = value.clone();
        let other = if &value[at..=at] == "A" { "B" } else { "A" };
        forged.replace_range(at..=at, other);
        let mut forger = shop.visit();
        forger.cookies.insert(name.clone(), forged);
        assert!(!forger.get("/").greets("Ada"), "character {at} does not matter");
    }
    assert!(visitor.get("/").greets("Ada"), "and the genuine one is as good as before");
    let counts = &visitor.figures()["counts"];
    let refused = ["refused_forged", "refused_malformed"].map(|cause| counts[cause].as_u64());
    assert_eq!(refused.into_iter().flatten().sum::<u64>(), value.len() as u64);
    assert!(refused[0] > Some(40), "{counts}");
}

#[test]
fn what_a_visitor_types_comes_back_escaped() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    let typed = "%3Cscript%3Ealert%281%29%3C%2Fscript%3E%22%27%26";
    let escaped = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;'&amp;";
    assert!(visitor.sign_in(typed).greets(escaped));
    for path in ["/", "/cart", "/sign-in", "/stats", "/nowhere"] {
        let page = visitor.get(path);
        assert!(page.greets(escaped) && !page.has("<script>alert"), "{path}");
    }
    assert_eq!(visitor.figures()["you"], "<script>alert(1)</script>\"'&");

    let long = format!("name={typed}{}", "x".repeat(40));
    let refused = visitor.post("/sign-in", &long);
    assert_eq!(refused.status, 422);
    assert!(refused.has("A name has at most 40") && !refused.has("<script>alert"));
    for nameless in ["name=", "name=+++", "name=%00", "name=a%0ab"] {
        assert_eq!(visitor.post("/sign-in", nameless).status, 422, "{nameless}");
    }
    assert!(visitor.get("/").greets(escaped), "a refused name changes nothing");
}

#[test]
fn pages_forbid_whatever_is_not_their_own() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    for path in ["/", "/stats", "/stats.json", "/icon.svg", "/nowhere"] {
        let answer = visitor.get(path);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{path}: {policy}");
        assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    let cookie = visitor.get("/cart");
    assert_eq!(cookie.header("cache-control"), Some("no-store"));

    for site in ["cross-site", "same-site"] {
        let site = format!("sec-fetch-site: {site}\r\n");
        assert_eq!(visitor.send("POST", "/sign-out", &site, "").status, 403);
    }
    assert!(visitor.get("/").greets("Ada"));
    assert_eq!(
        visitor.send("POST", "/sign-out", "sec-fetch-site: same-origin\r\n", "").status,
        303
    );
    assert!(!visitor.get("/").greets("Ada"));
}

#[test]
fn robots_leave_the_memory_flat_and_the_visitor_signed_in() {
    let shop = Shop::opened_by(program(&["--memory", "8MiB", "--robots", &ROBOTS.to_string()]));
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    visitor.submit("/cart/add", "product=anemone");
    let before = visitor.figures();

    visitor.submit("/robots", "");
    let under_way = visitor.figures();
    visitor.submit("/robots", "");
    let after = until_robots_are_through(&mut visitor);

    assert_eq!(after["robots"]["released"], ROBOTS);
    assert_eq!(after["robots"]["refused"], 0);
    let made = after["counts"]["created"].as_u64().unwrap_or(0);
    assert!((ROBOTS + 2..ROBOTS + 10).contains(&made), "one wave at a time, not two: {made}");
    assert_eq!(after["you"], "Ada", "nobody who is signed in is pushed out by robots");
    assert_eq!(after["counts"]["authenticated"], 1);
    assert_eq!(after["counts"]["evicted_authenticated"], 0);
    assert!(visitor.get("/cart").has("Anemone lamp"));
    for figures in [&before, &under_way, &after] {
        assert_eq!(figures["memory"]["budget"], 8 << 20);
        assert!(figures["memory"]["used"].as_u64() <= Some(8 << 20));
    }
    // All of it is taken when the shop opens. Without a bound, so many sessions would take 40 MiB more.
    if let (Some(before), Some(after)) = (resident(&before), resident(&after)) {
        assert!(before > 8 << 20, "{before} bytes, so the memory is not taken yet");
        assert!(after < before + (8 << 20), "from {before} to {after} bytes");
    }
}

#[test]
fn ops_1_metrics_are_text_that_prometheus_reads() {
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
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.header("set-cookie"), None);
    assert!(answer.body.ends_with('\n'));
    for sample in [
        "sessile_memory_bytes{kind=\"budget\"} 8388608",
        "sessile_sessions{class=\"authenticated\"} 1",
        "sessile_refused_total{cause=\"forged\"} 1",
        "sessile_signed_in_total 1",
    ] {
        let is_there = answer.body.lines().any(|line| line == sample);
        assert!(is_there, "{sample}: {}", answer.body);
    }
    assert!(!answer.has("Ada"));
    assert_eq!(visitor.post("/metrics", "").status, 405);
}

/// Looks until they are; a wave that stands still for thousands of looks fails.
fn until_robots_are_through(visitor: &mut driver::Browser) -> Value {
    let (mut most, mut idle) = (0, 0);
    loop {
        let figures = visitor.figures();
        let released = figures["robots"]["released"].as_u64().unwrap_or(0);
        if figures["robots"]["running"] == false && released > 0 {
            return figures;
        }
        idle = if released > most { 0 } else { idle + 1 };
        most = most.max(released);
        assert!(idle < 5_000, "the robots stand still: {figures}");
    }
}

fn resident(figures: &Value) -> Option<u64> {
    figures["memory"]["resident"].as_u64()
}

#[cfg(unix)]
#[test]
fn after_a_restart_a_genuine_cookie_opens_nothing_and_breaks_nothing() {
    let open = || {
        let mut program = program(&["--memory", "8MiB"]);
        program.env("SESSILE_KEYS", KEY);
        Shop::opened_by(program)
    };
    let shop = open();
    assert!(shop.greeting.contains("keys      from SESSILE_KEYS"), "{}", shop.greeting);
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    let cookies = visitor.cookies.clone();
    assert!(shop.interrupt().0.success());

    let shop = open();
    let mut visitor = shop.visit();
    visitor.cookies = cookies;
    let page = visitor.get("/");
    assert_eq!(page.status, 200);
    assert!(!page.greets("Ada") && page.has("You have no session"));
    let counts = &visitor.figures()["counts"];
    assert!(counts["refused_unknown"].as_u64() >= Some(1), "genuine, but unknown: {counts}");
    assert_eq!(counts["refused_forged"], 0);
    assert!(visitor.sign_in("Ada").greets("Ada"));
}

#[test]
fn fresh_keys_are_said_to_be_fresh() {
    let shop = Shop::open();
    assert!(shop.greeting.contains("sign-ins will not survive a restart"), "{}", shop.greeting);
    assert!(shop.address.ip().is_loopback());
    assert!(shop.greeting.contains("8.0 MiB, fixed: some "), "{}", shop.greeting);
}

#[test]
fn a_taken_port_is_said_plainly() {
    let shop = Shop::open();
    let port = shop.address.port().to_string();
    let (code, stdout, stderr) = run(program(&["--port", &port]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with(&format!("shop: port {port} is taken")), "{stderr}");
    assert_eq!(shop.visit().get("/").status, 200);
}

#[test]
fn settings_that_cannot_be_are_named() {
    for (arguments, named) in [
        (&["--port", "http"][..], "--port was \"http\": it must be"),
        (&["--memory"], "--memory has no value"),
        (&["--memory", "64MB"], "--memory was \"64MB\": it must be"),
        (&["--memory", "4096"], "--memory: "),
        (&["--memory", "9999999999G"], "--memory: "),
        (&["--idle", "soon"], "--idle was \"soon\": it must be"),
        (&["--idle", "0s"], "--idle: "),
        (&["--idle", "13h"], "--idle: "),
        (&["--verbose"], "\"--verbose\" is not an option"),
        (&["8080"], "\"8080\" is not an option"),
    ] {
        let (code, stdout, stderr) = run(program(arguments));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("shop: ") && stderr.contains(named), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn sign_3_keys_that_cannot_be_are_named_but_not_shown() {
    for keys in ["", "c2hvcnQ=", "?not base64?"] {
        let mut program = program(&[]);
        program.env("SESSILE_KEYS", keys);
        let (code, _, stderr) = run(program);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.starts_with("shop: SESSILE_KEYS: "), "{stderr}");
        assert!(keys.is_empty() || !stderr.contains(keys), "{stderr}");
    }
}

#[test]
fn help_is_given_and_nothing_is_opened() {
    let (code, stdout, stderr) = run(program(&["--help"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for option in ["--port", "--memory", "--idle", "--help", "SESSILE_KEYS"] {
        assert!(stdout.contains(option), "{stdout}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_closes_the_shop_with_robots_inside_and_connections_open() {
    use std::io::Write;
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.submit("/robots", "");
    let silent = visitor.connect();
    let mut halfway = visitor.connect();
    halfway.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").expect("the shop reads");
    // Answered on a third connection, so both are accepted by now.
    assert_eq!(visitor.get("/").status, 200);

    let (status, printed) = shop.interrupt();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(printed.ends_with("Closed.\n"), "{printed}");
    drop((silent, halfway));
}

#[cfg(unix)]
#[test]
fn id_7_no_token_is_printed_or_shown() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.submit("/cart/add", "product=coral");
    let mut tokens = vec![visitor.cookie().1.to_owned()];
    visitor.sign_in("Ada");
    tokens.push(visitor.cookie().1.to_owned());
    let mut seen: String =
        ["/", "/cart", "/sign-in", "/stats", "/stats.json", "/metrics", "/nowhere"]
            .map(|path| visitor.get(path).body)
            .concat();
    visitor.submit("/sign-out", "");
    seen += &shop.interrupt().1;
    for token in tokens {
        assert_eq!(token.len(), 48);
        assert!(!seen.contains(&token));
    }
}

/// Five times what fits in 8 MiB. The button's million takes most of a minute in a debug build.
const ROBOTS: u64 = 120_000;

/// 32 bytes in base64, for these tests only.
const KEY: &str = "47dLmd+AR8Iiz6/Z6CRDYnw04bcqu+Qv0ZBLgYW1KJc=";
