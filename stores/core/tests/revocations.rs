//! Revocations in tiered caches with their threads.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sessile::{Error, KeyRing, SessionCache, SessionId, UserHash, Version};
use sessile_store::{
    Abilities, BoxFuture, Created, Ended, Heartbeat, MemoryStore, MirrorError, MirrorState,
    NewAlias, NewRecord, NewTimeouts, Proposal, Revocation, RevocationSink, RevocationsFull,
    Rewrite, Rotated, ServerTime, Sink, Store, StoreError, StoreExt, StoredData, StoredRecord,
    TieredCache, UserIds,
};

/// A sink with room for a number of revocations.
struct Seen {
    keys: Mutex<HashSet<[u8; 16]>>,
    room: AtomicUsize,
}

impl Seen {
    fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Self {
            keys: Mutex::default(),
            room: room.into(),
        })
    }

    fn has(&self, revocation: &Revocation) -> bool {
        let keys = self.keys.lock().expect("no panic");
        keys.contains(&revocation.key)
    }
}

impl RevocationSink for Seen {
    fn revoked(&self, revocation: &Revocation) -> Result<(), RevocationsFull> {
        let mut keys = self.keys.lock().expect("no panic");
        let is_known = keys.contains(&revocation.key);
        if !is_known && keys.len() >= self.room.load(Ordering::Relaxed) {
            return Err(RevocationsFull);
        }
        keys.insert(revocation.key);
        Ok(())
    }
}

fn node(store: impl Store) -> TieredCache {
    let keys = KeyRing::from_bytes(&[b"the key of all nodes, 32 bytes.."]).expect("a key");
    let builder = SessionCache::builder().memory(8 << 20).keys(keys);
    builder.store(store).expect("valid settings")
}

/// Starts a node that mirrors all revocations, and waits until it has them.
fn mirror(store: &MemoryStore) -> (TieredCache, Arc<Seen>) {
    let (cache, seen) = (node(store.clone()), Seen::with_room(usize::MAX));
    cache.mirror_revocations(seen.clone()).expect("one sink");
    until("the mirror is current", || cache.revocations_are_current());
    (cache, seen)
}

fn revocation(number: u8) -> Revocation {
    Revocation {
        key: [number; 16],
        issued_before: u64::MAX,
        expires_at: u64::MAX,
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        thread::yield_now();
    }
}

#[test]
fn a_revocation_reaches_the_other_node_and_a_later_one() {
    let store = MemoryStore::new();
    let [(one, first), (_two, second)] = [(); 2].map(|()| mirror(&store));
    assert_eq!(one.blocking().revoke(revocation(1)), Ok(()));
    assert!(first.has(&revocation(1)));
    until("the message arrives", || second.has(&revocation(1)));
    drop(one);
    let (_late, third) = mirror(&store);
    assert!(third.has(&revocation(1)), "a restart remembers");
}

#[test]
fn a_node_without_a_mirror_revokes_too() {
    let store = MemoryStore::new();
    let plain = node(store.clone());
    let (_mirror, seen) = mirror(&store);
    assert!(!plain.revocations_are_current());
    assert_eq!(plain.store_health().mirror, MirrorState::Off);
    assert_eq!(plain.blocking().revoke(revocation(1)), Ok(()));
    until("the message arrives", || seen.has(&revocation(1)));
    assert!(!plain.prometheus().contains("revocations_current"));
}

#[test]
fn a_cache_has_one_sink() {
    let (cache, _seen) = mirror(&MemoryStore::new());
    let again = cache.mirror_revocations(Seen::with_room(1));
    assert_eq!(again, Err(MirrorError::Exists));
}

#[test]
fn a_store_without_revocations_is_not_mirrored() {
    let cache = node(Silent);
    let error = cache.mirror_revocations(Seen::with_room(1));
    assert_eq!(error, Err(MirrorError::Unsupported));
    let text = MirrorError::Unsupported.to_string();
    assert!(text.contains("`store`"), "{text}");
    let revoked = cache.blocking().revoke(revocation(1));
    let verb = "revocations";
    assert_eq!(revoked, Err(Error::Unsupported { verb }));
    assert_eq!(cache.store_health().revocations_queued, 0);
}

#[test]
fn a_full_sink_is_not_current_until_it_has_room() {
    let store = MemoryStore::new();
    let (other, _) = mirror(&store);
    let (cache, seen) = (node(store), Seen::with_room(1));
    cache.mirror_revocations(seen.clone()).expect("one sink");
    until("the mirror is current", || cache.revocations_are_current());
    assert_eq!(cache.blocking().revoke(revocation(1)), Ok(()));
    assert_eq!(cache.blocking().revoke(revocation(2)), Err(Error::Full));
    assert!(!cache.revocations_are_current());
    assert_eq!(cache.store_health().mirror, MirrorState::Full);
    assert_eq!(cache.store_health().revocations_queued, 0, "it is stored");
    let is_line = |line: &str| line == "sessile_store_revocations_current 0";
    assert!(cache.prometheus().lines().any(is_line));
    seen.room.store(3, Ordering::Relaxed);
    until("there is room", || cache.revocations_are_current());
    assert!(seen.has(&revocation(2)), "it was loaded");
    seen.room.store(2, Ordering::Relaxed);
    assert_eq!(other.blocking().revoke(revocation(3)), Ok(()));
    until("a message finds no room", || {
        !cache.revocations_are_current()
    });
}

