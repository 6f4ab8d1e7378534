//! Primaries that die, and replicas that take their place.

use std::time::Duration;

use sessile::{Error, IssuedSession};
use sessile_redis::RedisStore;

use crate::support::{
    node::{Node, Site, key, permit, until, url},
    proxy::{Behaviour, Lane, Proxy, Towards},
    sentinels::Sentinels,
    server::{self, Server},
};

#[test]
fn sessions_return_after_a_failover_by_sentinels() {
    for kind in server::kinds() {
        let mut primary = Server::start(kind, &[]);
        let replica = Server::start(kind, &[]);
        let site = Site::new(&primary);
        permit(&replica);
        replica.replicate(&primary);
        let sentinels = Sentinels::start(kind, &primary);
        let url = sentinels.url().replace("://", "://app:secret@");
        let [one, two] = [(); 2].map(|()| {
            let store = RedisStore::open(&url).expect("a valid URL");
            // The proxy carries nothing here: the Sentinels name the servers.
            site.over(store, Proxy::start(primary.port()), |builder| builder)
        });
        let [kept, ended] = [(); 2].map(|()| created(&one, &two));
        assert_eq!(one.verbs.end(&ended.id), Ok(true));
        until("the replica has both", || {
            exists(&replica, &kept) && !exists(&replica, &ended)
        });
        let fences = two.fences();
        primary.kill();
        until("a fence", || two.fences() > fences);
        for node in [&one, &two] {
            until_within_a_minute(|| node.is_up());
            assert_eq!(node.open(&kept), Ok(Some(b"cart".to_vec())), "{kind}");
            assert_eq!(node.open(&ended), Ok(None), "{kind}");
        }
        assert!(one.verbs.create(b"cart").is_ok(), "it is a primary");
    }
}

/// Two servers, and a replication link that a proxy can stall. The nodes reach the primary through
/// proxies that are redirected to the replica.
pub struct Pair {
    pub primary: Server,
    pub replica: Server,
    link: Proxy,
}

impl Pair {
    pub fn start(kind: &'static str) -> Self {
        let (primary, replica) = (Server::start(kind, &[]), Server::start(kind, &[]));
        let link = Proxy::start(primary.port());
        permit(&replica);
        let port = link.port().to_string();
        replica.command(&["REPLICAOF", "127.0.0.1", &port]);
        until("the replica is online", || {
            let info = primary.command(&["INFO", "replication"]);
            info.contains("state=online")
        });
        Self {
            primary,
            replica,
            link,
        }
    }

    /// From now on the replica misses what the primary does.
    pub fn stall(&self) {
        // The link is of none of the kinds of a node, so it counts as writes.
        let behaviour = Behaviour::Stall;
        self.link.set(Lane::Writes, Towards::Node, behaviour);
    }

    /// Kills the primary and promotes the replica.
    pub fn fail_over(&mut self, nodes: [&Node; 2]) {
        self.primary.kill();
        self.replica.command(&["REPLICAOF", "NO", "ONE"]);
        for node in nodes {
            node.proxy.redirect(self.replica.port());
        }
    }
}

#[test]
fn an_end_that_a_failover_lost_is_asserted_again() {
    for kind in server::kinds() {
        let mut pair = Pair::start(kind);
        let site = Site::new(&pair.primary);
        let [one, two] = [(); 2].map(|()| site.node(&pair.primary));
        let session = created(&one, &two);
        until("the replica has it", || exists(&pair.replica, &session));
        pair.stall();
        assert_eq!(one.verbs.end(&session.id), Ok(true), "acknowledged");
        let fences = one.fences();
        pair.fail_over([&one, &two]);
        assert!(exists(&pair.replica, &session), "the end was lost");
        until("a fence", || one.fences() > fences);
        one.until_up();
        assert!(!exists(&pair.replica, &session), "{kind}: not asserted");
        two.until_up();
        assert_eq!(two.open(&session), Ok(None), "{kind}");
    }
}

#[test]
fn with_wait_an_end_that_no_replica_has_is_not_acknowledged() {
    for kind in server::kinds() {
        let mut pair = Pair::start(kind);
        let site = Site::new(&pair.primary);
        let [one, two] = [(); 2].map(|()| {
            let proxy = Proxy::start(pair.primary.port());
            let store = RedisStore::builder(&url(proxy.port()))
                .wait(1, Duration::from_millis(200))
                .build()
                .expect("valid settings");
            site.over(store, proxy, |builder| builder)
        });
        let session = created(&one, &two);
        until("the replica has it", || exists(&pair.replica, &session));
        pair.stall();
        assert_eq!(one.verbs.end(&session.id), Err(Error::Unreachable));
        assert_eq!(one.cache.store_health().ends_queued, 1, "{kind}");
        pair.fail_over([&one, &two]);
        // The promoted server has no replica, so the end stays queued until it gets one.
        let another = Server::start(kind, &[]);
        permit(&another);
        another.replicate(&pair.replica);
        until("the queue is empty", || {
            one.cache.store_health().ends_queued == 0
        });
        assert!(!exists(&pair.replica, &session), "{kind}");
        two.until_up();
        assert_eq!(two.open(&session), Ok(None), "{kind}");
    }
}

#[test]
fn a_primary_without_the_replicas_that_it_must_have_is_given_up() {
    for kind in server::kinds() {
        let options = [
            "--min-replicas-to-write",
            "1",
            "--min-replicas-max-lag",
            "1",
        ];
        let primary = Server::start(kind, &options);
        let mut replica = Server::start(kind, &[]);
        replica.replicate(&primary);
        let site = Site::new(&primary);
        let node = site.node(&primary);
        let session = node.verbs.create(b"cart").expect("the store is up");
        let fences = node.fences();
        replica.kill();
        until("a fence", || node.fences() > fences);
        until("the lease ends", || !node.hits(&session));
        assert_eq!(node.open(&session), Err(Error::Unreachable), "{kind}");
        replica.start_again();
        replica.replicate(&primary);
        node.until_up();
        assert_eq!(node.open(&session), Ok(Some(b"cart".to_vec())));
    }
}

fn created(one: &Node, two: &Node) -> IssuedSession {
    let session = one.verbs.create(b"cart").expect("the store is up");
    assert_eq!(two.open(&session), Ok(Some(b"cart".to_vec())));
    session
}

fn exists(server: &Server, session: &IssuedSession) -> bool {
    server.command(&["EXISTS", &key(&session.id)]) == "1"
}

fn until_within_a_minute(mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "no failover");
        std::thread::sleep(Duration::from_millis(10));
    }
}
