//! Tail latency: the longest duration of a call, and of another client's wait for it, where the
//! engine has the most work under one lock.
//!
//! Two situations. In the first, memory is full of authenticated sessions, users sign out, and an
//! anonymous client repeatedly requests the largest permitted session. It is rejected until enough
//! small blocks are free, and then blocks may have to be moved. In the second, a session was
//! rotated very often, and a request carries four of the oldest cookies that the engine still
//! remembers.
//!
//! Another thread touches sessions and times each call. For comparison the same runs while the
//! first thread does arithmetic: that row shows the machine's own pauses.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use hdrhistogram::Histogram;
use sessile::{Clock, CreateOptions, Error, IssuedSession, SessionCache, SessionId, Token};

use crate::{
    Plan,
    expiry::compress_for,
    report::{Report, Table, Target, VERDICT, blank, count, figure},
    sessile_cache,
    workload::Random,
};

/// Writes a table for each situation.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    full(plan, report);
    rotated(plan, report);
}

fn full(plan: &Plan, report: &mut Report) {
    let cache = sessile_cache::crowded(plan.crowded);
    let mut random = Random::new(11);
    let mut users = Users::fill(&cache, &mut random);
    let bystanders = users.bystanders();
    let mut table = Table::new(&HEAD);
    let mut quiet = Tail::default();
    let alone = || compress_for(QUIET);
    beside(
        &cache,
        &bystanders,
        &AtomicBool::new(true),
        &mut quiet,
        alone,
    );
    let is_busy = AtomicBool::new(false);
    let [mut admitted, mut rejected, mut touched] = [const { Tail::NONE }; 3];
    beside(&cache, &bystanders, &is_busy, &mut touched, || {
        let largest = vec![0x5a; LARGEST];
        let start = Instant::now();
        for _ in 0..plan.crowding {
            if start.elapsed() > SPAN {
                break;
            }
            users.sign_out(&cache, &mut random);
            is_busy.store(true, Relaxed);
            let call = Instant::now();
            let created = cache.create(&largest);
            match &created {
                Ok(_) => admitted.record(call),
                Err(Error::Full) => rejected.record(call),
                Err(error) => panic!("an anonymous create: {error}"),
            }
            is_busy.store(false, Relaxed);
            if let Ok(issued) = created {
                cache.end(&issued.id);
                users.sign_in(&cache);
            }
        }
    });
    admitted.row("create, admitted", Some(CALL), &mut table);
    rejected.row("create, rejected", Some(CALL), &mut table);
    touched.row("touch by another client", Some(CALL), &mut table);
    quiet.row("touch, without creates", None, &mut table);
    let memory = plan.crowded >> 20;
    report.heading(&format!(
        "tails: {memory} MiB full of authenticated sessions, anonymous creates of 16 KiB, µs"
    ));
    report.table(&table);
}

fn rotated(plan: &Plan, report: &mut Report) {
    let cache = sessile_cache::cache_of(plan.crowded, &Clock::system());
    let (tokens, current) = rotate(&cache, plan.rotations);
    let oldest = oldest_remembered(&cache, &tokens);
    let mut table = Table::new(&HEAD);
    for (name, tokens) in [
        ("the four oldest remembered", &tokens[oldest..oldest + 4]),
        ("the four oldest of all", &tokens[..4]),
    ] {
        let mut tail = Tail::default();
        open(&cache, &header(tokens), None, &mut tail);
        tail.row(name, Some(REQUEST), &mut table);
    }
    let mut tail = Tail::default();
    open(&cache, &header(&[current.1]), Some(&current.0), &mut tail);
    tail.row("the current one", None, &mut table);
    report.heading(&format!(
        "tails: a request with old cookies of a session after {} rotations, µs",
        count(plan.rotations)
    ));
    report.table(&table);
}

