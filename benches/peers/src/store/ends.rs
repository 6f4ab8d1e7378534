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
    sessile_cache::await_store,
};

pub(super) fn run(plan: &Plan, server: &Server, name: &str, report: &mut Report) {
    let url = server.url();
    let [one, writer] = [(); 2].map(|()| node(&url));
    let publisher = Bare::connect(&url);
    let mut watcher = Watcher::start(&url);
    let (is_over, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    let (began, mut repeated) = (Instant::now(), 0);
    let [mut returned, mut called, mut bare] =
        [(); 3].map(|()| Times::new(3).expect("three digits"));
    thread::scope(|scope| {
        scope.spawn(|| save_until(&writer, &is_over, &writes));
        while called.len() < plan.ends as u64 {
            let Some(round) = round(&one, &mut watcher) else {
                repeated += 1;
                await_store(&one);
                continue;
            };
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
    if repeated > 0 {
        report.line(&format!(
            "{repeated} further rounds are not shown: a call was not answered in time"
        ));
    }
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
/// Returns `None` if the store did not answer in time: then nothing was promised.
fn round(cache: &TieredCache, watcher: &mut Watcher) -> Option<Round> {
    let session = cache.blocking().create(&[7; DATA_LEN]).ok()?;
    if !watcher.watch_session(session.token.as_str()) {
        return None;
    }
    let called = now();
    let ended = cache.blocking().end(&session.id);
    let returned = now();
    let rejected = watcher.seen();
    assert_ne!(ended, Ok(false), "the session was there");
    ended.is_ok().then(|| Round {
        returned: rejected.saturating_sub(returned),
        called: rejected.saturating_sub(called),
    })
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
    let mut sessions = runtime.block_on(create_all(cache));
    let mut due = Instant::now();
    while !is_over.load(Relaxed) {
        sessions = runtime.block_on(save_all(cache, sessions, writes));
        // A round that took too long is not made up for.
        due = (due + EVERY).max(Instant::now());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Saves each session once, and counts the saves that were confirmed.
async fn save_all(
    cache: &TieredCache,
    sessions: Vec<(SessionId, Version)>,
    writes: &AtomicU64,
) -> Vec<(SessionId, Version)> {
    let mut saves = JoinSet::new();
    for (id, version) in sessions {
        let cache = cache.clone();
        saves.spawn(async move {
            let saved = cache.save(&id, version, &[9; DATA_LEN]).await;
            (id, version, saved)
        });
    }
    let mut next = Vec::with_capacity(SAVES);
    for (id, version, saved) in saves.join_all().await {
        let version = match saved {
            Ok(version) => {
                writes.fetch_add(1, Relaxed);
                version
            }
            Err(_) => current(cache, &id).await.unwrap_or(version),
        };
        next.push((id, version));
    }
    next
}

/// Returns the version in the store: a save that was not confirmed may have been stored.
async fn current(cache: &TieredCache, id: &SessionId) -> Option<Version> {
    let mut data = BytesMut::new();
    let record = cache.load(id, &mut data).await.ok()??;
    Some(record.version)
}

async fn create_all(cache: &TieredCache) -> Vec<(SessionId, Version)> {
    let mut sessions = Vec::with_capacity(SAVES);
    while sessions.len() < SAVES {
        await_store(cache);
        if let Ok(session) = cache.create(&[8; DATA_LEN]).await
            && let Some(version) = current(cache, &session.id).await
        {
            sessions.push((session.id, version));
        }
    }
    sessions
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
