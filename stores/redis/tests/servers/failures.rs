//! The store on servers that fail, refuse and forget.

use std::time::Duration;

use sessile_redis::RedisStore;
use sessile_store::{Change, Ended, ServerTime, Store, StoreError, record::Record};
use tokio::{net::TcpListener, time::timeout};

use crate::support::{
    records::{self, anonymous, of_user, save},
    server::{self, Server},
    watch::{self, Watch},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_is_told_at_once() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let mut watch = Watch::start(&server.store()).await;
        for flush in ["FLUSHALL", "FLUSHDB"] {
            let before = watch.seen().len();
            server.command(&[flush]);
            for _ in 0..1_000 {
                if watch.seen().len() > before {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(watch.seen()[before..], [Change::DataLost], "{kind} {flush}");
        }
        watch.until("the loss", Change::DataLost).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_another_client_is_no_loss_of_data() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let watch = Watch::start(&server.store()).await;
        server.command(&["SET", "sessile:{meta}x", "1"]);
        server.command(&["SET", "other", "1"]);
        watch.heartbeat().await.expect("the server answers");
        assert_eq!(watch.seen(), [Change::Subscribed]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_ends_the_watch() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = server.store();
        let mut watch = Watch::start(&store).await;
        assert!(store.health().is_connected);
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        let error = watch.end().await;
        assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
        assert!(!store.health().is_connected);
        let read = store.read(anonymous(b"").id).await;
        assert!(matches!(read, Err(StoreError::Unreachable(_))));
        // Another watch connects again.
        let again = Watch::start(&store).await;
        again.heartbeat().await.expect("the server answers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_waits_for_another_to_be_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let store = RedisStore::builder(&format!("redis://127.0.0.1:{port}"))
        .wait(1, Duration::from_secs(1))
        .build()
        .expect("valid settings");
    let _watch = Watch::begin(&store);
    let mut connections = Vec::new();
    for _ in 0..4 {
        let accepted = timeout(Duration::from_secs(20), listener.accept()).await;
        // It is kept and never answered.
        connections.push(accepted.expect("a further connection").expect("a client"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_answering_is_given_up_after_three_calls() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = server.store();
        let mut watch = Watch::start(&store).await;
        server.pause();
        for _ in 0..3 {
            let read = store.read(anonymous(b"").id);
            let abandoned = timeout(Duration::from_millis(50), read).await;
            assert!(abandoned.is_err(), "the server is stopped");
        }
        let error = watch.end().await;
        assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
        server.resume();
        Watch::start(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_answers_is_given_up_while_the_others_have_some() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = server.store();
        let mut watch = Watch::start(&store).await;
        // Scripts that write wait, and others do not.
        server.command(&["CLIENT", "PAUSE", "60000", "WRITE"]);
        let new = anonymous(b"cart");
        for number in 1..=3 {
            let create = store.create(&new, ServerTime::MAX);
            let abandoned = timeout(Duration::from_millis(500), create).await;
            assert!(abandoned.is_err(), "writes wait");
            if number < 3 {
                let read = store.read(new.id).await;
                assert!(read.is_ok_and(|read| read.is_none()), "{kind}");
            }
        }
        let error = watch.end().await;
        assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_opens_nothing_and_is_never_overwritten() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = server.store();
        let _watch = Watch::start(&store).await;
        let new = anonymous(b"cart");
        let key = records::key(&new.id);
        server.command(&["RPUSH", &key, "foreign"]);
        let read = store.read(new.id).await.expect("the server answers");
        let read = read.expect("there is something");
        assert!(Record::decode(&read.bytes).is_err());
        let created = store.create(&new, ServerTime::MAX).await;
        assert_eq!(created.err(), Some(StoreError::Taken));
        assert_eq!(save(&store, new.id).await, Err(StoreError::Gone));
        assert_eq!(store.end(new.id).await, Ok(Ended::Absent));
        assert_eq!(server.command(&["LLEN", &key]), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_later_format_is_never_overwritten() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = server.store();
        let _watch = Watch::start(&store).await;
        let new = anonymous(b"cart");
        let key = records::key(&new.id);
        let later = format!("\u{2}\u{1}{}", " ".repeat(70));
        server.command(&["SET", &key, &later]);
        assert_eq!(save(&store, new.id).await, Err(StoreError::Gone));
        let touched = store
            .touch(&[(new.id, Duration::ZERO)], ServerTime::MAX)
            .await;
        assert_eq!(touched, Ok(vec![false]));
        assert_eq!(store.end(new.id).await, Ok(Ended::Absent));
        assert_eq!(server.command(&["GET", &key]), later);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_memory_a_create_is_full_and_an_end_works() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = server.store();
        let watch = Watch::start(&store).await;
        let new = anonymous(b"cart");
        store
            .create(&new, ServerTime::MAX)
            .await
            .expect("there is memory");
        let key = records::key(&new.id);
        server.command(&["PEXPIRE", &key, "20000"]);
        server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        let used = [(new.id, Duration::ZERO)];
        let touched = store.touch(&used, ServerTime::MAX).await;
        assert_eq!(touched, Ok(vec![true]), "a session in use stays open");
        let left = server.command(&["TTL", &key]);
        assert!(left.parse::<u64>().is_ok_and(|left| left > 20), "{left}");
        let more = store.create(&anonymous(b"cart"), ServerTime::MAX).await;
        assert_eq!(more.err(), Some(StoreError::Full));
        assert_eq!(save(&store, new.id).await, Err(StoreError::Full));
        assert_eq!(store.end(new.id).await, Ok(Ended::Session));
        watch
            .heartbeat()
            .await
            .expect("the lease does not depend on memory");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_primary_does_not_answer_heartbeats() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let other = Server::start(kind, &[]);
        let store = server.store();
        let mut watch = Watch::start(&store).await;
        watch.heartbeat().await.expect("it is a primary");
        server.command(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
        let beat = watch.heartbeat().await;
        assert!(matches!(beat, Err(StoreError::Unreachable(_))));
        let error = watch.end().await;
        assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_told_from_one_that_refuses() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        server.command(&["CONFIG", "SET", "requirepass", "secret"]);
        let wrong = server.url().replace("://", "://:wrong@");
        let store = RedisStore::open(&wrong).expect("a valid URL");
        let error = Watch::begin(&store).end().await;
        let text = error.to_string();
        assert!(matches!(error, StoreError::Incompatible(_)), "{text}");
        assert!(
            text.contains("password") && !text.contains("wrong@"),
            "{text}"
        );
        drop(server);
        let error = Watch::begin(&store).end().await;
        assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        server.command(&[
            "ACL", "SETUSER", "app", "on", ">secret", "+ping", "+hello", "+client",
        ]);
        let url = server.url().replace("://", "://app:secret@");
        let store = RedisStore::open(&url).expect("a valid URL");
        let error = Watch::begin(&store).end().await;
        assert!(matches!(error, StoreError::Incompatible(_)), "{error}");
        assert!(error.to_string().contains("NOPERM"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_its_replica_is_not_acknowledged() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = RedisStore::builder(&server.url())
            .wait(1, Duration::from_secs(1))
            .build()
            .expect("valid settings");
        let _watch = Watch::start(&store).await;
        let new = anonymous(b"cart");
        let created = store.create(&new, ServerTime::MAX).await;
        assert!(created.is_ok(), "anonymous sessions do not wait");
        let ended = store.end(new.id).await;
        let text = ended.expect_err("there is no replica").to_string();
        assert!(text.contains("0 of 1 replicas"), "{text}");

        let replica = Server::start(kind, &[]);
        replica.replicate(&server);
        let new = of_user(b"cart");
        store
            .create(&new, ServerTime::MAX)
            .await
            .expect("the replica has it");
        assert_eq!(store.end(new.id).await, Ok(Ended::Session));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_share_the_wait_for_a_missing_replica() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = RedisStore::builder(&server.url())
            .wait(1, Duration::from_millis(400))
            .build()
            .expect("valid settings");
        let watch = Watch::start(&store).await;
        let ends = (0..20).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.end(anonymous(b"").id).await })
        });
        for end in ends.collect::<Vec<_>>() {
            let ended = end.await.expect("it does not panic");
            assert!(
                matches!(ended, Err(StoreError::Unreplicated(_))),
                "{ended:?}"
            );
        }
        let waits = server.calls("wait");
        assert!((1..=5).contains(&waits), "{kind}: {waits}");
        assert!(store.health().is_connected, "{kind}");
        let beat = watch.heartbeat().await;
        beat.expect("the server answers");
    }
}

#[tokio::test]
async fn a_wait_takes_at_most_a_quarter_of_the_timeout_of_the_cache() {
    let given = watch::TIMEOUT / 4 + Duration::from_millis(1);
    let builder = RedisStore::builder("redis://127.0.0.1:1").wait(1, given);
    let store = builder.build().expect("valid settings");
    let error = Watch::begin(&store).end().await;
    assert!(matches!(error, StoreError::Incompatible(_)), "{error}");
    let text = "`wait` must take at most 1.25s, a quarter of `timeout`, got 1.251s";
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_evicts_is_reported() {
    for kind in server::kinds() {
        let policy = ["--maxmemory-policy", "allkeys-lru"];
        let server = Server::start(kind, &policy);
        let store = server.store();
        let _watch = Watch::start(&store).await;
        let health = store.health();
        let info = health.server.expect("it is connected");
        assert_eq!(info.eviction_policy, "allkeys-lru");
        let warning = health.warning.expect("an operator should know");
        assert!(warning.contains("noeviction"), "{warning}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_tells_which_server_it_is() {
    for kind in server::kinds() {
        let mut server = Server::start(kind, &[]);
        let replica = Server::start(kind, &[]);
        replica.replicate(&server);
        let store = server.store();
        assert_eq!(store.health().server, None, "it was never connected");
        let mut watch = Watch::start(&store).await;
        let health = store.health();
        assert!(health.is_connected && health.warning.is_none());
        let info = health.server.expect("it is connected");
        assert_eq!((info.name.as_str(), info.replicas), (kind, 1));
        assert!(
            info.version
                .starts_with(|digit: char| digit.is_ascii_digit())
        );
        server.kill();
        watch.end().await;
        let health = store.health();
        assert!(!health.is_connected && health.server == Some(info));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_loaded_again_after_the_server_forgot_them() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = server.store();
        let _watch = Watch::start(&store).await;
        let new = anonymous(b"cart");
        store
            .create(&new, ServerTime::MAX)
            .await
            .expect("it is fresh");
        server.command(&["SCRIPT", "FLUSH"]);
        assert!(save(&store, new.id).await.is_ok());
        assert_eq!(server.unknown_scripts(), 1, "{kind}: the call was repeated");
    }
}
