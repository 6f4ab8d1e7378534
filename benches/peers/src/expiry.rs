//! Expiry: very many sessions due in one tick, freed on one thread while another looks up.
//!
//! The lookups read 10 k other sessions that stay live. Each lookup is timed separately, so its
//! figure includes two clock readings. The run without expiry, in which the first thread does
//! arithmetic, includes them too; the ratio is the result.
//!
//! The time that a lock is held is not observable from outside. A call of `maintain` with a small
//! budget is an upper bound, and is timed beside one with a large budget.
//!
//! moka gets a short idle timeout in real time: all sessions are inserted, the 10 k are read, and
//! the clock starts when the last of the others is due. Peers without expiry are not measured.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use hdrhistogram::Histogram;
use sessile::{CreateOptions, ManualClock, SessionCache, SessionId, Timeouts};
use sha2::block_api::compress256;

use crate::{
    Plan,
    contender::Contender,
    peers::Moka,
    report::{Report, Table, Target, VERDICT, count, figure},
    sessile_cache,
    workload::{self, Id, Random, VALUE_LEN},
};

/// Writes one table: sessile with a small and a large budget, and moka.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    let mut table = Table::new(&HEAD);
    for (budget, targets) in [(SMALL, Targets::Hold), (LARGE, Targets::Rate)] {
        let mut outcome = Outcome::default();
        (0..plan.expiry_rounds).for_each(|_| sessile(plan.due, budget, &mut outcome));
        outcome.row(&format!("sessile, maintain({budget})"), targets, &mut table);
    }
    let mut outcome = Outcome::default();
    moka(plan.due, &mut outcome);
    outcome.row("moka, run_pending_tasks()", Targets::None, &mut table);
    report.heading(&format!("expiry: {} sessions due at once", count(plan.due)));
    report.table(&table);
}

/// Figures over all rounds; all times in nanoseconds.
struct Outcome {
    freed: usize,
    /// Lookups that missed a session that is not due.
    lost: usize,
    elapsed: Duration,
    calls: Histogram<u64>,
    /// Lookups while sessions expire.
    busy: Histogram<u64>,
    /// Lookups while the other thread does arithmetic.
    quiet: Histogram<u64>,
}

#[derive(Clone, Copy)]
enum Targets {
    Hold,
    Rate,
    None,
}

impl Default for Outcome {
    fn default() -> Self {
        // Allocated at its final size, so that no growth happens inside the timed section.
        let histogram = || Histogram::new_with_max(MINUTE, 3).expect("three digits are allowed");
        let (calls, busy, quiet) = (histogram(), histogram(), histogram());
        Self {
            freed: 0,
            lost: 0,
            elapsed: Duration::ZERO,
            calls,
            busy,
            quiet,
        }
    }
}

impl Outcome {
    fn row(&self, name: &str, targets: Targets, table: &mut Table) {
        let rate = self.freed as f64 / self.elapsed.as_secs_f64() / 1e6;
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let tail = |lookups: &Histogram<u64>| lookups.value_at_quantile(0.999);
        let ratio = tail(&self.busy) as f64 / tail(&self.quiet) as f64;
        let lookups = |lookups: &Histogram<u64>| {
            [0.5, 0.99, 0.999]
                .map(|quantile| lookups.value_at_quantile(quantile).to_string())
                .join(" / ")
        };
        let [median, hold] = [0.5, 0.999].map(|share| micros(self.calls.value_at_quantile(share)));
        let tails = Target::AtMost(2.0).verdict(ratio, "× p99.9");
        let verdict = match targets {
            Targets::Hold => {
                format!(
                    "{}, {tails}",
                    Target::AtMost(10.0).verdict(hold, "µs per call, p99.9")
                )
            }
            Targets::Rate => format!("{}, {tails}", Target::AtLeast(10.0).verdict(rate, "M/s")),
            Targets::None => String::new(),
        };
        let lost = if self.lost > 0 {
            format!(", {} LOST", self.lost)
        } else {
            String::new()
        };
        table.row([
            format!("{name}{lost}"),
            figure(rate, 2),
            format!("{median:.1} / {hold:.1} / {:.1}", micros(self.calls.max())),
            lookups(&self.quiet),
            lookups(&self.busy),
            figure(ratio, 2),
            verdict,
        ]);
    }
}

