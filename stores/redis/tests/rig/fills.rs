//! Reads that race with ends, reads of the same session, and cookies that cause none.

use std::{thread, time::Duration};

use bytes::BytesMut;
use sessile::IssuedSession;
use sessile_store::LookUp;

use crate::support::{
    node::{Site, until},
    proxy::{Behaviour, Lane, Towards},
    server::{self, Server},
};

// TERM-3: docs/security-checklist.md
#[test]
fn a_read_that_an_end_overtook_is_not_installed() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let [session, later] =
            [b"cart", b"mark"].map(|data| one.verbs.create(data).expect("the store is up"));
        assert!(two.open(&later).is_ok() && two.hits(&later));
        let before = server.calls("get");
        two.proxy.set(Lane::Reads, Towards::Node, Behaviour::Stall);
        thread::scope(|scope| {
            let read = scope.spawn(|| two.open(&session));
            // The server has executed the read, and the proxy holds the reply.
            until("the read", || server.calls("get") > before);
            assert_eq!(one.verbs.end(&session.id), Ok(true));
            // Messages arrive in order, so the end has arrived when a later one has.
            assert_eq!(one.verbs.end(&later.id), Ok(true));
            until("the later end arrives", || !two.hits(&later));
            two.proxy.set(Lane::Reads, Towards::Node, Behaviour::Pass);
            let read = read.join().expect("no panic");
            assert_eq!(read, Ok(Some(b"cart".to_vec())), "it began before the end");
        });
        assert!(!two.hits(&session), "{kind}: the result was installed");
        assert_eq!(two.open(&session), Ok(None));
        assert!(two.metric("sessile_store_below_floor_total") >= 1.0);
    }
}

// TERM-3: docs/security-checklist.md
#[test]
fn an_end_that_arrives_after_a_read_removes_what_was_installed() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let session = one.verbs.create(b"cart").expect("the store is up");
        two.proxy
            .set(Lane::Channel, Towards::Node, Behaviour::Stall);
        assert_eq!(two.open(&session), Ok(Some(b"cart".to_vec())));
        assert!(two.hits(&session));
        assert_eq!(one.verbs.end(&session.id), Ok(true));
        assert!(two.hits(&session), "the lease covers it");
        two.proxy.set(Lane::Channel, Towards::Node, Behaviour::Pass);
        until("the end arrives", || !two.hits(&session));
        assert_eq!(two.open(&session), Ok(None));
    }
}

#[test]
fn a_thousand_concurrent_misses_cause_one_read() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let [session, other] = [(); 2].map(|()| one.verbs.create(b"cart").expect("it is up"));
        assert!(two.open(&other).is_ok(), "the server knows the script now");
        let before = server.calls("get");
        two.proxy.set(Lane::Reads, Towards::Node, Behaviour::Stall);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let requests: Vec<_> = (0..1_000)
            .map(|_| runtime.spawn(open_async(&two.cache, &session)))
            .collect();
        until("the read", || server.calls("get") > before);
        thread::sleep(Duration::from_millis(100));
        two.proxy.set(Lane::Reads, Towards::Node, Behaviour::Pass);
        for request in requests {
            let opened = runtime.block_on(request).expect("no panic");
            assert!(opened, "{kind}: each request gets the session");
        }
        assert_eq!(server.calls("get") - before, 1, "{kind}");
    }
}

fn open_async(
    cache: &sessile_store::TieredCache,
    session: &IssuedSession,
) -> impl Future<Output = bool> + Send + 'static {
    let (cache, token) = (cache.clone(), session.token.as_str().to_owned());
    async move {
        let mut data = BytesMut::new();
        let opened = cache.open_token(token.as_bytes(), &mut data).await;
        matches!(opened, Ok(Some(_))) && &data[..] == b"cart"
    }
}

// ID-5, SIGN-1: docs/security-checklist.md
#[test]
fn malformed_and_forged_cookies_cause_no_read() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let node = site.node(&server);
        let session = node.verbs.create(b"cart").expect("the store is up");
        let before = server.calls("get");
        let text = session.token.as_str();
        for position in 0..text.len() {
            for letter in *b"Ab0-" {
                let mut forged = text.as_bytes().to_vec();
                if forged[position] == letter {
                    continue;
                }
                forged[position] = letter;
                let mut data = BytesMut::new();
                let opened = node.cache.try_open_token(&forged, &mut data);
                assert!(!matches!(opened, LookUp::Unknown(_)), "{position}");
                let shorter = node.verbs.open_token(&forged[..position], &mut data);
                assert!(matches!(shorter, Ok(None)), "{position}");
            }
        }
        assert_eq!(server.calls("get"), before, "{kind}");
    }
}
