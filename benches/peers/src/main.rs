//! sessile compared with other crates: `cargo run --release -p bench -- AXIS`.
//!
//! An axis is a file here: `lookup`, `scaling`, `cookie_to_session`, `churn`, `expiry`, `memory`,
//! `tails`, `traces`, `axum`, `store`, `jwt`. `store_ends`, `store_http` and `store_memcached` are
//! parts of `store`. All contenders of an axis run in one process (those over HTTP in one each), in
//! turns, round by round, so that other load on the machine affects them alike. The report shows
//! the minimum and the median of the rounds. Sessions, values and orders come from fixed seeds.
//! Before a contender is timed, each of its sessions is read once and compared byte by byte. A
//! missed target is shown and does not fail the run.
//!
//! `benches/README.md` describes the method and the peers' settings, and has the last table.

use std::{env, path::PathBuf, process::ExitCode};

use crate::report::Report;

mod axum;
mod churn;
mod contender;
mod cookie_to_session;
mod expiry;
mod jwt;
mod lookup;
mod machine;
mod memory;
mod peers;
mod report;
mod rounds;
mod scaling;
mod sessile_cache;
mod store;
mod tails;
mod traces;
mod utilisation;
mod workload;

/// Sizes of the measurements.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    rounds: usize,
    lookup_sessions: &'static [usize],
    /// Per round, as are the two below.
    lookups: usize,
    cookie_lookups: usize,
    inserts: usize,
    churn_sessions: &'static [usize],
    /// Requests per round, in process, that do not access a session.
    unlooked: usize,
    /// Rounds over HTTP of one second each: many, since the machine seldom leaves both cores
    /// undisturbed.
    loads: usize,
    /// Sessions that expire at once, and the number of rounds.
    due: usize,
    expiry_rounds: usize,
    /// Number of sessions for the measurement of bytes per session.
    stored: usize,
    /// The budget in bytes for the turnover of sessions of all sizes, and the number of creates.
    churned: usize,
    creates: usize,
    /// The budget in bytes that is full of authenticated sessions, the number of anonymous creates
    /// tried in it, and the number of rotations of one session.
    crowded: usize,
    crowding: usize,
    rotations: usize,
    /// Ends that a second process sees, calls of each kind to a store, and sessions that it keeps.
    ends: usize,
    calls: usize,
    kept: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut report = Report::new();
    match arguments[..] {
        [axum::SERVE, name] => return server(name, None, &mut report),
        [axum::SERVE, name, url] => return server(name, Some(url), &mut report),
        [store::WATCH, url] => return watcher(url, &mut report),
        [memory::CHILD, what, size] => return child(what, size, &mut report),
        _ => {}
    }
    let Some(options) = Options::parse(&arguments) else {
        return usage(&mut report);
    };
    let Some((plan, axes)) = chosen(options.axis) else {
        return usage(&mut report);
    };
    let plan = if options.is_quick { QUICK } else { plan };
    machine::describe()
        .iter()
        .for_each(|line| report.line(line));
    axes.iter().for_each(|run| run(&plan, &mut report));
    match options.markdown.map(|path| report.save(&path)) {
        Some(Err(error)) => {
            report.line(&format!("the Markdown was not written: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// The command line.
#[derive(Default)]
struct Options<'a> {
    axis: &'a str,
    /// The sizes of the short form.
    is_quick: bool,
    markdown: Option<PathBuf>,
}

impl<'a> Options<'a> {
    fn parse(mut arguments: &[&'a str]) -> Option<Self> {
        let mut options = Self::default();
        loop {
            match *arguments {
                [] => return Some(options),
                ["--quick", ref rest @ ..] => {
                    options.is_quick = true;
                    arguments = rest;
                }
                ["--markdown", path, ref rest @ ..] => {
                    options.markdown = Some(PathBuf::from(path));
                    arguments = rest;
                }
                [axis, ref rest @ ..] if options.axis.is_empty() => {
                    options.axis = axis;
                    arguments = rest;
                }
                _ => return None,
            }
        }
    }
}

type Axis = fn(&Plan, &mut Report);

fn chosen(axis: &str) -> Option<(Plan, &'static [Axis])> {
    Some(match axis {
        "lookup" => (FULL, &[lookup::run]),
        "scaling" => (FULL, &[scaling::run]),
        "cookie_to_session" => (FULL, &[cookie_to_session::run]),
        "churn" => (FULL, &[churn::run]),
        "expiry" => (FULL, &[expiry::run]),
        "memory" => (FULL, &[memory::run, utilisation::run]),
        "tails" => (FULL, &[tails::run]),
        "traces" => (FULL, &[traces::run]),
        "axum" => (FULL, &[axum::run]),
        "store" => (FULL, &[store::run]),
        "store_ends" => (FULL, &[store::run_ends]),
        "store_http" => (FULL, &[store::run_http]),
        "jwt" => (FULL, &[jwt::run]),
        "store_memcached" => (FULL, &[store::run_memcached]),
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

fn server(name: &str, store: Option<&str>, report: &mut Report) -> ExitCode {
    match axum::serve(name, store) {
        Err(error) => {
            report.line(&format!("{name} does not serve: {error}"));
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

fn watcher(url: &str, report: &mut Report) -> ExitCode {
    match store::watch(url) {
        Err(error) => {
            report.line(&format!("the second process does not watch: {error}"));
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

fn usage(report: &mut Report) -> ExitCode {
    let axes = "lookup|scaling|cookie_to_session|churn|expiry|memory|tails|traces|axum|store|\
                store_ends|store_http|store_memcached|jwt|quick|all";
    report.line(&format!("usage: bench {axes} [--quick] [--markdown FILE]"));
    ExitCode::FAILURE
}

const EVERYTHING: &[Axis] = &[
    lookup::run,
    scaling::run,
    cookie_to_session::run,
    churn::run,
    expiry::run,
    memory::run,
    utilisation::run,
    tails::run,
    traces::run,
    axum::run,
    store::run,
    jwt::run,
];

const FULL: Plan = Plan {
    rounds: 7,
    lookup_sessions: &[1_000, 10_000, 1_000_000],
    lookups: 400_000,
    cookie_lookups: 300_000,
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

/// A small form of all axes: some three minutes, including the build.
const QUICK: Plan = Plan {
    rounds: 5,
    lookup_sessions: FULL.lookup_sessions,
    lookups: 300_000,
    cookie_lookups: 100_000,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_in_any_order() {
        let options = Options::parse(&["--markdown", "a.md", "store", "--quick"]);
        let options = options.expect("they are valid");
        assert!(options.axis == "store" && options.is_quick);
        assert_eq!(options.markdown, Some(PathBuf::from("a.md")));
        let plain = Options::parse(&["all"]).expect("it is valid");
        assert!(plain.axis == "all" && !plain.is_quick && plain.markdown.is_none());
        for invalid in [&["store", "axum"][..], &["store", "--markdown"]] {
            assert!(Options::parse(invalid).is_none(), "{invalid:?}");
        }
    }
}
