//! One schedule: three nodes, one store, random requests and faults, all from one seed.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use sessile::{KeyRing, SessionCache, Token};
use sessile_store::{
    MemoryStore, ServerTime, StoreExt, TieredCache,
    internals::{Environment, Rules},
};

use crate::{
    checks,
    executor::{Owner, World},
    known_ends::{KnownEnds, NO_NODE},
    model::{Bounds, Lineage},
    network::Network,
    random::{Random, entropy, seed_entropy},
    requests,
};

/// The kinds of faults that a schedule may contain. Each includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Delays and reordering only.
    Quiet,
    /// Losses, slow calls, broken channels.
    Network,
    /// Slow calls, and channels that are closed often.
    Reconnections,
    /// Restarts of nodes.
    Restarts,
    /// Loss of all data, failovers that lose the last writes, clock steps.
    Disasters,
}

/// The parameters of a schedule.
#[derive(Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    pub kind: Kind,
    /// The store publishes changes. Without it each entry has a lease of its own.
    pub push: bool,
    pub rules: Rules,
}

/// The state of a schedule. Clones share it.
#[derive(Clone)]
pub struct Schedule(pub Arc<Shared>);

pub struct Shared {
    pub plan: Plan,
    pub world: World,
    pub store: MemoryStore,
    pub networks: Vec<Network>,
    pub state: Mutex<State>,
    server_offset: Arc<Mutex<u64>>,
    keys: KeyRing,
}

pub struct State {
    pub nodes: Vec<Node>,
    pub lineages: Vec<Lineage>,
    pub tokens: Vec<Token>,
    pub violation: Option<String>,
    pub answered: u64,
    next_owner: Owner,
    /// The server's clock was set back.
    pub is_set_back: bool,
    /// The server's clock was set forward: it expires sessions that are in L1.
    pub is_set_forward: bool,
}

pub struct Node {
    pub owner: Owner,
    pub cache: TieredCache,
}

impl Plan {
    /// The plan of a seed: every fifth schedule has each kind.
    pub fn of(seed: u64, rules: Rules) -> Self {
        let kinds = [
            Kind::Quiet,
            Kind::Network,
            Kind::Reconnections,
            Kind::Restarts,
            Kind::Disasters,
        ];
        Self {
            seed,
            kind: kinds[(seed % 5) as usize],
            push: true,
            rules,
        }
    }

    /// The plan of a seed over a store that publishes nothing.
    pub fn without_push(seed: u64) -> Self {
        Self {
            push: false,
            ..Self::of(seed, Rules::default())
        }
    }

    /// The bounds that the schedule checks.
    pub fn bounds(&self) -> Bounds {
        match (self.push, self.kind) {
            (true, _) => BOUNDS,
            // A failover may lose an end, which is asserted again when the channel is back.
            (false, Kind::Disasters) => Bounds {
                whole: BOUNDS.broken,
                ..BOUNDS
            },
            (false, _) => BOUNDS_WITHOUT_PUSH,
        }
    }

    /// Runs the schedule. Returns the number of requests that were answered, or a violation.
    pub fn run(self) -> Result<u64, String> {
        seed_entropy(self.seed);
        let schedule = Schedule::new(self);
        let result = schedule.run();
        schedule.0.world.kill_all();
        result
    }
}

impl Schedule {
    fn new(plan: Plan) -> Self {
        let world = World::new(plan.seed);
        let server_offset = Arc::new(Mutex::new(1_800_000_000_000));
        let (clock, offset) = (world.clone(), Arc::clone(&server_offset));
        let store = MemoryStore::with_clock(move || {
            let since = clock.now().as_millis() as u64;
            ServerTime(*offset.lock().expect("no panic") + since)
        });
        let networks =
            (0..NODES).map(|_| Network::with_push(world.clone(), store.clone(), plan.push));
        let state = State {
            nodes: Vec::new(),
            lineages: Vec::new(),
            tokens: Vec::new(),
            violation: None,
            answered: 0,
            next_owner: 1,
            is_set_back: false,
            is_set_forward: false,
        };
        let secret = [7; 32];
        let schedule = Self(Arc::new(Shared {
            plan,
            networks: networks.collect(),
            world,
            store,
            state: Mutex::new(state),
            server_offset,
            keys: KeyRing::from_bytes(&[&hash(&secret)]).expect("a key"),
        }));
        for node in 0..NODES {
            let started = schedule.start(node);
            schedule.state().nodes.push(started);
        }
        schedule
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic")
    }

    /// Records the first violation.
    pub fn violate(&self, what: &str) {
        let now = self.0.world.now();
        self.state()
            .violation
            .get_or_insert_with(|| format!("at {now:?}: {what}"));
    }

