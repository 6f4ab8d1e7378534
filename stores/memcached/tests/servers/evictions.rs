//! Items that the server evicts: their sessions end, and none of them returns.

use std::{thread, time::Duration};

use crate::support::{
    node::{LEASE, Node, key, until},
    server::Server,
};

#[test]
fn without_the_data_set_every_session_ends_and_none_returns() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let node = Node::start(server.store());
    let sessions = ["", "ada"].map(|user| node.create(user));
    let mut client = server.client();
    assert!(client.delete("sessile:meta"));
    for session in &sessions {
        node.until_ended(session);
    }
    until("a new data set", || client.get("sessile:meta").is_some());
    let other = Node::start(server.store());
    node.until_up();
    for session in &sessions {
        assert!(
            client.get(&key(&session.id)).is_some(),
            "the record is there"
        );
        assert!(!other.is_open(session) && !node.is_open(session));
    }
    let new = node.create("ada");
    assert!(other.is_open(&new));
}

#[test]
fn without_its_generations_a_place_signs_its_users_out_and_no_end_is_undone() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let node = Node::start(server.store());
    let [ended, open] = [(); 2].map(|()| node.create("ada"));
    let anonymous = node.create("");
    let result = node.verbs.end_user_sessions("ada", Some(&open.id));
    assert_eq!(result, Ok(0));
    let mut client = server.client();
    let place = format!("sessile:g:{:04x}", open.id.place());
    assert!(client.delete(&place));
    let other = Node::start(server.store());
    assert!(!other.is_open(&ended) && !other.is_open(&open));
    assert!(other.is_open(&anonymous));
    assert!(node.until_ended(&open) < LEASE + Duration::from_secs(2));
    // A sign-in creates new ones, which agree with no session from before.
    let new = other.create("ada");
    assert!(client.get(&place).is_some());
    let last = Node::start(server.store());
    assert!(last.is_open(&new));
    assert!(!last.is_open(&ended) && !last.is_open(&open));
}

#[test]
fn an_end_of_all_is_not_undone_by_the_loss_of_the_data_set() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let node = Node::start(server.store());
    let sessions = ["", "ada"].map(|user| node.create(user));
    assert_eq!(node.verbs.end_all(), Ok(()));
    drop(node);
    assert!(server.client().delete("sessile:meta"));
    let other = Node::start(server.store());
    for session in sessions {
        assert!(!other.is_open(&session));
    }
}

#[test]
fn memory_pressure_signs_out_and_never_brings_back() {
    let Some(server) = Server::start(&["-m", "2"]) else {
        return;
    };
    let node = Node::start(server.store());
    let ended: Vec<_> = (0..20).map(|_| node.create("ada")).collect();
    assert_eq!(node.verbs.end_user_sessions("ada", None), Ok(0));
    let large: Vec<_> = (0..600)
        .map(|_| node.verbs.create(&[7; 10_000]).expect("others are evicted"))
        .collect();
    let mut client = server.client();
    assert!(
        client.stat("evictions") > 0,
        "the server has too much memory"
    );
    let other = Node::start(server.store());
    let open = large
        .iter()
        .filter(|session| other.is_open(session))
        .count();
    assert!(open < large.len(), "some were evicted");
    assert!(other.is_open(large.last().expect("there are some")));
    assert!(ended.iter().all(|session| !other.is_open(session)));
    thread::sleep(LEASE + Duration::from_millis(300));
    let still = large.iter().filter(|session| node.is_open(session)).count();
    assert_eq!(still, open, "the node agrees after its lease");
}

#[test]
fn memory_pressure_on_the_data_set_signs_everyone_out() {
    // With one LRU list, items that were read several times are not protected from eviction.
    let Some(server) = Server::start(&["-m", "1", "-I", "512k", "-o", "no_lru_maintainer"]) else {
        return;
    };
    let node = Node::start(server.store());
    let sessions = ["", "ada"].map(|user| node.create(user));
    // The heartbeats of a node keep the item in use.
    drop(node);
    let mut client = server.client();
    let len = client.get("sessile:meta").expect("it exists").len();
    let mut number = 0;
    // `me` looks at an item without using it.
    while client.line("me sessile:meta") != "EN" {
        for _ in 0..500 {
            // As long as `sessile:meta`, so that the items share a slab.
            client.set(&format!("fill:{number:07}"), &vec![b'x'; len]);
            number += 1;
        }
        assert!(number < 100_000, "the data set is not evicted");
    }
    let other = Node::start(server.store());
    for session in &sessions {
        assert!(
            client.get(&key(&session.id)).is_some(),
            "the record is there"
        );
        assert!(!other.is_open(session));
    }
}
