//! The store in memory against the contract suite.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sessile_store::{MemoryStore, ServerTime, contract::Contract};

#[tokio::test]
async fn the_store_in_memory_keeps_the_contract() {
    let millis = Arc::new(AtomicU64::new(1_800_000_000_000));
    let clock = millis.clone();
    let store = MemoryStore::with_clock(move || ServerTime(clock.load(Ordering::Relaxed)));
    let pass = move |span: Duration| {
        millis.fetch_add(span.as_millis() as u64, Ordering::Relaxed);
    };
    let contract = Contract::new(Arc::new(store), move |span| {
        pass(span);
        Box::pin(async {})
    });
    contract.check_all().await;
}

#[tokio::test]
async fn the_contract_holds_with_the_time_of_the_system() {
    let store = Arc::new(MemoryStore::new());
    let contract = Contract::new(store, |span| Box::pin(tokio::time::sleep(span)));
    contract.check_all().await;
}
