//! Churn: a new session in a full cache, which evicts another.
//!
//! The peers allocate the value as part of an insert; sessile copies it into its region. sessile
//! also generates the id and signs it, which the peers leave to their caller. So before each of
//! their inserts an id is drawn from the operating system and a MAC computed. The time of that
//! alone is measured separately and subtracted from all contenders alike. It has to happen inside
//! the loop: a system call fills the processor's caches and predictors with kernel data, and the
//! code after it runs slower, for peers and for sessile. Peers with ids generated in advance are in
//! the table too. Signing in and ending a user, which no peer offers, are compared with sessile's
//! create in the same run. moka defers work, so its queue is processed inside the timed section.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit, Mac};
use sessile::{Clock, SessionCache, SessionId};
use sha2::Sha256;

use crate::{
    Plan,
    contender::{Contender, nanos_each},
    peers::{Moka, QuickCache},
    report::{Report, Table, Target, VERDICT, blank, count, figure},
    rounds::{self, Entrant, Sample},
    sessile_cache::{self, Sessile},
    workload::{self, Id, VALUE_LEN},
};

/// Writes one table for each capacity. Only bounded peers can be full.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    for &sessions in plan.churn_sessions {
        let entrants = vec![
            sessile(sessions, plan.inserts),
            Entrant::new(ID_AND_TAG, || id_and_tag(plan.inserts)),
            peer::<QuickCache>(sessions, plan.inserts, Ids::Generated, |_| ()),
            peer::<Moka>(sessions, plan.inserts, Ids::Generated, Moka::settle),
            peer::<QuickCache>(sessions, plan.inserts, Ids::Ready, |_| ()),
            peer::<Moka>(sessions, plan.inserts, Ids::Ready, Moka::settle),
        ];
        let samples = rounds::run(entrants, plan.rounds);
        let heading = format!("churn: insert into {} sessions, full, ns", count(sessions));
        report.heading(&heading);
        report_samples(&samples, report);
        // Run separately, since three caches would evict each other from the processor's caches.
        let entrants = vec![
            sessile(sessions, plan.inserts),
            sign_in(sessions, plan.inserts),
            end_user_sessions(sessions, plan.inserts),
        ];
        report.table(&beside_create(&rounds::run(entrants, plan.rounds)));
    }
}

fn full(sessions: usize) -> SessionCache {
    let cache = sessile_cache::cache_for(sessions, &Clock::system());
    let value = value();
    for _ in 0..sessions + sessions / 4 {
        sessile_cache::create(&cache, &value);
    }
    assert!(evicted(&cache) > 0, "the cache is full");
    cache
}

/// Signs in to new sessions, each as another user.
fn sign_in(sessions: usize, times: usize) -> Entrant<'static> {
    let cache = full(sessions);
    Entrant::new(SIGN_IN, move || {
        users(&cache, times, |cache, guests, names| {
            let start = Instant::now();
            sessile_cache::sign_in(cache, guests, names);
            let elapsed = start.elapsed();
            assert_eq!(sessile_cache::end_users(cache, names), names.len());
            elapsed
        })
    })
}

/// Ends the sessions of users who have one each.
fn end_user_sessions(sessions: usize, times: usize) -> Entrant<'static> {
    let cache = full(sessions);
    Entrant::new(END_USER, move || {
        users(&cache, times, |cache, guests, names| {
            sessile_cache::sign_in(cache, guests, names);
            let start = Instant::now();
            assert_eq!(sessile_cache::end_users(cache, names), names.len());
            start.elapsed()
        })
    })
}

/// Times a verb on batches of new sessions and users; returns the time for one.
fn users(
    cache: &SessionCache,
    times: usize,
    time: impl Fn(&SessionCache, &[SessionId], &[String]) -> Duration,
) -> f64 {
    let value = value();
    let mut elapsed = Duration::ZERO;
    for batch in 0..times / BATCH {
        let guests: Vec<_> = (0..BATCH)
            .map(|_| sessile_cache::create(cache, &value).id)
            .collect();
        let names: Vec<_> = (0..BATCH)
            .map(|n| format!("user {}", batch * BATCH + n))
            .collect();
        elapsed += time(cache, &guests, &names);
    }
    nanos_each(elapsed, times / BATCH * BATCH)
}

fn sessile(sessions: usize, inserts: usize) -> Entrant<'static> {
    let cache = full(sessions);
    let value = value();
    Entrant::new(Sessile::NAME, move || {
        let start = Instant::now();
        for _ in 0..inserts {
            black_box(sessile_cache::create(&cache, black_box(&value)));
        }
        nanos_each(start.elapsed(), inserts)
    })
}

