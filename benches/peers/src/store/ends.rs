//! The time from an end in this process until another process rejects the session, while other
//! sessions are saved 10,000 times a second. A bare `SPUBLISH` from one process to the other stands
//! beside.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use hdrhistogram::Histogram;
use sessile::{SessionId, Version};
use sessile_store::TieredCache;
use tokio::{runtime::Builder, task::JoinSet};

use super::{
    DATA_LEN,
    bare::Bare,
    node,
    server::Server,
    watcher::{Watcher, now},
};
use crate::{
    Plan,
    report::{Report, Table, Target, VERDICT, blank, count, figure},
};

pub(super) fn run(plan: &Plan, server: &Server, name: &str, report: &mut Report) {
    let url = server.url();
    let [one, writer] = [(); 2].map(|()| node(&url));
    let publisher = Bare::connect(&url);
    let mut watcher = Watcher::start(&url);
    let (is_over, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    let [mut returned, mut called, mut bare] =
        [(); 3].map(|()| Times::new(3).expect("three digits"));
    thread::scope(|scope| {
        scope.spawn(|| save_until(&writer, &is_over, &writes));
        for _ in 0..plan.ends {
            let round = round(&one, &mut watcher);
            record(&mut called, round.called);
            record(&mut returned, round.returned);
            record(&mut bare, publish(&publisher, &mut watcher));
        }
        is_over.store(true, Relaxed);
    });
    let rate = writes.load(Relaxed) as f64 / began.elapsed().as_secs_f64();
    let rounds = count(plan.ends);
    report.heading(&format!(
        "store: ends on {name}, two processes, {rounds} rounds beside {rate:.0} saves a second, ms"
    ));
    report.table(&table(&returned, &called, &bare));
}

fn table(returned: &Times, called: &Times, bare: &Times) -> Table {
    let head = "from … until the other process rejects it";
    let mut table = Table::new(&[head, "p50", "p99", "p99.9", "worst", VERDICT]);
    row(&mut table, "`end` has returned", returned, Some(GOAL));
    row(&mut table, "`end` is called", called, None);
    row(&mut table, "`SPUBLISH` until it is received", bare, None);
    table
}

/// Times in ns.
type Times = Histogram<u64>;

/// The times of one round in ns. `returned` is 0 if the other process was first.
struct Round {
    returned: u64,
    called: u64,
}

/// Creates a session that both processes have in memory, ends it here, and waits for the other.
fn round(cache: &TieredCache, watcher: &mut Watcher) -> Round {
    let session = cache.blocking().create(&[7; DATA_LEN]).expect("it is up");
    watcher.watch_session(session.token.as_str());
    let called = now();
    let ended = cache.blocking().end(&session.id);
    let returned = now();
    assert_eq!(ended, Ok(true));
    let rejected = watcher.seen();
    Round {
        returned: rejected.saturating_sub(returned),
        called: rejected.saturating_sub(called),
    }
}

/// Returns the time from a bare message to its arrival in the other process, in ns.
fn publish(publisher: &Bare, watcher: &mut Watcher) -> u64 {
    watcher.watch_messages();
    let called = now();
    publisher.publish();
    watcher.seen().saturating_sub(called)
}

/// Saves sessions of 256 bytes 10,000 times a second, or as often as the machine can.
fn save_until(cache: &TieredCache, is_over: &AtomicBool, writes: &AtomicU64) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut sessions: Vec<(SessionId, Version)> = (0..SAVES).map(|_| saved_once(cache)).collect();
    let mut due = Instant::now();
    while !is_over.load(Relaxed) {
        sessions = runtime.block_on(save_all(cache, sessions));
        writes.fetch_add(SAVES as u64, Relaxed);
        // A round that took too long is not made up for.
        due = (due + EVERY).max(Instant::now());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

async fn save_all(
    cache: &TieredCache,
    sessions: Vec<(SessionId, Version)>,
) -> Vec<(SessionId, Version)> {
    let mut saves = JoinSet::new();
    for (id, version) in sessions {
        let cache = cache.clone();
        saves.spawn(async move {
            let next = cache.save(&id, version, &[9; DATA_LEN]).await;
            (id, next.expect("no other request saves it"))
        });
    }
    saves.join_all().await
}

fn saved_once(cache: &TieredCache) -> (SessionId, Version) {
    let session = cache.blocking().create(&[8; DATA_LEN]).expect("it is up");
    let mut data = BytesMut::new();
    let record = cache.blocking().load(&session.id, &mut data);
    let record = record.expect("it is up").expect("it is there");
    (session.id, record.version)
}

fn record(times: &mut Times, nanos: u64) {
    times.record(nanos).expect("it grows");
}

fn row(table: &mut Table, name: &str, times: &Times, goal: Option<Target>) {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e6;
    let figures = [at(0.5), at(0.99), at(0.999), times.max() as f64 / 1e6];
    let verdict = goal.map_or_else(blank, |goal| goal.verdict(figures[2], "ms at p99.9"));
    let cells = figures.map(|value| figure(value, 2));
    table.row([name.to_owned()].into_iter().chain(cells).chain([verdict]));
}

const GOAL: Target = Target::AtMost(100.0);
/// The sessions that are saved at a time, and how often: 10,000 saves a second.
const SAVES: usize = 100;
const EVERY: Duration = Duration::from_millis(10);
