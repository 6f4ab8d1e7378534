//! Revocations of tokens: each node mirrors all that the server has.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use sessile::Error;
use sessile_redis::RedisStore;
use sessile_store::{MirrorState, Revocation, RevocationSink, RevocationsFull};

use crate::{
    failover::Pair,
    support::{
        node::{LEASE, Node, Site, permit, until, url},
        pauses::Pauses,
        proxy::{Behaviour, Lane, Proxy, Towards},
        server::{self, Server},
    },
};

/// The revocations that a node has received.
#[derive(Default)]
struct Seen(Mutex<HashSet<Revocation>>);

impl RevocationSink for Seen {
    fn revoked(&self, revocation: &Revocation) -> Result<(), RevocationsFull> {
        self.0.lock().expect("no panic").insert(*revocation);
        Ok(())
    }
}

/// A node with its mirror.
struct Mirror {
    node: Node,
    seen: Arc<Seen>,
}

impl Mirror {
    fn start(site: &Site, server: &Server) -> Self {
        let mirror = Self::of(site.node(server));
        mirror.until_current();
        mirror
    }

    fn of(node: Node) -> Self {
        let seen = Arc::new(Seen::default());
        node.cache
            .mirror_revocations(seen.clone())
            .expect("one sink");
        Self { node, seen }
    }

    fn is_current(&self) -> bool {
        self.node.cache.revocations_are_current()
    }

    fn until_current(&self) {
        until("the mirror is current", || self.is_current());
    }

    fn has(&self, revocation: &Revocation) -> bool {
        let seen = self.seen.0.lock().expect("no panic");
        seen.contains(revocation)
    }

    /// Returns true if a token is accepted, as a verifier decides it: the order matters.
    fn accepts(&self, revocation: &Revocation) -> bool {
        self.is_current() && !self.has(revocation)
    }

    fn revoke(&self, revocation: Revocation) -> Result<(), Error> {
        self.node.verbs.revoke(revocation)
    }
}

/// Returns a revocation of another key each time, which expires after ten minutes.
fn fresh() -> Revocation {
    let mut key = [0; 16];
    getrandom::fill(&mut key).expect("random bytes");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Revocation {
        key,
        issued_before: u64::MAX,
        expires_at: now.expect("after 1970").as_secs() + 600,
    }
}

fn mirrors(site: &Site, server: &Server) -> [Mirror; 2] {
    [(); 2].map(|()| Mirror::start(site, server))
}

#[test]
fn a_revoked_token_is_rejected_here_at_once_and_on_the_other_node_soon() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let [one, two] = mirrors(&Site::new(&server), &server);
        let pauses = Pauses::watch();
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            let revocation = fresh();
            assert!(one.accepts(&revocation) && two.accepts(&revocation));
            assert_eq!(one.revoke(revocation), Ok(()));
            assert!(!one.accepts(&revocation));
            let began = Instant::now();
            until("the message arrives", || !two.accepts(&revocation));
            longest = longest.max(began.elapsed());
        }
        println!("{kind}: rejected on the other node after at most {longest:?}");
        assert!(
            longest < Duration::from_secs(1) + pauses.total(),
            "{longest:?}"
        );
        assert!(two.is_current() && two.node.fences() == 0.0);
    }
}

#[test]
fn a_node_that_lost_its_channel_accepts_for_one_lease_at_most() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        for fault in [stall, cut_off, pause_messages] {
            let [one, two] = mirrors(&site, &server);
            let pauses = Pauses::watch();
            fault(&two.node.proxy);
            let revocation = fresh();
            assert_eq!(one.revoke(revocation), Ok(()));
            let began = Instant::now();
            until("it is rejected", || !two.accepts(&revocation));
            let took = began.elapsed();
            println!("{kind}: rejected after {took:?} without a channel");
            assert!(took < LEASE + SECOND + pauses.total(), "{kind}: {took:?}");
            heal(&two.node.proxy);
            // Never accepted again, whichever state the mirror passes through.
            until("the mirror is current", || {
                assert!(!two.accepts(&revocation), "{kind}");
                two.is_current()
            });
        }
    }
}

