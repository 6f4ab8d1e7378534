//! Revocations under faults at random: three nodes, each of which mirrors all of the store.
//!
//! Whenever the mirror of a node is current, it has every revocation that the store confirmed,
//! unless its message may still be on the way. `SESSILE_SEED=n` repeats one schedule, and
//! `SESSILE_SCHEDULES=n` sets their number.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use sessile::{Error, KeyRing, SessionCache};
use sessile_store::{
    MemoryStore, MirrorState, Revocation, RevocationSink, RevocationsFull, ServerTime, Store,
    StoreExt, TieredCache, internals::Rules,
};

use crate::{
    executor::{NETWORK, Owner, World},
    network::Network,
    number,
    random::{entropy, seed_entropy},
    schedule::{BOUNDS, NODES},
};

#[test]
fn a_current_mirror_has_every_revocation() {
    if let Some(seed) = number("SESSILE_SEED") {
        Run::new(seed).run();
        return;
    }
    let schedules = number("SESSILE_SCHEDULES").map_or(SCHEDULES, |number| number / 4);
    for seed in 0..schedules {
        Run::new(seed).run();
    }
}

/// The revocations that a node has received.
#[derive(Default)]
struct Seen(Mutex<HashMap<([u8; 16], u64), u64>>);

impl RevocationSink for Seen {
    fn revoked(&self, revocation: &Revocation) -> Result<(), RevocationsFull> {
        let name = (revocation.key, revocation.issued_before);
        let mut seen = self.0.lock().expect("no panic");
        let known = seen.entry(name).or_default();
        *known = revocation.expires_at.max(*known);
        Ok(())
    }
}

impl Seen {
    fn len(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    fn has(&self, revocation: &Revocation) -> bool {
        let name = (revocation.key, revocation.issued_before);
        let seen = self.0.lock().expect("no panic");
        seen.get(&name)
            .is_some_and(|at| *at >= revocation.expires_at)
    }
}

struct Node {
    owner: Owner,
    cache: TieredCache,
    seen: Arc<Seen>,
    /// The numbers of the claims that it has not been seen to have. A sink forgets nothing.
    unseen: BTreeSet<u64>,
}

/// A revocation that a node accepted.
struct Claim {
    revocation: Revocation,
    owner: Owner,
    /// The time at which the store confirmed it. Without one the queue of the node sends it.
    confirmed: Option<Duration>,
}

struct Run {
    seed: u64,
    world: World,
    store: MemoryStore,
    networks: Vec<Network>,
    keys: KeyRing,
    nodes: Vec<Node>,
    /// By the number of their key.
    claims: Arc<Mutex<BTreeMap<u64, Claim>>>,
    next_owner: Owner,
    next_key: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        seed_entropy(seed);
        let world = World::new(seed);
        let clock = world.clone();
        let store = MemoryStore::with_clock(move || server_time(clock.now()));
        let networks = (0..NODES).map(|_| Network::new(world.clone(), store.clone()));
        let mut run = Self {
            seed,
            networks: networks.collect(),
            world,
            store,
            keys: KeyRing::from_bytes(&[b"the key of all nodes, 32 bytes.."]).expect("a key"),
            nodes: Vec::new(),
            claims: Arc::default(),
            next_owner: 1,
            next_key: 0,
        };
        for at in 0..NODES {
            let node = run.start(at);
            run.nodes.push(node);
        }
        run
    }

    fn start(&mut self, at: usize) -> Node {
        self.next_owner += 1;
        let owner = self.next_owner;
        let cache = SessionCache::builder()
            .memory(1 << 20)
            .max_session_size(1 << 10)
            .shards(4)
            .keys(self.keys.clone())
            .clock(self.world.clock())
            .entropy(entropy)
            .tiered(self.networks[at].clone())
            .build_in(
                Arc::new(self.world.environment(owner)),
                [at as u8 + 1; 32],
                Rules::default(),
            )
            .expect("settings that can be used");
        let seen = Arc::new(Seen::default());
        cache.mirror_revocations(seen.clone()).expect("one sink");
        Node {
            owner,
            cache,
            seen,
            unseen: self.claims().keys().copied().collect(),
        }
    }

    fn run(mut self) {
        let mut next_fault = Duration::from_secs(2);
        while self.world.now() < FAULTS {
            self.pass(5, 60);
            // Before the next one, which is accepted when time passes.
            self.check();
            self.revoke();
            if self.world.now() > next_fault {
                self.fault();
                next_fault = self.world.now() + self.random_millis(300, 4_000);
            }
        }
        for network in &self.networks {
            network.refuse(false);
            network.set_calls(20, 0);
        }
        self.world.run_until(self.world.now() + HEALING);
        self.check();
        self.check_final();
        self.world.kill_all();
    }

