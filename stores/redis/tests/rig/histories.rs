//! Random operations on three nodes, and a model of what each must answer.
//!
//! `SESSILE_RIG_OPERATIONS=50000` runs the long form: 100,000 operations on each server, half of
//! them with each policy at the session limit. `SESSILE_RIG_SEED` chooses others.

use std::{env, time::Duration};

use sessile::{Error, IssuedSession, SessionLimitPolicy, Version};
use sessile_redis::RedisStore;

use crate::support::{
    node::{Node, Site, answered, until, url},
    proxy::Proxy,
    server::{self, Server},
};

/// A session that exists.
struct Live {
    issued: IssuedSession,
    version: Version,
    data: Vec<u8>,
    user: Option<usize>,
}

/// The operations of one run. They follow each other, so the model knows the answers; a node may
/// answer with what it knew before until the message has arrived.
struct History {
    policy: SessionLimitPolicy,
    nodes: [Node; 3],
    live: Vec<Live>,
    /// Tokens that open nothing: of ended sessions, and from before a rotation or a sign-in.
    dead: Vec<IssuedSession>,
    /// Calls whose outcome is unknown, because a busy machine kept the server from answering. The
    /// model ends what they may have changed.
    unanswered: usize,
    random: u64,
}

// LIFE-7, TERM-5: docs/security-checklist.md
#[test]
fn random_operations_on_three_nodes_agree_with_a_model() {
    let seed = number("SESSILE_RIG_SEED", 1);
    let operations = number("SESSILE_RIG_OPERATIONS", 1_000);
    let policies = [
        SessionLimitPolicy::Reject,
        SessionLimitPolicy::EndLeastRecentlyUsed,
    ];
    for kind in server::kinds() {
        for policy in policies {
            println!("{kind}: {policy:?}, seed {seed}, {operations} operations");
            let server = Server::start(kind, &[]);
            let mut history = History::new(&server, policy, seed);
            for _ in 0..operations {
                history.step();
            }
            history.check();
            let unanswered = history.unanswered;
            assert!(unanswered as u64 <= operations / 20, "{unanswered}");
        }
    }
}

impl History {
    fn new(server: &Server, policy: SessionLimitPolicy, seed: u64) -> Self {
        let site = Site::limited(server, LIMIT, policy);
        // The model knows the outcome of each call only if all are answered.
        let patience = Duration::from_secs(5);
        let nodes = [(); 3].map(|()| {
            let proxy = Proxy::start(server.port());
            let store = RedisStore::open(&url(proxy.port())).expect("a valid URL");
            site.over(store, proxy, |builder| builder.timeout(patience))
        });
        Self {
            policy,
            nodes,
            live: Vec::new(),
            dead: Vec::new(),
            unanswered: 0,
            random: seed,
        }
    }

    fn step(&mut self) {
        match self.below(100) {
            0..=19 => self.create(),
            20..=44 => self.open(),
            45..=62 => self.save(),
            63..=70 => self.rotate(),
            71..=82 => self.sign_in(),
            83..=92 => self.end(),
            93..=95 => self.end_user_sessions(),
            96 | 97 => self.list(),
            _ => self.open_dead(),
        }
    }

    fn create(&mut self) {
        let data = self.data();
        let created = self.node().verbs.create(&data);
        if created.as_ref().err() == Some(&Error::Unreachable) {
            self.unanswered += 1;
            return;
        }
        let issued = created.expect("there is room");
        self.live.push(Live {
            version: issued.version,
            issued,
            data,
            user: None,
        });
    }

    fn open(&mut self) {
        let Some(at) = self.choose() else { return };
        let node = self.below(3);
        self.expect_open(node, at);
    }

    fn save(&mut self) {
        let Some(at) = self.choose() else { return };
        let data = self.data();
        let (id, version) = (self.live[at].issued.id, self.live[at].version);
        let saved = self.node().verbs.save(&id, version, &data);
        if saved == Err(Error::Unreachable) {
            return self.abandon(at);
        }
        let live = &mut self.live[at];
        live.version = saved.expect("no other request saves it");
        live.data = data;
    }

    fn rotate(&mut self) {
        let Some(at) = self.choose() else { return };
        let id = self.live[at].issued.id;
        let rotated = self.node().verbs.rotate(&id, Duration::ZERO);
        if rotated.as_ref().err() == Some(&Error::Unreachable) {
            return self.abandon(at);
        }
        self.replace(at, rotated.expect("the session exists"));
    }

    fn sign_in(&mut self) {
        let Some(at) = self.choose().filter(|at| self.live[*at].user.is_none()) else {
            return;
        };
        let user = self.below(USERS);
        let (id, node) = (self.live[at].issued.id, self.below(3));
        self.nodes[node].until_up();
        let signed_in = self.nodes[node].verbs.sign_in(&id, &name(user));
        if signed_in.as_ref().err() == Some(&Error::Unreachable) {
            self.abandon(at);
            return self.clear(user);
        }
        let is_full = self.count(user) >= LIMIT;
        if is_full && self.policy == SessionLimitPolicy::Reject {
            assert_eq!(signed_in.map(|_| ()), Err(Error::TooManySessions));
            return;
        }
        self.replace(at, signed_in.expect("the user has room"));
        self.live[at].user = Some(user);
        if is_full {
            self.lose_one(user, node);
        }
    }

