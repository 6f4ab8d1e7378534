//! The store against the contract suite.

use std::sync::Arc;

use sessile_memcached::MemcachedStore;
use sessile_store::contract::Contract;

use crate::support::server::Server;

#[tokio::test]
async fn the_store_keeps_the_rows_of_the_contract_that_it_can() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    check(server.store()).await;
}

#[tokio::test]
async fn keys_of_the_maximum_length_are_accepted() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let prefix = "p".repeat(215);
    let store = MemcachedStore::builder(&server.url())
        .prefix(prefix)
        .build();
    check(store.expect("valid settings")).await;
}

async fn check(store: MemcachedStore) {
    let contract = Contract::new(Arc::new(store), |span| Box::pin(tokio::time::sleep(span)));
    contract.check_all().await;
}
