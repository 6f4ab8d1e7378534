//! The contract of all adapters with a store behind the cache, and what two servers over one store
//! and an outage add to it.

#![allow(clippy::unwrap_used)]

mod support;
#[path = "../../web/tests/support/switched.rs"]
mod switched;

use std::{sync::Arc, time::Duration};

use sessile::KeyRing;
use sessile_contract::{Answer, Case, Outcome, Site, for_each_case};
use sessile_store::TieredCache;
use support::{
    Server,
    contract::{self, Backend},
};
use switched::{LEASE, Switched, Time, eventually, node};

/// A server over a store.
struct Node {
    cache: TieredCache,
    server: Server,
}

impl Node {
    fn start(store: &Switched, time: &Time) -> Self {
        let keys = KeyRing::from_base64(sessile_contract::KEYS).unwrap();
        let cache = node(store, time, &keys);
        let (counted, ticked) = (store.clone(), store.clone());
        let (time, ticking) = (time.clone(), cache.clone());
        let backend = Backend {
            stats: Arc::new(move || counted.stats()),
            advance: Arc::new(move |by| time.advance_with(by, &ticked, &ticking)),
        };
        let app = contract::app_on(contract::layer_on(cache.clone()), backend);
        Self {
            server: Server::start(app),
            cache,
        }
    }

    fn site(&self) -> Site {
        Site::of_contract(&self.server.base_url()).unwrap()
    }
}

macro_rules! tests {
    ($($module:ident { $($name:ident $([$($feature:literal),+])?,)+ })+) => {$($(
        #[test]
        fn $name() {
            let time = Time::new();
            let node = Node::start(&Switched::new(&time), &time);
            assert_eq!(Case::named(stringify!($name)).check(&node.site()), Outcome::Passed);
        }
    )+)+};
}
for_each_case!(tests);

/// Returns the cookies of a browser after a response.
fn kept(answer: &Answer) -> Vec<String> {
    vec![answer.cookie().unwrap().to_owned()]
}

#[test]
fn two_servers_over_one_store_share_sessions() {
    let time = Time::new();
    let store = Switched::new(&time);
    let [one, two] = [(); 2].map(|()| Node::start(&store, &time));
    let [one, two] = [one.site(), two.site()];
    let form = [("user", "ada"), ("label", "phone")];
    let cookies = kept(&one.post("/sign-in", &form, &[] as &[&str]));
    assert_eq!(two.get("/user", &cookies).body, "ada");
    two.post("/set", &[("key", "cart"), ("value", "tea")], &cookies);
    eventually("the write arrives", || {
        one.get("/get?key=cart", &cookies).body == "tea"
    });
    one.post("/sign-out", &[], &cookies);
    eventually("the end arrives", || {
        two.get("/user", &cookies).body.is_empty()
    });
    assert_eq!(store.stats()[0], 0);
}

#[test]
fn during_an_outage_only_requests_that_need_their_session_fail() {
    let time = Time::new();
    let store = Switched::new(&time);
    let node = Node::start(&store, &time);
    let site = node.site();
    let cookies = kept(&site.post("/set", &[("key", "a"), ("value", "1")], &[] as &[&str]));
    store.turn_off();
    time.advance(LEASE);
    assert_eq!(site.get("/untouched", &cookies).status, 200);
    assert_eq!(
        site.get("/get?key=a", &[] as &[&str]).status,
        200,
        "without a cookie"
    );
    for answer in [
        site.get("/get?key=a", &cookies),
        site.get("/user", &cookies),
        site.get("/csrf", &cookies),
        site.post("/set", &[("key", "a"), ("value", "2")], &cookies),
        site.post("/set", &[("key", "b"), ("value", "1")], &[] as &[&str]),
    ] {
        assert_eq!((answer.status, answer.cookie()), (503, None));
        let seconds = answer.only("retry-after").unwrap();
        assert!(seconds.parse::<u32>().unwrap() > 0);
    }
    let signed_out = site.post("/sign-out", &[], &cookies);
    assert_eq!(signed_out.status, 503);
    assert!(
        signed_out.cookie().unwrap().ends_with('='),
        "it is removed all the same"
    );
    store.turn_on(&node.cache);
    time.advance_with(Duration::ZERO, &store, &node.cache);
    eventually("the queued end is sent", || store.stats()[0] == 0);
}
