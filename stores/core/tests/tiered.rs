//! Tiered caches with their threads and the time of the system.

#[path = "support/log_lines.rs"]
mod log_lines;

use std::{
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use log_lines::LogLines;
use sessile::{CreateOptions, Error, KeyRing, SessionCache, SessionCacheBuilder};
use sessile_store::{
    Abilities, BoxFuture, Created, Ended, Heartbeat, LookUp, MemoryStore, NewAlias, NewRecord,
    NewTimeouts, Proposal, Rewrite, Rotated, ServerTime, Sink, Store, StoreBuildError, StoreError,
    StoreExt, StoreState, StoredData, StoredRecord, TieredCache, UserIds,
};

fn keys() -> KeyRing {
    KeyRing::generate().expect("random bytes")
}

fn builder(keys: &KeyRing) -> SessionCacheBuilder {
    SessionCache::builder().memory(8 << 20).keys(keys.clone())
}

fn header(cache: &TieredCache, token: &sessile::Token) -> String {
    format!("{}={}", cache.cookie_name(), token.as_str())
}

/// Waits until a condition holds.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        thread::yield_now();
    }
    began.elapsed()
}

#[test]
fn a_session_is_shared_and_its_end_is_seen_by_the_other_node() {
    let (keys, store) = (keys(), MemoryStore::new());
    let [one, two] = [(); 2].map(|()| builder(&keys).store(store.clone()).expect("a store"));
    let issued = one.blocking().create(b"a cart").expect("the store answers");
    let header = header(&two, &issued.token);
    let mut buffer = BytesMut::new();
    let opened = two.blocking().open([header.as_bytes()], &mut buffer);
    assert_eq!(
        opened.map(|record| record.map(|record| record.id)),
        Ok(Some(issued.id))
    );
    assert_eq!(&buffer[..], b"a cart");
    let is_hit =
        |buffer: &mut BytesMut| matches!(two.try_open([header.as_bytes()], buffer), LookUp::Hit(_));
    assert!(is_hit(&mut buffer), "it is in memory now");

    assert_eq!(one.blocking().end(&issued.id), Ok(true));
    eventually("the message arrives", || !is_hit(&mut buffer));
    let opened = two.blocking().open([header.as_bytes()], &mut buffer);
    assert!(matches!(opened, Ok(None)));
}

#[test]
fn a_hit_does_not_allocate() {
    let cache = builder(&keys()).store(MemoryStore::new()).expect("a store");
    let issued = cache
        .blocking()
        .create(b"a cart")
        .expect("the store answers");
    let header = header(&cache, &issued.token);
    let mut buffer = BytesMut::with_capacity(64);
    let mut open = || {
        matches!(
            cache.try_open([header.as_bytes()], &mut buffer),
            LookUp::Hit(_)
        )
    };
    assert!(open());
    let info = allocation_counter::measure(|| assert!(open()));
    assert_eq!(info.count_total, 0);
}

#[test]
fn sessions_survive_a_restart_of_all_nodes() {
    let (keys, store) = (keys(), MemoryStore::new());
    let first = builder(&keys).store(store.clone()).expect("a store");
    let options = CreateOptions::new().user("ada");
    let issued = first.blocking().create_with(b"a cart", options);
    let issued = issued.expect("the store answers");
    drop(first);
    let second = builder(&keys).store(store).expect("a store");
    let mut buffer = BytesMut::new();
    let loaded = second.blocking().load(&issued.id, &mut buffer);
    assert!(loaded.is_ok_and(|record| record.is_some_and(|record| record.is_authenticated())));
    assert_eq!(&buffer[..], b"a cart");
    let listed = second.blocking().user_sessions("ada");
    assert_eq!(listed.map(|listed| listed.len()), Ok(1));
}

#[test]
fn data_is_encrypted_in_the_store() {
    let (keys, store) = (keys(), MemoryStore::new());
    let secret = b"a secret that is long enough to search for";
    let node = || builder(&keys).tiered(store.clone()).encrypt(true).build();
    let [one, two] = [(); 2].map(|()| node().expect("a store"));
    let issued = one.blocking().create(secret).expect("the store answers");
    store.for_each_stored(|_, value| {
        assert!(
            !value
                .windows(8)
                .any(|part| secret.windows(8).any(|plain| plain == part))
        );
    });
    let mut buffer = BytesMut::new();
    let record = two.blocking().load(&issued.id, &mut buffer);
    let record = record.expect("the store answers").expect("it was created");
    assert_eq!(&buffer[..], secret);
    let saved = two.blocking().save(&record.id, record.version, b"other");
    let saved = saved.expect("the store answers");
    let rotated = two.blocking().rotate(&issued.id, Duration::ZERO);
    let rotated = rotated.expect("the store answers");
    assert_eq!(rotated.version, saved);
    eventually("the message arrives", || {
        let old = one.blocking().load(&issued.id, &mut buffer);
        old.is_ok_and(|record| record.is_none())
    });
    let record = one.blocking().load(&rotated.id, &mut buffer);
    assert!(record.is_ok_and(|record| record.is_some()));
    assert_eq!(&buffer[..], b"other");
}

