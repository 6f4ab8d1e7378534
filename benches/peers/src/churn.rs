//! Churn: a new session into a cache that is full, so that another has to go.
//!
//! The peers allocate the value, which is part of what they do with it; ours copies it into its
//! region. Ours also mints the id and signs it, which the peers leave to somebody else: the
//! operating system's random source and the two compressions of a MAC are measured apart, and what
//! is held against the peers is the difference. Signing in and ending a user, which no peer has, are
//! held against our own create. moka puts work off, so what it has queued is done within the clock.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use sessile::{Clock, SessionCache, SessionId};

use crate::{
    Plan,
    border::{FLOOR, two_compressions},
    contender::{Contender, nanos_each},
    ours::{self, Sessile},
    peers::{Moka, QuickCache},
    report::{Report, Table, Target, VERDICT, blank, count, figure},
    rounds::{self, Entrant, Sample},
    workload::{self, Id, VALUE_LEN},
};

/// One table for each capacity. Only the bounded peers can be full.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    for &sessions in plan.churn_sessions {
        let entrants = vec![
            ours(sessions, plan.inserts),
            Entrant::new(RANDOM, || random(plan.inserts)),
            Entrant::new(FLOOR, || two_compressions(plan.inserts)),
            peer::<QuickCache>(sessions, plan.inserts, |_| ()),
            peer::<Moka>(sessions, plan.inserts, Moka::settle),
        ];
        let samples = rounds::run(entrants, plan.rounds);
        let heading = format!("churn: insert into {} sessions, full, ns", count(sessions));
        tell(&heading, &samples, report);
        // By themselves, since three caches of ours would push each other out of the processor's.
        let entrants = vec![
            ours(sessions, plan.inserts),
            sign_in(sessions, plan.inserts),
            end_user(sessions, plan.inserts),
        ];
        report.table(&beside_create(&rounds::run(entrants, plan.rounds)));
    }
}

fn full(sessions: usize) -> SessionCache {
    let cache = ours::cache_for(sessions, &Clock::system());
    let value = value();
    for _ in 0..sessions + sessions / 4 {
        ours::create(&cache, &value);
    }
    assert!(evicted(&cache) > 0, "the cache is full");
    cache
}

/// Sessions just created, each by a user of its own.
fn sign_in(sessions: usize, times: usize) -> Entrant<'static> {
    let cache = full(sessions);
    Entrant::new(SIGN_IN, move || {
        users(&cache, times, |cache, guests, names| {
            let start = Instant::now();
            ours::sign_in(cache, guests, names);
            let elapsed = start.elapsed();
            assert_eq!(ours::end_users(cache, names), names.len());
            elapsed
        })
    })
}

/// Users who have one session each.
fn end_user(sessions: usize, times: usize) -> Entrant<'static> {
    let cache = full(sessions);
    Entrant::new(END_USER, move || {
        users(&cache, times, |cache, guests, names| {
            ours::sign_in(cache, guests, names);
            let start = Instant::now();
            assert_eq!(ours::end_users(cache, names), names.len());
            start.elapsed()
        })
    })
}

/// Times a verb on batches of new sessions and as many users; what one takes.
fn users(
    cache: &SessionCache,
    times: usize,
    time: impl Fn(&SessionCache, &[SessionId], &[String]) -> Duration,
) -> f64 {
    let value = value();
    let mut elapsed = Duration::ZERO;
    for batch in 0..times / BATCH {
        let guests: Vec<_> = (0..BATCH).map(|_| ours::create(cache, &value).id).collect();
        let names: Vec<_> = (0..BATCH).map(|n| format!("user {}", batch * BATCH + n)).collect();
        elapsed += time(cache, &guests, &names);
    }
    nanos_each(elapsed, times / BATCH * BATCH)
}