/// Rotates one session; returns its earlier tokens, oldest first, and the current one.
fn rotate(cache: &SessionCache, rotations: usize) -> (Vec<Token>, (SessionId, Token)) {
    let mut issued = sessile_cache::create(cache, b"a cart");
    let mut tokens = Vec::with_capacity(rotations);
    for number in 0..rotations {
        tokens.push(issued.token);
        issued = match number % SIGN_IN_EVERY {
            0 => cache.sign_in(&issued.id, "ada"),
            _ => cache.rotate(&issued.id, Duration::ZERO),
        }
        .expect("the session is live");
    }
    (tokens, (issued.id, issued.token))
}

/// Returns the position of the oldest token whose use counts as reuse, or of the fourth from the
/// end.
fn oldest_remembered(cache: &SessionCache, tokens: &[Token]) -> usize {
    let mut buffer = BytesMut::new();
    let mut is_remembered = |token: &Token| {
        let before = cache.stats().rejected.reused;
        cache.open_token(token.as_str().as_bytes(), &mut buffer);
        cache.stats().rejected.reused > before
    };
    let last = tokens.len() - 4;
    if is_remembered(&tokens[0]) {
        return 0;
    }
    (0..last)
        .rev()
        .take_while(|&at| is_remembered(&tokens[at]))
        .last()
        .unwrap_or(last)
}

fn header(tokens: &[Token]) -> String {
    let pair = |token: &Token| format!("__Host-session={}", token.as_str());
    tokens.iter().map(pair).collect::<Vec<_>>().join("; ")
}

fn open(cache: &SessionCache, header: &str, expected: Option<&SessionId>, tail: &mut Tail) {
    let mut buffer = BytesMut::new();
    let start = Instant::now();
    for _ in 0..OPENS {
        if start.elapsed() > SPAN {
            break;
        }
        let call = Instant::now();
        let record = cache.open([header.as_bytes()], &mut buffer);
        tail.record(call);
        assert_eq!(
            record.map(|record| record.id).as_ref(),
            expected,
            "only the current id opens it"
        );
    }
}

/// Authenticated sessions that fill every shard of a cache to the last small block.
struct Users {
    shards: Vec<ShardUser>,
}

/// The user of one shard, with the lengths of the user's sessions and of those that were signed
/// out.
struct ShardUser {
    name: String,
    sessions: Vec<(SessionId, usize)>,
    ended: Vec<usize>,
}

impl Users {
    fn fill(cache: &SessionCache, random: &mut Random) -> Self {
        let mut found: Vec<(u16, String)> = Vec::new();
        // The sessions of one user are in one shard; with this many users each shard has one.
        for number in 0..1_000 {
            let name = format!("user {number}");
            let issued = create(cache, &name, 0);
            let shard = shard_of(&issued.token);
            if found.iter().all(|(known, _)| *known != shard) {
                found.push((shard, name));
            }
            cache.end(&issued.id);
        }
        let users = found
            .into_iter()
            .map(|(_, name)| ShardUser::fill(name, cache, random));
        Self {
            shards: users.collect(),
        }
    }

    /// Some sessions of each shard that stay signed in.
    fn bystanders(&mut self) -> Vec<SessionId> {
        let last = |user: &mut ShardUser| user.sessions.split_off(user.sessions.len() * 99 / 100);
        self.shards
            .iter_mut()
            .flat_map(last)
            .map(|(id, _)| id)
            .collect()
    }

    /// Ends a session in each shard.
    fn sign_out(&mut self, cache: &SessionCache, random: &mut Random) {
        for user in &mut self.shards {
            let (id, len) = user.sessions.swap_remove(random.below(user.sessions.len()));
            cache.end(&id);
            user.ended.push(len);
        }
    }

    /// Signs in again, with sessions as long as the ended ones, so that memory is full again.
    fn sign_in(&mut self, cache: &SessionCache) {
        for user in &mut self.shards {
            user.ended.sort_unstable();
            while let Some(len) = user.ended.pop() {
                user.sessions.push((create(cache, &user.name, len).id, len));
            }
        }
    }
}