fn sessile(due: usize, budget: usize, outcome: &mut Outcome) {
    let clock = ManualClock::new();
    let cache = sessile_cache::cache_for(due + HOT, &clock.clone().into());
    let mut value = [0; VALUE_LEN];
    let mut create = |number, timeouts| {
        workload::write_value(number, &mut value);
        cache
            .create_with(&value, CreateOptions::new().timeouts(timeouts))
            .expect("there is room")
            .id
    };
    let hot: Vec<SessionId> = (0..HOT)
        .map(|number| create(number, Timeouts::new()))
        .collect();
    let soon = Timeouts::new().idle_timeout(Duration::from_secs(60));
    for number in 0..due {
        create(number, soon);
    }
    let lookup = |at: usize, buffer: &mut BytesMut| cache.load(&hot[at], buffer).is_some();

    outcome.lost += beside(&mut outcome.quiet, lookup, || compress_for(QUIET));
    clock.advance(Duration::from_secs(61));
    outcome.lost += beside(&mut outcome.busy, lookup, || {
        let start = Instant::now();
        outcome.freed += maintain(&cache, budget, &mut outcome.calls);
        outcome.elapsed += start.elapsed();
    });
    assert_eq!(
        cache.len(),
        HOT,
        "exactly the sessions that were due are freed"
    );
}

/// Calls `maintain` until nothing is due; returns the number of freed sessions.
fn maintain(cache: &SessionCache, budget: usize, calls: &mut Histogram<u64>) -> usize {
    let mut freed = 0;
    loop {
        let start = Instant::now();
        let done = cache.maintain(budget);
        note(calls, start);
        freed += done.expired;
        if !done.more {
            return freed;
        }
    }
}

fn moka(due: usize, outcome: &mut Outcome) {
    let (cache, idle) = moka_filled(due);
    let hot: Vec<Id> = (0..HOT).map(workload::id).collect();
    let inserted = Instant::now();
    let lookup = |at: usize, buffer: &mut BytesMut| cache.lookup(&hot[at], buffer);

    outcome.lost += beside(&mut outcome.quiet, lookup, || compress_for(QUIET));
    thread::sleep(MARGIN);
    let mut buffer = BytesMut::with_capacity(VALUE_LEN);
    (0..HOT).for_each(|at| outcome.lost += usize::from(!lookup(at, &mut buffer)));
    thread::sleep((inserted + idle).saturating_duration_since(Instant::now()));
    outcome.lost += beside(&mut outcome.busy, lookup, || {
        let start = Instant::now();
        while cache.settled() > HOT as u64 {
            let call = Instant::now();
            cache.settle();
            note(&mut outcome.calls, call);
        }
        outcome.elapsed += start.elapsed();
    });
    outcome.freed += due;
}

/// Creates a cache that holds all sessions, with an idle timeout long enough for none to be due
/// yet. The required length depends on the machine.
fn moka_filled(due: usize) -> (Moka, Duration) {
    let mut idle = Duration::from_secs(4);
    let mut value = [0; VALUE_LEN];
    loop {
        let start = Instant::now();
        let cache = Moka::with_idle_timeout(due + HOT + due / 4, idle);
        for number in 0..HOT + due {
            workload::write_value(number, &mut value);
            cache.insert(workload::id(number), &value);
        }
        cache.settle();
        if start.elapsed() + QUIET + 2 * MARGIN < idle {
            return (cache, idle);
        }
        idle = 2 * (start.elapsed() + QUIET + 2 * MARGIN);
    }
}

/// Runs the work while another thread looks up at random and times each lookup. Returns the number
/// of live sessions that a lookup missed.
fn beside(
    lookups: &mut Histogram<u64>,
    lookup: impl Fn(usize, &mut BytesMut) -> bool + Sync,
    work: impl FnOnce(),
) -> usize {
    let done = AtomicBool::new(false);
    let read = || {
        let mut buffer = BytesMut::with_capacity(VALUE_LEN);
        let mut random = Random::new(7);
        let (mut at, mut lost) = (0, 0);
        while !done.load(Relaxed) {
            let start = Instant::now();
            let found = lookup(at, &mut buffer);
            // Each lookup depends on the one before, as in the other axes.
            at = random.below(HOT) + workload::fold(&buffer);
            note(lookups, start);
            lost += usize::from(!found);
        }
        lost
    };
    thread::scope(|scope| {
        let reader = scope.spawn(read);
        work();
        done.store(true, Relaxed);
        reader.join().expect("a reader does not panic")
    })
}

fn note(histogram: &mut Histogram<u64>, start: Instant) {
    histogram.saturating_record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
}

/// Keeps a core busy with arithmetic.
pub(crate) fn compress_for(span: Duration) {
    let start = Instant::now();
    let mut state = [0x6a09_e667; 8];
    while start.elapsed() < span {
        (0..1_000).for_each(|_| compress256(&mut state, &[[0x5e; 64]]));
    }
    std::hint::black_box(state);
}

const HEAD: [&str; 7] = [
    "",
    "freed, M/s",
    "call p50 / p99.9 / max, µs",
    "lookup without, p50 / p99 / p99.9 ns",
    "lookup during",
    "p99.9 ×",
    VERDICT,
];
const HOT: usize = 10_000;
const SMALL: usize = 16;
const LARGE: usize = 10_000;
/// Additional time that the live sessions last in moka, including pauses of a busy machine.
const MARGIN: Duration = Duration::from_secs(1);
const MINUTE: u64 = 60_000_000_000;
const QUIET: Duration = Duration::from_millis(300);
