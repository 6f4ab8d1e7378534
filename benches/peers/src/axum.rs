//! axum: the throughput of a server with sessions, and the cost of the layer for a request without
//! a session.
//!
//! A server has one thread on one core, and `wrk` the other. Each contender is a separate process;
//! they take turns, and the others wait. Before the measurement, each route is requested once and
//! its answer compared. Afterwards the counters in the sessions must add up to the number of write
//! requests.

use std::{cell::RefCell, io};

use crate::{
    Plan,
    report::{Report, Table, Target, VERDICT, blank, figure},
    rounds::{self, Entrant, Sample},
};

mod cart;
mod child;
mod layer;
mod peer_routes;
mod plain;
mod server;
mod sessile_routes;
mod wrk;

pub(crate) use server::{SERVE, serve};

use child::{Pin, Server, is_there};
use wrk::{Load, Script, WRK};

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
    let start = |name: &&'static str| Contender::start(name, pin);
    let contenders = CONTENDERS
        .iter()
        .map(start)
        .collect::<io::Result<Vec<_>>>()?;
    for route in ROUTES {
        let before = contenders
            .iter()
            .map(Contender::visits)
            .collect::<io::Result<Vec<_>>>()?;
        let entrants = contenders
            .iter()
            .map(|one| one.entrant(route.path))
            .collect();
        let samples = rounds::run(entrants, plan.loads);
        for (contender, before) in contenders.iter().zip(before) {
            contender.check(route, before)?;
        }
        report_samples(route, &samples, &contenders, report);
        contenders
            .iter()
            .for_each(|contender| contender.loads.borrow_mut().clear());
    }
    Ok(())
}

/// A server and its figures for the current route.
struct Contender {
    name: &'static str,
    pin: Pin,
    server: Server,
    script: Script,
    loads: RefCell<Vec<RoundFigures>>,
}

/// Figures of one round.
struct RoundFigures {
    load: Load,
    /// Nanoseconds of CPU time of the server's thread.
    ran: u64,
}

impl Contender {
    fn start(name: &'static str, pin: Pin) -> io::Result<Self> {
        let server = Server::start(name, &pin)?;
        for (path, expected) in [("/none", "Hello"), ("/read", cart::USER), ("/visits", "0")] {
            assert_eq!(
                server.answer(path)?,
                expected,
                "{name}: a wrong answer to {path}"
            );
        }
        let script = Script::new(&server)?;
        Ok(Self {
            name,
            pin,
            server,
            script,
            loads: RefCell::default(),
        })
    }

    /// The figure of a round is seconds per request: the smallest is the best.
    fn entrant<'a>(&'a self, path: &'a str) -> Entrant<'a> {
        let url = format!("http://127.0.0.1:{}{path}", self.server.port);
        Entrant::new(self.name, move || {
            let before = self.server.ran();
            let load = self
                .script
                .run(&url, SECONDS, &self.pin)
                .expect("every request has a response");
            let ran = self.server.ran() - before;
            self.loads.borrow_mut().push(RoundFigures { load, ran });
            load.seconds / load.requests as f64
        })
    }

    fn is_plain(&self) -> bool {
        [plain::NAME, plain::LAYERED].contains(&self.name)
    }

    fn visits(&self) -> io::Result<u64> {
        if self.is_plain() {
            Ok(0)
        } else {
            self.server.visits()
        }
    }

    /// Asserts that each write was stored, and nothing else.
    fn check(&self, route: &Route, before: u64) -> io::Result<()> {
        if self.is_plain() {
            return Ok(());
        }
        let stored = self.visits()? - before;
        let loads = self.loads.borrow();
        let asked: u64 = loads.iter().map(|measured| measured.load.requests).sum();
        // Requests in progress when wrk stopped were stored and not counted.
        let max = asked + wrk::CONNECTIONS * loads.len() as u64;
        let expected = if route.writes { asked..=max } else { 0..=0 };
        match expected.contains(&stored) {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "{}: {stored} of {asked} stored",
                self.name
            ))),
        }
    }

    /// Returns the minimum of the server's CPU time per request over all rounds, in µs.
    fn least_run(&self) -> f64 {
        let run = |one: &RoundFigures| one.ran as f64 / one.load.requests as f64 / 1e3;
        self.loads
            .borrow()
            .iter()
            .map(run)
            .fold(f64::INFINITY, f64::min)
    }

    /// Returns the median of one latency over the rounds, in µs.
    fn latency(&self, which: usize) -> f64 {
        let mut micros: Vec<_> = self
            .loads
            .borrow()
            .iter()
            .map(|one| one.load.latency[which])
            .collect();
        micros.sort_by(f64::total_cmp);
        micros.get(micros.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

fn report_samples(
    route: &Route,
    samples: &[Sample],
    contenders: &[Contender],
    report: &mut Report,
) {
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
                true => route.target.verdict(best, "% of no sessions"),
                false => blank(),
            };
        let latency = [0, 1, 2]
            .map(|at| figure(contender.latency(at), 0))
            .join(" / ");
        table.row([
            sample.name.clone(),
            figure(1e-3 / sample.min(), 1),
            figure(1e-3 / sample.median(), 1),
            figure(best, 1),
            figure(median, 1),
            figure(contender.least_run(), 2),
            figure(run, 1),
            latency,
            verdict,
        ]);
    }
    report.heading(&format!("axum: {}, requests per second", route.what));
    report.table(&table);
}

/// A route, and the share of throughput that sessions must retain.
struct Route {
    path: &'static str,
    what: &'static str,
    writes: bool,
    target: Target,
}

const ROUTES: &[Route] = &[
    Route {
        path: "/none",
        what: "a route that does not access the session",
        writes: false,
        target: Target::AtLeast(95.0),
    },
    Route {
        path: "/read",
        what: "a key read, of a session of 8 cart items",
        writes: false,
        target: Target::AtLeast(95.0),
    },
    Route {
        path: "/write",
        what: "a key written, of a session of 8 cart items",
        writes: true,
        target: Target::AtLeast(85.0),
    },
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
/// Seconds per round.
const SECONDS: u32 = 1;
/// Sessions of each contender; their cookies are sent in turn.
const SESSIONS: usize = 1_000;
/// Name of every contender's cookie.
const COOKIE: &str = "__Host-session";
