//! Signing in and out, and the fate of earlier cookies.

use serde_json::Value;

use crate::driver::Shop;

// LIFE-1: docs/security-checklist.md
#[test]
fn signing_in_keeps_the_cart_and_ends_the_cookie_from_before() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    assert!(
        visitor.get("/sign-in").has("value=\"Ada\""),
        "a name is filled in"
    );
    visitor.get("/");
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
fn remember_me_keeps_the_user_signed_in() {
    let shop = Shop::open();
    for (form, max_age) in [
        ("name=Ada", None),
        ("name=Ada&remember=yes", Some("Max-Age=2592000")),
    ] {
        let mut visitor = shop.visit();
        visitor.get("/sign-in");
        let answer = visitor.post("/sign-in", form);
        let cookie = answer
            .header("set-cookie")
            .expect("signing in gives a new id");
        let given = cookie
            .split("; ")
            .find(|attribute| attribute.starts_with("Max-Age"));
        assert_eq!(given, max_age, "{form}");
    }
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

// TERM-1: docs/security-checklist.md
#[test]
fn after_sign_out_the_old_cookie_is_rejected() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    visitor.submit("/cart/add", "product=coral");
    let mut thief = shop.visit();
    thief.cookies = visitor.cookies.clone();
    assert!(
        thief.get("/").greets("Ada"),
        "until then the cookie is as good as any"
    );

    assert!(!visitor.submit("/sign-out", "").greets("Ada"));
    assert_eq!(visitor.cookies.len(), 0, "the cookie is removed");
    let page = thief.get("/cart");
    assert!(!page.greets("Ada") && page.has("There is nothing in it yet"));
    let figures = thief.figures();
    assert_eq!(figures["you"], Value::Null);
    assert_eq!(figures["counts"]["authenticated"], 0);
    assert!(
        figures["counts"]["rejected_unknown"].as_u64() >= Some(1),
        "{figures}"
    );
}

// SIGN-1: docs/security-checklist.md
#[test]
fn a_cookie_with_any_character_changed_is_rejected() {
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
        assert!(
            !forger.get("/").greets("Ada"),
            "character {at} does not matter"
        );
    }
    assert!(
        visitor.get("/").greets("Ada"),
        "and the genuine one is as good as before"
    );
    let counts = &visitor.figures()["counts"];
    let refused = ["rejected_forged", "rejected_malformed"].map(|cause| counts[cause].as_u64());
    assert_eq!(
        refused.into_iter().flatten().sum::<u64>(),
        value.len() as u64
    );
    assert!(refused[0] > Some(40), "{counts}");
}
