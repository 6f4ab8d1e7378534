//! The store against the contract suite, on real servers.

#[path = "support/server.rs"]
mod server;

use std::sync::Arc;

use sessile_redis::RedisStore;
use sessile_store::contract::Contract;

use server::Server;

#[tokio::test]
async fn every_server_keeps_the_contract() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let store = RedisStore::open(&server.url()).expect("a valid URL");
        let contract = Contract::new(Arc::new(store), |span| Box::pin(tokio::time::sleep(span)));
        contract.check_all().await;
    }
}
