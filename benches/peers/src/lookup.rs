//! Lookup: a session by its id, in uniform random order, 256 bytes copied out.
//!
//! Each lookup waits for the one before: the value is copied into the caller's buffer and read
//! whole, and the next position depends on what was read. That is what a request does; lookups that
//! overlap would hide the misses that a request waits for.

use crate::{
    Plan,
    contender::{Contender, Loaded},
    ours::{Sessile, SessileCookie},
    peers::{DashMap, Moka, MutexMap, Papaya, QuickCache, Scc},
    report::{Report, Table, Target, VERDICT, blank, count, figure},
    rounds::{self, Entrant, Sample},
    workload::Workload,
};

/// One table for each number of sessions, and one for two threads.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    for &sessions in plan.lookup_sessions {
        let workload = Workload::new(sessions);
        let samples = rounds::run(field(&workload, plan.lookups, 1), plan.rounds);
        let heading = format!("lookup: {} sessions, one thread, ns", count(sessions));
        tell(&heading, &samples, Targets { fastest: 1.0, moka: sessions <= 10_000 }, report);
    }
    let workload = Workload::new(1_000);
    let samples = rounds::run(field(&workload, plan.lookups, 2), plan.rounds);
    let targets = Targets { fastest: 1.0, moka: false };
    tell("lookup: 1 k sessions, two threads, ns a lookup in each", &samples, targets, report);
}

/// What is held against us in a table.
#[derive(Clone, Copy)]
struct Targets {
    /// At most so many times the fastest peer.
    fastest: f64,
    /// And at most .35 of moka, the only peer that does the same work.
    moka: bool,
}

fn field(workload: &Workload, lookups: usize, threads: usize) -> Vec<Entrant<'_>> {
    vec![
        entrant::<Sessile>(workload, lookups, threads),
        entrant::<SessileCookie>(workload, lookups, threads),
        entrant::<MutexMap>(workload, lookups, threads),
        entrant::<Papaya>(workload, lookups, threads),
        entrant::<DashMap>(workload, lookups, threads),
        entrant::<Scc>(workload, lookups, threads),
        entrant::<QuickCache>(workload, lookups, threads),
        entrant::<Moka>(workload, lookups, threads),
    ]
}

fn entrant<C: Contender + 'static>(
    workload: &Workload,
    lookups: usize,
    threads: usize,
) -> Entrant<'_> {
    let loaded = Loaded::<C>::new(workload);
    let mut from = 0;
    Entrant::new(C::NAME, move || {
        // Where a round is shorter than the order, the next goes on where it ended.
        from += lookups;
        match threads {
            1 => loaded.chain(workload, from, lookups),
            _ => loaded.chains(workload, threads, lookups),
        }
    })
}

fn tell(heading: &str, samples: &[Sample], targets: Targets, report: &mut Report) {
    let peers = || samples.iter().filter(|sample| !sample.name.starts_with(Sessile::NAME));
    let fastest = peers().map(Sample::least).fold(f64::INFINITY, f64::min);
    let typical = peers().map(Sample::median).fold(f64::INFINITY, f64::min);
    let moka = rounds::named(samples, Moka::NAME).least();

    let mut table = Table::new(&["", "min", "median", "min ×", "median ×", VERDICT]);
    for sample in samples {
        let ratio = sample.least() / fastest;
        let mut verdict = blank();
        if sample.name == Sessile::NAME {
            verdict = Target::AtMost(targets.fastest).verdict(ratio, "× the fastest");
            if targets.moka {
                let share = Target::AtMost(0.35).verdict(sample.least() / moka, "× moka");
                verdict = format!("{verdict}, {share}");
            }
        }
        table.row([
            sample.name.clone(),
            figure(sample.least(), 1),
            figure(sample.median(), 1),
            figure(ratio, 2),
            figure(sample.median() / typical, 2),
            verdict,
        ]);
    }
    report.heading(heading);
    report.table(&table);
}
