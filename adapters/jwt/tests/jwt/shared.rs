//! Revocations that nodes share through a store, and outages of it.

use serde::de::IgnoredAny;
use sessile::{Error, KeyRing};
use sessile_jwt::{Rejection, Revocations, RevocationsBuildError, RevokeError, Verifier};
use sessile_store::MirrorError;

use crate::{
    support::{builder, with_claims},
    switched::{LEASE, Switched, Time, eventually, node, starting_node},
};

/// A node with its own switch over the common store.
struct Node {
    store: Switched,
    cache: sessile_store::TieredCache,
    revocations: Revocations,
    verifier: Verifier,
}

impl Node {
    fn new(store: Switched, time: &Time, capacity: usize) -> Self {
        let cache = node(&store, time, &keys());
        let node = Self::over(cache, store, time, capacity);
        eventually("the list is loaded", || node.revocations.are_current());
        node
    }

    fn over(
        cache: sessile_store::TieredCache,
        store: Switched,
        time: &Time,
        capacity: usize,
    ) -> Self {
        let clock = || {
            let time = time.clone();
            move || time.now()
        };
        let revocations = Revocations::builder(capacity).clock(clock());
        let revocations = revocations.with_store(&cache).unwrap();
        let verifier = builder().clock(clock()).revocations(revocations.clone());
        Self {
            store,
            cache,
            revocations,
            verifier: verifier.build().unwrap(),
        }
    }

    fn rejection(&self, token: &str) -> Option<Rejection> {
        self.verifier.verify::<IgnoredAny>(token).err()
    }

    fn revoke(&self, token: &str) -> Result<(), RevokeError> {
        let claims = self.verifier.verify::<IgnoredAny>(token).unwrap();
        self.revocations.blocking().revoke_token(&claims)
    }

    fn until_revoked(&self, token: &str) {
        eventually("the revocation arrives", || {
            self.rejection(token) == Some(Rejection::Revoked)
        });
    }
}

fn keys() -> KeyRing {
    KeyRing::from_bytes(&[b"0123456789abcdefghijklmnopqrstuv"]).unwrap()
}

fn two_nodes() -> (Time, [Node; 2]) {
    let time = Time::new();
    let store = Switched::new(&time);
    let nodes = [store.clone(), store.beside()].map(|store| Node::new(store, &time, 100));
    (time, nodes)
}

fn ids() -> [String; 2] {
    ["a", "b"].map(|id| {
        with_claims(&format!(
            ",\"jti\":\"{id}\",\"sub\":\"{id}\",\"iat\":1699999999"
        ))
    })
}

#[test]
fn a_token_that_one_node_revokes_is_rejected_by_the_others() {
    let (_, [one, two]) = two_nodes();
    let [revoked, other] = ids();
    assert_eq!(two.rejection(&revoked), None);
    one.revoke(&revoked).unwrap();
    assert_eq!(one.rejection(&revoked), Some(Rejection::Revoked));
    two.until_revoked(&revoked);
    assert_eq!(two.rejection(&other), None);
    two.revocations.blocking().revoke_subject("b").unwrap();
    one.until_revoked(&other);
    let third = with_claims(",\"iat\":1699999999");
    assert_eq!(one.rejection(&third), None);
    two.revocations.blocking().revoke_all().unwrap();
    one.until_revoked(&third);
}

/// A node that lost its channel accepts the token until the lease is over, and never again.
#[test]
fn a_node_that_lost_its_channel_accepts_nothing_after_the_lease() {
    let (time, [one, two]) = two_nodes();
    let [revoked, other] = ids();
    let claims = one.verifier.verify::<IgnoredAny>(&revoked).unwrap();
    two.store.turn_off();
    eventually("the other node connects again", || {
        one.revocations.blocking().revoke_token(&claims).is_ok()
    });
    time.advance(LEASE);
    for token in [&revoked, &other] {
        assert_eq!(two.rejection(token), Some(Rejection::Unavailable));
    }
    two.store.turn_on(&two.cache);
    eventually("the list is loaded again", || {
        let rejection = two.rejection(&revoked);
        assert!(rejection.is_some(), "a revoked token is accepted");
        rejection == Some(Rejection::Revoked)
    });
    assert_eq!(two.rejection(&other), None);
}

#[test]
fn a_revocation_without_the_store_is_effective_at_once_and_sent_later() {
    let (_, [one, two]) = two_nodes();
    let [revoked, _] = ids();
    one.store.turn_off();
    let claims = one.verifier.verify::<IgnoredAny>(&revoked).unwrap();
    let result = one.revocations.blocking().revoke_token(&claims);
    assert_eq!(result, Err(RevokeError::Store(Error::Unreachable)));
    assert!(one.rejection(&revoked).is_some());
    assert_ne!(two.rejection(&revoked), Some(Rejection::Revoked));
    one.store.turn_on(&one.cache);
    two.until_revoked(&revoked);
    one.until_revoked(&revoked);
}

#[test]
fn a_restart_remembers() {
    let (time, [one, two]) = two_nodes();
    let [revoked, other] = ids();
    one.revoke(&revoked).unwrap();
    let store = one.store.clone();
    drop((one, two));
    let again = Node::new(store, &time, 100);
    assert_eq!(again.rejection(&revoked), Some(Rejection::Revoked));
    assert_eq!(again.rejection(&other), None);
    assert_eq!(again.revocations.len(), 1);
}

#[test]
fn a_node_that_starts_without_the_store_accepts_nothing() {
    let time = Time::new();
    let store = Switched::new(&time);
    store.turn_off();
    let cache = starting_node(&store, &time, &keys());
    let node = Node::over(cache, store, &time, 100);
    let [token, _] = ids();
    assert!(!node.revocations.are_current());
    assert_eq!(node.rejection(&token), Some(Rejection::Unavailable));
    // A token that is not valid is rejected for its own cause.
    assert_eq!(node.rejection("x"), Some(Rejection::Malformed));
    node.store.turn_on(&node.cache);
    eventually("the list is loaded", || node.rejection(&token).is_none());
}

#[test]
fn a_node_without_room_for_the_list_accepts_nothing() {
    let time = Time::new();
    let store = Switched::new(&time);
    let large = Node::new(store.clone(), &time, 100);
    let small = Node::new(store.beside(), &time, 1);
    for subject in ["x", "y"] {
        large
            .revocations
            .blocking()
            .revoke_subject(subject)
            .unwrap();
    }
    let [token, _] = ids();
    eventually("the list is full", || {
        small.rejection(&token) == Some(Rejection::Unavailable)
    });
    assert_eq!(large.rejection(&token), None);
}

#[test]
fn running_nodes_remember_what_a_store_lost() {
    let (_, [one, two]) = two_nodes();
    let [revoked, other] = ids();
    one.revoke(&revoked).unwrap();
    two.until_revoked(&revoked);
    one.store.memory.clear();
    for node in [&one, &two] {
        eventually("the list is loaded again", || {
            assert!(
                node.rejection(&revoked).is_some(),
                "a revoked token is accepted"
            );
            node.rejection(&other).is_none()
        });
    }
}

#[test]
fn a_cache_has_one_list() {
    let (_, [one, _]) = two_nodes();
    let error = Revocations::with_store(&one.cache, 8).unwrap_err();
    assert_eq!(error, RevocationsBuildError::Store(MirrorError::Exists));
}
