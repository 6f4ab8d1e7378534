//! Primaries that die, and replicas that take their place.

use std::time::Duration;

use sessile::{Error, IssuedSession, SessionLimitPolicy};
use sessile_redis::RedisStore;

use crate::support::{
    node::{Node, Site, answered, key, permit, until, until_within, url},
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
        let fences = [&one, &two].map(Node::fences);
        primary.kill();
        for (node, fences) in [&one, &two].into_iter().zip(fences) {
            until("a fence", || node.fences() > fences);
            // L1 is empty then: what it opens afterwards is of the promoted server.
            until_within(FAILOVER, "a failover", || node.is_up());
            let opened = answered(|| node.open(&kept));
            assert_eq!(opened, Ok(Some(b"cart".to_vec())), "{kind}");
            assert_eq!(answered(|| node.open(&ended)), Ok(None), "{kind}");
        }
        let created = answered(|| one.verbs.create(b"cart"));
        assert!(created.is_ok(), "{kind}: it is a primary");
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
        self.promote();
        self.redirect(nodes);
    }

    pub fn promote(&mut self) {
        self.primary.kill();
        self.replica.command(&["REPLICAOF", "NO", "ONE"]);
    }

    pub fn redirect(&self, nodes: [&Node; 2]) {
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
        assert_eq!(answered(|| two.open(&session)), Ok(None), "{kind}");
    }
}

#[test]
fn what_a_sign_in_ended_is_asserted_again() {
    for kind in server::kinds() {
        let mut pair = Pair::start(kind);
        let policy = SessionLimitPolicy::EndLeastRecentlyUsed;
        let site = Site::limited(&pair.primary, 1, policy);
        let [one, two] = [(); 2].map(|()| site.node(&pair.primary));
        let [visitor, other] = [(); 2].map(|()| created(&one, &two));
        let signed_in = one.verbs.sign_in(&visitor.id, "ada");
        let signed_in = signed_in.expect("the store is up");
        until("the replica has it", || exists(&pair.replica, &signed_in));
        pair.stall();
        let last = one.verbs.sign_in(&other.id, "ada");
        let last = last.expect("the store is up");
        let fences = one.fences();
        pair.fail_over([&one, &two]);
        assert!(!exists(&pair.replica, &last), "the sign-in was lost");
        assert!(exists(&pair.replica, &signed_in), "the limit was 1");
        until("a fence", || one.fences() > fences);
        one.until_up();
        assert!(!exists(&pair.replica, &signed_in), "{kind}: not asserted");
        two.until_up();
        for session in [&signed_in, &other, &last] {
            assert_eq!(answered(|| two.open(session)), Ok(None), "{kind}");
        }
    }
}

#[test]
fn a_sign_in_of_which_a_failover_lost_the_second_call_is_completed() {
    for kind in server::kinds() {
        let mut pair = Pair::start(kind);
        let site = Site::new(&pair.primary);
        let [one, two] = [(); 2].map(|()| site.node(&pair.primary));
        let visitor = created(&one, &two);
        // The record from before the sign-in, which the replica gets back.
        let copy = ["COPY", &key(&visitor.id), "copy"];
        assert_eq!(pair.primary.command(&copy), "1");
        let signed_in = one.verbs.sign_in(&visitor.id, "ada");
        let signed_in = signed_in.expect("the store is up");
        let written = offset(&pair.primary, "master_repl_offset:");
        until("the replica has both calls", || {
            offset(&pair.replica, "slave_repl_offset:") >= written
        });
        let fences = one.fences();
        pair.promote();
        let restore = ["COPY", "copy", &key(&visitor.id), "REPLACE"];
        assert_eq!(pair.replica.command(&restore), "1");
        pair.redirect([&one, &two]);
        until("a fence", || one.fences() > fences);
        one.until_up();
        two.until_up();
        assert_eq!(answered(|| two.open(&visitor)), Ok(None), "{kind}");
        let opened = answered(|| two.open(&signed_in));
        assert_eq!(opened, Ok(Some(b"cart".to_vec())), "{kind}");
        assert_eq!(answered(|| two.verbs.end(&visitor.id)), Ok(true));
        assert_eq!(answered(|| two.open(&signed_in)), Ok(None), "{kind}");
    }
}