fn stall(proxy: &Proxy) {
    proxy.set(Lane::Channel, Towards::Node, Behaviour::Stall);
}

fn cut_off(proxy: &Proxy) {
    proxy.refuse(true);
    for lane in [Lane::Channel, Lane::Reads, Lane::Writes] {
        proxy.cut(lane);
    }
}

/// Heartbeats do not reach the server either.
fn pause_messages(proxy: &Proxy) {
    proxy.set(Lane::Channel, Towards::Server, Behaviour::Stall);
    proxy.set(Lane::Channel, Towards::Node, Behaviour::Stall);
}

fn heal(proxy: &Proxy) {
    proxy.refuse(false);
    for towards in [Towards::Node, Towards::Server] {
        proxy.set(Lane::Channel, towards, Behaviour::Pass);
    }
}

#[test]
fn a_restart_of_all_nodes_remembers_ten_thousand_revocations() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let first = Mirror::start(&site, &server);
        let revocations: Vec<_> = (0..10_000).map(|_| fresh()).collect();
        thread::scope(|scope| {
            for part in revocations.chunks(1_250) {
                let first = &first;
                scope.spawn(move || {
                    for revocation in part {
                        assert_eq!(first.revoke(*revocation), Ok(()));
                    }
                });
            }
        });
        drop(first);
        let began = Instant::now();
        let second = Mirror::start(&site, &server);
        println!(
            "{kind}: 10,000 revocations loaded after {:?}",
            began.elapsed()
        );
        assert!(revocations.iter().all(|revocation| second.has(revocation)));
        let reads = second.node.metric("sessile_store_reads_total");
        assert!(reads >= 5.0, "they come in pages, and not one by one");
        assert!(reads <= 40.0, "{reads}");
    }
}

#[test]
fn a_node_that_starts_without_the_server_accepts_nothing() {
    for kind in server::kinds() {
        let mut server = Server::start(kind, &["--appendonly", "yes", "--appendfsync", "always"]);
        let site = Site::new(&server);
        let revocation = fresh();
        let one = Mirror::start(&site, &server);
        assert_eq!(one.revoke(revocation), Ok(()));
        drop(one);
        server.kill();
        let proxy = Proxy::start(server.port());
        let store = RedisStore::open(&url(proxy.port())).expect("a valid URL");
        let cache = site.builder(store).build().expect("it starts all the same");
        let late = Mirror::of(Node {
            verbs: cache.blocking(),
            cache,
            proxy,
        });
        let deadline = Instant::now() + SECOND;
        while Instant::now() < deadline {
            assert!(!late.is_current());
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(late.node.cache.store_health().mirror, MirrorState::Behind);
        assert_eq!(late.revoke(fresh()), Err(Error::Unreachable));
        server.start_again();
        permit(&server);
        late.until_current();
        assert!(late.has(&revocation), "{kind}: the server kept it");
        assert_eq!(late.node.cache.store_health().revocations_queued, 0);
    }
}

#[test]
fn a_revocation_without_the_server_is_sent_before_the_node_is_up() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let [one, two] = mirrors(&Site::new(&server), &server);
        cut_off(&one.node.proxy);
        one.node.until_down();
        let revocation = fresh();
        assert_eq!(one.revoke(revocation), Err(Error::Unreachable));
        assert!(one.has(&revocation) && !two.has(&revocation));
        heal(&one.node.proxy);
        until("it is sent", || two.has(&revocation));
        one.node.until_up();
        assert_eq!(
            one.node.cache.store_health().revocations_queued,
            0,
            "{kind}"
        );
    }
}

#[test]
fn a_server_that_stops_is_not_trusted_after_the_lease() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let one = Mirror::start(&Site::new(&server), &server);
        let pauses = Pauses::watch();
        server.pause();
        let began = Instant::now();
        until("the lease is over", || !one.is_current());
        assert!(began.elapsed() < LEASE + SECOND + pauses.total(), "{kind}");
        server.resume();
        one.until_current();
    }
}

