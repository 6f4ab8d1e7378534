//! axum: the throughput of a server with sessions, and the cost of the layer for a request without
//! a session.
//!
//! A server has one thread on one core, and `wrk` the other. Each contender is a separate process;
//! they take turns, and the others wait. Before the measurement, each route is requested once and
//! its answer compared. Afterwards the counters in the sessions must add up to the number of write
//! requests.

use std::io;

use crate::{
    Plan,
    report::{Report, Table, Target, VERDICT, blank, figure},
    rounds::{self, Sample},
};

mod cart;
mod child;
mod contender;
mod layer;
mod peer_routes;
mod plain;
mod server;
mod sessile_routes;
mod wrk;

pub(crate) use child::{Pin, is_there};
pub(crate) use contender::{Contender, Route, measure};
pub(crate) use peer_routes::{REDIS, redis_store};
pub(crate) use plain::NAME as PLAIN;
pub(crate) use server::{SERVE, serve};
pub(crate) use sessile_routes::TIERED;
pub(crate) use wrk::WRK;

/// Writes four tables: one for each route, and one for a request without a session.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    layer::run(plan, report);
    if !is_there(WRK) {
        report.line("axum over HTTP is skipped: `wrk` is not installed (apt-get install wrk)");
        return;
    }
    let pin = Pin::new();
    if pin.server.is_none() {
        report.line(
            "fewer than two cores, or no taskset (util-linux): server and wrk are not pinned",
        );
    }
    if let Err(error) = over_http(plan, pin, report) {
        report.line(&format!("axum over HTTP could not be measured: {error}"));
    }
}

fn over_http(plan: &Plan, pin: Pin, report: &mut Report) -> io::Result<()> {
    let start = |name: &&'static str| Contender::start(name, None, pin);
    let contenders = CONTENDERS
        .iter()
        .map(start)
        .collect::<io::Result<Vec<_>>>()?;
    for (route, target) in ROUTES {
        let samples = measure(&contenders, route, plan.loads)?;
        report.heading(&format!("axum: {}, requests per second", route.what));
        report.table(&table(*target, &samples, &contenders));
    }
    Ok(())
}

fn table(target: Target, samples: &[Sample], contenders: &[Contender]) -> Table {
    let mut table = Table::new(HEAD);
    let none = rounds::named(samples, plain::NAME);
    // The first contender has no sessions.
    let idle = contenders.first().map_or(f64::NAN, Contender::least_run);
    for (sample, contender) in samples.iter().zip(contenders) {
        let [best, median, run] = [
            none.min() / sample.min(),
            none.median() / sample.median(),
            idle / contender.least_run(),
        ]
        .map(|share| 100.0 * share);
        let verdict =
            match [sessile_routes::NAME, sessile_routes::AROUND].contains(&sample.name.as_str()) {
                true => target.verdict(best, "% of no sessions"),
                false => blank(),
            };
        table.row([
            sample.name.clone(),
            figure(1e-3 / sample.min(), 1),
            figure(1e-3 / sample.median(), 1),
            figure(best, 1),
            figure(median, 1),
            figure(contender.least_run(), 2),
            figure(run, 1),
            contender.latencies(),
            verdict,
        ]);
    }
    table
}

/// Each route, and the share of throughput that sessions must retain.
const ROUTES: &[(Route, Target)] = &[
    (Route::NONE, Target::AtLeast(95.0)),
    (Route::READ, Target::AtLeast(95.0)),
    (Route::WRITE, Target::AtLeast(85.0)),
];

const HEAD: &[&str] = &[
    "",
    "best, k/s",
    "median, k/s",
    "best, % of none",
    "median, %",
    "server, µs per request",
    "server, % of none",
    "p50 / p99 / p99.9, µs",
    VERDICT,
];
/// The first contender is the baseline of the others.
const CONTENDERS: &[&str] = &[
    plain::NAME,
    plain::LAYERED,
    sessile_routes::NAME,
    sessile_routes::AROUND,
    peer_routes::MEMORY,
    peer_routes::MOKA,
];
/// Sessions of each contender; their cookies are sent in turn.
const SESSIONS: usize = 1_000;
/// Name of every contender's cookie.
const COOKIE: &str = "__Host-session";
