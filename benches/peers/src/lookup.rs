//! Lookup: a session by its id, in uniform random order, 256 bytes copied out.
//!
//! Each lookup depends on the one before: the value is copied into the caller's buffer and read
//! completely, and the next position depends on it. A request has this dependency; overlapping
//! lookups would hide the misses that a request waits for.
//!
//! Peers are measured twice: with their defaults, and with the fastest hasher. sessile is measured
//! with its memory in huge pages, which it requests by default, and without.

use crate::{
    Plan,
    contender::{Contender, FilledStore},
    peers::{DashMap, Moka, MutexMap, Papaya, QuickCache, Scc, SipHash},
    report::{Report, Table, Target, VERDICT, blank, count, figure},
    rounds::{self, Entrant, Sample},
    sessile_cache::{Sessile, SessileCookie, SmallPages},
    workload::Workload,
};

/// Writes one table for each number of sessions, and one for two threads.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    for &sessions in plan.lookup_sessions {
        let workload = Workload::new(sessions);
        let samples = rounds::run(field(&workload, plan.lookups, 1), plan.rounds);
        let heading = format!("lookup: {} sessions, one thread, ns", count(sessions));
        report_samples(
            &heading,
            &samples,
            Targets {
                fastest: 1.0,
                moka: sessions <= 10_000,
            },
            report,
        );
    }
    let workload = Workload::new(1_000);
    let samples = rounds::run(field(&workload, plan.lookups, 2), plan.rounds);
    let targets = Targets {
        fastest: 1.0,
        moka: false,
    };
    report_samples(
        "lookup: 1 k sessions, two threads, ns per lookup in each",
        &samples,
        targets,
        report,
    );
}

/// Targets of a table.
#[derive(Clone, Copy)]
struct Targets {
    /// Maximum ratio to the fastest peer.
    fastest: f64,
    /// Also at most 0.35 of moka, the only peer that does the same work.
    moka: bool,
}

fn field(workload: &Workload, lookups: usize, threads: usize) -> Vec<Entrant<'_>> {
    let run = Run {
        workload,
        lookups,
        threads,
    };
    vec![
        run.entrant::<Sessile>(""),
        run.entrant::<SmallPages>(""),
        run.entrant::<SessileCookie>(""),
        run.entrant::<MutexMap<SipHash>>(""),
        run.entrant::<Papaya<SipHash>>(""),
        run.entrant::<DashMap<SipHash>>(""),
        run.entrant::<Scc<SipHash>>(""),
        run.entrant::<QuickCache>(""),
        run.entrant::<Moka<SipHash>>(""),
        run.entrant::<MutexMap>(TUNED),
        run.entrant::<Papaya>(TUNED),
        run.entrant::<DashMap>(TUNED),
        run.entrant::<Scc>(TUNED),
        run.entrant::<Moka>(TUNED),
    ]
}

/// Measurement of a table.
#[derive(Clone, Copy)]
struct Run<'w> {
    workload: &'w Workload,
    lookups: usize,
    threads: usize,
}

impl<'w> Run<'w> {
    fn entrant<C: Contender + 'static>(self, how: &str) -> Entrant<'w> {
        let Self {
            workload,
            lookups,
            threads,
        } = self;
        let loaded = FilledStore::<C>::new(workload);
        let mut from = 0;
        Entrant::new(format!("{}{how}", C::NAME), move || {
            // If a round is shorter than the order, the next continues where it ended.
            from += lookups;
            match threads {
                1 => loaded.chain(workload, from, lookups),
                _ => loaded.chains(workload, threads, lookups),
            }
        })
    }
}

fn report_samples(heading: &str, samples: &[Sample], targets: Targets, report: &mut Report) {
    let min = |is: fn(&Sample) -> bool, of: fn(&Sample) -> f64| {
        samples
            .iter()
            .filter(|sample| is(sample))
            .map(of)
            .fold(f64::INFINITY, f64::min)
    };
    let fastest = min(has_default_hasher, Sample::min);
    let typical = min(has_default_hasher, Sample::median);
    let tuned = min(is_peer, Sample::min);
    let moka = rounds::named(samples, Moka::<SipHash>::NAME).min();

    let mut table = Table::new(&["", "min", "median", "min ×", "median ×", VERDICT]);
    for sample in samples {
        let min = sample.min();
        let mut verdict = blank();
        if sample.name == Sessile::NAME {
            let max = Target::AtMost(targets.fastest);
            verdict = max.verdict(min / fastest, "× the fastest with defaults");
            let tuned = max.verdict(min / tuned, "× the fastest of all");
            verdict = format!("{verdict}, {tuned}");
            if targets.moka {
                let share = Target::AtMost(0.35).verdict(min / moka, "× moka");
                verdict = format!("{verdict}, {share}");
            }
        }
        table.row([
            sample.name.clone(),
            figure(min, 1),
            figure(sample.median(), 1),
            figure(min / fastest, 2),
            figure(sample.median() / typical, 2),
            verdict,
        ]);
    }
    report.heading(heading);
    report.table(&table);
}

fn is_peer(sample: &Sample) -> bool {
    !sample.name.starts_with(Sessile::NAME)
}

/// Returns true for a peer with its default hasher.
fn has_default_hasher(sample: &Sample) -> bool {
    is_peer(sample) && !sample.name.ends_with(TUNED)
}

/// Suffix of a peer whose hasher was replaced.
const TUNED: &str = ", foldhash";
