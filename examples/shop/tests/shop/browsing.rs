//! Viewing pages, and the cart.

use crate::driver::Shop;

// LIFE-4: docs/security-checklist.md
#[test]
fn looking_around_stores_nothing_and_sets_no_cookie() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    for path in ["/", "/cart", "/stats", "/nowhere"] {
        let answer = visitor.get(path);
        assert_eq!(answer.status, if path == "/nowhere" { 404 } else { 200 });
        assert_eq!(answer.header("set-cookie"), None, "{path}");
        assert!(answer.has("You have no session"));
    }
    assert_eq!(visitor.figures()["counts"]["authenticated"], 0);
    assert_eq!(visitor.get("/devices").header("set-cookie"), None);
    // The session of the probe is the only one.
    assert_eq!(visitor.figures()["counts"]["created"], 1);
}

// LIFE-4: docs/security-checklist.md
#[test]
fn a_session_begins_when_the_login_form_is_shown() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    let page = visitor.get("/sign-in");
    assert!(page.token().is_some() && page.has("A session began with this page"));
    let cookie = visitor.cookies.clone();
    assert_eq!(cookie.len(), 1);
    assert!(!visitor.get("/").has("You have no session"));
    visitor.get("/sign-in");
    assert_eq!(visitor.cookies, cookie, "once it is there it stays");
}

#[test]
fn a_message_is_shown_once() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    for product in [("coral", "Coral bookend"), ("sponge", "Bath sponge")] {
        let page = visitor.submit("/cart/add", &format!("product={}", product.0));
        assert_eq!(
            page.message(),
            Some(&*format!("{} is in your cart.", product.1))
        );
        assert_eq!(visitor.get("/").message(), None);
    }
    visitor.post("/cart/add", "product=limpet");
    visitor.figures();
    assert!(
        visitor.get("/cart").message().is_some(),
        "only pages consume the message"
    );
    assert_eq!(visitor.get("/cart").message(), None);
    let page = visitor.get("/nowhere");
    assert_eq!(page.message(), None);
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
        assert!(
            page.has("<strong id=\"total\">£73</strong>"),
            "{}",
            page.body
        );
    }

    let page = visitor.submit("/cart/take", "product=coral");
    assert!(
        page.has("<strong id=\"total\">£41</strong>"),
        "{}",
        page.body
    );
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
        assert_eq!(
            visitor
                .post(path, "product=shark%0d%0aset-cookie:%20a=b")
                .status,
            404
        );
        assert_eq!(visitor.post(path, "nothing=at-all").status, 422);
        assert_eq!(visitor.get(path).status, 405);
    }
    assert_eq!(visitor.cookies.len(), 0);
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