#[test]
fn with_wait_an_end_that_no_replica_has_is_not_acknowledged() {
    for kind in server::kinds() {
        let mut pair = Pair::start(kind);
        let site = Site::new(&pair.primary);
        let [one, two] = [(); 2].map(|()| waiting(&site, &pair.primary, 200));
        let session = created(&one, &two);
        until("the replica has it", || exists(&pair.replica, &session));
        pair.stall();
        assert_eq!(one.verbs.end(&session.id), Err(Error::Unreachable));
        assert_eq!(one.ends_queued(), 1, "{kind}");
        pair.fail_over([&one, &two]);
        // The promoted server has no replica, so the end stays queued until it gets one.
        until("the server ended it", || !exists(&pair.replica, &session));
        one.until_up();
        assert_eq!(one.ends_queued(), 1, "{kind}");
        let another = Server::start(kind, &[]);
        permit(&another);
        another.replicate(&pair.replica);
        one.until_sent();
        assert!(!exists(&pair.replica, &session), "{kind}");
        two.until_up();
        assert_eq!(answered(|| two.open(&session)), Ok(None), "{kind}");
    }
}

#[test]
fn with_wait_a_node_goes_up_without_a_replica() {
    for kind in server::kinds() {
        let (primary, mut replica) = (Server::start(kind, &[]), Server::start(kind, &[]));
        replica.replicate(&primary);
        let site = Site::new(&primary);
        let node = waiting(&site, &primary, 500);
        // More than there is time for if they wait for a replica one after the other.
        let signed_in: Vec<_> = (0..50).map(|user| replicated(&node, user)).collect();
        node.until_sent();
        replica.kill();
        until("the primary has no replica", || {
            let info = primary.command(&["INFO", "replication"]);
            info.contains("connected_slaves:0")
        });
        assert_eq!(node.verbs.end(&signed_in[0].id), Err(Error::Unreachable));
        let fences = node.fences();
        primary.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        until("a fence", || node.fences() > fences);
        node.until_up();
        assert_eq!(node.ends_queued(), 1, "{kind}");
        let opened = answered(|| node.open(&signed_in[1]));
        assert_eq!(opened, Ok(Some(b"cart".to_vec())), "{kind}");
        assert_eq!(answered(|| node.open(&signed_in[0])), Ok(None), "{kind}");
        replica.start_again();
        replica.replicate(&primary);
        node.until_sent();
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
        let opened = answered(|| node.open(&session));
        assert_eq!(opened, Ok(Some(b"cart".to_vec())), "{kind}");
    }
}

/// Starts a node whose ends and sign-ins wait for one replica.
fn waiting(site: &Site, primary: &Server, millis: u64) -> Node {
    let proxy = Proxy::start(primary.port());
    let store = RedisStore::builder(&url(proxy.port()))
        .wait(1, Duration::from_millis(millis))
        .build()
        .expect("valid settings");
    site.over(store, proxy, |builder| builder)
}

/// Ends a session, and signs a visitor in. A busy replica may answer too late at first.
fn replicated(node: &Node, user: usize) -> IssuedSession {
    let (user, mut signed_in) = (format!("user {user}"), Err(Error::Unreachable));
    until("a replica answers", || {
        let create = || answered(|| node.verbs.create(b"cart")).expect("the store has room");
        let is_ended = node.verbs.end(&create().id).is_ok();
        signed_in = node.verbs.sign_in(&create().id, &user);
        is_ended && signed_in.is_ok()
    });
    signed_in.expect("it was done")
}

fn created(one: &Node, two: &Node) -> IssuedSession {
    let session = one.verbs.create(b"cart").expect("the store is up");
    assert_eq!(two.open(&session), Ok(Some(b"cart".to_vec())));
    session
}

fn exists(server: &Server, session: &IssuedSession) -> bool {
    server.command(&["EXISTS", &key(&session.id)]) == "1"
}

/// Returns how many bytes of the replication a server has.
fn offset(server: &Server, name: &str) -> u64 {
    let info = server.command(&["INFO", "replication"]);
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    let number = line.expect("it replicates").trim().parse();
    number.expect("a number")
}

/// The time that three Sentinels may take.
const FAILOVER: Duration = Duration::from_secs(60);
