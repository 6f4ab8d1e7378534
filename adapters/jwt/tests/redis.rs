//! Revocations over real servers: two nodes, lost channels, restarts and outages.

#![allow(clippy::unwrap_used)]

#[path = "../../../stores/redis/tests/rig/support/proxy.rs"]
#[allow(dead_code)]
mod proxy;
#[path = "../../../stores/redis/tests/servers/support/server.rs"]
mod server;

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header};
use proxy::{Behaviour, Lane, Proxy, Towards};
use serde::de::IgnoredAny;
use serde_json::json;
use server::Server;
use sessile::{KeyRing, SessionCache};
use sessile_jwt::{Algorithm, Rejection, Revocations, VerificationKey, Verifier};
use sessile_redis::RedisStore;
use sessile_store::StoreExt;

/// A process with its own connections, which pass a proxy.
struct Node {
    proxy: Proxy,
    revocations: Revocations,
    verifier: Verifier,
}

impl Node {
    /// Starts a node, and waits until it accepts tokens.
    fn start(server: &Server) -> Self {
        let node = Self::begin(server);
        until("the list is loaded", || node.revocations.are_current());
        node
    }

    fn begin(server: &Server) -> Self {
        let proxy = Proxy::start(server.port());
        let keys = KeyRing::from_bytes(&[b"0123456789abcdefghijklmnopqrstuv"]).unwrap();
        let store = RedisStore::open(&format!("redis://127.0.0.1:{}", proxy.port())).unwrap();
        let builder = SessionCache::builder().memory(8 << 20).keys(keys);
        let cache = builder.tiered(store).lease(LEASE).build().unwrap();
        let revocations = Revocations::with_store(&cache, 1_000).unwrap();
        let verifier = Verifier::builder()
            .algorithms([Algorithm::Hs256])
            .key(VerificationKey::hmac(Algorithm::Hs256, SECRET).unwrap())
            .revocations(revocations.clone())
            .build()
            .unwrap();
        Self {
            proxy,
            revocations,
            verifier,
        }
    }

    fn rejection(&self, token: &str) -> Option<Rejection> {
        self.verifier.verify::<IgnoredAny>(token).err()
    }

    fn revoke(&self, token: &str) {
        let claims = self.verifier.verify::<IgnoredAny>(token).unwrap();
        self.revocations.blocking().revoke_token(&claims).unwrap();
        assert_eq!(self.rejection(token), Some(Rejection::Revoked));
    }

    fn until_revoked(&self, token: &str) {
        until("the revocation arrives", || {
            self.rejection(token) == Some(Rejection::Revoked)
        });
    }
}

fn token(id: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let exp = now.as_secs() + 600;
    let claims = json!({"jti": id, "iat": now.as_secs() - 1, "exp": exp});
    let key = EncodingKey::from_secret(SECRET).unwrap();
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

/// Waits until a condition holds, and returns the time.
fn until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !condition() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{what}: not within 20 s"
        );
        thread::sleep(Duration::from_millis(2));
    }
    began.elapsed()
}

#[test]
fn a_revoked_token_is_rejected_by_the_other_node_and_after_a_restart() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let [one, two] = [(); 2].map(|()| Node::start(&server));
        let [revoked, other] = ["a", "b"].map(token);
        assert_eq!(two.rejection(&revoked), None);
        one.revoke(&revoked);
        two.until_revoked(&revoked);
        assert_eq!(two.rejection(&other), None);
        drop((one, two));
        let again = Node::start(&server);
        assert_eq!(again.rejection(&revoked), Some(Rejection::Revoked));
        assert_eq!(again.rejection(&other), None);
    }
}

/// In every case: the channel is half-open, killed by the server, or lost with all connections.
#[test]
fn a_node_without_its_channel_rejects_within_the_lease_and_a_second() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let [one, two] = [(); 2].map(|()| Node::start(&server));
        let faults: [fn(&Server, &Node); 3] = [
            |_, node| {
                node.proxy
                    .set(Lane::Channel, Towards::Node, Behaviour::Stall);
            },
            |server, _| {
                server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            },
            |_, node| node.proxy.refuse(true),
        ];
        for (at, fault) in faults.into_iter().enumerate() {
            let revoked = token(&at.to_string());
            assert_eq!(two.rejection(&revoked), None);
            // Before the fault: the server may end the channel of this node too.
            let claims = one.verifier.verify::<IgnoredAny>(&revoked).unwrap();
            fault(&server, &two);
            until("it is revoked", || {
                one.revocations.blocking().revoke_token(&claims).is_ok()
            });
            let rejected = until("it is rejected", || two.rejection(&revoked).is_some());
            // The promise, and time for a machine under load.
            let limit = LEASE + Duration::from_secs(1 + 2);
            assert!(rejected <= limit, "{kind} {at}: {rejected:?}");
            two.proxy.set(Lane::Channel, Towards::Node, Behaviour::Pass);
            two.proxy.refuse(false);
            until("the list is loaded again", || {
                assert!(two.rejection(&revoked).is_some(), "it is accepted again");
                two.revocations.are_current()
            });
            assert_eq!(two.rejection(&revoked), Some(Rejection::Revoked));
        }
    }
}

#[test]
fn a_node_that_starts_while_the_server_is_down_accepts_nothing() {
    for kind in server::kinds() {
        let mut server = Server::start(kind, &["--appendonly", "yes", "--appendfsync", "always"]);
        let one = Node::start(&server);
        let [revoked, other] = ["a", "b"].map(token);
        one.revoke(&revoked);
        drop(one);
        server.kill();
        let late = Node::begin(&server);
        for token in [&revoked, &other] {
            assert_eq!(late.rejection(token), Some(Rejection::Unavailable));
        }
        server.start_again();
        until("the list is loaded", || late.rejection(&other).is_none());
        assert_eq!(late.rejection(&revoked), Some(Rejection::Revoked));
    }
}

const SECRET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// The shortest lease that the settings allow.
const LEASE: Duration = Duration::from_secs(3);
