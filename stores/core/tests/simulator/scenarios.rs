//! Single scenarios in the simulator: each promise that a random schedule meets rarely.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use sessile::{Error, IssuedSession, KeyRing, SessionCache, SessionId, Token};
use sessile_store::{
    MemorySnapshot, MemoryStore, ServerTime, StoreExt, StoreState, TieredCache, internals::Rules,
};

use crate::{
    executor::{NETWORK, World},
    network::Network,
    random::{entropy, seed_entropy},
};

/// Nodes over one store.
pub struct Cluster {
    world: World,
    pub store: MemoryStore,
    pub networks: Vec<Network>,
    pub nodes: Vec<TieredCache>,
}

impl Cluster {
    pub fn new(nodes: usize) -> Self {
        let keys = KeyRing::generate().expect("random bytes");
        Self::with_keys(&vec![keys; nodes])
    }

    fn with_keys(rings: &[KeyRing]) -> Self {
        Self::build(rings, true)
    }

    /// Nodes over a store that publishes nothing.
    pub fn without_push(nodes: usize) -> Self {
        let keys = KeyRing::generate().expect("random bytes");
        Self::build(&vec![keys; nodes], false)
    }

    fn build(rings: &[KeyRing], push: bool) -> Self {
        seed_entropy(1);
        let world = World::new(1);
        let clock = world.clone();
        let store = MemoryStore::with_clock(move || {
            ServerTime(1_800_000_000_000 + clock.now().as_millis() as u64)
        });
        let mut cluster = Self {
            world,
            store,
            networks: Vec::new(),
            nodes: Vec::new(),
        };
        for (at, keys) in rings.iter().enumerate() {
            cluster.add(at, keys, push);
            cluster.pass(1_000);
        }
        cluster
    }

    fn add(&mut self, at: usize, keys: &KeyRing, push: bool) {
        let network = Network::with_push(self.world.clone(), self.store.clone(), push);
        let env = Arc::new(self.world.environment(at as u64 + 1));
        let cache = SessionCache::builder()
            .memory(1 << 20)
            .max_session_size(1 << 10)
            .shards(4)
            .events(16)
            .max_sessions_per_user(1)
            .keys(keys.clone())
            .clock(self.world.clock())
            .entropy(entropy)
            .tiered(network.clone())
            .build_in(env, [at as u8; 32], Rules::default())
            .expect("settings that can be used");
        self.networks.push(network);
        self.nodes.push(cache);
    }

    pub fn pass(&self, millis: u64) {
        self.world
            .run_until(self.world.now() + Duration::from_millis(millis));
    }

