//! Servers that refuse, and settings that do not fit.

use std::time::{Duration, Instant};

use sessile::Error;
use sessile_redis::RedisStore;
use sessile_store::{StoreBuildError, StoreState};

use crate::support::{
    node::{Site, TIMEOUT, answered, key, permit, until, url},
    proxy::Proxy,
    server::{self, Server, free_port},
};

#[test]
fn an_unreachable_server_at_the_start_delays_the_node_by_one_timeout() {
    for kind in server::kinds() {
        let mut server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let session = site.node(&server).verbs.create(b"cart");
        let session = session.expect("the store is up");
        let port = free_port();
        let began = Instant::now();
        let store = RedisStore::open(&url(port)).expect("a valid URL");
        let cache = site.builder(store).build().expect("the settings are right");
        assert!(began.elapsed() < TIMEOUT + Duration::from_secs(1));
        assert_eq!(cache.store_health().state, StoreState::Down);
        let mut data = bytes::BytesMut::new();
        let token = session.token.as_str().as_bytes();
        let opened = cache.blocking().open_token(token, &mut data);
        assert_eq!(opened.map(|_| ()), Err(Error::Unreachable));
        server.kill();
    }
}

#[test]
fn a_key_ring_without_a_common_key_is_an_error_that_names_the_setting() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let _node = site.node(&server);
        let stranger = Site::new(&server);
        let store = RedisStore::open(&url(server.port())).expect("a valid URL");
        let error = stranger.builder(store).build().expect_err("another ring");
        assert!(matches!(error, StoreBuildError::Incompatible(_)));
        assert!(error.to_string().contains("`keys`"), "{kind}: {error}");
    }
}

#[test]
fn after_the_recorded_keys_are_deleted_a_node_with_another_ring_starts() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let node = Site::new(&server).node(&server);
        let session = node.verbs.create(b"cart").expect("the store is up");
        drop(node);
        // The runbook of docs/src/cookies-and-keys.md, after the theft of a key.
        let deleted = server.command(&["HDEL", "sessile:{meta}", "keys"]);
        assert_eq!(deleted, "1", "{kind}");
        let stranger = Site::new(&server);
        let [one, two] = [(); 2].map(|()| stranger.node(&server));
        assert_eq!(
            one.open(&session),
            Ok(None),
            "{kind}: the token is of the old key"
        );
        let session = one.verbs.create(b"cart").expect("the store is up");
        assert_eq!(two.open(&session), Ok(Some(b"cart".to_vec())), "{kind}");
    }
}

#[test]
fn a_server_that_is_too_old_is_an_error_that_names_the_versions() {
    let versions = [
        ("redis", "redis_version:7.0.", "redis_version:6.2."),
        ("valkey", "valkey_version:9.1.", "valkey_version:7.1."),
    ];
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let proxy = Proxy::start(server.port());
        let version = versions.iter().find(|(name, ..)| *name == kind);
        let (_, from, by) = version.expect("it is one of both");
        let info = server.command(&["INFO", "server"]);
        if !info.contains(from) {
            println!("{kind}: skipped, for another version is installed");
            continue;
        }
        proxy.replace(from, by);
        let store = RedisStore::open(&url(proxy.port())).expect("a valid URL");
        let error = site.builder(store).build().expect_err("it is too old");
        assert!(matches!(error, StoreBuildError::Incompatible(_)));
        let text = error.to_string();
        assert!(text.contains("or later, got"), "{text}");
    }
}

#[test]
fn a_wrong_password_is_an_error_at_the_start() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let wrong = url(server.port()).replace("secret", "mistaken");
        let store = RedisStore::open(&wrong).expect("a valid URL");
        let error = site.builder(store).build().expect_err("a wrong password");
        let text = error.to_string();
        assert!(matches!(error, StoreBuildError::Incompatible(_)), "{text}");
        assert!(text.contains("password") && !text.contains("mistaken"));
    }
}

#[test]
fn a_permission_that_is_taken_away_delays_ends_until_it_returns() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let node = site.node(&server);
        let session = node.verbs.create(b"cart").expect("the store is up");
        server.command(&["ACL", "SETUSER", "app", "-spublish"]);
        assert_eq!(node.verbs.end(&session.id), Err(Error::Unreachable));
        assert!(!node.hits(&session));
        assert_eq!(node.open(&session), Ok(None), "its end is queued");
        permit(&server);
        node.until_sent();
        let exists = server.command(&["EXISTS", &key(&session.id)]);
        assert_eq!(exists, "0", "{kind}");
    }
}

#[test]
fn a_foreign_key_opens_nothing_and_is_kept_and_counted() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let session = one.verbs.create(b"cart").expect("the store is up");
        let name = key(&session.id);
        server.command(&["DEL", &name]);
        server.command(&["RPUSH", &name, "foreign"]);
        assert_eq!(two.open(&session), Ok(None));
        assert_eq!(two.metric("sessile_store_bad_records_total "), 1.0);
        assert_eq!(two.verbs.end(&session.id), Ok(false));
        assert_eq!(server.command(&["LLEN", &name]), "1", "{kind}");
    }
}

#[test]
fn without_memory_creates_are_full_and_ends_and_reads_work() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let [kept, ended] = [(); 2].map(|()| one.verbs.create(b"cart").expect("it is up"));
        server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        let created = one.verbs.create(b"cart").map(|_| ());
        assert_eq!(created, Err(Error::Full), "{kind}");
        assert_eq!(two.open(&kept), Ok(Some(b"cart".to_vec())));
        assert_eq!(one.verbs.end(&ended.id), Ok(true));
        until("a heartbeat", || server.calls("hsetnx") > 3);
        assert!(one.is_up() && two.is_up());
        assert_eq!(two.open(&ended), Ok(None));
    }
}

#[test]
fn a_demoted_primary_is_left_and_ends_wait_for_the_next_one() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let node = site.node(&server);
        let session = node.verbs.create(b"cart").expect("the store is up");
        // The primary that it follows does not exist, so it keeps its data.
        server.command(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
        assert_eq!(node.verbs.end(&session.id), Err(Error::Unreachable));
        node.until_down();
        assert_eq!(node.ends_queued(), 1);
        server.command(&["REPLICAOF", "NO", "ONE"]);
        node.until_up();
        assert_eq!(node.ends_queued(), 0, "{kind}: done before the node is up");
        assert_eq!(answered(|| node.open(&session)), Ok(None));
    }
}

#[test]
fn a_server_that_loads_its_data_is_awaited() {
    for kind in server::kinds() {
        // A millisecond for each key, and a look at clients after each kilobyte.
        let slowly = [
            "--enable-debug-command",
            "yes",
            "--key-load-delay",
            "1000",
            "--loading-process-events-interval-bytes",
            "1024",
        ];
        let mut server = Server::start(kind, &slowly);
        let site = Site::new(&server);
        let node = site.node(&server);
        let session = node.verbs.create(b"cart").expect("the store is up");
        server.command(&["DEBUG", "POPULATE", "6000", "filler", "32"]);
        server.command(&["SAVE"]);
        let fences = node.fences();
        server.kill();
        server.begin_again();
        until("a fence", || node.fences() > fences);
        until("the lease ends", || !node.hits(&session));
        assert!(
            server.is_loading(),
            "{kind}: it takes longer than the lease"
        );
        assert_eq!(node.open(&session), Err(Error::Unreachable), "{kind}");
        until("the server has loaded", || !server.is_loading());
        permit(&server);
        let opened = answered(|| node.open(&session));
        assert_eq!(opened, Ok(Some(b"cart".to_vec())), "{kind}");
    }
}
