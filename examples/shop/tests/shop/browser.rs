//! The shop in Chromium: cookies, redirects and pages in a real browser.
//!
//! The expiry test is the only one that waits in real time. It polls.

use fantoccini::cookies::Cookie;

use crate::driver::{
    Shop,
    chromium::{Chromium, Window},
    program,
    redis::Redis,
    until,
};

#[test]
#[ignore = "needs Chromium and chromedriver: tests/run.sh runs it where they are"]
fn a_visitor_signs_in_fills_a_cart_reloads_and_signs_out() {
    let (shop, chromium) = (Shop::open(), Chromium::start());
    let window = chromium.window(&shop);
    assert_eq!(window.cookies().len(), 0, "looking around sets no cookie");
    window.shoot("shelves");

    window.press("#coral button");
    assert_eq!(window.text("nav .count").as_deref(), Some("1 in it"));
    assert_eq!(
        window.text(".message").as_deref(),
        Some("Coral bookend is in your cart.")
    );
    window.shoot("shelves-with-a-message");
    window.reload();
    assert_eq!(window.text(".message"), None, "a message is shown once");
    let before = session_cookie(&window);
    window.go("/sign-in");
    window.shoot("sign-in");
    window.fill("#name", "Ada Lovelace");
    window.press("form.panel button");
    assert_eq!(window.text(".who .name").as_deref(), Some("Ada Lovelace"));
    assert_ne!(
        session_cookie(&window).value(),
        before.value(),
        "signing in gives a new id"
    );

    window.go("/cart");
    for _ in 0..2 {
        assert_eq!(window.text("#total").as_deref(), Some("£32"));
        window.reload();
    }
    window.shoot("cart");
    window.press(".who button");
    assert_eq!(window.text(".who .name"), None);
    assert_eq!(window.cookies().len(), 0, "the browser forgot the cookie");
}

// COOK-1: docs/security-checklist.md
#[test]
#[ignore = "needs Chromium and chromedriver: tests/run.sh runs it where they are"]
fn the_browser_reports_the_cookie_with_its_flags() {
    let (shop, chromium) = (Shop::open(), Chromium::start());
    let window = chromium.window(&shop);
    window.press("#limpet button");
    let cookie = session_cookie(&window);
    assert_eq!(cookie.http_only(), Some(true));
    assert_eq!(cookie.same_site().map(|site| site.is_lax()), Some(true));
    assert_eq!(cookie.path(), Some("/"));
    assert_eq!(cookie.expires(), None, "it is a session cookie");
    assert_eq!(
        cookie.secure(),
        Some(false),
        "plain HTTP, on this machine alone"
    );
    assert_eq!(window.script_cookies(), "", "no script can read it");
}

#[test]
#[ignore = "needs Chromium and chromedriver: tests/run.sh runs it where they are"]
fn an_unused_session_expires() {
    let shop = Shop::opened_by(program(&["--memory", "8MiB", "--idle", "5s"]));
    let chromium = Chromium::start();
    let (window, remembered) = (chromium.window(&shop), chromium.window(&shop));
    remembered.go("/sign-in");
    remembered.click("input[name=remember]");
    remembered.press("form.panel button");
    sign_in(&window, "Grace");
    let mut observer = shop.visit();
    until("the session to expire", || {
        observer.figures()["counts"]["authenticated"] == 1
    });
    assert_eq!(
        session_cookie(&window).expires(),
        None,
        "the browser still has the cookie"
    );
    window.reload();
    assert_eq!(window.text(".who .name"), None);

    assert!(
        session_cookie(&remembered).expires().is_some(),
        "this one outlives the browser"
    );
    remembered.reload();
    assert_eq!(remembered.text(".who .name").as_deref(), Some("Ada"));
}

