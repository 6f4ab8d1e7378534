//! The index of a user's sessions: which entries it keeps, and for how long.

use std::time::Duration;

use sessile::{UserHash, Version};
use sessile_store::{Lifetime, NewRecord, NewTimeouts, ServerTime, Store};

use crate::support::{
    records::{another, key, of_user},
    server::{self, Server},
    watch::Watch,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Returns the key of the index of a user under the default prefix.
fn index(user: &UserHash) -> String {
    let digits = u128::from_be_bytes(user.to_bytes());
    format!("sessile:{{{:02x}}}:u:{digits:032x}", user.partition())
}

fn user(new: &NewRecord<'_>) -> UserHash {
    new.user.expect("it is of a user")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_without_a_limit_loses_its_ended_sessions() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = server.store();
        let _watch = Watch::start(&store).await;
        let mut first = of_user(b"cart");
        // Every earlier sign-in is longer ago than that.
        first.limit.longest_lifetime = Duration::ZERO;
        let index = index(&user(&first));
        for new in [&first, &another(&first), &another(&first)] {
            let created = store.create(new, ServerTime::MAX).await;
            created.expect("the id is fresh");
            assert_eq!(server.command(&["ZCARD", &index]), "1", "{kind}");
            // As if it had expired.
            server.command(&["DEL", &key(&new.id)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_lifetime_leaves_older_sessions_in_the_index() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = server.store();
        let _watch = Watch::start(&store).await;
        for max in [None, Some(10)] {
            let old = of_user(b"cart");
            store
                .create(&old, ServerTime::MAX)
                .await
                .expect("it is fresh");
            let mut new = another(&old);
            new.limit.max = max;
            new.limit.longest_lifetime = Duration::ZERO;
            store
                .create(&new, ServerTime::MAX)
                .await
                .expect("it is fresh");
            let listed = store.user_ids(user(&old), None).await;
            let mut ids = listed.expect("the server answers").ids;
            // Sign-ins of one millisecond have no order.
            ids.sort_by_key(|id| *id != old.id);
            assert_eq!(ids, [old.id, new.id], "{kind} {max:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_lifetime_of_a_session_keeps_its_index() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = server.store();
        let _watch = Watch::start(&store).await;
        let mut new = of_user(b"cart");
        new.lifetime = Lifetime::New(MINUTE);
        new.limit.longest_lifetime = MINUTE;
        let created = store.create(&new, ServerTime::MAX).await;
        let timeouts = NewTimeouts {
            idle_timeout: 30 * MINUTE,
            end: created.expect("it is fresh").now.after(60 * MINUTE),
        };
        let versions = [1, 2].map(Version::new);
        let set = store.set_timeouts(
            new.id,
            versions[0],
            versions[1],
            timeouts,
            None,
            ServerTime::MAX,
        );
        set.await.expect("it is a session");
        let left = server.command(&["TTL", &index(&user(&new))]);
        let left: u64 = left.parse().expect("a number");
        assert!(left > 50 * 60, "{kind}: {left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_passes_over_any_number_of_ended_sessions() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = server.store();
        let _watch = Watch::start(&store).await;
        let first = of_user(b"cart");
        let index = index(&user(&first));
        let sessions = [another(&first), another(&first), first];
        for new in &sessions {
            store
                .create(new, ServerTime::MAX)
                .await
                .expect("it is fresh");
            // The next sign-in is later than those that are added.
            tokio::time::sleep(Duration::from_millis(2)).await;
            server.command(&["EVAL", ADD_ENDED, "1", &index]);
        }
        let listed = store.user_ids(user(&sessions[0]), None).await;
        let listed = listed.expect("the server answers");
        let ids = sessions.map(|new| new.id);
        assert_eq!((listed.ids, listed.more), (ids.to_vec(), false), "{kind}");
        assert_eq!(server.command(&["ZCARD", &index]), "3", "{kind}");
    }
}

/// Adds 2,500 entries that signed in as the last one did.
const ADD_ENDED: &str = "
    local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
    local number = redis.call('ZCARD', KEYS[1])
    for i = 1, 2500 do redis.call('ZADD', KEYS[1], last, string.format('%032x', number + i)) end";
