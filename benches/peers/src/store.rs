//! A tiered cache over real servers: how soon an end is seen, how long a miss and a save take, and
//! how many bytes a session costs.
//!
//! Each server that is installed (`redis-server`, `valkey-server`) is started on loopback. The
//! nodes live in one process, each with its own thread and connections. What stands beside each figure
//! sends its commands through a thread of its own too, so that both pay for the same hand-over.

mod bare;
mod ends;
mod peer;
mod server;
mod sizes;
mod speed;

use sessile::{KeyRing, SessionCache};
use sessile_redis::RedisStore;
use sessile_store::{StoreExt, StoreState, TieredCache};

use crate::{Plan, report::Report};
use server::Server;

/// The tables of each server.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    let servers = server::installed();
    if servers.is_empty() {
        report.line("store: neither redis-server nor valkey-server is installed");
    }
    for kind in servers {
        // Each table has a server of its own, so that none finds the sessions of another.
        for table in [ends::run, speed::run, sizes::run] {
            let server = Server::start(kind);
            table(plan, &server, &server.describe(), report);
        }
    }
}

/// Creates a node, and waits until its store is up.
fn node(server: &Server, keys: &KeyRing) -> TieredCache {
    let store = RedisStore::open(&server.url()).expect("a valid URL");
    let builder = SessionCache::builder().memory(MEMORY).keys(keys.clone());
    let cache = builder.store(store).expect("valid settings");
    while cache.store_health().state != StoreState::Up {
        std::thread::yield_now();
    }
    cache
}

/// L1 of a node: no session is evicted.
const MEMORY: usize = 256 << 20;
/// The length of the data of each session.
const DATA_LEN: usize = 256;
