//! Linearizability: concurrent calls answer as if they had been made one by one. Recorded histories
//! are checked against a sequential model, session by session.
//!
//! About 10⁵ calls, or `SESSILE_HISTORY_CALLS`. The seed is printed. Threads are not deterministic,
//! so a failure prints the history that has no order.

use std::{env, thread};

use crate::history::{Call, check, describe};
use crate::recorder::Recorder;
use crate::support::{HOUR, Random, builder};
use sessile::ManualClock;

// TERM-1: docs/security-checklist.md
#[test]
fn concurrent_operations_are_linearizable() {
    let wanted = env::var("SESSILE_HISTORY_CALLS")
        .ok()
        .and_then(|text| text.parse().ok());
    let wanted = wanted.unwrap_or(100_000);
    let clock = ManualClock::new();
    let cache = builder(&clock).memory(32 << 20).shards(4).build().unwrap();
    let (mut calls, mut overlapping, mut seed) = (0, 0, Random::new());
    // Calls of two threads overlap most often on two cores; some races need three threads.
    let mut phases = [2, 2, 3].into_iter().cycle();
    // On a busy machine, continue until enough calls overlapped.
    while calls < wanted || (overlapping < wanted / 10 && calls < wanted * 10) {
        let threads = phases.next().unwrap();
        let recorder = Recorder {
            cache: &cache,
            calls: CALLS / threads,
            threads,
        };
        for history in recorder.record(ROUNDS, &mut seed) {
            if let Err(part) = check(&history) {
                panic!("these calls have no order:\n{}", describe(&part));
            }
            calls += history.len();
            overlapping += overlaps(history);
        }
        // Ended sessions and aliases are forgotten before the next phase.
        clock.advance(HOUR);
        cache.maintain(usize::MAX);
        assert_eq!((cache.len(), cache.stats().memory.used), (0, 0));
        cache.validate();
    }
    println!("{calls} calls, {overlapping} of them while another was under way");
    let has_cores = thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    assert!(overlapping > 0 || !has_cores, "some calls overlapped");
}

/// Counts the calls that were made before an earlier call had returned.
fn overlaps(mut history: Vec<Call>) -> usize {
    history.sort_by_key(|call| call.called);
    let mut latest = 0;
    let overlaps = |call: &&Call| {
        let overlaps = call.called < latest;
        latest = latest.max(call.returned);
        overlaps
    };
    history.iter().filter(overlaps).count()
}

/// Rounds of a phase, and calls of a round.
const ROUNDS: usize = 500;
const CALLS: usize = 90;