    /// Finds the session that the store ended at the limit. The node of the sign-in knows it at
    /// once.
    fn lose_one(&mut self, user: usize, node: usize) {
        let node = &self.nodes[node];
        let is_lost = |session: &Live| {
            let is_user = session.user == Some(user);
            is_user && answered(|| node.open(&session.issued)) == Ok(None)
        };
        let lost = self.live.extract_if(.., |session| is_lost(session));
        let lost: Vec<_> = lost.map(|session| session.issued).collect();
        assert_eq!(lost.len(), 1, "sessions of user {user} at the limit");
        self.dead.extend(lost);
    }

    fn end(&mut self) {
        let Some(at) = self.choose() else { return };
        let id = self.live[at].issued.id;
        let ended = self.node().verbs.end(&id);
        if ended == Err(Error::Unreachable) {
            return self.abandon(at);
        }
        assert_eq!(ended, Ok(true));
        self.dead.push(self.live.swap_remove(at).issued);
    }

    /// Ends a session after a call that was not answered.
    fn abandon(&mut self, at: usize) {
        self.unanswered += 1;
        let session = self.live.swap_remove(at).issued;
        let ended = answered(|| self.nodes[0].verbs.end(&session.id));
        assert!(ended.is_ok(), "{ended:?}");
        self.dead.push(session);
    }

    /// Ends the sessions of a user after a call that was not answered.
    fn clear(&mut self, user: usize) {
        self.unanswered += 1;
        // A node ends what it created without an answer.
        self.nodes.iter().for_each(Node::until_sent);
        let ended = answered(|| self.nodes[0].verbs.end_user_sessions(&name(user), None));
        assert!(ended.is_ok(), "{ended:?}");
        self.lose_all(user);
    }

    fn end_user_sessions(&mut self) {
        let user = self.below(USERS);
        let ended = self.node().verbs.end_user_sessions(&name(user), None);
        if ended == Err(Error::Unreachable) {
            return self.clear(user);
        }
        assert_eq!(ended, Ok(self.count(user)), "sessions of user {user}");
        self.lose_all(user);
    }

    fn lose_all(&mut self, user: usize) {
        let (ended, live) = std::mem::take(&mut self.live)
            .into_iter()
            .partition(|session| session.user == Some(user));
        self.live = live;
        let ended: Vec<Live> = ended;
        self.dead
            .extend(ended.into_iter().map(|session| session.issued));
    }

    fn list(&mut self) {
        let user = self.below(USERS);
        let node = self.node();
        let listed = answered(|| node.verbs.user_sessions(&name(user)));
        let listed = listed.expect("the store lists").len();
        assert_eq!(listed, self.count(user), "sessions of user {user}");
    }

    fn open_dead(&mut self) {
        let (node, count) = (self.below(3), self.dead.len());
        if count > 0 {
            let at = self.below(count);
            self.expect_dead(node, at);
        }
    }

    /// Checks all tokens on all nodes.
    fn check(&self) {
        for node in 0..3 {
            (0..self.live.len()).for_each(|at| self.expect_open(node, at));
            (0..self.dead.len()).for_each(|at| self.expect_dead(node, at));
        }
    }

    fn expect_open(&self, node: usize, at: usize) {
        let session = &self.live[at];
        until("the node has the data", || {
            self.nodes[node].open(&session.issued) == Ok(Some(session.data.clone()))
        });
    }

    fn expect_dead(&self, node: usize, at: usize) {
        until("the node rejects the token", || {
            self.nodes[node].open(&self.dead[at]) == Ok(None)
        });
    }

    fn replace(&mut self, at: usize, issued: IssuedSession) {
        let live = &mut self.live[at];
        live.version = issued.version;
        let old = std::mem::replace(&mut live.issued, issued);
        self.dead.push(old);
    }

    fn choose(&mut self) -> Option<usize> {
        let count = self.live.len();
        (count > 0).then(|| self.below(count))
    }

    fn count(&self, user: usize) -> usize {
        let of_user = |session: &&Live| session.user == Some(user);
        self.live.iter().filter(of_user).count()
    }

    fn node(&mut self) -> &Node {
        let node = self.below(3);
        self.nodes[node].until_up();
        &self.nodes[node]
    }

    fn data(&mut self) -> Vec<u8> {
        let len = self.below(300);
        vec![self.below(256) as u8; len]
    }

    /// Returns a number below a bound (xorshift64*).
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let word = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        word as usize % bound
    }
}

fn name(user: usize) -> String {
    format!("user {user}")
}

fn number(variable: &str, default: u64) -> u64 {
    let text = env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

const USERS: usize = 6;
const LIMIT: usize = 4;