fn ours(sessions: usize, inserts: usize) -> Entrant<'static> {
    let cache = full(sessions);
    let value = value();
    Entrant::new(Sessile::NAME, move || {
        let start = Instant::now();
        for _ in 0..inserts {
            black_box(ours::create(&cache, black_box(&value)));
        }
        nanos_each(start.elapsed(), inserts)
    })
}

fn peer<C: Contender + 'static>(
    sessions: usize,
    inserts: usize,
    settle: fn(&C),
) -> Entrant<'static> {
    let contender = C::build(sessions);
    let value = value();
    let mut ids = (0..).map(workload::id);
    for id in ids.by_ref().take(sessions + sessions / 4) {
        contender.insert(id, &value);
    }
    assert!(contender.len() <= sessions + sessions / 10, "{} is bounded", C::NAME);
    Entrant::new(C::NAME, move || {
        let fresh: Vec<Id> = ids.by_ref().take(inserts).collect();
        let start = Instant::now();
        for &id in &fresh {
            contender.insert(id, black_box(&value));
        }
        settle(&contender);
        nanos_each(start.elapsed(), inserts)
    })
}

/// What an id costs: 16 bytes from the operating system, by a call of their own each time.
fn random(times: usize) -> f64 {
    let mut id: Id = [0; 16];
    let start = Instant::now();
    for _ in 0..times {
        getrandom::fill(&mut id).expect("the operating system gives random bytes");
        black_box(&id);
    }
    nanos_each(start.elapsed(), times)
}

fn value() -> [u8; VALUE_LEN] {
    let mut value = [0; VALUE_LEN];
    workload::write_value(1, &mut value);
    value
}

fn evicted(cache: &SessionCache) -> u64 {
    let evicted = cache.stats().evicted;
    evicted.probation + evicted.anonymous
}

fn tell(heading: &str, samples: &[Sample], report: &mut Report) {
    let quick_cache = rounds::named(samples, QuickCache::NAME);
    let (base, typical) = (quick_cache.least(), quick_cache.median());
    let mut table = Table::new(&["", "min", "median", "min × quick_cache", "median ×", VERDICT]);
    let mut row = |name: &str, least: f64, median: f64, target: Option<Target>| {
        let ratio = least / base;
        table.row([
            name.to_owned(),
            figure(least, 1),
            figure(median, 1),
            figure(ratio, 2),
            figure(median / typical, 2),
            target.map_or_else(blank, |target| target.verdict(ratio, "× quick_cache")),
        ]);
    };
    for sample in samples {
        row(&sample.name, sample.least(), sample.median(), None);
    }
    let apart = |pick: fn(&Sample) -> f64| {
        let of = |name| pick(rounds::named(samples, name));
        of(Sessile::NAME) - of(RANDOM) - of(FLOOR)
    };
    let target = Some(Target::AtMost(1.5));
    row(
        "sessile, without random bytes and compressions",
        apart(Sample::least),
        apart(Sample::median),
        target,
    );
    report.heading(heading);
    report.table(&table);
}

/// What is done with users, held against a create of the same run.
fn beside_create(samples: &[Sample]) -> Table {
    let create = rounds::named(samples, Sessile::NAME);
    let mut table = Table::new(&["", "min", "median", "min × create", "median ×", VERDICT]);
    for name in [Sessile::NAME, SIGN_IN, END_USER] {
        let sample = rounds::named(samples, name);
        let ratio = sample.least() / create.least();
        table.row([
            name.to_owned(),
            figure(sample.least(), 1),
            figure(sample.median(), 1),
            figure(ratio, 2),
            figure(sample.median() / create.median(), 2),
            Target::AtMost(2.0).verdict(ratio, "× create"),
        ]);
    }
    table
}

const SIGN_IN: &str = "sessile, sign_in";
const END_USER: &str = "sessile, end_user";
/// Sessions that are made, apart from the clock, before they are signed in to.
const BATCH: usize = 1_000;
const RANDOM: &str = "16 random bytes from the system";
