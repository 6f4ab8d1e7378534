//! Memory: bytes per session beyond its 256 bytes of data, the share of a budget that remains
//! usable after ten turnovers, and the use of the region while sessions of all sizes are created
//! and evicted.
//!
//! Resident memory is read in a separate process for each contender (this program with a hidden
//! argument), since an allocator may keep freed memory for the next contender. The figure of the
//! peers is resident memory divided by live sessions. For sessile it is also the stricter budget
//! divided by the sessions that are live at the first eviction.

use std::{env, process::Command};

use sessile::{Clock, SessionCache};

use crate::{
    Plan,
    contender::Contender,
    machine,
    peers::{DashMap, Moka, MutexMap, Papaya, QuickCache, Scc},
    report::{Report, Table, Target, VERDICT, blank, count, figure},
    sessile_cache::{self, Sessile},
    workload::{self, Random, VALUE_LEN},
};

/// The argument that makes this program measure itself: `child WHAT SESSIONS`.
pub(crate) const CHILD: &str = "child";

/// Writes two tables: bytes per session, and turnovers. The use of the region is a separate axis.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    report.heading(&format!(
        "memory: bytes per session beyond its {VALUE_LEN}, {} sessions",
        count(plan.stored)
    ));
    report.table(&sizes(plan.stored));
    report.heading("memory: resident after ten turnovers, 64 B to 8 KiB");
    report.table(&turnovers(plan.churned));
}

fn sizes(sessions: usize) -> Table {
    let mut table = Table::new(&["", "live sessions", "resident", "budget", VERDICT]);
    let anonymous = Measurement::of(Sessile::NAME, sessions);
    let signed_in = Measurement::of(USERS, sessions);
    let user = signed_in.budgeted() - anonymous.budgeted();
    let beyond = Target::AtMost(112.0).verdict(anonymous.budgeted(), "bytes");
    anonymous.row(Sessile::NAME, anonymous.budgeted(), beyond, &mut table);
    signed_in.row(
        USERS,
        signed_in.budgeted(),
        Target::AtMost(40.0).verdict(user, "bytes more per user"),
        &mut table,
    );
    let peers = [
        <MutexMap>::NAME,
        <Papaya>::NAME,
        <DashMap>::NAME,
        <Scc>::NAME,
        QuickCache::NAME,
        <Moka>::NAME,
    ];
    for peer in peers {
        Measurement::of(peer, sessions).row(peer, f64::NAN, blank(), &mut table);
    }
    table
}

fn turnovers(memory: usize) -> Table {
    let mut table = Table::new(&["", "live sessions", "resident, MiB", "budget, MiB", VERDICT]);
    let measured = Measurement::of(TURNOVERS, memory);
    let off = (measured.resident as f64 / measured.budget as f64 - 1.0).abs() * 100.0;
    table.row([
        Sessile::NAME.to_owned(),
        measured.alive.to_string(),
        figure(measured.resident as f64 / MEBI, 2),
        figure(measured.budget as f64 / MEBI, 2),
        Target::AtMost(3.0).verdict(off, "% apart"),
    ]);
    table
}

/// The figures of a child process.
struct Measurement {
    alive: usize,
    /// Bytes that became resident since before the store was built.
    resident: usize,
    /// The budget of the store in bytes, if it has one.
    budget: usize,
}

impl Measurement {
    /// Measures in a separate process; returns zeros if that is not possible.
    fn of(what: &str, size: usize) -> Self {
        let program = env::current_exe().ok();
        let output = program.and_then(|program| {
            Command::new(program)
                .args([CHILD, what, &size.to_string()])
                .output()
                .ok()
        });
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let text = text.unwrap_or_default();
        let mut numbers = text
            .split_whitespace()
            .map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self {
            alive: next(),
            resident: next(),
            budget: next(),
        }
    }

    fn budgeted(&self) -> f64 {
        self.beyond(self.budget)
    }