    fn pass(&self, from: u64, to: u64) {
        let pause = self.random_millis(from, to);
        self.world.run_until(self.world.now() + pause);
    }

    fn random_millis(&self, from: u64, to: u64) -> Duration {
        self.world.random(|random| random.millis(from, to))
    }

    fn random_node(&self) -> usize {
        self.world.random(|random| random.below(NODES as u64)) as usize
    }

    fn claims(&self) -> MutexGuard<'_, BTreeMap<u64, Claim>> {
        self.claims.lock().expect("no panic")
    }

    /// Revokes something on a random node.
    fn revoke(&mut self) {
        let at = self.random_node();
        let is_short = self.world.random(|random| random.chance(10));
        let revocation = self.revocation(if is_short { 3 } else { 3_600 });
        let number = self.next_key;
        for node in &mut self.nodes {
            node.unseen.insert(number);
        }
        let Node { owner, cache, .. } = &self.nodes[at];
        let (owner, cache) = (*owner, cache.clone());
        let (claims, world) = (Arc::clone(&self.claims), self.world.clone());
        self.world.spawn(
            owner,
            Box::pin(async move {
                let claim = Claim {
                    revocation,
                    owner,
                    confirmed: None,
                };
                claims.lock().expect("no panic").insert(number, claim);
                let result = cache.revoke(revocation).await;
                assert!(matches!(result, Ok(()) | Err(Error::Unreachable)));
                let mut claims = claims.lock().expect("no panic");
                if let (Ok(()), Some(claim)) = (result, claims.get_mut(&number)) {
                    claim.confirmed = Some(world.now());
                }
            }),
        );
    }

    /// Returns a revocation of a fresh key that expires after `span` seconds.
    fn revocation(&mut self, span: u64) -> Revocation {
        self.next_key += 1;
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.next_key.to_le_bytes());
        Revocation {
            key,
            issued_before: self.next_key % 3,
            expires_at: server_time(self.world.now()).0 / 1_000 + span,
        }
    }

    fn check(&mut self) {
        let now = self.world.now();
        for at in 0..NODES {
            let unseen = std::mem::take(&mut self.nodes[at].unseen);
            let unseen = unseen.into_iter().filter(|number| {
                let claims = self.claims();
                let Some(claim) = claims.get(number) else {
                    return false;
                };
                let is_expired = claim.revocation.is_expired(server_time(now));
                let is_over = is_expired || self.nodes[at].seen.has(&claim.revocation);
                assert!(
                    is_over || !self.is_due(claim, at),
                    "SESSILE_SEED={} at {now:?}: a revocation confirmed at {:?} is missing",
                    self.seed,
                    claim.confirmed
                );
                !is_over
            });
            let unseen = unseen.collect();
            self.nodes[at].unseen = unseen;
        }
    }

    /// Returns true if a node must have a revocation: it accepted it, or it is current and the
    /// message must have arrived.
    fn is_due(&self, claim: &Claim, at: usize) -> bool {
        let (node, network, now) = (&self.nodes[at], &self.networks[at], self.world.now());
        if claim.owner == node.owner {
            return true;
        }
        let Some(confirmed) = claim.confirmed else {
            return false;
        };
        let is_whole = network.was_whole(confirmed.saturating_sub(RECOVERY), now);
        let bound = if is_whole {
            BOUNDS.whole
        } else {
            BOUNDS.broken
        };
        node.cache.revocations_are_current() && now > confirmed + bound
    }

    /// Once all faults are over each node has everything that a live node accepted.
    fn check_final(&self) {
        for node in &self.nodes {
            let health = node.cache.store_health();
            let state = (health.mirror, health.revocations_queued);
            assert_eq!(
                state,
                (MirrorState::Current, 0),
                "SESSILE_SEED={}",
                self.seed
            );
            for claim in self.claims().values() {
                let is_expired = claim.revocation.is_expired(server_time(self.world.now()));
                assert!(
                    is_expired || node.seen.has(&claim.revocation),
                    "SESSILE_SEED={}: a revocation is missing at the end",
                    self.seed
                );
            }
        }
    }

    fn fault(&mut self) {
        let at = self.random_node();
        let network = &self.networks[at];
        match self.world.random(|random| random.below(9)) {
            0 | 1 => network.break_channel(),
            2 => network.cut_channel(),
            3 => {
                network.cut_channel();
                network.refuse(true);
                self.pass(100, 1_500);
                self.check();
                self.networks[at].refuse(false);
            }
            4 => network.set_calls(900, 10),
            5 => network.set_calls(20, 0),
            6 => self.restart(at),
            7 => self.lose_all(),
            _ => self.fail_over(),
        }
    }

    fn restart(&mut self, at: usize) {
        let old = self.nodes[at].owner;
        self.world.kill(old);
        // What it had not sent is gone with it.
        self.claims()
            .retain(|_, claim| claim.owner != old || claim.confirmed.is_some());
        self.nodes[at] = self.start(at);
    }

    fn lose_all(&self) {
        self.networks.iter().for_each(Network::close_calls);
        self.store.clear();
        self.forget_since(Duration::ZERO);
    }

    /// A replica that is behind by less than a message becomes the primary.
    fn fail_over(&mut self) {
        let (snapshot, since) = (self.store.snapshot(), self.world.now());
        for _ in 0..8 {
            self.pass(5, 40);
            self.revoke();
        }
        for network in &self.networks {
            network.close_calls();
            network.note_fault();
        }
        self.store.restore(snapshot);
        self.forget_since(since);
    }

    /// The store lost what it confirmed since a time. Live nodes assert what is not older than a
    /// minute again.
    fn forget_since(&self, since: Duration) {
        let live: Vec<_> = self.nodes.iter().map(|node| node.owner).collect();
        let mut claims = self.claims();
        for claim in claims.values_mut() {
            claim.confirmed = claim.confirmed.filter(|at| *at < since);
        }
        claims.retain(|_, claim| claim.confirmed.is_some() || live.contains(&claim.owner));
    }
}

