//! Values at the size limit of the server, which deletes an item whose new value is too large.

use sessile::Error;

use crate::support::{node::Node, server::Server};

#[test]
fn a_session_at_the_limit_is_stored_and_a_larger_one_is_full() {
    for (options, limit) in [(&SMALL[..], 512 << 10), (&[], 1 << 20)] {
        let Some(server) = Server::start(options) else {
            return;
        };
        let [node, other] = [(); 2].map(|()| Node::start(server.store()));
        let mut largest = 0;
        for len in (limit - 300..limit + 40).step_by(4) {
            match node.verbs.create(&vec![7; len]) {
                Ok(session) => {
                    let data = other.open(&session).expect("an answer");
                    assert_eq!(data.map(|data| data.len()), Some(len));
                    largest = len;
                }
                Err(error) => assert_eq!(error, Error::Full, "{len}"),
            }
        }
        // Key, header, stamp and what the server keeps beside a value.
        assert!(
            (limit - 260..limit - 150).contains(&largest),
            "{largest} of {limit}"
        );
    }
}

#[test]
fn a_save_that_is_too_large_leaves_the_session_as_it_was() {
    let Some(server) = Server::start(&SMALL) else {
        return;
    };
    let node = Node::start(server.store());
    let session = node.create("ada");
    let saved = node
        .verbs
        .save(&session.id, session.version, &vec![7; 600_000]);
    assert_eq!(saved, Err(Error::Full));
    let other = Node::start(server.store());
    assert_eq!(other.open(&session), Ok(Some(b"a cart".to_vec())));
    assert!(
        other
            .verbs
            .save(&session.id, session.version, &vec![7; 500_000])
            .is_ok()
    );
}

#[test]
fn a_server_without_memory_is_full() {
    // `-M` makes the server reject values instead of evicting others.
    let Some(server) = Server::start(&["-m", "2", "-M"]) else {
        return;
    };
    let node = Node::start(server.store());
    let created = (0..2_000).find_map(|_| node.verbs.create(&[7; 10_000]).err());
    assert_eq!(created, Some(Error::Full));
}

/// Items of at most 512 KiB. memcached 1.6.18 crashes with smaller ones.
const SMALL: [&str; 2] = ["-I", "512k"];
