//! The content of pages, and the security headers.

use crate::driver::Shop;

#[test]
fn input_of_a_visitor_is_escaped() {
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
    assert!(
        visitor.get("/").greets(escaped),
        "a rejected name changes nothing"
    );
}

#[test]
fn pages_forbid_whatever_is_not_their_own() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    for path in ["/", "/stats", "/stats.json", "/icon.svg", "/nowhere"] {
        let answer = visitor.get(path);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{path}: {policy}"
        );
        assert!(
            policy.contains("script-src 'sha256-") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    let cookie = visitor.get("/cart");
    assert_eq!(cookie.header("cache-control"), Some("no-store"));

    for site in ["cross-site", "same-site"] {
        let site = format!("sec-fetch-site: {site}\r\n");
        assert_eq!(visitor.send("POST", "/sign-out", &site, "").status, 403);
    }
    assert!(visitor.get("/").greets("Ada"));
    let form = format!("csrf={}", visitor.token.clone().expect("the page has it"));
    let own = "sec-fetch-site: same-origin\r\n";
    assert_eq!(visitor.send("POST", "/sign-out", own, &form).status, 303);
    assert!(!visitor.get("/").greets("Ada"));
}
