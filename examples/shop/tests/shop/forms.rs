//! Forged and outdated forms.

use crate::driver::{Browser, Shop};

/// Every route that changes something, with a form that would succeed.
const POSTS: [(&str, &str); 10] = [
    ("/sign-in", "name=Grace"),
    ("/sign-out", ""),
    ("/devices/end", "handle=0"),
    ("/devices/end-others", ""),
    ("/devices/end-all", ""),
    ("/cart/add", "product=coral"),
    ("/cart/more", "product=coral"),
    ("/cart/take", "product=coral"),
    ("/cart/remove", "product=coral"),
    ("/robots", ""),
];

#[test]
fn csrf_every_form_carries_the_token_where_there_is_a_session() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    assert!(
        !visitor.get("/").has("name=\"csrf\""),
        "and none where there is none"
    );
    visitor.submit("/cart/add", "product=coral");
    for name in [None, Some("Ada")] {
        name.map(|name| visitor.sign_in(name));
        for path in ["/", "/cart", "/sign-in", "/devices", "/stats", "/nowhere"] {
            let page = visitor.get(path);
            let forms = page.body.matches("<form").count();
            assert_eq!(page.body.matches("name=\"csrf\"").count(), forms, "{path}");
        }
    }
}

#[test]
fn csrf_a_form_without_the_token_changes_nothing() {
    let shop = Shop::open();
    let mut visitor = signed_in(&shop);
    let (mut other, mut anonymous) = (signed_in(&shop), shop.visit());
    anonymous.get("/sign-in");
    let of_others = [&other, &anonymous].map(|browser| browser.token.clone().expect("it has one"));
    let mut token = of_others[0].clone();
    token.truncate(token.len() - 1);
    let made_up = [
        String::new(),
        "made-up".into(),
        token,
        of_others[0].clone(),
        of_others[1].clone(),
    ];
    let tries = made_up
        .iter()
        .map(|token| format!("csrf={token}&"))
        .chain([String::new()]);
    for before in tries {
        for (path, form) in POSTS {
            let answer = visitor.send("POST", path, "", &format!("{before}{form}"));
            assert_eq!(answer.status, 403, "{path} with {before:?}");
            assert!(answer.has("That page was out of date"));
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
    let page = visitor.get("/cart");
    assert!(
        page.greets("Ada") && page.has("£14</strong>"),
        "{}",
        page.body
    );
    assert_eq!(visitor.figures()["robots"]["running"], false);
    assert_eq!(visitor.figures()["robots"]["released"], 0);
    assert!(other.get("/").greets("Ada"));
}

#[test]
fn csrf_a_token_ends_with_the_id_it_was_made_for() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.get("/sign-in");
    let before = visitor.token.clone().expect("the page has it");
    visitor.submit("/sign-in", "name=Ada");
    let form = format!("csrf={before}&product=coral");
    assert_eq!(visitor.send("POST", "/cart/add", "", &form).status, 403);
    let now = visitor
        .get("/")
        .token()
        .expect("the page has it")
        .to_owned();
    for _ in 0..2 {
        let form = format!("csrf={now}&product=coral");
        assert_eq!(visitor.send("POST", "/cart/add", "", &form).status, 303);
    }
    assert_ne!(
        visitor.get("/").token(),
        Some(&*now),
        "each page has another text"
    );
}

#[test]
fn csrf_a_form_of_another_site_cannot_sign_a_visitor_in() {
    let shop = Shop::open();
    let mut victim = shop.visit();
    for headers in [
        "",
        "sec-fetch-site: cross-site\r\n",
        "origin: http://evil.example\r\n",
    ] {
        let answer = victim.send("POST", "/sign-in", headers, "name=Mallory");
        assert_eq!(answer.status, 403, "{headers}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    let mut mallory = shop.visit();
    mallory.get("/sign-in");
    let form = format!(
        "csrf={}&name=Mallory",
        mallory.token.expect("the page has it")
    );
    assert_eq!(victim.send("POST", "/sign-in", "", &form).status, 403);
    assert_eq!(victim.cookies.len(), 0);
}

/// Of two tabs that were opened without a session, the second has no token.
#[test]
fn csrf_an_anonymous_visitor_can_use_a_page_older_than_the_session() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.post("/cart/add", "product=coral");
    let mut add = |site: &str| {
        visitor
            .send("POST", "/cart/add", site, "csrf=from-before&product=sponge")
            .status
    };
    assert_eq!(add("sec-fetch-site: same-origin\r\n"), 303);
    assert_eq!(add("sec-fetch-site: same-site\r\n"), 403);
    assert_eq!(add("origin: http://evil.example\r\n"), 403);
    assert_eq!(add(""), 403, "a request without an origin needs the token");
    assert!(visitor.get("/cart").has("£41</strong>"));

    visitor.sign_in("Ada");
    let own = "sec-fetch-site: same-origin\r\n";
    assert_eq!(
        visitor
            .send("POST", "/cart/add", own, "product=sponge")
            .status,
        403
    );
}

/// Returns a visitor with a cart of £14.
fn signed_in(shop: &Shop) -> Browser {
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    visitor.submit("/cart/add", "product=limpet");
    visitor
}