    /// Runs a verb to its end.
    pub fn wait<T: Send + 'static>(&self, verb: impl Future<Output = T> + Send + 'static) -> T {
        let result = self.start(verb);
        self.pass(2_000);
        let taken = result.lock().expect("no panic").take();
        taken.expect("a verb ends within its bound")
    }

    pub fn start<T: Send + 'static>(
        &self,
        verb: impl Future<Output = T> + Send + 'static,
    ) -> Arc<Mutex<Option<T>>> {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let work = async move {
            let value = verb.await;
            *slot.lock().expect("no panic") = Some(value);
        };
        self.world.spawn(NETWORK, Box::pin(work));
        result
    }

    pub fn create(&self, node: usize) -> IssuedSession {
        let cache = self.nodes[node].clone();
        self.wait(async move { cache.create(b"a cart").await })
            .expect("the store answers")
    }

    pub fn sign_in(&self, node: usize, id: SessionId) -> IssuedSession {
        let cache = self.nodes[node].clone();
        self.wait(async move { cache.sign_in(&id, "ada").await })
            .expect("the store answers")
    }

    /// A replica with this content becomes the primary.
    pub fn fail_over(&self, snapshot: MemorySnapshot) {
        self.store.restore(snapshot);
        self.pass(5_000);
        for node in &self.nodes {
            assert_eq!(node.store_health().state, StoreState::Up);
        }
    }

    pub fn opens(&self, node: usize, issued: &IssuedSession) -> Result<bool, Error> {
        let (cache, token) = (self.nodes[node].clone(), issued.token);
        self.wait(async move {
            let value = token.as_str().as_bytes();
            let opened = cache.open_token(value, &mut BytesMut::new()).await;
            opened.map(|record| record.is_some())
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Tasks refer to the world, and the world to its tasks.
        self.world.kill_all();
    }
}

#[test]
fn a_thousand_concurrent_misses_cause_one_read() {
    let cluster = Cluster::new(2);
    let issued = cluster.create(0);
    let results: Vec<_> = (0..1_000)
        .map(|_| {
            let (cache, token) = (cluster.nodes[1].clone(), issued.token);
            cluster.start(async move {
                let value = token.as_str().as_bytes();
                cache.open_token(value, &mut BytesMut::new()).await
            })
        })
        .collect();
    cluster.pass(600);
    assert_eq!(cluster.networks[1].reads(), 1);
    for result in results {
        let opened = result.lock().expect("no panic").take();
        assert!(matches!(opened, Some(Ok(Some(record))) if record.id == issued.id));
    }
    assert_eq!(cluster.opens(1, &issued), Ok(true));
    assert_eq!(cluster.networks[1].reads(), 1, "it is in L1");
}

#[test]
fn an_open_that_follows_an_alias_waits_for_one_timeout_only() {
    let cluster = Cluster::new(2);
    let old = cluster.create(0);
    let cache = cluster.nodes[0].clone();
    let rotated = cluster.wait(async move { cache.rotate(&old.id, Duration::from_secs(9)).await });
    let new = rotated.expect("the store answers");
    let open = |token: Token| {
        let (cache, world) = (cluster.nodes[1].clone(), cluster.world.clone());
        let began = world.now();
        cluster.start(async move {
            let value = token.as_str().as_bytes();
            let opened = cache.open_token(value, &mut BytesMut::new()).await;
            (opened.err(), world.now() - began)
        })
    };
    // The alias is read slowly, and the read of its target, which another request began later, is
    // not answered.
    cluster.networks[1].set_reads(SLOW);
    let by_alias = open(old.token);
    cluster.pass(AHEAD);
    cluster.networks[1].set_calls(20, 100);
    let by_target = open(new.token);
    cluster.pass(2_000);
    let timeout = Duration::from_millis(500);
    for opened in [by_alias, by_target] {
        let opened = opened.lock().expect("no panic").take();
        assert_eq!(opened, Some((Some(Error::Unreachable), timeout)));
    }
    assert_eq!(cluster.networks[1].reads(), 2, "the second was joined");
}

#[test]
fn an_end_whose_caller_gave_up_is_sent() {
    let cluster = Cluster::new(2);
    let issued = cluster.create(0);
    assert_eq!(cluster.opens(1, &issued), Ok(true));
    let cache = cluster.nodes[0].clone();
    let patience = cluster.world.sleep(Duration::from_micros(1));
    let result = cluster.start(async move {
        tokio::select! {
            biased;
            () = patience => false,
            _ = cache.end(&issued.id) => true,
        }
    });
    cluster.pass(500);
    assert_eq!(result.lock().expect("no panic").take(), Some(false));
    assert_eq!(cluster.opens(0, &issued), Ok(false));
    assert_eq!(cluster.opens(1, &issued), Ok(false));
    assert!(cluster.store.is_empty());
}

#[test]
fn an_end_is_queued_while_the_store_is_down_and_sent_before_it_is_up() {
    let cluster = Cluster::new(2);
    let issued = cluster.create(0);
    cluster.networks[0].refuse(true);
    cluster.networks[0].cut_channel();
    cluster.pass(4_000);
    let cache = cluster.nodes[0].clone();
    let ended = cluster.wait(async move { cache.end(&issued.id).await });
    assert_eq!(ended, Err(Error::Unreachable));
    assert_eq!(cluster.nodes[0].store_health().ends_queued, 1);
    assert_eq!(cluster.opens(1, &issued), Ok(true), "the store has it");
    cluster.networks[0].refuse(false);
    cluster.pass(3_000);
    let [health, other] = [0, 1].map(|node| cluster.nodes[node].store_health());
    assert_eq!((health.state, health.ends_queued), (StoreState::Up, 0));
    assert_eq!((health.fences, other.fences), (1, 0));
    assert_eq!(cluster.opens(1, &issued), Ok(false));
}

#[test]
fn a_node_without_the_store_opens_for_one_lease_and_then_fails_at_once() {
    let cluster = Cluster::new(1);
    let issued = cluster.create(0);
    cluster.networks[0].refuse(true);
    cluster.networks[0].cut_channel();
    // `opens` lets two seconds pass.
    assert_eq!(cluster.opens(0, &issued), Ok(true));
    cluster.pass(3_500);
    let began = cluster.world.now();
    let (cache, token) = (cluster.nodes[0].clone(), issued.token);
    let world = cluster.world.clone();
    let opened = cluster.wait(async move {
        let value = token.as_str().as_bytes();
        let opened = cache.open_token(value, &mut BytesMut::new()).await;
        (opened.err(), world.now())
    });
    assert_eq!(opened, (Some(Error::Unreachable), began));
}

#[test]
fn nodes_agree_on_the_key_of_users() {
    let cluster = Cluster::new(2);
    let anonymous = cluster.create(0);
    let cache = cluster.nodes[0].clone();
    let signed_in = cluster.wait(async move { cache.sign_in(&anonymous.id, "ada").await });
    let signed_in = signed_in.expect("the store answers");
    assert_eq!(cluster.opens(1, &anonymous), Ok(false));
    let other = cluster.nodes[1].clone();
    let listed = cluster.wait(async move { other.user_sessions("ada").await });
    let listed = listed.expect("the store answers");
    assert_eq!(listed.len(), 1);
    let (other, handle) = (cluster.nodes[1].clone(), listed[0].handle);
    let ended = cluster.wait(async move { other.end_by_handle(&handle).await });
    assert_eq!(ended, Ok(true));
    assert_eq!(cluster.opens(0, &signed_in), Ok(false));
}

#[test]
fn a_node_without_a_common_key_stays_down_and_says_why() {
    let [one, two] = [(); 2].map(|()| KeyRing::generate().expect("random bytes"));
    let cluster = Cluster::with_keys(&[one, two]);
    cluster.pass(5_000);
    let states = cluster.nodes.iter().map(|node| node.store_health().state);
    let incompatible = states.filter(|state| match state {
        StoreState::Incompatible(cause) => cause.contains("`keys`"),
        _ => false,
    });
    assert_eq!(incompatible.count(), 1);
}

#[test]
fn the_metrics_and_the_close_tell_what_is_queued() {
    let cluster = Cluster::new(1);
    let issued = cluster.create(0);
    cluster.networks[0].refuse(true);
    cluster.networks[0].cut_channel();
    cluster.pass(4_000);
    let cache = cluster.nodes[0].clone();
    let ended = cluster.wait(async move { cache.end(&issued.id).await });
    assert_eq!(ended, Err(Error::Unreachable));
    let text = cluster.nodes[0].prometheus();
    for line in [
        "sessile_store_ends_queued 1",
        "sessile_store_up 0",
        "sessile_store_writes_total 1",
        "sessile_store_touches_total 0",
        "sessile_store_fences_total{cause=\"channel_lost\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    cluster.networks[0].set_calls(20, 100);
    let cache = cluster.nodes[0].clone();
    let closed = cluster.wait(async move { cache.close(Duration::from_millis(200)).await });
    assert_eq!(closed, 1);
    let cache = cluster.nodes[0].clone();
    let created = cluster.wait(async move { cache.create(b"").await });
    assert_eq!(created.err(), Some(Error::Unreachable));
}

#[test]
fn a_sign_in_of_which_a_failover_lost_the_second_call_is_completed() {
    let cluster = Cluster::new(2);
    let visitor = cluster.create(0);
    let cache = cluster.nodes[0].clone();
    let signed_in = cluster.start(async move { cache.sign_in(&visitor.id, "ada").await });
    while cluster.store.len() < 2 {
        cluster.pass(1);
    }
    let half = cluster.store.snapshot();
    cluster.pass(2_000);
    let signed_in = signed_in.lock().expect("no panic").take();
    let signed_in = signed_in.expect("it is over").expect("the store answers");
    cluster.fail_over(half);
    for node in 0..2 {
        assert_eq!(cluster.opens(node, &visitor), Ok(false), "node {node}");
        assert_eq!(cluster.opens(node, &signed_in), Ok(true), "node {node}");
    }
    let cache = cluster.nodes[1].clone();
    let ended = cluster.wait(async move { cache.end(&visitor.id).await });
    assert_eq!(ended, Ok(true), "the old id leads to the new session again");
    assert_eq!(cluster.opens(0, &signed_in), Ok(false));
}

#[test]
fn a_token_from_before_a_sign_in_that_a_failover_lost_opens_nothing() {
    let cluster = Cluster::new(2);
    let visitor = cluster.create(0);
    let before = cluster.store.snapshot();
    let signed_in = cluster.sign_in(0, visitor.id);
    cluster.fail_over(before);
    for node in 0..2 {
        assert_eq!(cluster.opens(node, &visitor), Ok(false), "node {node}");
        assert_eq!(cluster.opens(node, &signed_in), Ok(false), "it is lost");
    }
}

#[test]
fn an_end_at_the_session_limit_that_a_failover_lost_is_asserted_again() {
    let cluster = Cluster::new(2);
    let visitors = [0, 1].map(|node| cluster.create(node));
    let first = cluster.sign_in(0, visitors[0].id);
    let before = cluster.store.snapshot();
    let second = cluster.sign_in(1, visitors[1].id);
    assert_eq!(cluster.opens(0, &first), Ok(false), "the limit is 1");
    assert_eq!(cluster.opens(0, &second), Ok(true));
    cluster.fail_over(before);
    for node in 0..2 {
        assert_eq!(cluster.opens(node, &first), Ok(false), "node {node}");
    }
}

/// The longest time that the slow read takes, in ms. This seed draws one longer than [`AHEAD`].
const SLOW: u64 = 470;
/// The time by which one request is ahead of another, in ms.
const AHEAD: u64 = 100;