// TERM-5: docs/security-checklist.md
#[test]
#[ignore = "needs Chromium and chromedriver: tests/run.sh runs it where they are"]
fn two_devices_and_signing_out_everywhere() {
    let (shop, chromium) = (Shop::open(), Chromium::start());
    let laptop = chromium.window(&shop);
    let phone = chromium.window_as(&shop, &[&format!("--user-agent={PHONE}")]);
    let tablet = chromium.window_as(&shop, &[&format!("--user-agent={TABLET}")]);
    for device in [&tablet, &phone, &laptop] {
        sign_in(device, "Ada");
    }
    laptop.go("/devices");
    assert_eq!(laptop.texts(".devices h2").len(), 3);
    assert_eq!(
        laptop.text(".devices h2:has(.this)").as_deref(),
        Some("Headless Chrome on Linux This device")
    );
    laptop.shoot("devices");

    let of_phone = ".devices li:has(input[value='";
    let handles = laptop.values(".devices input[name=handle]");
    let names = laptop.texts(".devices h2");
    let at = names
        .iter()
        .position(|name| name == "Safari on iPhone")
        .expect("it is listed");
    laptop.press(&format!("{of_phone}{}']) button", handles[at]));
    assert_eq!(
        laptop.text(".message").as_deref(),
        Some("That device is signed out.")
    );
    assert_eq!(laptop.texts(".devices h2").len(), 2);
    phone.reload();
    assert_eq!(phone.text(".who .name"), None);

    laptop.press("form[action='/devices/end-all'] button");
    for device in [&laptop, &tablet] {
        device.go("/");
        assert_eq!(device.text(".who .name"), None);
    }
    assert_eq!(laptop.cookies().len(), 0);
}

#[test]
#[ignore = "needs Chromium and chromedriver: tests/run.sh runs it where they are"]
fn the_statistics_page_updates_itself() {
    let (shop, chromium) = (Shop::open(), Chromium::start());
    let (window, other) = (chromium.window(&shop), chromium.window(&shop));
    sign_in(&window, "Ada");
    window.go("/stats");
    sign_in(&other, "Ada");
    let signed_in = "[data-value=event_signed_in]";
    until("the figures to be fresh", || {
        window.text(signed_in).as_deref() == Some("2")
    });
    // The form of the page is invalid after another user signs in, so the page is loaded again.
    window.in_another_tab(|tab| sign_in(tab, "Grace"));
    window.press("#release button");
    assert_eq!(
        window.text("[data-value=you]").as_deref(),
        Some("You are signed in as Grace.")
    );
    window.click("#release button");
    until("robots to come", || {
        window.text("[data-value=event_evicted]").as_deref() != Some("0")
    });
    window.shoot("engine");
}

// The steps of docs/src/several-processes.md.
#[cfg(unix)]
#[test]
#[ignore = "needs Chromium and chromedriver: tests/run.sh runs it where they are"]
fn two_shops_over_one_store_behave_as_one() {
    let Some(redis) = Redis::start() else { return };
    let [one, two] = [redis.shop(), redis.shop()];
    let chromium = Chromium::start();
    let mut ada = chromium.window(&one);
    sign_in(&ada, "Ada");
    ada.press("#coral button");
    ada.move_to(&two);
    assert_eq!(greeted(&ada).as_deref(), Some("Ada"));
    assert_eq!(ada.text("nav .count").as_deref(), Some("1 in it"));
    ada.press("#kelp button");
    ada.move_to(&one);
    assert_eq!(ada.text("nav .count").as_deref(), Some("2 in it"));

    let phone = chromium.window(&two);
    sign_in(&phone, "Ada");
    ada.go("/devices");
    assert_eq!(ada.texts(".devices h2").len(), 2);
    ada.press(".devices li:not(:has(.this)) button");
    assert_eq!(
        ada.text(".message").as_deref(),
        Some("That device is signed out.")
    );
    until_signed_out(&phone);

    assert!(one.interrupt().0.success());
    let one = redis.shop();
    ada.move_to(&one);
    assert_eq!(greeted(&ada).as_deref(), Some("Ada"));

    let copy = copy_of(&ada, chromium.window(&two));
    assert_eq!(greeted(&copy).as_deref(), Some("Ada"));
    ada.press(".who button");
    ada.move_to(&two);
    assert_eq!(greeted(&ada), None);
    // The browser has forgotten the cookie. The other shop rejects it too.
    until_signed_out(&copy);
}

