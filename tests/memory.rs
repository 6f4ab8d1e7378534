//! Resident memory equals the configured budget from the first moment on. This file has one test,
//! since it measures the whole process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use std::fs;

use sessile::{ManualClock, SessionCache};
use support::{Random, is_long, rings::ring};

const BUDGET: usize = 64 << 20;
const SMALLEST: f64 = 64.0;
const LARGEST: usize = 8 << 10;

#[test]
fn the_resident_set_equals_the_budget_permanently() {
    // Memory that the first call of each kind needs is allocated before.
    turn_over(&build(4 << 20), 4 << 20, &mut Random::new());
    let before = resident();
    let cache = build(BUDGET);
    let built = resident() - before;
    assert_is_close("after build", built, BUDGET);
    let mut random = Random::new();
    turn_over(&cache, BUDGET, &mut random);
    let once = resident() - before;
    let turnovers = if is_long() { 100 } else { 10 };
    (1..turnovers).for_each(|_| turn_over(&cache, BUDGET, &mut random));
    let often = resident() - before;
    assert_is_close("after the last turnover", often, BUDGET);
    assert!(
        often.abs_diff(once) <= BUDGET / 400,
        "{once} bytes after one, {often} after many"
    );
    let memory = cache.stats().memory;
    assert!(memory.used <= memory.capacity && memory.capacity <= BUDGET);
    assert!(
        memory.used > memory.capacity / 100 * 95,
        "the cache was not full: {memory:?}"
    );
    drop(cache);
    assert!(resident() - before < BUDGET / 2, "the cache was measured");
}

fn build(memory: usize) -> SessionCache {
    let builder = SessionCache::builder()
        .memory(memory)
        .clock(ManualClock::new());
    builder.keys(ring(&[1])).build().unwrap()
}

/// Writes `bytes` bytes of sessions between 64 bytes and 8 KiB, each power of two equally often.
fn turn_over(cache: &SessionCache, bytes: usize, random: &mut Random) {
    let data = vec![0x5a; LARGEST];
    let mut written = 0;
    while written < bytes {
        let len = draw(random);
        let issued = cache.create(&data[..len]).unwrap();
        match random.below(16) {
            0 => assert!(cache.end(&issued.id)),
            1 => drop(
                cache
                    .save(&issued.id, issued.version, &data[..draw(random)])
                    .unwrap(),
            ),
            2 => drop(cache.rotate(&issued.id, Duration::ZERO).unwrap()),
            _ => {}
        }
        written += len + 96;
    }
}

/// Returns a length whose logarithm is uniform.
fn draw(random: &mut Random) -> usize {
    let part = random.below(1 << 20) as f64 / f64::from(1 << 20);
    (SMALLEST * (LARGEST as f64 / SMALLEST).powf(part)) as usize
}

fn assert_is_close(when: &str, resident: usize, budget: usize) {
    let off = resident.abs_diff(budget);
    assert!(
        off * 100 <= budget * 3,
        "{resident} bytes {when}, of a budget of {budget}"
    );
}

/// The second number of `statm` counts pages. The kernel's own sum over all mappings is exact and
/// in kB.
fn resident() -> usize {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .unwrap();
    line.trim()
        .strip_suffix(" kB")
        .unwrap()
        .trim()
        .parse::<usize>()
        .unwrap()
        << 10
}