#[test]
fn a_cache_whose_store_is_down_starts_and_recovers() {
    let gate = Gate::new(StoreError::Unreachable("closed".into()));
    let cache = builder(&keys())
        .store(gate.clone())
        .expect("it starts down");
    assert_eq!(cache.store_health().state, StoreState::Down);
    assert_eq!(cache.blocking().create(b"").err(), Some(Error::Unreachable));
    gate.is_open.store(true, Ordering::Relaxed);
    eventually("it connects again", || {
        cache.store_health().state == StoreState::Up
    });
    assert!(cache.blocking().create(b"").is_ok());
}

#[test]
fn a_store_that_cannot_be_used_is_an_error() {
    let gate = Gate::new(StoreError::Incompatible("`url` must name a server".into()));
    let error = builder(&keys()).store(gate).err();
    let Some(StoreBuildError::Incompatible(cause)) = error else {
        panic!("not usable, got {error:?}");
    };
    assert_eq!(cause, "`url` must name a server");
}

#[test]
fn dropping_the_last_clone_stops_the_thread() {
    let gate = Gate::new(StoreError::Unreachable("closed".into()));
    gate.is_open.store(true, Ordering::Relaxed);
    let alive: Weak<AtomicBool> = Arc::downgrade(&gate.is_open);
    let cache = builder(&keys()).store(gate).expect("a store");
    let clone = cache.clone();
    drop(cache);
    assert!(clone.blocking().create(b"").is_ok());
    drop(clone);
    eventually("the thread drops the store", || alive.upgrade().is_none());
}

#[test]
fn a_reserved_id_is_created_once() {
    let cache = builder(&keys()).store(MemoryStore::new()).expect("a store");
    let reserved = cache.reserve().expect("random bytes");
    let mut buffer = BytesMut::new();
    let loaded = cache.blocking().load(&reserved.id, &mut buffer);
    assert!(loaded.is_ok_and(|record| record.is_none()));
    let create = || {
        cache
            .blocking()
            .create_reserved(&reserved, b"a cart", CreateOptions::new())
    };
    let issued = create().expect("the store answers");
    assert_eq!((issued.id, issued.token), (reserved.id, reserved.token));
    assert_eq!(create().err(), Some(Error::Conflict));
    let header = header(&cache, &issued.token);
    assert!(matches!(
        cache.try_peek([header.as_bytes()], &mut buffer),
        LookUp::Hit(_)
    ));
    assert_eq!(&buffer[..], b"a cart");
}

#[test]
fn a_closed_cache_rejects_writes_and_has_sent_its_ends() {
    let store = MemoryStore::new();
    let cache = builder(&keys()).store(store.clone()).expect("a store");
    let blocking = cache.blocking();
    let issued = blocking.create(b"").expect("the store answers");
    assert_eq!(blocking.end(&issued.id), Ok(true));
    assert_eq!(blocking.close(Duration::from_secs(1)), 0);
    assert_eq!(blocking.create(b"").err(), Some(Error::Unreachable));
    assert!(store.is_empty());
}

#[test]
fn a_close_without_a_limit_sends_what_is_queued() {
    for is_blocking in [false, true] {
        let gate = Gate::new(StoreError::Unreachable("closed".into()));
        let cache = builder(&keys()).store(gate.clone()).expect("a store");
        let reserved = cache.reserve().expect("random bytes");
        let ended = cache.blocking().end(&reserved.id);
        assert_eq!(ended, Err(Error::Unreachable));
        gate.is_open.store(true, Ordering::Relaxed);
        let unconfirmed = match is_blocking {
            true => cache.blocking().close(Duration::MAX),
            false => wait(cache.close(Duration::MAX)),
        };
        assert_eq!(unconfirmed, 0);
    }
}

#[test]
fn a_handle_beyond_the_list_of_a_user_is_an_error() {
    let now = Arc::new(AtomicU64::new(1_800_000_000_000));
    let clock = Arc::clone(&now);
    let store = MemoryStore::with_clock(move || ServerTime(clock.load(Ordering::Relaxed)));
    let builder = builder(&keys()).max_sessions_per_user(None);
    let cache = builder.store(store).expect("a store");
    let create = || {
        let options = CreateOptions::new().user("ada");
        let created = cache.blocking().create_with(b"", options);
        created.expect("the store answers").id
    };
    let handle = |id| {
        let loaded = cache.blocking().load(&id, &mut BytesMut::new());
        let record = loaded.expect("the store answers").expect("it was created");
        record.handle()
    };
    let first = handle(create());
    for _ in 1..1_000 {
        create();
    }
    // Sign-ins of one millisecond are listed in the order of their ids.
    now.fetch_add(1, Ordering::Relaxed);
    let last = handle(create());
    let end = |handle| cache.blocking().end_by_handle(handle);
    assert!(matches!(end(&last), Err(Error::Unsupported { .. })));
    assert_eq!(end(&first), Ok(true));
    assert_eq!(end(&last), Ok(true), "it is in the list now");
    assert_eq!(end(&last), Ok(false));
}