// The steps of docs/src/several-processes.md.
#[test]
#[ignore = "needs Chromium and chromedriver: tests/run.sh runs it where they are"]
fn the_statistics_page_shows_a_killed_store_and_its_return() {
    let Some(mut redis) = Redis::start_durable() else {
        return;
    };
    let [one, two] = [redis.shop(), redis.shop()];
    let chromium = Chromium::start();
    let [ada, grace, watcher] = [(); 3].map(|()| chromium.window(&one));
    sign_in(&ada, "Ada");
    sign_in(&grace, "Grace");
    let copy = copy_of(&ada, chromium.window(&two));
    assert_eq!(greeted(&copy).as_deref(), Some("Ada"));
    watcher.go("/stats");
    let shows = |name, text: &str| watcher.text(name).as_deref() == Some(text);
    assert!(shows(STATE, "up") && shows(QUEUED, "0") && shows(FENCES, "0"));

    redis.kill();
    // Within the lease, the session is still in memory.
    ada.press(".who button");
    assert_unreachable(&ada);
    assert_eq!(ada.cookies().len(), 0, "the browser forgot the cookie");
    until("the queued end", || shows(QUEUED, "1"));
    assert!(shows(STATE, "down"));
    until("the end of the lease", || shows(LEASE, "0.0 s"));
    grace.go("/cart");
    assert_unreachable(&grace);
    watcher.shoot("engine-without-its-store");
    watcher.go("/");
    assert_eq!(watcher.texts("#coral").len(), 1, "the shelves are shown");
    watcher.go("/stats");

    redis.start_again();
    until("the store's return", || shows(STATE, "up"));
    assert!(shows(QUEUED, "0"));
    assert_ne!(watcher.text(FENCES).as_deref(), Some("0"));
    grace.go("/");
    assert_eq!(greeted(&grace).as_deref(), Some("Grace"));
    copy.go("/");
    assert_eq!(greeted(&copy), None, "the queued sign-out was done");
    ada.go("/");
    sign_in(&ada, "Ada");
}

/// Gives a window the session of another one, as if both were one browser.
fn copy_of<'c>(window: &Window<'_>, copy: Window<'c>) -> Window<'c> {
    copy.add_cookie(session_cookie(window));
    copy.reload();
    copy
}

/// Returns the name of the signed-in user on the page.
fn greeted(window: &Window<'_>) -> Option<String> {
    window.text(".who .name")
}

fn until_signed_out(window: &Window<'_>) {
    until("the sign-out", || {
        window.go("/");
        greeted(window).is_none()
    });
}

/// Asserts that the page is the response of a shop that cannot reach its store.
#[track_caller]
fn assert_unreachable(window: &Window<'_>) {
    let text = window.text("body").unwrap_or_default();
    assert!(text.contains("Please try again in a moment."), "{text}");
}

fn sign_in(window: &Window<'_>, name: &str) {
    window.go("/sign-in");
    window.fill("#name", name);
    window.press("form.panel button");
    assert_eq!(window.text(".who .name").as_deref(), Some(name));
}

fn session_cookie(window: &Window<'_>) -> Cookie<'static> {
    let cookies = window.cookies();
    assert_eq!(cookies.len(), 1, "the shop sets one cookie");
    cookies.into_iter().next().expect("there is one")
}

const STATE: &str = "[data-value=store_state]";
const LEASE: &str = "[data-value=store_lease]";
const QUEUED: &str = "[data-value=store_ends]";
const FENCES: &str = "[data-value=store_fences]";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 \
                     (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
const TABLET: &str = "Mozilla/5.0 (Android 15; Tablet; rv:140.0) Gecko/140.0 Firefox/140.0";
