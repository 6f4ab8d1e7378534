//! The contract suite: what every [`Store`] must do, as checks that run against a real one.
//!
//! ```
//! # async fn test(store: std::sync::Arc<dyn sessile_store::Store>) {
//! use sessile_store::contract::Contract;
//!
//! let contract = Contract::new(store, |span| Box::pin(tokio::time::sleep(span)));
//! contract.check_all().await;
//! # }
//! ```
//!
//! The store must not be in use: the suite ends all sessions and moves the revocation cutoff into
//! the future. A check that fails panics.

mod fixture;
mod ids;
mod revocations;
mod sessions;
mod users;

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use crate::store::{BoxFuture, Store};
use fixture::{Collector, Fixture};

/// The contract suite of one store.
pub struct Contract {
    store: Arc<dyn Store>,
    wait: Wait,
}

/// Waits for a span of the server's time.
type Wait = Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

impl Contract {
    /// Creates the suite for a store. `wait` lets time pass on the server.
    pub fn new(
        store: Arc<dyn Store>,
        wait: impl Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            store,
            wait: Box::new(wait),
        }
    }

    /// Runs every check, one after the other.
    ///
    /// # Panics
    /// If the store violates the contract.
    pub async fn check_all(&self) {
        let collector = Arc::new(Collector::default());
        let mut watch = self.store.watch(collector.clone(), Duration::from_secs(5));
        let mut checks = pin!(self.checks(&collector));
        poll_fn(|context| {
            if let Poll::Ready(error) = watch.as_mut().poll(context) {
                panic!("the watch ended: {error}");
            }
            checks.as_mut().poll(context)
        })
        .await;
    }

    async fn checks(&self, collector: &Collector) {
        let fixture = Fixture::start(self.store.clone(), &self.wait, collector).await;
        sessions::check_all(&fixture).await;
        ids::check_all(&fixture).await;
        let abilities = self.store.abilities();
        if abilities.user_index && abilities.session_limit {
            users::check_all(&fixture).await;
        }
        if abilities.revocations {
            revocations::check_all(&fixture).await;
        }
    }
}

impl std::fmt::Debug for Contract {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contract").finish_non_exhaustive()
    }
}
