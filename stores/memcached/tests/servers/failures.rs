//! Servers that stop, restart, answer slowly or not at all, and servers of others.

use std::{
    thread,
    time::{Duration, Instant},
};

use sessile::Error;
use sessile_memcached::MemcachedStore;
use sessile_store::StoreState;

use crate::support::{
    node::{LEASE, Node, key, until},
    proxy::{Behaviour, Lane, Proxy, Towards},
    server::Server,
};

/// The longest time that a request may take, and the noise of the machine.
const PROMPT: Duration = Duration::from_secs(3);

fn store_behind(proxy: &Proxy) -> MemcachedStore {
    let url = format!("memcached://127.0.0.1:{}", proxy.port());
    MemcachedStore::open(&url).expect("a valid URL")
}

#[test]
fn after_a_restart_every_user_is_signed_out_and_nothing_returns() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    let nodes = [(); 2].map(|()| Node::start(server.store()));
    let sessions = ["", "ada"].map(|user| nodes[0].create(user));
    let ended = nodes[0].create("grace");
    assert_eq!(nodes[0].verbs.end(&ended.id), Ok(true));
    server.kill();
    let down = |node: &Node| !node.is_up();
    until("the nodes notice", || nodes.iter().all(down));
    let began = Instant::now();
    assert_eq!(nodes[0].create_error(), Some(Error::Unreachable));
    assert!(began.elapsed() < PROMPT);
    server.start_again();
    nodes.iter().for_each(Node::until_up);
    for node in &nodes {
        for session in sessions.iter().chain([&ended]) {
            assert!(!node.is_open(session));
        }
    }
    let new = nodes[0].create("ada");
    assert!(nodes[1].is_open(&new));
}

#[test]
fn a_server_that_stands_still_is_left_and_found_again() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let node = Node::start(server.store());
    let session = node.create("ada");
    let ended = node.create("ada");
    assert!(node.is_open(&session));
    server.pause();
    let began = Instant::now();
    assert_eq!(
        node.open(&session),
        Ok(Some(b"a cart".to_vec())),
        "the lease"
    );
    let saved = node.verbs.save(&session.id, session.version, b"fuller");
    assert_eq!(saved, Err(Error::Unreachable));
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    until("the lease is over", || node.open(&session).is_err());
    let began = Instant::now();
    assert_eq!(node.open(&session), Err(Error::Unreachable));
    assert!(began.elapsed() < PROMPT);
    assert_eq!(node.verbs.end(&ended.id), Err(Error::Unreachable));
    until("the store is down", || !node.is_up());
    server.resume();
    node.until_up();
    assert_eq!(node.cache.store_health().ends_queued, 0, "it was sent");
    let other = Node::start(server.store());
    for node in [&node, &other] {
        assert!(!node.is_open(&ended));
        // The save was not answered: it was executed, or not.
        let data = node.open(&session).expect("an answer").expect("a session");
        assert!(data == b"a cart" || data == b"fuller");
    }
}

#[test]
fn a_node_whose_connection_is_half_open_does_not_open_an_ended_session() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let proxy = Proxy::start(server.port());
    let [one, two] = [server.store(), store_behind(&proxy)].map(Node::start);
    for lanes in [
        &[Lane::Channel][..],
        &[Lane::Writes],
        &[Lane::Channel, Lane::Writes],
    ] {
        let session = one.create("ada");
        assert!(two.is_open(&session));
        for lane in lanes {
            proxy.set(*lane, Towards::Node, Behaviour::Stall);
        }
        assert_eq!(one.verbs.end(&session.id), Ok(true));
        let ended = Instant::now();
        while ended.elapsed() < LEASE + Duration::from_millis(1_200) {
            let opened = two.open(&session);
            let is_late = ended.elapsed() > LEASE + Duration::from_millis(1_000);
            assert!(!is_late || !matches!(opened, Ok(Some(_))), "{lanes:?}");
        }
        for lane in lanes {
            proxy.set(*lane, Towards::Node, Behaviour::Pass);
        }
        two.until_up();
        assert!(!two.is_open(&session));
    }
}

#[test]
fn a_slow_server_is_waited_for_up_to_the_timeout() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let proxy = Proxy::start(server.port());
    let [one, two] = [server.store(), store_behind(&proxy)].map(Node::start);
    let session = one.create("ada");
    let slow = Behaviour::Delay(Duration::from_millis(100), Duration::from_millis(50));
    proxy.set(Lane::Writes, Towards::Node, slow);
    assert!(two.is_open(&session));
    let version = session.version;
    assert!(two.verbs.save(&session.id, version, b"fuller").is_ok());
    let stuck = Behaviour::Delay(Duration::from_secs(5), Duration::ZERO);
    proxy.set(Lane::Writes, Towards::Node, stuck);
    let other = one.create("");
    let began = Instant::now();
    assert_eq!(two.open(&other), Err(Error::Unreachable));
    assert!(began.elapsed() < PROMPT);
    assert!(two.metric("sessile_store_unreachable_total{verb=\"read\"}") >= 1.0);
    proxy.set(Lane::Writes, Towards::Node, Behaviour::Pass);
    until("a new connection", || {
        two.open(&other) == Ok(Some(b"a cart".to_vec()))
    });
}

#[test]
fn an_item_of_another_application_is_a_miss_and_stays() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let node = Node::start(server.store());
    let mut client = server.client();
    for (value, name) in [(&b"short"[..], "short"), (&[7; 200][..], "long")] {
        let session = node.create("ada");
        let key = key(&session.id);
        client.set(&key, value);
        thread::sleep(LEASE + Duration::from_millis(300));
        let before = node.metric("sessile_store_bad_records_total");
        assert!(!node.is_open(&session), "{name}");
        assert!(node.metric("sessile_store_bad_records_total") > before);
        let saved = node.verbs.save(&session.id, session.version, b"cart");
        assert_eq!(saved, Err(Error::Gone));
        assert_eq!(node.verbs.end(&session.id), Ok(false));
        assert_eq!(client.get(&key).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn a_data_set_of_another_application_is_an_error_that_names_the_prefix() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut client = server.client();
    client.set("sessile:meta", b"something else");
    let error = Node::builder(server.store()).build();
    let text = error.expect_err("it is foreign").to_string();
    assert!(
        text.starts_with("`prefix` must be one that no other application uses"),
        "{text}"
    );
    assert_eq!(
        client.get("sessile:meta").as_deref(),
        Some(&b"something else"[..])
    );
    let builder = MemcachedStore::builder(&server.url()).prefix("shop");
    let node = Node::start(builder.build().expect("valid settings"));
    assert!(node.is_open(&node.create("")));
}

#[test]
fn a_server_that_is_not_there_is_tried_again() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    server.kill();
    let node = Node::begin(server.store());
    assert_eq!(node.cache.store_health().state, StoreState::Down);
    assert_eq!(node.create_error(), Some(Error::Unreachable));
    server.start_again();
    node.until_up();
    assert!(node.is_open(&node.create("ada")));
}

impl Node {
    fn create_error(&self) -> Option<Error> {
        self.verbs.create(b"").err()
    }
}