#[test]
fn a_failover_loses_no_revocation_of_a_live_node() {
    let store = MemoryStore::new();
    let (one, _) = mirror(&store);
    let replica = store.snapshot();
    assert_eq!(one.blocking().revoke(revocation(1)), Ok(()));
    store.restore(replica);
    let (_late, seen) = mirror(&store);
    until("it is asserted again", || seen.has(&revocation(1)));
}

#[test]
fn a_loss_of_the_data_is_asserted_again_and_forgets_nothing_in_memory() {
    let store = MemoryStore::new();
    let (one, seen) = mirror(&store);
    assert_eq!(one.blocking().revoke(revocation(1)), Ok(()));
    store.clear();
    until("it is current again", || one.revocations_are_current());
    assert!(seen.has(&revocation(1)));
    let (_late, seen) = mirror(&store);
    until("it is asserted again", || seen.has(&revocation(1)));
}

#[test]
fn without_the_store_a_revocation_is_queued_and_the_close_counts_it() {
    let cache = node(Down);
    let seen = Seen::with_room(1);
    cache.mirror_revocations(seen.clone()).expect("one sink");
    let revoked = cache.blocking().revoke(revocation(1));
    assert_eq!(revoked, Err(Error::Unreachable));
    assert!(seen.has(&revocation(1)), "it takes effect here at once");
    assert!(!cache.revocations_are_current(), "nothing was loaded");
    assert_eq!(cache.store_health().mirror, MirrorState::Behind);
    assert_eq!(cache.store_health().revocations_queued, 1);
    assert_eq!(cache.blocking().close(Duration::from_millis(10)), 1);
}

#[tokio::test]
async fn a_store_need_not_keep_revocations() {
    let revoked = Silent.revoke(&[revocation(1)]).await;
    assert_eq!(revoked, Err(StoreError::Unsupported("revocations")));
    let page = Silent.revocations(0).await;
    let error = page.expect_err("it lists none");
    assert_eq!(error, StoreError::Unsupported("revocations"));
}

macro_rules! unreachable_store {
    ($name:ident, $revocations:literal) => {
        /// A store that answers nothing.
        #[derive(Clone)]
        struct $name;

        #[rustfmt::skip]
        impl Store for $name {
            fn abilities(&self) -> Abilities {
                Abilities { revocations: $revocations, ..MemoryStore::new().abilities() }
            }
            fn read(&self, _: SessionId) -> Answer<'_, Option<StoredRecord>> { none() }
            fn create<'a>(&'a self, _: &'a NewRecord<'a>, _: ServerTime) -> Answer<'a, Created> { none() }
            fn save<'a>(&'a self, _: SessionId, _: Version, _: Version, _: StoredData<'a>, _: ServerTime) -> Answer<'a, ServerTime> { none() }
            fn touch<'a>(&'a self, _: &'a [(SessionId, Duration)], _: ServerTime) -> Answer<'a, Vec<bool>> { none() }
            fn set_timeouts<'a>(&'a self, _: SessionId, _: Version, _: Version, _: NewTimeouts, _: Option<StoredData<'a>>, _: ServerTime) -> Answer<'a, ServerTime> { none() }
            fn rotate<'a>(&'a self, _: SessionId, _: NewAlias, _: Option<Rewrite<'a>>, _: ServerTime) -> Answer<'a, Rotated> { none() }
            fn retire(&self, _: SessionId, _: Option<Version>, _: NewAlias, _: ServerTime) -> Answer<'_, ServerTime> { none() }
            fn end(&self, _: SessionId) -> Answer<'_, Ended> { none() }
            fn end_if_unchanged(&self, _: SessionId, _: Version) -> Answer<'_, ServerTime> { none() }
            fn user_ids(&self, _: UserHash, _: Option<ServerTime>) -> Answer<'_, UserIds> { none() }
            fn end_all(&self, _: Option<ServerTime>) -> Answer<'_, ServerTime> { none() }
            fn watch(&self, _: Arc<dyn Sink>, _: Duration) -> BoxFuture<'_, StoreError> {
                Box::pin(async { StoreError::Unreachable("down".into()) })
            }
            fn heartbeat<'a>(&'a self, _: &'a Proposal) -> Answer<'a, Heartbeat> { none() }
        }
    };
}

unreachable_store!(Silent, false);
unreachable_store!(Down, true);

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

fn none<'a, T: 'a>() -> Answer<'a, T> {
    Box::pin(async { Err(StoreError::Unreachable("down".into())) })
}