#[test]
fn a_node_that_lost_the_store_is_current_for_one_lease_only() {
    let run = Run::new(1);
    run.world.run_until(Duration::from_secs(2));
    let node = &run.nodes[0];
    assert!(node.cache.revocations_are_current());
    run.networks[0].refuse(true);
    run.networks[0].cut_channel();
    // The last heartbeat was answered within the last second.
    run.world.run_until(Duration::from_millis(5_900));
    assert!(node.cache.revocations_are_current(), "the lease holds");
    run.world.run_until(Duration::from_secs(7));
    assert!(!node.cache.revocations_are_current());
    assert_eq!(node.cache.store_health().mirror, MirrorState::Behind);
    assert!(run.nodes[1].cache.revocations_are_current());
    run.networks[0].refuse(false);
    run.world.run_until(Duration::from_secs(10));
    assert!(node.cache.revocations_are_current());
    run.world.kill_all();
}

#[test]
fn revocations_that_arrive_during_a_load_are_kept() {
    let mut run = Run::new(2);
    run.world.run_until(Duration::from_secs(2));
    let old: Vec<_> = (0..2_500).map(|_| run.revocation(3_600)).collect();
    let (network, recorded) = (run.networks[1].clone(), old.clone());
    let record = async move { network.revoke(&recorded).await.map(drop).expect("it is up") };
    run.world.spawn(NETWORK, Box::pin(record));
    run.world.run_until(Duration::from_secs(3));
    let late = run.start(0);
    run.networks[0].set_calls(400, 0);
    let is_loading = || late.seen.len() >= 1_000;
    while !is_loading() {
        run.pass(1, 2);
    }
    assert!(!late.cache.revocations_are_current(), "one page of three");
    let new = run.revocation(3_600);
    let cache = run.nodes[1].cache.clone();
    let revoke = async move { cache.revoke(new).await.expect("it is up") };
    run.world.spawn(run.nodes[1].owner, Box::pin(revoke));
    while !late.cache.revocations_are_current() {
        run.pass(1, 2);
        assert!(run.world.now() < Duration::from_secs(9), "it is loaded");
    }
    assert!(late.seen.has(&new));
    assert!(old.iter().all(|revocation| late.seen.has(revocation)));
    run.world.kill_all();
}

fn server_time(now: Duration) -> ServerTime {
    ServerTime(1_800_000_000_000 + now.as_millis() as u64)
}

/// The number of schedules of a usual test run.
const SCHEDULES: u64 = 100;
/// The time of the last fault. Shorter than the time for which revocations are asserted again.
const FAULTS: Duration = Duration::from_secs(25);
/// The time after the last fault by which everything is well again.
const HEALING: Duration = Duration::from_secs(15);
/// The time after a fault for which a channel may still not be whole.
const RECOVERY: Duration = Duration::from_secs(10);
