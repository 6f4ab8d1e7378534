//! Three nodes over one store in virtual time: the same protocol, driver and verbs as in
//! production.
//!
//! The seed of a failure is printed. `SESSILE_SEED=n` repeats one schedule, and
//! `SESSILE_SCHEDULES=n` sets their number.

mod ablations;
mod checks;
mod executor;
mod known_ends;
#[path = "../support/log_lines.rs"]
mod log_lines;
mod model;
mod network;
mod outages;
mod random;
mod requests;
mod revocations;
mod scenarios;
mod schedule;
mod without_push;

use sessile_store::internals::Rules;

use schedule::Plan;

#[test]
fn random_schedules_keep_the_promises() {
    if let Some(seed) = number("SESSILE_SEED") {
        let result = Plan::of(seed, Rules::default()).run();
        assert!(result.is_ok(), "seed {seed}: {result:?}");
        return;
    }
    let schedules = number("SESSILE_SCHEDULES").unwrap_or(SCHEDULES);
    let failures = run_all(schedules, |seed| Plan::of(seed, Rules::default()));
    assert!(
        failures.is_empty(),
        "SESSILE_SEED and what happened: {failures:#?}"
    );
}

#[test]
fn a_schedule_can_be_repeated() {
    for seed in 0..8 {
        let [first, second] = [(); 2].map(|()| Plan::of(seed, Rules::default()).run());
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Runs schedules on all processors. Returns the failures.
fn run_all(schedules: u64, plan: impl Fn(u64) -> Plan + Copy + Send + Sync) -> Vec<(u64, String)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || {
                    let seeds = (first..schedules).step_by(threads as usize);
                    let run = |seed| plan(seed).run().err().map(|e| (seed, e));
                    seeds.filter_map(run).collect::<Vec<_>>()
                })
            })
            .collect();
        let results = workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"));
        results.flatten().collect()
    })
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The number of schedules of a usual test run. `docs/simulator.md` names the long form.
const SCHEDULES: u64 = 1_000;
