//! The list of a user's sessions, and signing out on other devices.

use crate::driver::{Browser, Shop};

// TERM-7: docs/security-checklist.md
#[test]
fn user_sessions_are_listed_by_label_and_without_ids() {
    let shop = Shop::open();
    let (mut laptop, mut phone) = (shop.visit(), shop.visit());
    sign_in_as(&mut laptop, LAPTOP);
    sign_in_as(&mut phone, PHONE);
    let page = laptop.get("/devices");
    assert!(
        page.has("Firefox on Linux") && page.has("Safari on iPhone"),
        "{}",
        page.body
    );
    assert_eq!(page.body.matches("This device").count(), 1);
    let (this, _) = page.body.split_once("This device").expect("it is marked");
    assert!(
        this.ends_with("Firefox on Linux <span class=\"this\">"),
        "{this}"
    );
    for token in [laptop.cookie().1, phone.cookie().1] {
        assert!(!page.has(token));
    }
    assert_eq!(handles(&page.body).len(), 2);
    assert_eq!(
        phone.get("/devices").header("cache-control"),
        Some("no-store")
    );
}

// TERM-5: docs/security-checklist.md
#[test]
fn a_device_is_signed_out_from_another() {
    let shop = Shop::open();
    let (mut laptop, mut phone) = (shop.visit(), shop.visit());
    sign_in_as(&mut phone, PHONE);
    phone.submit("/cart/add", "product=kelp");
    sign_in_as(&mut laptop, LAPTOP);
    let page = laptop.get("/devices").body;
    let phones = handle_of(&page, "Safari on iPhone");
    let page = laptop.submit("/devices/end", &format!("handle={phones}"));
    assert_eq!(page.message(), Some("That device is signed out."));
    assert!(!page.has("Safari on iPhone"));
    assert!(
        !phone.get("/cart").greets("Ada"),
        "its next request is a stranger's"
    );

    let page = laptop.submit("/devices/end", &format!("handle={phones}"));
    assert_eq!(page.message(), Some("That device was signed out already."));
    assert_eq!(laptop.post("/devices/end", "handle=what").status, 404);
    assert_eq!(laptop.post("/devices/end", "").status, 422);

    let own = handle_of(&laptop.get("/devices").body, "Firefox on Linux");
    assert_eq!(
        laptop.post("/devices/end", &format!("handle={own}")).status,
        303
    );
    assert_eq!(
        laptop.cookies.len(),
        0,
        "its own session ends as by signing out"
    );
    assert!(!laptop.get("/").greets("Ada"));
}

#[test]
fn a_user_cannot_sign_out_another_user() {
    let shop = Shop::open();
    let (mut ada, mut grace) = (shop.visit(), shop.visit());
    ada.sign_in("Ada");
    grace.sign_in("Grace");
    let handle = handles(&ada.get("/devices").body).remove(0);
    let page = grace.get("/devices");
    assert_eq!(handles(&page.body).len(), 1, "a list is one user's");
    let page = grace.submit("/devices/end", &format!("handle={handle}"));
    assert_eq!(page.message(), Some("That device was signed out already."));
    let mut stranger = shop.visit();
    assert_eq!(
        stranger
            .post("/devices/end", &format!("handle={handle}"))
            .status,
        303
    );
    assert!(ada.get("/").greets("Ada"));
}

// TERM-5: docs/security-checklist.md
#[test]
fn everywhere_else_and_everywhere() {
    let shop = Shop::open();
    let mut devices: Vec<_> = (0..4).map(|_| shop.visit()).collect();
    devices
        .iter_mut()
        .for_each(|device| drop(device.sign_in("Ada")));
    let mut grace = shop.visit();
    grace.sign_in("Grace");

    devices[0].get("/devices");
    let page = devices[0].submit("/devices/end-others", "");
    assert_eq!(page.message(), Some("3 other devices are signed out."));
    assert!(page.greets("Ada") && handles(&page.body).len() == 1);
    let page = devices[0].submit("/devices/end-others", "");
    assert_eq!(page.message(), Some("You were signed in nowhere else."));
    for device in &mut devices[1..] {
        assert!(!device.get("/").greets("Ada"));
        device.sign_in("Ada");
    }

    devices[0].get("/devices");
    assert!(!devices[0].submit("/devices/end-all", "").greets("Ada"));
    assert_eq!(devices[0].cookies.len(), 0);
    for device in &mut devices {
        assert!(!device.get("/").greets("Ada"));
    }
    assert!(grace.get("/").greets("Grace"));
}

#[test]
fn devices_require_a_signed_in_user() {
    let shop = Shop::open();
    let mut visitor = shop.visit();
    let answer = visitor.get("/devices");
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), Some("/sign-in?next=/devices"));
    assert!(visitor.get("/sign-in?next=/devices").token().is_some());
    let page = visitor.submit("/sign-in", "name=Ada");
    assert!(
        page.has("Your devices") && page.greets("Ada"),
        "and then they are where they wanted to go"
    );
    assert!(page.has("An unknown device"));
    for path in ["/devices/end-others", "/devices/end-all"] {
        assert_eq!(shop.visit().post(path, "").status, 303);
    }
    assert!(
        visitor.get("/").greets("Ada"),
        "no user is signed in, so no session is ended"
    );

    for elsewhere in ["//evil.example", "https://evil.example", "/%5Cevil.example"] {
        let mut visitor = shop.visit();
        visitor.get(&format!("/sign-in?next={elsewhere}"));
        let answer = visitor.post("/sign-in", "name=Ada");
        assert_eq!(answer.header("location"), Some("/"), "{elsewhere}");
    }
}

fn sign_in_as(visitor: &mut Browser, user_agent: &str) {
    visitor.get("/sign-in");
    let form = format!(
        "name=Ada&csrf={}",
        visitor.token.clone().expect("the page has it")
    );
    let answer = visitor.send(
        "POST",
        "/sign-in",
        &format!("user-agent: {user_agent}\r\n"),
        &form,
    );
    assert_eq!(answer.status, 303, "{}", answer.body);
    visitor.get("/");
}

/// Returns the handles on a page, in order.
fn handles(page: &str) -> Vec<String> {
    let rest = page.split("name=\"handle\" value=\"").skip(1);
    rest.map(|rest| rest.split('"').next().unwrap_or_default().to_owned())
        .collect()
}

fn handle_of(page: &str, label: &str) -> String {
    let (_, rest) = page
        .split_once(&format!("<h2>{label}"))
        .expect("it is listed");
    handles(rest).remove(0)
}

const LAPTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 \
                     (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