/// The source of a peer's ids.
#[derive(Clone, Copy, PartialEq)]
enum Ids {
    /// From the operating system, and signed, as in sessile.
    Generated,
    /// From a list generated in advance.
    Ready,
}

fn peer<C: Contender + 'static>(
    sessions: usize,
    inserts: usize,
    ids: Ids,
    settle: fn(&C),
) -> Entrant<'static> {
    let contender = C::build(sessions);
    let value = value();
    let mut ready = (0..).map(workload::id);
    for id in ready.by_ref().take(sessions + sessions / 4) {
        contender.insert(id, &value);
    }
    assert!(
        contender.len() <= sessions + sessions / 10,
        "{} is bounded",
        C::NAME
    );
    let generator = TokenGenerator::new();
    let (name, listed) = match ids {
        Ids::Generated => (C::NAME.to_owned(), 0),
        Ids::Ready => (format!("{}{READY}", C::NAME), inserts),
    };
    Entrant::new(name, move || {
        let fresh: Vec<Id> = ready.by_ref().take(listed).collect();
        let start = Instant::now();
        for &id in &fresh {
            contender.insert(id, black_box(&value));
        }
        for _ in listed..inserts {
            contender.insert(generator.id(), black_box(&value));
        }
        settle(&contender);
        nanos_each(start.elapsed(), inserts)
    })
}

/// Measures generating an id and its tag alone.
fn id_and_tag(times: usize) -> f64 {
    let generator = TokenGenerator::new();
    let start = Instant::now();
    for _ in 0..times {
        black_box(generator.id());
    }
    nanos_each(start.elapsed(), times)
}

/// Generates ids as sessions need them: 16 bytes from the operating system, one call each, and a
/// MAC over them with a prepared key.
struct TokenGenerator(Hmac<Sha256>);

impl TokenGenerator {
    fn new() -> Self {
        Self(Hmac::new_from_slice(&[0x5e; 32]).expect("a MAC takes a key of any length"))
    }

    fn id(&self) -> Id {
        let mut id: Id = [0; 16];
        getrandom::fill(&mut id).expect("the operating system gives random bytes");
        let mut mac = self.0.clone();
        mac.update(&[1, 2, 3, 4]);
        mac.update(&id);
        black_box(mac.finalize());
        id
    }
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

fn report_samples(samples: &[Sample], report: &mut Report) {
    let id_and_tag = rounds::named(samples, ID_AND_TAG);
    let net = |sample: &Sample| {
        let [min, median] = match sample.name.ends_with(READY) {
            true => [0.0; 2],
            false => [id_and_tag.min(), id_and_tag.median()],
        };
        [sample.min() - min, sample.median() - median]
    };
    let base = net(rounds::named(samples, QuickCache::NAME));
    let mut table = Table::new(&[
        "",
        "min",
        "median",
        "net",
        "median",
        "× quick_cache",
        "median ×",
        VERDICT,
    ]);
    for sample in samples {
        let [min, median] = net(sample);
        let ratio = min / base[0];
        let is_ours = sample.name == Sessile::NAME;
        let verdict = is_ours.then(|| Target::AtMost(1.5).verdict(ratio, "× quick_cache"));
        table.row([
            sample.name.clone(),
            figure(sample.min(), 1),
            figure(sample.median(), 1),
            figure(min, 1),
            figure(median, 1),
            figure(ratio, 2),
            figure(median / base[1], 2),
            verdict.unwrap_or_else(blank),
        ]);
    }
    report.table(&table);
}

/// Verbs on users, compared with a create of the same run.
fn beside_create(samples: &[Sample]) -> Table {
    let create = rounds::named(samples, Sessile::NAME);
    let mut table = Table::new(&["", "min", "median", "min × create", "median ×", VERDICT]);
    for name in [Sessile::NAME, SIGN_IN, END_USER] {
        let sample = rounds::named(samples, name);
        let ratio = sample.min() / create.min();
        table.row([
            name.to_owned(),
            figure(sample.min(), 1),
            figure(sample.median(), 1),
            figure(ratio, 2),
            figure(sample.median() / create.median(), 2),
            Target::AtMost(2.0).verdict(ratio, "× create"),
        ]);
    }
    table
}

const SIGN_IN: &str = "sessile, sign_in";
const END_USER: &str = "sessile, end_user_sessions";
/// Sessions created outside the timed section before they are signed in to.
const BATCH: usize = 1_000;
const ID_AND_TAG: &str = "id and tag alone";
const READY: &str = ", ids ready";