#[test]
fn a_flush_forgets_nothing_in_running_processes() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = mirrors(&site, &server);
        // The server has it from a process that is gone, so no process asserts it again.
        let [old, recent] = [(); 2].map(|()| fresh());
        let gone = Mirror::start(&site, &server);
        assert_eq!(gone.revoke(old), Ok(()));
        until("the message arrives", || one.has(&old) && two.has(&old));
        drop(gone);
        assert_eq!(one.revoke(recent), Ok(()));
        let fences = [&one, &two].map(|mirror| mirror.node.fences());
        server.command(&["FLUSHALL"]);
        for (mirror, fences) in [&one, &two].into_iter().zip(fences) {
            until("a fence", || mirror.node.fences() > fences);
            mirror.until_current();
            assert!(mirror.has(&old) && mirror.has(&recent), "{kind}");
        }
        let late = Mirror::start(&site, &server);
        until("it was asserted again", || late.has(&recent));
        assert!(!late.has(&old), "{kind}: nothing can remember it");
    }
}

#[test]
fn a_revocation_that_a_failover_lost_is_asserted_again() {
    for kind in server::kinds() {
        let mut pair = Pair::start(kind);
        let site = Site::new(&pair.primary);
        let [one, two] = mirrors(&site, &pair.primary);
        let revocation = fresh();
        pair.stall();
        assert_eq!(one.revoke(revocation), Ok(()), "acknowledged");
        let fences = one.node.fences();
        pair.fail_over([&one.node, &two.node]);
        let recorded = || pair.replica.command(&["EXISTS", KEY]) == "1";
        assert!(!recorded(), "the revocation was lost");
        until("a fence", || one.node.fences() > fences);
        one.node.until_up();
        assert!(recorded(), "{kind}: not asserted");
        let late = Mirror::start(&site, &pair.replica);
        assert!(late.has(&revocation) && !two.accepts(&revocation));
    }
}

#[test]
fn a_revocation_is_recorded_without_memory_left() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let [one, two] = mirrors(&Site::new(&server), &server);
        server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        let created = one.node.verbs.create(b"cart").map(|_| ());
        assert_eq!(created, Err(Error::Full), "{kind}");
        let revocation = fresh();
        assert_eq!(one.revoke(revocation), Ok(()), "{kind}");
        until("the message arrives", || two.has(&revocation));
    }
}

#[test]
fn a_key_of_another_type_is_no_lost_revocation() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let node = site.node(&server);
        server.command(&["SET", KEY, "of another application"]);
        let mirror = Mirror::of(node);
        assert_eq!(mirror.revoke(fresh()), Err(Error::Unreachable), "{kind}");
        assert!(!mirror.is_current());
        server.command(&["DEL", KEY]);
        mirror.until_current();
        until("the queue is sent", || {
            mirror.node.cache.store_health().revocations_queued == 0
        });
        assert_eq!(server.command(&["EXISTS", KEY]), "1");
    }
}

#[test]
fn a_revocation_during_a_load_is_kept() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let one = Mirror::start(&site, &server);
        let late = site.node(&server);
        late.proxy.set(Lane::Reads, Towards::Node, Behaviour::Stall);
        let late = Mirror::of(late);
        let revocation = fresh();
        assert_eq!(one.revoke(revocation), Ok(()));
        until("the message arrives", || late.has(&revocation));
        assert!(!late.is_current(), "{kind}: the load is not answered");
        late.node
            .proxy
            .set(Lane::Reads, Towards::Node, Behaviour::Pass);
        late.until_current();
        assert!(late.has(&revocation));
    }
}

#[test]
fn a_node_without_a_mirror_is_not_disturbed_and_the_key_expires() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let (one, plain) = (Mirror::start(&site, &server), site.node(&server));
        assert_eq!(one.revoke(fresh()), Ok(()));
        let session = plain.verbs.create(b"cart").expect("the store is up");
        assert_eq!(one.node.open(&session), Ok(Some(b"cart".to_vec())));
        assert_eq!(plain.cache.store_health().mirror, MirrorState::Off);
        assert_eq!(plain.fences(), 0.0);
        let left: u64 = server.command(&["PTTL", KEY]).parse().expect("a number");
        assert!((500_000..=600_000).contains(&left), "{kind}: {left} ms");
    }
}

/// The key of the revocations.
const KEY: &str = "sessile:{00}:r";
const SECOND: Duration = Duration::from_secs(1);
