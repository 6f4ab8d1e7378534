//! A watch that runs in the background and collects the changes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sessile_redis::RedisStore;
use sessile_store::{Change, Heartbeat, Proposal, Sink, Store, StoreError};
use tokio::{task::JoinHandle, time::timeout};

/// The time of each step of a watch, for machines that do other work.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// A running watch.
pub struct Watch {
    store: RedisStore,
    changes: Arc<Changes>,
    task: Option<JoinHandle<StoreError>>,
}

#[derive(Default)]
struct Changes(Mutex<Vec<Change>>);

impl Sink for Changes {
    fn change(&self, change: Change) {
        self.0.lock().expect("no thread panicked").push(change);
    }
}

impl Watch {
    /// Starts a watch and waits until it is subscribed. A busy machine may need several attempts,
    /// as a node makes them.
    pub async fn start(store: &RedisStore) -> Self {
        for _ in 0..20 {
            let mut watch = Self::begin(store);
            if watch.is_subscribed().await {
                return watch;
            }
            let error = watch.end().await;
            assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
        }
        panic!("no subscription in 20 attempts");
    }

    /// Waits until the watch is subscribed or has ended.
    async fn is_subscribed(&self) -> bool {
        loop {
            let is_subscribed = self.seen().contains(&Change::Subscribed);
            if is_subscribed || self.task.as_ref().is_none_or(JoinHandle::is_finished) {
                return is_subscribed;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts a watch that may fail.
    pub fn begin(store: &RedisStore) -> Self {
        let changes = Arc::new(Changes::default());
        let (own, sink) = (store.clone(), changes.clone());
        Self {
            store: store.clone(),
            changes,
            task: Some(tokio::spawn(async move { own.watch(sink, TIMEOUT).await })),
        }
    }

    /// Waits until a change has arrived.
    pub async fn until(&mut self, name: &str, change: Change) {
        for _ in 0..1_000 {
            if self.seen().contains(&change) {
                return;
            }
            if self.task.as_ref().is_some_and(JoinHandle::is_finished) {
                panic!("{name} did not arrive: {}", self.end().await);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{name} did not arrive within 5 s");
    }

    pub fn seen(&self) -> Vec<Change> {
        self.changes.0.lock().expect("no thread panicked").clone()
    }

    /// Waits until the watch has ended by itself, and returns its error.
    pub async fn end(&mut self) -> StoreError {
        let task = self.task.take().expect("it is awaited once");
        let ended = timeout(Duration::from_secs(10), task).await;
        ended
            .expect("the watch ends within 10 s")
            .expect("it does not panic")
    }

    pub async fn heartbeat(&self) -> Result<Heartbeat, StoreError> {
        let proposal = Proposal {
            epoch: [1; 16],
            user_key: [2; 32],
            key_fingerprints: vec![[3; 8]],
        };
        let answer = timeout(TIMEOUT, self.store.heartbeat(&proposal)).await;
        answer.expect("the store does not hang")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