    pub fn random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        self.0.world.random(draw)
    }

    fn start(&self, node: usize) -> Node {
        let owner = {
            let mut state = self.state();
            state.next_owner += 1;
            state.next_owner
        };
        let env: Arc<dyn Environment> = Arc::new(self.0.world.environment(owner));
        let builder = SessionCache::builder()
            .memory(1 << 20)
            .max_session_size(1 << 10)
            .shards(4)
            .keys(self.0.keys.clone())
            .max_sessions_per_user(LIMIT)
            .clock(self.0.world.clock())
            .entropy(entropy);
        let network = self.0.networks[node].clone();
        let cache = builder
            .tiered(network)
            .encrypt(self.0.plan.seed % 8 >= 6)
            .build_in(env, [node as u8 + 1; 32], self.0.plan.rules)
            .expect("settings that can be used");
        Node { owner, cache }
    }

    fn run(&self) -> Result<u64, String> {
        let world = &self.0.world;
        world.run_until(Duration::from_secs(1));
        let mut next_fault = Duration::from_secs(3);
        let end = Duration::from_secs(self.length());
        while world.now() < end {
            let pause = self.random(|random| random.millis(2, 40));
            world.run_until(world.now() + pause);
            requests::start_random(self);
            if world.now() > next_fault && self.0.plan.kind > Kind::Quiet {
                next_fault = world.now() + self.fault();
            }
            if self.state().violation.is_some() {
                break;
            }
        }
        self.heal();
        world.run_until(world.now() + HEALING);
        checks::check_all(self);
        world.run_until(world.now() + Duration::from_secs(5));
        self.check_stored();
        self.state()
            .nodes
            .iter()
            .for_each(|node| node.cache.l1().validate());
        let state = self.state();
        match &state.violation {
            Some(violation) => Err(violation.clone()),
            None => Ok(state.answered),
        }
    }

    fn length(&self) -> u64 {
        if self.0.plan.kind == Kind::Quiet {
            10
        } else {
            25
        }
    }

    /// Causes a random fault on a random node. Returns the time until the next one.
    fn fault(&self) -> Duration {
        let node = self.random(|random| random.below(NODES as u64)) as usize;
        let network = &self.0.networks[node];
        if self.0.plan.kind == Kind::Reconnections {
            network.set_reads(SLOW);
            network.cut_channel();
            return self.random(|random| random.millis(100, 700));
        }
        self.random_fault(node);
        self.random(|random| random.millis(300, 5_000))
    }

    fn random_fault(&self, node: usize) {
        let network = &self.0.networks[node];
        match self.random(|random| random.below(6)) {
            0 | 1 => network.break_channel(),
            2 => network.cut_channel(),
            3 => {
                network.cut_channel();
                network.refuse(true);
                self.later(200, 4_000, move |schedule| {
                    schedule.0.networks[node].refuse(false);
                });
            }
            4 => {
                let slowest = self.random(|random| random.below(900));
                network.set_calls(slowest, 10);
                self.later(300, 4_000, move |schedule| {
                    schedule.0.networks[node].set_calls(20, 0);
                });
            }
            _ => self.severe_fault(node),
        }
    }

    fn severe_fault(&self, node: usize) {
        match self.0.plan.kind {
            Kind::Disasters if self.random(|random| random.chance(70)) => self.disaster(),
            Kind::Restarts | Kind::Disasters => self.restart(node),
            Kind::Quiet | Kind::Network | Kind::Reconnections => {}
        }
    }

    fn restart(&self, node: usize) {
        let old = self.state().nodes[node].owner;
        self.0.world.kill(old);
        self.0.networks[node].ends(|ends| *ends = KnownEnds::default());
        let started = self.start(node);
        let mut state = self.state();
        state.nodes[node] = started;
        state
            .lineages
            .iter_mut()
            .for_each(|lineage| lineage.forget_node(old));
    }

    fn disaster(&self) {
        match self.random(|random| random.below(3)) {
            0 => self.lose_all(),
            1 => self.fail_over(),
            _ => self.step_clock(),
        }
    }

    fn lose_all(&self) {
        // A call in transit would be answered by a store that has lost what it did.
        self.0.networks.iter().for_each(Network::close_calls);
        self.0.store.clear();
        let now = self.0.world.now();
        for lineage in &mut self.state().lineages {
            lineage.end(now, NO_NODE);
        }
    }

    /// A replica that is behind by less than a message becomes the primary.
    fn fail_over(&self) {
        let (snapshot, since) = (self.0.store.snapshot(), self.0.world.now());
        let behind = self.random(|random| random.millis(10, 400));
        let world = &self.0.world;
        let end = world.now() + behind;
        while world.now() < end {
            world.run_until(world.now() + Duration::from_millis(10));
            requests::start_random(self);
        }
        for network in &self.0.networks {
            network.close_calls();
            network.note_fault();
        }
        self.take_limit_ends();
        self.0.store.restore(snapshot);
        let mut state = self.state();
        let live: Vec<_> = state.nodes.iter().map(|node| node.owner).collect();
        state
            .lineages
            .iter_mut()
            .for_each(|lineage| lineage.lose_since(since, &live));
        let count = state.lineages.len();
        drop(state);
        for at in 0..count {
            let forks = self.forks(at);
            let lineage = &mut self.state().lineages[at];
            if lineage.ended.is_some() || lineage.is_end_pending {
                lineage.forks.extend(forks);
            }
        }
    }

    /// Returns the forks of a lineage that are in the store now.
    pub fn forks(&self, lineage: usize) -> Vec<usize> {
        let mut sessions = HashSet::new();
        self.0.store.for_each_stored(|key, value| {
            // The second byte of a record is its kind: 1 is a session.
            if value.len() >= 64 && value[1] == 1 {
                sessions.insert(key.to_vec());
            }
        });
        let state = self.state();
        let cache = &state.nodes[0].cache;
        state.lineages[lineage].find_forks(|token| {
            let candidate = cache.l1().verify_token(token.as_str().as_bytes());
            candidate.is_some_and(|found| sessions.contains(&found.id.to_bytes()[..]))
        })
    }

    fn step_clock(&self) {
        let (span, is_back) = self.random(|random| (random.below(3_000), random.chance(50)));
        let mut offset = self.0.server_offset.lock().expect("no panic");
        if is_back {
            *offset -= span;
            self.state().is_set_back = true;
        } else {
            *offset += span;
            self.state().is_set_forward = true;
        }
    }

    /// Calls `work` after a random time.
    fn later(&self, from: u64, to: u64, work: impl FnOnce(&Self) + Send + 'static) {
        let (schedule, span) = (self.clone(), self.random(|random| random.millis(from, to)));
        let sleep = self.0.world.sleep(span);
        self.0.world.spawn(
            crate::executor::NETWORK,
            Box::pin(async move {
                sleep.await;
                work(&schedule);
            }),
        );
    }

    fn heal(&self) {
        for network in &self.0.networks {
            network.refuse(false);
            network.set_calls(20, 0);
        }
    }

    /// No token and no tag is in the store.
    fn check_stored(&self) {
        let mut stored = HashSet::new();
        self.0.store.for_each_stored(|key, value| {
            for bytes in [key, value] {
                stored.extend(bytes.windows(WINDOW).map(<[u8]>::to_vec));
            }
        });
        let tokens = self.state().tokens.clone();
        for token in tokens {
            let text = token.as_str().as_bytes();
            let tag = &decode(text)[20..20 + WINDOW];
            let is_stored = stored.contains(&text[32..32 + WINDOW]) || stored.contains(tag);
            if is_stored {
                self.violate("a token or a tag is in the store");
            }
        }
    }
}

