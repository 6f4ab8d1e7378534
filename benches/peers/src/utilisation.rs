//! Utilisation, a part of the memory axis: the used share of the region, and the sessions that a
//! create evicts, while sessions of 64 B to 8 KiB are created and evicted.
//!
//! Once with anonymous sessions only, once with half of the sessions authenticated, which an
//! anonymous session may not evict. Free blocks are then scattered, and room is made by moving
//! blocks.

use std::time::Instant;

use hdrhistogram::Histogram;
use sessile::{Clock, SessionCache, stats::Stats};

use crate::{
    Plan,
    memory::{LONGEST, SHORTEST},
    report::{Report, Table, count, figure},
    sessile_cache,
    workload::{self, Random},
};

/// Writes one table, for sessile alone: the peers' memory belongs to the allocator.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    let mut table = Table::new(&HEAD);
    for (name, signed_in) in [("all anonymous", false), ("half authenticated", true)] {
        let mut churn = Churn::new(plan.churned, signed_in);
        churn.run(plan.creates);
        churn.row(name, &mut table);
    }
    let budget = plan.churned >> 20;
    let heading = format!(
        "memory: use under churn, {budget} MiB, {} creates of 64 B to 8 KiB",
        count(plan.creates)
    );
    report.heading(&heading);
    report.table(&table);
}

struct Churn {
    cache: SessionCache,
    random: Random,
    value: Vec<u8>,
    rejected: usize,
    compactions: u64,
    /// Ten-thousandths of the region in use, one figure per create.
    used: Histogram<u64>,
    /// Sessions evicted, one figure per create.
    evicted: Histogram<u64>,
    /// Nanoseconds per create.
    times: Histogram<u64>,
}

impl Churn {
    /// A full cache after one turnover.
    fn new(memory: usize, signed_in: bool) -> Self {
        let histogram = || Histogram::new_with_max(MOST, 4).expect("four digits are allowed");
        let mut churn = Self {
            cache: sessile_cache::cache_of(memory, &Clock::system()),
            random: Random::new(5),
            value: vec![0; LONGEST],
            rejected: 0,
            compactions: 0,
            used: histogram(),
            evicted: histogram(),
            times: histogram(),
        };
        workload::write_value(1, &mut churn.value);
        churn.fill(signed_in);
        for _ in 0..churn.cache.len() {
            churn.create();
        }
        churn
    }

    fn fill(&mut self, signed_in: bool) {
        let mut user = 0_usize;
        while evicted(&self.cache.stats()) == 0 {
            let Some(issued) = self.create() else { return };
            user += 1;
            if signed_in && user.is_multiple_of(2) {
                let name = format!("user {user}");
                // A user whose shard is full stays anonymous; there are enough others.
                let _ = self.cache.sign_in(&issued.id, &name);
            }
        }
    }

    fn run(&mut self, creates: usize) {
        let mut before = self.cache.stats();
        let compactions = before.compactions;
        for _ in 0..creates {
            let start = Instant::now();
            self.rejected += usize::from(self.create().is_none());
            let nanos = start.elapsed().as_nanos();
            self.times
                .saturating_record(u64::try_from(nanos).unwrap_or(u64::MAX));
            let after = self.cache.stats();
            self.evicted
                .saturating_record(evicted(&after) - evicted(&before));
            let used = after.memory.used as u128 * SHARES / after.memory.capacity as u128;
            self.used
                .saturating_record(u64::try_from(used).unwrap_or(u64::MAX));
            before = after;
        }
        self.compactions = before.compactions - compactions;
    }

    fn create(&mut self) -> Option<sessile::IssuedSession> {
        let len = self.random.length(SHORTEST, LONGEST);
        self.cache.create(&self.value[..len]).ok()
    }

    fn row(&self, name: &str, table: &mut Table) {
        let percent = |quantile| figure(self.used.value_at_quantile(quantile) as f64 / 100.0, 2);
        let evicted = |quantile| self.evicted.value_at_quantile(quantile);
        let micros = |quantile| figure(self.times.value_at_quantile(quantile) as f64 / 1e3, 1);
        let creates = self.evicted.len() as f64;
        table.row([
            name.to_owned(),
            percent(0.01),
            percent(0.5),
            figure(self.evicted.mean(), 2),
            format!(
                "{} / {} / {}",
                evicted(0.5),
                evicted(0.999),
                self.evicted.max()
            ),
            figure(self.compactions as f64 / creates, 2),
            format!("{} / {} / {}", micros(0.5), micros(0.999), micros(1.0)),
            self.rejected.to_string(),
        ]);
    }
}

fn evicted(stats: &Stats) -> u64 {
    stats.evicted.probation + stats.evicted.anonymous + stats.evicted.authenticated
}

const HEAD: [&str; 8] = [
    "",
    "% in use, p1",
    "p50",
    "evicted per create, mean",
    "p50 / p99.9 / max",
    "compactions per create",
    "µs a create, p50 / p99.9 / max",
    "rejected",
];
const SHARES: u128 = 10_000;
const MOST: u64 = 1_000_000_000;
