//! Records for tests.

use std::time::Duration;

use sessile::{SessionId, SessionLimitPolicy, UserHash, Version};
use sessile_redis::RedisStore;
use sessile_store::{Lifetime, NewRecord, ServerTime, SessionLimit, Store, StoreError, StoredData};

pub fn anonymous(data: &[u8]) -> NewRecord<'_> {
    let minute = Duration::from_secs(60);
    NewRecord {
        id: SessionId::from_parts(random(), 0x0102),
        user: None,
        assurance_level: 0,
        label: "",
        version: Version::new(1),
        serial: 7,
        idle_timeout: minute,
        lifetime: Lifetime::New(10 * minute),
        data: StoredData::plain(data),
        limit: SessionLimit {
            max: None,
            policy: SessionLimitPolicy::EndLeastRecentlyUsed,
            longest_lifetime: 10 * minute,
        },
        replaces: None,
    }
}

pub fn of_user(data: &[u8]) -> NewRecord<'_> {
    let user = UserHash::new(random());
    NewRecord {
        id: SessionId::from_parts(random(), user.place()),
        user: Some(user),
        label: "laptop",
        ..anonymous(data)
    }
}

/// Returns another session of the user.
pub fn another<'a>(first: &NewRecord<'a>) -> NewRecord<'a> {
    NewRecord {
        id: SessionId::from_parts(random(), first.id.place()),
        ..*first
    }
}

/// Returns the key of a record under the default prefix.
pub fn key(id: &SessionId) -> String {
    let digits = u128::from_be_bytes(id.to_bytes());
    format!("sessile:{{{:02x}}}:s:{digits:032x}", id.partition())
}

pub async fn save(store: &RedisStore, id: SessionId) -> Result<ServerTime, StoreError> {
    let [one, two] = [1, 2].map(Version::new);
    let data = StoredData::plain(b"fuller cart");
    store.save(id, one, two, data, ServerTime::MAX).await
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("random bytes");
    bytes
}