/// Stretches a secret so that it is not easy to guess.
fn hash(secret: &[u8; 32]) -> Vec<u8> {
    let mut random = Random::new(u64::from(secret[0]));
    (0..4).flat_map(|_| random.next().to_le_bytes()).collect()
}

/// Decodes base64url without padding.
fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let quads = text.chunks_exact(4);
    quads
        .flat_map(|quad| {
            let bits = quad
                .iter()
                .fold(0_u32, |bits, byte| bits << 6 | u32::from(digit(*byte)));
            [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]
        })
        .collect()
}

/// The bounds with push: the delay of messages is at most 40 ms, and the lease 5 s.
pub const BOUNDS: Bounds = Bounds {
    whole: Duration::from_millis(100),
    broken: Duration::from_secs(6),
};
/// The bounds without push, whatever the state of the channel: the lease of 2 s, and one tick of
/// the clock at both ends.
const BOUNDS_WITHOUT_PUSH: Bounds = Bounds {
    whole: Duration::from_millis(2_200),
    broken: Duration::from_millis(2_200),
};
pub const NODES: usize = 3;
pub const LIMIT: usize = 3;
pub const USERS: usize = 3;
/// The timeout of an operation.
pub const TIMEOUT: Duration = Duration::from_millis(500);
/// The longest delay of the reply to a slow read, in ms: nearly the timeout.
const SLOW: u64 = 470;
/// The time after the last fault by which everything is well again.
const HEALING: Duration = Duration::from_secs(15);
/// The length of the parts of tokens that are searched for.
const WINDOW: usize = 8;
