//! Scaling: the chain of `lookup` in an increasing number of threads, up to the number of cores.
//!
//! All threads read the same sessions, each in a different order. Peers have the fastest hasher.

use std::thread;

use crate::{
    Plan,
    contender::{Contender, FilledStore},
    peers::{DashMap, Moka, MutexMap, Papaya, QuickCache, Scc},
    report::{Report, Table, Target, VERDICT, blank, count, figure},
    rounds::{self, Entrant, Sample},
    sessile_cache::{Sessile, SessileCookie},
    workload::Workload,
};

/// Writes one table for each number of sessions.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    for sessions in SESSIONS {
        let workload = Workload::new(sessions);
        let field = field(&workload, plan.lookups);
        let threads = threads();
        let measured: Vec<_> = threads
            .iter()
            .map(|&n| measure(&field, n, plan.rounds))
            .collect();
        let what = "ns per lookup by number of threads, min of the rounds";
        report.heading(&format!("scaling: {} sessions, {what}", count(sessions)));
        report.table(&table(&threads, &measured));
    }
}

/// A contender under load.
struct Loader<'w> {
    name: &'static str,
    /// Returns nanoseconds per lookup in `threads` threads.
    run: Box<dyn Fn(usize) -> f64 + 'w>,
}

fn field(workload: &Workload, lookups: usize) -> Vec<Loader<'_>> {
    vec![
        loader::<Sessile>(workload, lookups),
        loader::<SessileCookie>(workload, lookups),
        loader::<MutexMap>(workload, lookups),
        loader::<Papaya>(workload, lookups),
        loader::<DashMap>(workload, lookups),
        loader::<Scc>(workload, lookups),
        loader::<QuickCache>(workload, lookups),
        loader::<Moka>(workload, lookups),
    ]
}

fn loader<C: Contender + 'static>(workload: &Workload, lookups: usize) -> Loader<'_> {
    let loaded = FilledStore::<C>::new(workload);
    let run = move |threads| loaded.chains(workload, threads, lookups / 2);
    Loader {
        name: C::NAME,
        run: Box::new(run),
    }
}

fn measure(field: &[Loader<'_>], threads: usize, rounds: usize) -> Vec<Sample> {
    let entrant = |one| {
        let Loader { name, run }: &Loader<'_> = one;
        Entrant::new(*name, move || run(threads))
    };
    rounds::run(field.iter().map(entrant).collect(), rounds)
}

/// Powers of two from one to the number of cores.
fn threads() -> Vec<usize> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (0..)
        .map(|power| 1 << power)
        .take_while(|&threads| threads <= cores)
        .collect()
}

fn table(threads: &[usize], measured: &[Vec<Sample>]) -> Table {
    let counts: Vec<_> = threads.iter().map(usize::to_string).collect();
    let head = [""].into_iter().chain(counts.iter().map(String::as_str));
    let mut table = Table::new(
        &head
            .chain(["all threads, M/s", VERDICT])
            .collect::<Vec<_>>(),
    );
    let (Some(max), Some(last)) = (threads.last(), measured.last()) else {
        return table;
    };
    let is_peer = |sample: &&Sample| !sample.name.starts_with(Sessile::NAME);
    let fastest = last
        .iter()
        .filter(is_peer)
        .map(Sample::min)
        .fold(f64::INFINITY, f64::min);
    for (at, sample) in last.iter().enumerate() {
        let min = measured.iter().map(|samples| figure(samples[at].min(), 1));
        let rate = figure(*max as f64 * 1e3 / sample.min(), 1);
        let verdict = match sample.name == Sessile::NAME {
            true => Target::AtMost(1.0).verdict(sample.min() / fastest, "× the fastest"),
            false => blank(),
        };
        let row = [sample.name.clone()].into_iter().chain(min);
        table.row(row.chain([rate, verdict]));
    }
    table
}

const SESSIONS: [usize; 2] = [1_000, 1_000_000];
