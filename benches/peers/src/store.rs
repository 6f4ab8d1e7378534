//! A tiered cache over real servers: how soon an end is seen in another process, how long a miss
//! and a save take, how many bytes a session costs, and how many requests a server answers.
//!
//! Each kind of server that is installed (`redis-server`, `valkey-server`) is started on loopback.
//! The bare commands go through a thread of their own, as those of a node do, so that both pay for
//! the same hand-over.

mod bare;
mod ends;
mod http;
mod memcached;
mod peer;
mod server;
mod sizes;
mod speed;
mod times;
mod watcher;

pub(crate) use watcher::{WATCH, watch};

use sessile_store::TieredCache;

use crate::{Plan, report::Report, sessile_cache};
use server::{Kind, Server};

/// Measures one table, or several, on a server, whose name and version are the third argument.
type Measure = fn(&Plan, &Server, &str, &mut Report);

/// Writes all tables of each server.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    on_each_server(plan, report, |kind| match kind {
        Kind::Redis | Kind::Valkey => &[ends::run, speed::run, sizes::run, http::run],
    });
    memcached::run(plan, report);
}

/// Writes the table of memcached alone.
pub(crate) fn run_memcached(plan: &Plan, report: &mut Report) {
    memcached::run(plan, report);
}

/// Writes the table of ends alone.
pub(crate) fn run_ends(plan: &Plan, report: &mut Report) {
    on_each_server(plan, report, |_| &[ends::run]);
}

/// Writes the tables of requests over HTTP alone.
pub(crate) fn run_http(plan: &Plan, report: &mut Report) {
    on_each_server(plan, report, |_| &[http::run]);
}

fn on_each_server(plan: &Plan, report: &mut Report, tables: fn(Kind) -> &'static [Measure]) {
    for kind in Kind::ALL {
        if !kind.is_installed() {
            let program = kind.program();
            report.line(&format!("store: {program} is not installed"));
            continue;
        }
        // Each table has a server of its own, so that none finds the sessions of another.
        for table in tables(kind) {
            let server = Server::start(kind);
            table(plan, &server, &server.describe(), report);
        }
    }
}

/// Creates a node.
fn node(url: &str) -> TieredCache {
    sessile_cache::tiered(url, MEMORY)
}

/// L1 of a node: no session is evicted.
const MEMORY: usize = 256 << 20;
/// The length of the data of each session.
const DATA_LEN: usize = 256;
