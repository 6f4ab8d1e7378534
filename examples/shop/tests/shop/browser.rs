//! The shop in Chromium: what only a browser can say of cookies, redirects and pages.
//!
//! Expiry is the one place where real time passes, and it is waited for by looking.

use fantoccini::cookies::Cookie;

use crate::driver::{
    Shop,
    chromium::{Chromium, Window},
    program, until,
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
    let before = session_cookie(&window);
    window.go("/sign-in");
    window.shoot("sign-in");
    window.fill("#name", "Ada Lovelace");
    window.press("form.panel button");
    assert_eq!(window.text(".who .name").as_deref(), Some("Ada Lovelace"));
    assert_ne!(session_cookie(&window).value(), before.value(), "signing in gives a new id");

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

#[test]
#[ignore = "needs Chromium and chromedriver: tests/run.sh runs it where they are"]
fn cook_1_the_browser_reports_the_cookie_with_its_flags() {
    let (shop, chromium) = (Shop::open(), Chromium::start());
    let window = chromium.window(&shop);
    window.press("#limpet button");
    let cookie = session_cookie(&window);
    assert_eq!(cookie.http_only(), Some(true));
    assert_eq!(cookie.same_site().map(|site| site.is_lax()), Some(true));
    assert_eq!(cookie.path(), Some("/"));
    assert_eq!(cookie.expires(), None, "it goes with the browser");
    assert_eq!(cookie.secure(), Some(false), "plain HTTP, on this machine alone");
    assert_eq!(window.script_cookies(), "", "no script can read it");
}

#[test]
#[ignore = "needs Chromium and chromedriver: tests/run.sh runs it where they are"]
fn a_session_expires_when_nobody_asks() {
    let shop = Shop::opened_by(program(&["--memory", "8MiB", "--idle", "5s"]));
    let chromium = Chromium::start();
    let window = chromium.window(&shop);
    sign_in(&window, "Ada");
    let mut observer = shop.visit();
    until("the session to expire", || observer.figures()["counts"]["authenticated"] == 0);
    assert_eq!(session_cookie(&window).name(), "shop", "the browser still has the cookie");
    window.reload();
    assert_eq!(window.text(".who .name"), None);
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
