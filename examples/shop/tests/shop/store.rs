//! Two shops over one Redis server, which the tests start: they behave as one.
//!
//! Without `redis-server` the tests are skipped, unless `SESSILE_TEST_SERVERS` names `redis`.

use serde_json::Value;

use crate::driver::{Shop, program, redis::Redis, run, until};

fn store(shop: &Shop) -> Value {
    shop.visit().figures()["store"].clone()
}

#[cfg(unix)]
#[test]
fn two_shops_over_one_store_behave_as_one() {
    let Some(redis) = Redis::start() else { return };
    let [one, two] = [redis.shop(), redis.shop()];
    let mut at_one = one.visit();
    assert!(at_one.sign_in("Ada").greets("Ada"));

    let mut at_two = two.visit();
    at_two.cookies = at_one.cookies.clone();
    assert!(at_two.get("/cart").greets("Ada"));
    at_two.submit("/cart/add", "product=kelp");
    until("the cart", || {
        at_one.get("/cart").has("action=\"/cart/remove\"")
    });
    assert!(at_one.get("/devices").has("This device"));

    // A restart signs out no user.
    assert!(one.interrupt().0.success());
    let one = redis.shop();
    let mut restarted = one.visit();
    restarted.cookies = at_two.cookies.clone();
    let page = restarted.get("/cart");
    assert!(page.greets("Ada") && page.has("action=\"/cart/remove\""));

    let mut later = two.visit();
    later.cookies = at_two.cookies.clone();
    restarted.submit("/sign-out", "");
    assert!(restarted.cookies.is_empty());
    until("the sign-out", || !later.get("/").greets("Ada"));
}

#[cfg(unix)]
#[test]
fn a_shop_goes_on_when_its_store_stops_and_returns() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let shop = redis.shop();
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    let health = store(&shop);
    assert_eq!(health["state"], "up", "{health}");
    assert_eq!(
        (&health["ends_queued"], &health["fences"]),
        (&0.into(), &0.into())
    );
    assert!(health["lease_millis"].as_u64() > Some(0), "{health}");
    assert!(shop.visit().get("/stats").has("Lease left"));

    redis.kill();
    until("the outage", || store(&shop)["state"] == "down");
    until("the end of the lease", || {
        visitor.get("/cart").status == 503
    });
    let answer = visitor.get("/cart");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(
        shop.visit().get("/").status,
        200,
        "a visitor without a session"
    );
    assert_eq!(
        visitor.get("/icon.svg").status,
        200,
        "a page without a session"
    );

    redis.start_again();
    until("the return", || store(&shop)["state"] == "up");
    assert!(store(&shop)["fences"].as_u64() >= Some(1));
    assert!(
        !visitor.get("/").greets("Ada"),
        "the data is lost with the server"
    );
    assert!(visitor.sign_in("Ada").greets("Ada"));
    redis.kill();
    redis.start_again();
    until("the return", || visitor.get("/").status == 200);
}

#[test]
fn a_store_that_cannot_be_is_named() {
    for (url, named) in [
        ("localhost", "--store must be "),
        ("http://127.0.0.1", "--store: "),
    ] {
        let (code, _, stderr) = run(program(&["--store", url]));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.starts_with(&format!("shop: {named}")), "{stderr}");
    }
}