#[test]
fn a_cache_that_is_dropped_without_a_close_logs_the_ends_that_are_lost() {
    for is_closed in [false, true] {
        // It answers no end.
        let gate = Gate::new(StoreError::Unreachable("closed".into()));
        let cache = builder(&keys()).store(gate).expect("it starts down");
        let reserved = cache.reserve().expect("random bytes");
        let ended = cache.blocking().end(&reserved.id);
        assert_eq!(ended, Err(Error::Unreachable));
        if is_closed {
            assert_eq!(cache.blocking().close(Duration::ZERO), 1);
        }
        let texts = LogLines::of(|| drop(cache));
        assert_eq!(texts.is_empty(), is_closed, "{texts:?}");
        assert!(texts.iter().all(|text| text.contains("unconfirmed=1")));
    }
}

/// A store that fails with one error until it is opened.
#[derive(Clone)]
struct Gate {
    store: MemoryStore,
    is_open: Arc<AtomicBool>,
    error: StoreError,
}

impl Gate {
    fn new(error: StoreError) -> Self {
        Self {
            store: MemoryStore::new(),
            is_open: Arc::default(),
            error,
        }
    }
}

impl Store for Gate {
    fn abilities(&self) -> Abilities {
        self.store.abilities()
    }

    fn read(
        &self,
        id: sessile::SessionId,
    ) -> BoxFuture<'_, Result<Option<StoredRecord>, StoreError>> {
        self.store.read(id)
    }

    fn create<'a>(
        &'a self,
        new: &'a NewRecord<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Created, StoreError>> {
        self.store.create(new, not_after)
    }

    fn save<'a>(
        &'a self,
        id: sessile::SessionId,
        expected: sessile::Version,
        next: sessile::Version,
        data: StoredData<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        self.store.save(id, expected, next, data, not_after)
    }

    fn touch<'a>(
        &'a self,
        batch: &'a [(sessile::SessionId, Duration)],
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        self.store.touch(batch, not_after)
    }

    fn set_timeouts<'a>(
        &'a self,
        id: sessile::SessionId,
        expected: sessile::Version,
        next: sessile::Version,
        timeouts: NewTimeouts,
        data: Option<StoredData<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        self.store
            .set_timeouts(id, expected, next, timeouts, data, not_after)
    }

    fn rotate<'a>(
        &'a self,
        id: sessile::SessionId,
        alias: NewAlias,
        rewrite: Option<Rewrite<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Rotated, StoreError>> {
        self.store.rotate(id, alias, rewrite, not_after)
    }

    fn retire(
        &self,
        id: sessile::SessionId,
        expected: Option<sessile::Version>,
        alias: NewAlias,
        not_after: ServerTime,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        self.store.retire(id, expected, alias, not_after)
    }

    fn end(&self, id: sessile::SessionId) -> BoxFuture<'_, Result<Ended, StoreError>> {
        if self.is_open.load(Ordering::Relaxed) {
            return self.store.end(id);
        }
        Box::pin(async { Err(self.error.clone()) })
    }

    fn end_if_unchanged(
        &self,
        id: sessile::SessionId,
        expected: sessile::Version,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        self.store.end_if_unchanged(id, expected)
    }

    fn user_ids(
        &self,
        user: sessile::UserHash,
        up_to: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<UserIds, StoreError>> {
        self.store.user_ids(user, up_to)
    }

    fn end_all(
        &self,
        at_least: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        self.store.end_all(at_least)
    }

    fn watch(&self, sink: Arc<dyn Sink>, timeout: Duration) -> BoxFuture<'_, StoreError> {
        if self.is_open.load(Ordering::Relaxed) {
            return self.store.watch(sink, timeout);
        }
        Box::pin(async { self.error.clone() })
    }

    fn heartbeat<'a>(
        &'a self,
        proposal: &'a Proposal,
    ) -> BoxFuture<'a, Result<Heartbeat, StoreError>> {
        self.store.heartbeat(proposal)
    }
}

#[test]
fn whether_an_id_was_replaced_is_asked_from_a_thread_without_a_runtime() {
    let store = MemoryStore::new();
    let cache = builder(&keys()).store(store).expect("a store");
    let issued = cache.blocking().create(b"").expect("the store answers");
    let rotated = cache.blocking().rotate(&issued.id, Duration::ZERO);
    assert!(rotated.is_ok());
    let replaced = wait(cache.replaced(&issued.id)).expect("the store answers");
    assert!(replaced.is_some_and(|age| age < Duration::from_secs(60)));
}

/// Waits for a future without a runtime.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park_timeout(Duration::from_secs(20)),
        }
    }
}