impl ShardUser {
    /// Creates sessions, the last of them small, until one evicts another.
    fn fill(name: String, cache: &SessionCache, random: &mut Random) -> Self {
        let mut sessions = Vec::new();
        for longest in [2_000, 500, 0] {
            let before = cache.stats().evicted.authenticated;
            while cache.stats().evicted.authenticated == before {
                let len = random.below(longest + 1);
                sessions.push((create(cache, &name, len).id, len));
            }
        }
        Self {
            name,
            sessions,
            ended: Vec::new(),
        }
    }
}

fn create(cache: &SessionCache, user: &str, len: usize) -> IssuedSession {
    let new = CreateOptions::new().user(user);
    cache
        .create_with(&vec![0x5a; len], new)
        .expect("a user makes room")
}

/// Decodes the third and fourth byte of a token from its base64url.
fn shard_of(token: &Token) -> u16 {
    let digit = |byte: u8| {
        DIGITS
            .iter()
            .position(|&digit| digit == byte)
            .expect("base64url") as u64
    };
    let bits = token
        .as_str()
        .bytes()
        .take(6)
        .fold(0, |bits, byte| bits << 6 | digit(byte));
    (bits >> 4 & 0xffff) as u16
}

/// Runs the work while another thread touches sessions, and times each call that overlaps with a
/// busy span. A touched session may have been evicted.
fn beside(
    cache: &SessionCache,
    ids: &[SessionId],
    is_busy: &AtomicBool,
    tail: &mut Tail,
    work: impl FnOnce(),
) {
    let done = AtomicBool::new(false);
    let touch = || {
        let mut random = Random::new(7);
        while !done.load(Relaxed) {
            let id = &ids[random.below(ids.len())];
            let was_busy = is_busy.load(Relaxed);
            let call = Instant::now();
            let _ = cache.touch(id);
            if was_busy || is_busy.load(Relaxed) {
                tail.record(call);
            }
        }
    };
    thread::scope(|scope| {
        let bystander = scope.spawn(touch);
        work();
        done.store(true, Relaxed);
        bystander.join().expect("a bystander does not panic");
    });
}

/// The times of one kind of call, in nanoseconds.
#[derive(Default)]
struct Tail(Option<Histogram<u64>>);

impl Tail {
    const NONE: Self = Self(None);

    fn record(&mut self, call: Instant) {
        let elapsed = u64::try_from(call.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let histogram = self.0.get_or_insert_with(|| {
            Histogram::new_with_max(MINUTE, 3).expect("three digits are allowed")
        });
        histogram.saturating_record(elapsed);
    }

    fn row(&self, name: &str, goal: Option<f64>, table: &mut Table) {
        let Some(times) = &self.0 else {
            table.row([
                name.to_owned(),
                "0".to_owned(),
                blank(),
                blank(),
                blank(),
                blank(),
            ]);
            return;
        };
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let [median, tail] = [0.5, 0.999].map(|share| micros(times.value_at_quantile(share)));
        let verdict = |goal| Target::AtMost(goal).verdict(tail, "µs at p99.9");
        table.row([
            name.to_owned(),
            times.len().to_string(),
            figure(median, 1),
            figure(tail, 1),
            figure(micros(times.max()), 1),
            goal.map_or_else(blank, verdict),
        ]);
    }
}

const HEAD: [&str; 6] = ["", "calls", "p50", "p99.9", "worst", VERDICT];
/// Targets in µs: of a call beside others, and of a request with old cookies.
const CALL: f64 = 1_000.0;
const REQUEST: f64 = 50.0;
/// The largest session that the default settings permit.
const LARGEST: usize = 16 << 10;
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const OPENS: usize = 100_000;
const SIGN_IN_EVERY: usize = 1_000;
const QUIET: Duration = Duration::from_secs(3);
const SPAN: Duration = Duration::from_secs(20);
const MINUTE: u64 = 60_000_000_000;
