//! The rules of the protocol are needed: without one of them the simulator finds a violation.
//!
//! Each test runs schedules until one fails, and fails itself if none does. The numbers of seeds
//! were counted in November 2026; a change of the simulator changes them.

use std::io::{self, Write};

use sessile_store::internals::{Rule, Rules};

use crate::schedule::{Kind, Plan};

/// Returns the number of schedules until the first violation.
fn seeds_until_violation(rule: Rule, kind: Kind) -> Option<u64> {
    let rules = Rules::without(rule);
    let push = rule != Rule::EntryLease;
    let plan = |seed| Plan {
        seed,
        kind,
        push,
        rules,
    };
    (0..MAX_SEEDS).find(|seed| plan(*seed).run().is_err())
}

pub fn assert_needed(rule: Rule, kind: Kind) {
    let seeds = seeds_until_violation(rule, kind);
    let _ = writeln!(io::stderr(), "{rule:?}: found by seed {seeds:?}");
    assert!(
        seeds.is_some(),
        "no violation in {MAX_SEEDS} schedules without {rule:?}"
    );
}

#[test]
fn without_floors_an_old_version_enters_l1() {
    assert_needed(Rule::Floors, Kind::Quiet);
}

#[test]
fn without_floors_of_writes_an_old_version_enters_l1() {
    assert_needed(Rule::FloorsOfWrites, Kind::Quiet);
}

#[test]
fn without_lease_and_fence_a_cut_node_opens_ended_sessions() {
    assert_needed(Rule::LeaseAndFence, Kind::Network);
}

#[test]
fn without_a_fence_of_operations_a_slow_reply_enters_l1() {
    assert_needed(Rule::FenceOfOperations, Kind::Reconnections);
}

#[test]
fn without_a_fence_at_reconnection_l1_keeps_what_it_missed() {
    assert_needed(Rule::FenceAtReconnection, Kind::Network);
}

#[test]
fn without_retirements_again_a_failover_opens_the_session_before_a_sign_in() {
    assert_needed(Rule::RetirementsAgain, Kind::Disasters);
}

#[test]
fn without_limit_ends_again_a_failover_brings_back_what_ended_at_the_limit() {
    assert_needed(Rule::LimitEndsAgain, Kind::Disasters);
}

const MAX_SEEDS: u64 = 1_000;
