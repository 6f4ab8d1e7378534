//! A primary, a replica and three Sentinels.

use std::time::{Duration, Instant};

use sessile::SessionId;
use sessile_redis::RedisStore;
use sessile_store::{ServerTime, Store, StoreError, StoredRecord};

use crate::support::{
    records::of_user,
    sentinels::Sentinels,
    server::{self, Server},
    watch::Watch,
};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_survive_the_death_of_the_primary() {
    for kind in server::kinds() {
        let primary = Server::start(kind, &[]);
        let replica = Server::start(kind, &[]);
        replica.replicate(&primary);
        let sentinels = Sentinels::start(kind, &primary);
        let store = RedisStore::builder(&sentinels.url())
            .wait(1, Duration::from_millis(200))
            .build()
            .expect("valid settings");
        let mut watch = Watch::start(&store).await;
        let new = of_user(b"cart");
        store
            .create(&new, ServerTime::MAX)
            .await
            .expect("the replica has it");
        drop(primary);
        let error = watch.end().await;
        assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
        let read = read_after_failover(&store, new.id).await;
        assert!(read.is_some(), "{kind}: an acknowledged write is kept");
    }
}

/// Connects until a primary answers a heartbeat and a read. A connection may be lost once more
/// after a replica was promoted, because Sentinels close those of its clients.
async fn read_after_failover(store: &RedisStore, id: SessionId) -> Option<StoredRecord> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let watch = Watch::begin(store);
        for _ in 0..100 {
            if store.health().is_connected
                && watch.heartbeat().await.is_ok()
                && let Ok(read) = store.read(id).await
            {
                return read;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(Instant::now() < deadline, "no replica was promoted");
    }
}
