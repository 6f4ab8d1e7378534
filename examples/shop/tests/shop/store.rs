//! Two shops over one Redis server, which the tests start: they behave as one.
//!
//! Without `redis-server` the tests are skipped, unless `SESSILE_TEST_SERVERS` names `redis`.

use std::{
    env,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    driver::{Shop, program, run, until},
    program::KEY,
};

/// A Redis server on a free port, stopped when it is dropped.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts a server; `None` if there is none to start.
    fn start() -> Option<Self> {
        let wanted = env::var("SESSILE_TEST_SERVERS").ok();
        let mut version = Command::new("redis-server");
        let version = version.arg("--version").stdout(Stdio::null()).status();
        let is_installed = version.is_ok_and(|status| status.success());
        let is_wanted = match &wanted {
            Some(list) => list.split(',').any(|name| name == "redis"),
            None => is_installed,
        };
        is_wanted.then(|| Self::on(free_port()))
    }

    fn on(port: u16) -> Self {
        let folder = env::temp_dir();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string()])
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server can be started");
        until("the server", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { child, port }
    }

    fn shop(&self) -> Shop {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let mut program = program(&["--memory", "16MiB", "--store", &url]);
        program.env("SESSILE_KEYS", KEY);
        Shop::opened_by(program)
    }

    /// Kills the server, and starts another one without its data.
    fn restart(self) -> Self {
        let port = self.port;
        drop(self);
        Self::on(port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Each call fails only if the server has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

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
    let Some(redis) = Redis::start() else { return };
    let shop = redis.shop();
    let mut visitor = shop.visit();
    visitor.sign_in("Ada");
    let health = store(&shop);
    assert_eq!(
        (&health["state"], &health["ends_queued"]),
        (&"up".into(), &0.into())
    );
    assert!(health["lease_millis"].as_u64() > Some(0), "{health}");
    assert!(shop.visit().get("/stats").has("Lease left"));

    let port = redis.port;
    drop(redis);
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

    let redis = Redis::on(port);
    until("the return", || store(&shop)["state"] == "up");
    assert!(
        !visitor.get("/").greets("Ada"),
        "the data is lost with the server"
    );
    assert!(visitor.sign_in("Ada").greets("Ada"));
    let redis = redis.restart();
    until("the return", || visitor.get("/").status == 200);
    drop(redis);
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
