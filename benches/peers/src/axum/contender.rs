//! A server under load, and what it must have stored afterwards.

use std::{cell::RefCell, io};

use super::{
    cart,
    child::{Pin, Server},
    plain,
    wrk::{self, Load, Script},
};
use crate::{
    report::figure,
    rounds::{self, Entrant, Sample},
};

/// A route of all contenders.
pub(crate) struct Route {
    path: &'static str,
    pub(crate) what: &'static str,
    writes: bool,
}

impl Route {
    pub(crate) const NONE: Self = Self {
        path: "/none",
        what: "a route that does not access the session",
        writes: false,
    };
    pub(crate) const READ: Self = Self {
        path: "/read",
        what: "a key read, of a session of 8 cart items",
        writes: false,
    };
    pub(crate) const WRITE: Self = Self {
        path: "/write",
        what: "a key written, of a session of 8 cart items",
        writes: true,
    };
}

/// Loads each contender in turn, and checks what it has stored.
pub(crate) fn measure(
    contenders: &[Contender],
    route: &Route,
    rounds: usize,
) -> io::Result<Vec<Sample>> {
    let mut before = Vec::with_capacity(contenders.len());
    for contender in contenders {
        contender.loads.borrow_mut().clear();
        before.push(contender.visits()?);
    }
    let entrants = contenders.iter().map(|one| one.entrant(route.path));
    let samples = rounds::run(entrants.collect(), rounds);
    for (contender, before) in contenders.iter().zip(before) {
        contender.check(route, before)?;
    }
    Ok(samples)
}

/// A server and its figures for the current route.
pub(crate) struct Contender {
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
    /// Starts the server, with the URL of its store if it has one, and checks its answers.
    pub(crate) fn start(name: &'static str, store: Option<&str>, pin: Pin) -> io::Result<Self> {
        let server = Server::start(name, store, &pin)?;
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
    pub(crate) fn least_run(&self) -> f64 {
        let run = |one: &RoundFigures| one.ran as f64 / one.load.requests as f64 / 1e3;
        self.loads
            .borrow()
            .iter()
            .map(run)
            .fold(f64::INFINITY, f64::min)
    }

    /// Returns the medians of the latencies over the rounds: "p50 / p99 / p99.9", in µs.
    pub(crate) fn latencies(&self) -> String {
        [0, 1, 2].map(|at| figure(self.latency(at), 0)).join(" / ")
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

/// Seconds per round.
const SECONDS: u32 = 1;
