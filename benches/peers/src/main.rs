//! sessile beside its peers: `cargo run --release -p bench -- AXIS`.
//!
//! An axis is a file here: `lookup`, `scaling`, `border`, `churn`, `expiry`, `memory`, `tails`, `traces`, `axum`, `store`. All contenders
//! of an axis run in one process (those of `axum` in one each), in turns, round by round, so that what else the machine
//! does hits them alike; the smallest figure and the median of the rounds are shown. Sessions, values and orders come
//! from fixed seeds. Before a contender is timed, every one of its sessions is read once and
//! compared byte by byte. A missed target is shown and fails nothing.
//!
//! `benches/README.md` has the method, the peers' settings and the last table.

use std::{env, path::PathBuf, process::ExitCode};

use crate::report::Report;

mod axum;
mod border;
mod churn;
mod contender;
mod expiry;
mod lookup;
mod machine;
mod memory;
mod ours;
mod peers;
mod report;
mod rounds;
mod scaling;
mod store;
mod tails;
mod traces;
mod utilisation;
mod workload;

/// How much of everything.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    rounds: usize,
    lookup_sessions: &'static [usize],
    /// In a round, as are the two below.
    lookups: usize,
    borders: usize,
    inserts: usize,
    churn_sessions: &'static [usize],
    /// Requests in a round, in process, that look at no session.
    unlooked: usize,
    /// Rounds over HTTP, a second each: many, since the machine seldom leaves both cores alone.
    loads: usize,
    /// Sessions that expire at once, and how often.
    due: usize,
    expiry_rounds: usize,
    /// Sessions by which bytes a session are counted.
    stored: usize,
    /// The budget, in bytes, in which sessions of all sizes come and go, and how many come.
    churned: usize,
    creates: usize,
    /// The budget, in bytes, that is full of authenticated sessions, how many anonymous creates are tried in it, and
    /// how often a session is rotated.
    crowded: usize,
    crowding: usize,
    rotations: usize,
    /// Ends on one node that another one sees, calls of each kind to a store, and sessions that it keeps.
    ends: usize,
    calls: usize,
    kept: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut report = Report::new();
    let (axis, markdown) = match arguments[..] {
        [axum::SERVE, name] => return server(name, &mut report),
        [memory::CHILD, what, size] => return child(what, size, &mut report),
        [axis] => (axis, None),
        [axis, "--markdown", path] | ["--markdown", path, axis] => {
            (axis, Some(PathBuf::from(path)))
        }
        _ => return usage(&mut report),
    };
    let Some((plan, axes)) = chosen(axis) else {
        return usage(&mut report);
    };
    machine::describe()
        .iter()
        .for_each(|line| report.line(line));
    axes.iter().for_each(|run| run(&plan, &mut report));
    match markdown.map(|path| report.save(&path)) {
        Some(Err(error)) => {
            report.line(&format!("the Markdown was not written: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

type Axis = fn(&Plan, &mut Report);

fn chosen(axis: &str) -> Option<(Plan, &'static [Axis])> {
    Some(match axis {
        "lookup" => (FULL, &[lookup::run]),
        "scaling" => (FULL, &[scaling::run]),
        "border" => (FULL, &[border::run]),
        "churn" => (FULL, &[churn::run]),
        "expiry" => (FULL, &[expiry::run]),
        "memory" => (FULL, &[memory::run, utilisation::run]),
        "tails" => (FULL, &[tails::run]),
        "traces" => (FULL, &[traces::run]),
        "axum" => (FULL, &[axum::run]),
        "store" => (FULL, &[store::run]),
        "quick" => (QUICK, EVERYTHING),
        "all" => (
            Plan {
                lookup_sessions: &[1_000, 10_000, 1_000_000, 4_000_000],
                ..FULL
            },
            EVERYTHING,
        ),
        _ => return None,
    })
}

fn child(what: &str, size: &str, report: &mut Report) -> ExitCode {
    match size.parse().ok().and_then(|size| memory::child(what, size)) {
        Some(measured) => {
            report.line(&measured);
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}

fn server(name: &str, report: &mut Report) -> ExitCode {
    match axum::serve(name) {
        Err(error) => {
            report.line(&format!("{name} does not serve: {error}"));
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

fn usage(report: &mut Report) -> ExitCode {
    let axes = "lookup|scaling|border|churn|expiry|memory|tails|traces|axum|store|quick|all";
    report.line(&format!("usage: bench {axes} [--markdown FILE]"));
    ExitCode::FAILURE
}

const EVERYTHING: &[Axis] = &[
    lookup::run,
    scaling::run,
    border::run,
    churn::run,
    expiry::run,
    memory::run,
    utilisation::run,
    tails::run,
    traces::run,
    axum::run,
    store::run,
];

const FULL: Plan = Plan {
    rounds: 7,
    lookup_sessions: &[1_000, 10_000, 1_000_000],
    lookups: 400_000,
    borders: 300_000,
    inserts: 200_000,
    churn_sessions: &[100_000, 1_000_000],
    unlooked: 60_000,
    loads: 15,
    due: 1_000_000,
    expiry_rounds: 3,
    stored: 1_000_000,
    churned: 256 << 20,
    creates: 200_000,
    crowded: 1 << 30,
    crowding: 200_000,
    rotations: 300_000,
    ends: 100_000,
    calls: 20_000,
    kept: 100_000,
};

/// A small form of all: some three minutes, the build included.
const QUICK: Plan = Plan {
    rounds: 5,
    lookup_sessions: FULL.lookup_sessions,
    lookups: 300_000,
    borders: 100_000,
    inserts: 50_000,
    churn_sessions: &[100_000],
    unlooked: 20_000,
    loads: 5,
    due: 300_000,
    expiry_rounds: 1,
    stored: 100_000,
    churned: 64 << 20,
    creates: 20_000,
    crowded: 64 << 20,
    crowding: 20_000,
    rotations: 30_000,
    ends: 2_000,
    calls: 2_000,
    kept: 20_000,
};
