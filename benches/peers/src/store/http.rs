//! axum with sessions in a store, over HTTP: sessile beside tower-sessions with its Redis store,
//! and beside no sessions.
//!
//! As the axis `axum`, with the store on a third core, or on that of `wrk` if there are only two.

use std::io;

use super::server::Server;
use crate::{
    Plan,
    axum::{self, Contender, PLAIN, Pin, REDIS, Route, TIERED, WRK, is_there},
    report::{Report, Table, Target, VERDICT, blank, figure},
    rounds::{self, Sample},
};

pub(super) fn run(plan: &Plan, server: &Server, name: &str, report: &mut Report) {
    if !is_there(WRK) {
        report.line("store over HTTP is skipped: `wrk` is not installed (apt-get install wrk)");
        return;
    }
    if let Err(error) = over_http(plan, server, name, report) {
        report.line(&format!("store over HTTP could not be measured: {error}"));
    }
}

fn over_http(plan: &Plan, server: &Server, name: &str, report: &mut Report) -> io::Result<()> {
    let (pin, url) = (Pin::new(), server.url());
    pin.move_process(pin.store, server.process())?;
    let contenders = [PLAIN, TIERED, REDIS].map(|name| Contender::start(name, Some(&url), pin));
    let contenders = contenders.into_iter().collect::<io::Result<Vec<_>>>()?;
    for (route, goal) in ROUTES {
        let samples = axum::measure(&contenders, route, plan.loads)?;
        let what = route.what;
        report.heading(&format!(
            "store: axum with {name}, {what}, requests per second"
        ));
        report.table(&table(*goal, &samples, &contenders));
    }
    Ok(())
}

fn table(goal: Target, samples: &[Sample], contenders: &[Contender]) -> Table {
    let mut table = Table::new(HEAD);
    let peer = rounds::named(samples, REDIS);
    for (sample, contender) in samples.iter().zip(contenders) {
        // The figure of a sample is seconds per request.
        let best = peer.min() / sample.min();
        let verdict = match sample.name == TIERED {
            true => goal.verdict(best, "× tower-sessions"),
            false => blank(),
        };
        table.row([
            sample.name.clone(),
            figure(1e-3 / sample.min(), 1),
            figure(1e-3 / sample.median(), 1),
            figure(best, 2),
            figure(peer.median() / sample.median(), 2),
            figure(contender.least_run(), 2),
            contender.latencies(),
            verdict,
        ]);
    }
    table
}

/// Each route, and the throughput to reach, as a multiple of that of tower-sessions. Reading finds
/// the sessions in memory.
const ROUTES: &[(Route, Target)] = &[
    (Route::READ, Target::AtLeast(3.0)),
    (Route::WRITE, Target::AtLeast(1.0)),
];

const HEAD: &[&str] = &[
    "",
    "best, k/s",
    "median, k/s",
    "best, × tower-sessions",
    "median, ×",
    "server, µs per request",
    "p50 / p99 / p99.9, µs",
    VERDICT,
];
