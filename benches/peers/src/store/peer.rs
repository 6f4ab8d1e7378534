//! tower-sessions with its Redis store, called as its middleware calls it.

use std::collections::HashMap;

use time::OffsetDateTime;
use tokio::runtime::{Builder, Runtime};
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
};
use tower_sessions_redis_store::{RedisStore, fred::clients::Pool};

use super::DATA_LEN;
use crate::axum::redis_store;

pub(super) struct Peer {
    store: RedisStore<Pool>,
    runtime: Runtime,
}

impl Peer {
    pub(super) fn connect(url: &str) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let store = runtime.block_on(redis_store(url, 1));
        Self { store, runtime }
    }

    /// Stores a session with one value.
    pub(super) fn create(&self) -> Record {
        let text = "c".repeat(DATA_LEN);
        let mut record = Record {
            id: Id::default(),
            data: HashMap::from([("cart".to_owned(), text.into())]),
            expiry_date: OffsetDateTime::now_utc() + time::Duration::HOUR,
        };
        self.wait(self.store.create(&mut record))
            .expect("it answers");
        record
    }

    pub(super) fn load(&self, id: &Id) {
        let found = self.wait(self.store.load(id)).expect("it answers");
        assert!(found.is_some(), "the session is there");
    }

    pub(super) fn save(&self, record: &Record) {
        self.wait(self.store.save(record)).expect("it answers");
    }

    fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }
}