    fn beyond(&self, bytes: usize) -> f64 {
        bytes as f64 / self.alive as f64 - VALUE_LEN as f64
    }

    fn row(&self, name: &str, budgeted: f64, verdict: String, table: &mut Table) {
        let budgeted = if budgeted.is_finite() {
            figure(budgeted, 1)
        } else {
            blank()
        };
        let resident = figure(self.beyond(self.resident), 1);
        table.row([
            name.to_owned(),
            self.alive.to_string(),
            resident,
            budgeted,
            verdict,
        ]);
    }
}

/// The child's side: measures one contender and prints `alive resident budget`.
pub(crate) fn child(what: &str, size: usize) -> Option<String> {
    let before = machine::resident()?;
    // The sessions must still be live when resident memory is read, so each arm returns its store.
    let (alive, budget, _held): (usize, usize, Box<dyn Send>) = match what {
        Sessile::NAME => filled(sessile_cache::cache_for(size, &Clock::system()), false),
        USERS => filled(sessile_cache::cache_for(size, &Clock::system()), true),
        TURNOVERS => turned_over(size),
        <MutexMap>::NAME => stored::<MutexMap>(size),
        <Papaya>::NAME => stored::<Papaya>(size),
        <DashMap>::NAME => stored::<DashMap>(size),
        <Scc>::NAME => stored::<Scc>(size),
        QuickCache::NAME => stored::<QuickCache>(size),
        <Moka>::NAME => stored::<Moka>(size),
        _ => return None,
    };
    let resident = machine::resident()?.saturating_sub(before);
    Some(format!("{alive} {resident} {budget}"))
}

fn stored<C: Contender + 'static>(sessions: usize) -> (usize, usize, Box<dyn Send>) {
    let contender = C::build(sessions);
    let mut value = [0; VALUE_LEN];
    for number in 0..sessions {
        workload::write_value(number, &mut value);
        contender.insert(workload::id(number), &value);
    }
    (contender.len(), 0, Box::new(contender))
}

/// Creates sessions, authenticated ones if `users` is set, until one is evicted or a create fails.
fn filled(cache: SessionCache, users: bool) -> (usize, usize, Box<dyn Send>) {
    let mut value = [0; VALUE_LEN];
    for number in 0.. {
        workload::write_value(number, &mut value);
        let Ok(issued) = cache.create(&value) else {
            break;
        };
        if users
            && cache
                .sign_in(&issued.id, &format!("user {number}"))
                .is_err()
        {
            break;
        }
        // Reading the statistics takes all locks, so it is done only occasionally.
        if number % LOOK_EVERY == 0 && evicted(&cache) > 0 {
            break;
        }
    }
    let (alive, budget) = (cache.len(), cache.stats().memory.budget);
    (alive, budget, Box::new(cache))
}

/// Creates sessions of all sizes with ten times the budget's amount of data.
fn turned_over(memory: usize) -> (usize, usize, Box<dyn Send>) {
    let cache = sessile_cache::cache_of(memory, &Clock::system());
    let mut random = Random::new(3);
    let mut value = vec![0; LONGEST];
    workload::write_value(1, &mut value);
    let mut written = 0;
    while written < TURNS * memory {
        let len = random.length(SHORTEST, LONGEST);
        sessile_cache::create(&cache, &value[..len]);
        written += len;
    }
    (cache.len(), cache.stats().memory.budget, Box::new(cache))
}

/// Returns the number of evicted sessions.
fn evicted(cache: &SessionCache) -> u64 {
    let evicted = cache.stats().evicted;
    evicted.probation + evicted.anonymous + evicted.authenticated
}

/// Range of sizes if all sizes are used: their logarithm is uniform.
pub(crate) const SHORTEST: usize = 64;
pub(crate) const LONGEST: usize = 8 << 10;
const USERS: &str = "sessile, authenticated";
const TURNOVERS: &str = "turnovers";
const TURNS: usize = 10;
const LOOK_EVERY: usize = 16;
const MEBI: f64 = 1_048_576.0;
