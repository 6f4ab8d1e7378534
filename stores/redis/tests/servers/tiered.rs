//! Tiered caches over real servers.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use sessile::{CreateOptions, Error, KeyRing, SessionCache, SessionId, SignInOptions};
use sessile_store::{StoreExt, StoreState, TieredCache};

use crate::support::server::{self, Server};

/// Returns two nodes over a server.
fn nodes(server: &Server) -> [TieredCache; 2] {
    let keys = KeyRing::generate().expect("random bytes");
    [(); 2].map(|()| {
        let builder = SessionCache::builder().memory(8 << 20).keys(keys.clone());
        let cache = builder.store(server.store()).expect("a server that fits");
        until("it connects", || {
            cache.store_health().state == StoreState::Up
        });
        cache
    })
}

/// Waits until a condition holds.
fn until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    began.elapsed()
}

fn opens(cache: &TieredCache, id: &SessionId) -> Result<bool, Error> {
    let loaded = cache.blocking().load(id, &mut BytesMut::new());
    loaded.map(|record| record.is_some())
}

#[test]
fn nodes_share_sessions_saves_and_ends() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let [one, two] = nodes(&server);
        let issued = one.blocking().create(b"a cart").expect("an answer");
        assert_eq!(opens(&two, &issued.id), Ok(true));

        let saved = one.blocking().save(&issued.id, issued.version, b"two");
        let saved = saved.expect("an answer");
        let mut buffer = BytesMut::new();
        until("the save arrives", || {
            let record = two.blocking().load(&issued.id, &mut buffer);
            record.is_ok_and(|record| record.is_some_and(|record| record.version == saved))
        });
        assert_eq!(&buffer[..], b"two");
        let conflict = two.blocking().save(&issued.id, issued.version, b"lost");
        assert_eq!(conflict, Err(Error::Conflict));

        let options = SignInOptions::new().label("phone");
        let signed_in = two.blocking().sign_in_with(&issued.id, "ada", options);
        let signed_in = signed_in.expect("an answer");
        until("the old id is gone", || {
            opens(&one, &issued.id) == Ok(false)
        });
        let listed = one.blocking().user_sessions("ada").expect("an answer");
        assert_eq!((listed.len(), &*listed[0].label), (1, "phone"));

        let rotated = one.blocking().rotate(&signed_in.id, Duration::from_secs(5));
        let rotated = rotated.expect("an answer");
        assert_eq!(
            opens(&two, &signed_in.id),
            Ok(true),
            "within the grace period"
        );
        assert_eq!(one.blocking().end_user_sessions("ada", None), Ok(1));
        until("the end arrives", || opens(&two, &rotated.id) == Ok(false));
        assert_eq!(opens(&two, &signed_in.id), Ok(false));
    }
}

#[test]
fn the_end_of_all_and_a_flush_empty_every_node() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let [one, two] = nodes(&server);
        let options = CreateOptions::new().user("ada");
        let issued = one.blocking().create_with(b"", options).expect("an answer");
        assert_eq!(opens(&two, &issued.id), Ok(true));
        assert_eq!(one.blocking().end_all(), Ok(()));
        until("the message arrives", || {
            opens(&two, &issued.id) == Ok(false)
        });

        std::thread::sleep(Duration::from_millis(2));
        let issued = two.blocking().create(b"").expect("an answer");
        assert_eq!(opens(&one, &issued.id), Ok(true));
        server.command(&["FLUSHALL"]);
        for node in [&one, &two] {
            until("the flush arrives", || opens(node, &issued.id) == Ok(false));
        }
        let issued = one.blocking().create(b"").expect("an answer");
        until("both are up", || opens(&two, &issued.id) == Ok(true));
    }
}

#[test]
fn a_stopped_server_delays_no_request_beyond_its_bound() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let [one, two] = nodes(&server);
        let issued = one.blocking().create(b"").expect("an answer");
        let ended = two.blocking().create(b"").expect("an answer");
        assert_eq!(opens(&one, &ended.id), Ok(true));
        server.pause();
        let began = Instant::now();
        assert_eq!(opens(&one, &issued.id), Ok(true), "it is in memory");
        let saved = one.blocking().save(&issued.id, issued.version, b"late");
        assert_eq!(saved, Err(Error::Unreachable));
        assert_eq!(two.blocking().end(&ended.id), Err(Error::Unreachable));
        assert_eq!(
            opens(&two, &ended.id),
            Ok(false),
            "its end was accepted here"
        );
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "the bounds of two calls"
        );
        until("both are down", || {
            let states = [&one, &two].map(|node| node.store_health().state);
            states == [StoreState::Down, StoreState::Down]
        });
        let began = Instant::now();
        assert_eq!(one.blocking().create(b"").err(), Some(Error::Unreachable));
        assert!(
            began.elapsed() < Duration::from_millis(100),
            "the breaker is open"
        );
        server.resume();
        until("both are up", || {
            let states = [&one, &two].map(|node| node.store_health().state);
            states == [StoreState::Up, StoreState::Up]
        });
        assert_eq!(
            opens(&one, &ended.id),
            Ok(false),
            "the queued end was sent first"
        );
        let mut buffer = BytesMut::from(&b"x"[..]);
        let record = two.blocking().load(&issued.id, &mut buffer);
        assert!(record.is_ok_and(|record| record.is_some()));
        assert_eq!(&buffer[..], b"", "the late save was not executed");
    }
}
