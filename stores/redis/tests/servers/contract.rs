//! The store against the contract suite.

use std::{sync::Arc, time::Duration};

use sessile_redis::RedisStore;
use sessile_store::contract::Contract;

use crate::support::server::{self, Server};

/// Runs the suite on a store.
pub async fn check(store: RedisStore) {
    let contract = Contract::new(Arc::new(store), |span| Box::pin(tokio::time::sleep(span)));
    contract.check_all().await;
}

#[tokio::test]
async fn every_server_keeps_the_contract() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        check(server.store()).await;
        // The suite calls each script.
        assert_eq!(server.unknown_scripts(), 0, "{kind}: loaded at the start");
    }
}

#[tokio::test]
async fn the_contract_needs_no_more_than_the_documented_permissions() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let rules = ACL.split_whitespace();
        let user = ["ACL", "SETUSER", "app", "reset", "on", ">secret"];
        let command: Vec<&str> = user.into_iter().chain(rules).collect();
        server.command(&command);
        let url = server.url().replace("://", "://app:secret@");
        let store = RedisStore::builder(&url).wait(1, Duration::from_secs(1));
        let replica = Server::start(kind, &[]);
        replica.replicate(&server);
        check(store.build().expect("valid settings")).await;
    }
}

/// The permissions that the guide lists.
const ACL: &str = include_str!("../../acl.txt");

#[test]
fn the_guide_lists_the_permissions() {
    let guide = include_str!("../../../../docs/src/redis.md");
    assert!(guide.contains(ACL.trim()), "copy acl.txt to redis.md");
}
