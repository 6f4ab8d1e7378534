//! The parts that the checks share: fresh ids, new records, and a watch that collects the changes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sessile::{SessionId, SessionLimitPolicy, UserHash, Version};

use super::Wait;
use crate::{
    record::{AliasRecord, Record, SessionRecord},
    revocation::Revocation,
    store::{
        BoxFuture, Change, Heartbeat, Lifetime, NewAlias, NewRecord, Proposal, ServerTime,
        SessionLimit, Sink, Store, StoreError, StoredData, StoredRecord,
    },
};

/// A store under test, and the changes that it published.
pub(super) struct Fixture<'c> {
    pub(super) store: Arc<dyn Store>,
    pub(super) wait: &'c Wait,
    collector: &'c Collector,
}

/// Collects the changes of a watch.
#[derive(Default)]
pub(super) struct Collector(Mutex<Vec<Change>>);

impl Sink for Collector {
    fn change(&self, change: Change) {
        self.list().push(change);
    }
}

impl Collector {
    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Change>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'c> Fixture<'c> {
    /// Waits until the watch that runs beside the checks is subscribed.
    pub(super) async fn start(
        store: Arc<dyn Store>,
        wait: &'c Wait,
        collector: &'c Collector,
    ) -> Self {
        for _ in 0..1_000 {
            if collector.list().first() == Some(&Change::Subscribed) {
                break;
            }
            wait(Duration::from_millis(5)).await;
        }
        let first = collector.list().first().copied();
        assert_eq!(
            first,
            Some(Change::Subscribed),
            "no subscription within 5 s"
        );
        let fixture = Self {
            store,
            wait,
            collector,
        };
        // A node sends one before any other call.
        fixture.heartbeat().await;
        fixture
    }

    /// Runs a call and returns its result with the changes that were published: the
    /// heartbeat afterwards proves that all have arrived.
    pub(super) async fn changes_of<T>(&self, call: impl Future<Output = T>) -> (T, Vec<Change>) {
        self.heartbeat().await;
        self.collector.list().clear();
        let result = call.await;
        self.heartbeat().await;
        (result, self.collector.list().drain(..).collect())
    }

    /// Asserts that a call published exactly these changes, if the store pushes any.
    pub(super) fn assert_published(&self, changes: &[Change], expected: &[Change]) {
        let expected = match self.store.abilities().push {
            true => expected,
            false => &[],
        };
        assert_eq!(changes, expected);
    }

    /// Waits until a session with an idle timeout of 200 ms has expired. A store without push may
    /// count whole seconds, rounded up.
    pub(super) fn wait_for_expiry(&self) -> BoxFuture<'static, ()> {
        self.wait(match self.store.abilities().push {
            true => 300,
            false => 2_300,
        })
    }

    /// Waits until a touch moves the deadline of a session. A store without push may count whole
    /// seconds.
    pub(super) fn wait_for_touch(&self) -> BoxFuture<'static, ()> {
        self.wait(match self.store.abilities().push {
            true => 50,
            false => 2_200,
        })
    }

    pub(super) async fn heartbeat(&self) -> Heartbeat {
        let proposal = Proposal {
            epoch: [1; 16],
            user_key: [2; 32],
            key_fingerprints: vec![[3; 8]],
        };
        let answer = self.store.heartbeat(&proposal).await;
        answer.expect("the store answers a heartbeat")
    }

    pub(super) async fn create(&self, new: &NewRecord<'_>) -> Result<ServerTime, StoreError> {
        let created = self.store.create(new, ServerTime::MAX).await;
        created.map(|created| created.now)
    }

    pub(super) async fn read(&self, id: SessionId) -> Option<StoredRecord> {
        self.store.read(id).await.expect("the store answers a read")
    }

    /// Returns the data of a session with its version.
    pub(super) async fn session(&self, id: SessionId) -> Option<(Version, Vec<u8>)> {
        let stored = self.read(id).await?;
        match Record::decode(&stored.bytes) {
            Ok(Record::Session(SessionRecord { header, data, .. })) => {
                Some((header.version, data.to_vec()))
            }
            _ => None,
        }
    }

    pub(super) async fn alias(&self, id: SessionId) -> Option<AliasRecord> {
        let stored = self.read(id).await?;
        match Record::decode(&stored.bytes) {
            Ok(Record::Alias(alias)) => Some(alias),
            _ => None,
        }
    }

    pub(super) async fn save(
        &self,
        id: SessionId,
        expected: u32,
        next: u32,
        data: &[u8],
    ) -> Result<ServerTime, StoreError> {
        let (expected, next) = (Version::new(expected), Version::new(next));
        let data = StoredData::plain(data);
        self.store
            .save(id, expected, next, data, ServerTime::MAX)
            .await
    }

    pub(super) fn wait(&self, millis: u64) -> BoxFuture<'static, ()> {
        (self.wait)(Duration::from_millis(millis))
    }
}

/// Returns a record of an anonymous session with a fresh id.
pub(super) fn anonymous(data: &[u8]) -> NewRecord<'_> {
    NewRecord {
        id: fresh_id(0xbeef),
        user: None,
        assurance_level: 0,
        label: "",
        version: Version::new(1),
        serial: 7,
        idle_timeout: MINUTE,
        lifetime: Lifetime::New(10 * MINUTE),
        data: StoredData::plain(data),
        limit: SessionLimit {
            max: None,
            policy: SessionLimitPolicy::EndLeastRecentlyUsed,
            longest_lifetime: 10 * MINUTE,
        },
        replaces: None,
    }
}

/// Returns a record of a user's session with a fresh id.
pub(super) fn of_user(user: UserHash, data: &[u8]) -> NewRecord<'_> {
    NewRecord {
        id: fresh_id(user.place()),
        user: Some(user),
        assurance_level: 2,
        label: "laptop",
        ..anonymous(data)
    }
}

pub(super) fn alias_to(target: SessionId) -> NewAlias {
    NewAlias {
        target,
        grace: Duration::from_secs(10),
        remember: MINUTE,
    }
}

/// Returns a revocation of a fresh key.
pub(super) fn revocation(expires_at: u64) -> Revocation {
    Revocation {
        key: random(),
        issued_before: u64::MAX,
        expires_at,
    }
}

pub(super) fn fresh_user() -> UserHash {
    UserHash::new(random())
}

/// Returns a random id. A place of more than 8 bits shows whether the store keeps partitions apart
/// from places.
pub(super) fn fresh_id(place: u16) -> SessionId {
    SessionId::from_parts(random(), place)
}

/// Returns an id as a message names it.
pub(super) fn in_message(id: SessionId) -> SessionId {
    SessionId::from_parts(id.to_bytes(), id.place() & 0xff)
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system returns random bytes");
    bytes
}

pub(super) const MINUTE: Duration = Duration::from_secs(60);
