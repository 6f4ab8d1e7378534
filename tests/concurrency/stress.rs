//! The cache under many threads. A read returns only values that were written to that id, none
//! after `end` returned, after the grace period of its id or past a deadline. No save is lost. No
//! session outlives `end_all` or the end of all sessions of its user, and no user exceeds the
//! session limit.
//!
//! Each test runs for two seconds, or for `SESSILE_STRESS_SECONDS`.

use std::{
    env,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use sessile::{
    CreateOptions, Error, EventKind, IssuedSession, KeyRing, ManualClock, SessionCache,
    SignInOptions, Timeouts, Version,
};

/// Known facts about a session, shared by all its tokens.
#[derive(Default)]
struct Session {
    number: u64,
    /// Set when an `end` of the session has returned.
    ended: AtomicBool,
    /// The tick from which it is rejected in any case.
    end: u32,
    saves: AtomicU64,
}

/// A token and its state.
struct Ticket {
    issued: IssuedSession,
    /// Set when a rotation or a sign-in with this token has returned.
    is_old: AtomicBool,
    /// The tick from which the token opens no session.
    closed: AtomicU32,
    session: Arc<Session>,
    /// The user who was signed in when the token was issued.
    user: Option<usize>,
}

struct StressTest {
    cache: SessionCache,
    clock: ManualClock,
    /// Lower bound of the tick that the clock shows.
    now: AtomicU32,
    tickets: RwLock<Vec<Arc<Ticket>>>,
    numbers: AtomicU64,
    stop: AtomicBool,
    reads: AtomicU64,
    /// Reads by an old id.
    late_reads: AtomicU64,
}

const TICK: Duration = Duration::from_millis(100);
const IDLE: u32 = 100;
const LIFETIME: u32 = 200;
const TICKETS: usize = 400;
const THREADS: u64 = 6;
const USERS: usize = 40;
const MAX_SESSIONS: usize = 4;

// TERM-1, TERM-5, LIFE-5, LIFE-7: docs/security-checklist.md
#[test]
fn the_guarantees_hold_under_many_threads() {
    hold_under_many_threads(false);
}

#[test]
fn the_guarantees_hold_if_reuse_ends_the_session() {
    hold_under_many_threads(true);
}

fn hold_under_many_threads(end_reused: bool) {
    let test = &StressTest::new(end_reused);
    let seconds = env::var("SESSILE_STRESS_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(2));
    let latest = until + Duration::from_secs(120);
    let mut emitted = EmittedEvents::default();
    thread::scope(|scope| {
        (0..THREADS).for_each(|seed| drop(scope.spawn(move || test.work(Random::new(seed)))));
        // On a busy machine the test continues until enough reads were made to be meaningful.
        let goes_on = || Instant::now() < until || !test.has_seen_enough();
        while goes_on() && Instant::now() < latest && !test.stop.load(SeqCst) {
            test.clock.advance(TICK);
            test.now.fetch_add(1, SeqCst);
            test.cache.maintain(200);
            emitted.drain(&test.cache);
            test.cache.validate();
        }
        test.stop.store(true, SeqCst);
    });
    test.cache.validate();
    test.every_save_counts();
    emitted.drain(&test.cache);
    emitted.compare(&test.cache);
    assert!(
        test.has_seen_enough(),
        "enough reads, some of them within a grace period"
    );
}

fn new_cache(end_reused: bool, clock: &ManualClock) -> SessionCache {
    SessionCache::builder()
        .memory(700 << 10)
        .shards(4)
        .max_session_size(4_096)
        .idle_timeout(TICK * IDLE)
        .lifetime(TICK * LIFETIME)
        .max_sessions_per_user(MAX_SESSIONS)
        .events(2_000)
        .end_reused(end_reused)
        .clock(clock.clone())
        .keys(KeyRing::generate().expect("random bytes"))
        .build()
        .expect("valid settings")
}

/// Counts of received events.
#[derive(Default)]
struct EmittedEvents {
    created: u64,
    signed_in: u64,
    rotated: u64,
}

impl EmittedEvents {
    fn drain(&mut self, cache: &SessionCache) {
        while let Some(event) = cache.next_event() {
            match event.kind {
                EventKind::Created => self.created += 1,
                EventKind::SignedIn => self.signed_in += 1,
                EventKind::Rotated => self.rotated += 1,
                _ => {}
            }
        }
    }

    /// Asserts that every change was emitted or counted as dropped.
    fn compare(&self, cache: &SessionCache) {
        let stats = cache.stats();
        let emitted = [self.created, self.signed_in, self.rotated];
        let happened = [stats.created, stats.signed_in, stats.rotated];
        for (emitted, happened) in emitted.into_iter().zip(happened) {
            let range = happened.saturating_sub(stats.events_dropped)..=happened;
            assert!(
                range.contains(&emitted),
                "{emitted} of {happened}, but for {}",
                stats.events_dropped
            );
        }
    }
}

impl StressTest {
    fn new(end_reused: bool) -> Self {
        let clock = ManualClock::new();
        Self {
            cache: new_cache(end_reused, &clock),
            clock,
            now: AtomicU32::new(0),
            tickets: RwLock::default(),
            numbers: AtomicU64::new(1),
            stop: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            late_reads: AtomicU64::new(0),
        }
    }

    /// Returns true after enough reads, some of them by an old id within its grace period.
    fn has_seen_enough(&self) -> bool {
        self.reads.load(SeqCst) > 1_000 && self.late_reads.load(SeqCst) > 10
    }

    fn work(&self, mut random: Random) {
        let _stop = StopOnPanic(&self.stop);
        let mut buffer = BytesMut::new();
        while !self.stop.load(SeqCst) {
            let Some(ticket) = self.pick(&mut random) else {
                self.create(&mut random);
                continue;
            };
            match random.below(20) {
                0 => self.create(&mut random),
                1 => self.end(&ticket),
                2 => {
                    let grace = grace(&mut random);
                    let rotate =
                        |issued: &IssuedSession| self.cache.rotate(&issued.id, TICK * grace / 2);
                    self.reissue(&ticket, ticket.user, grace / 2, &mut random, rotate);
                }
                3 => {
                    let user = random.below(USERS);
                    let (name, label) = (user.to_string(), format!("label of {user}"));
                    let with = SignInOptions::new().label(&label);
                    let sign_in =
                        |issued: &IssuedSession| self.cache.sign_in_with(&issued.id, &name, with);
                    self.reissue(&ticket, Some(user), 0, &mut random, sign_in);
                }
                8 => self.list(&mut random),
                10 if random.below(4_000) == 0 => self.end_all(&mut buffer),
                9 if random.below(4) == 0 => self.end_user_sessions(&mut random, &mut buffer),
                4..8 => self.save(&ticket, &mut random, &mut buffer),
                _ => drop(self.read(&ticket, &mut buffer)),
            }
        }
    }

    fn create(&self, random: &mut Random) {
        let number = self.numbers.fetch_add(1, SeqCst);
        let lifetime = 1 + random.below(LIFETIME as usize) as u32;
        let new = CreateOptions::new().timeouts(Timeouts::new().lifetime(TICK * lifetime));
        match self
            .cache
            .create_with(&data(number, 0, random.below(3_000)), new)
        {
            Ok(issued) => {
                // The clock advances before `now`, so it showed at most this tick.
                let end = self.now.load(SeqCst) + 1 + lifetime;
                let session = Session {
                    number,
                    end,
                    ..Session::default()
                };
                self.keep(issued, Arc::new(session), None, random);
            }
            Err(error) => assert_eq!(error, Error::Full),
        }
    }

    /// Reads a session and, if it is stored, checks the guarantees.
    fn read(&self, ticket: &Ticket, buffer: &mut BytesMut) -> Option<(Version, u64)> {
        let session = &ticket.session;
        let was_old = ticket.is_old.load(SeqCst);
        let (was_ended, closed) = (session.ended.load(SeqCst), ticket.closed.load(SeqCst));
        let now = self.now.load(SeqCst);
        let header = format!("a=b; __Host-session={}", ticket.issued.token.as_str());
        let record = self.cache.open([header.as_bytes()], buffer)?;
        assert!(!was_ended, "no ended session opens");
        assert!(now < closed, "no old id opens after its grace");
        assert!(now < session.end, "no session opens past its deadline");
        let count = count(session.number, buffer);
        self.reads.fetch_add(1, SeqCst);
        self.late_reads.fetch_add(was_old.into(), SeqCst);
        Some((record.version, count))
    }

    fn save(&self, ticket: &Ticket, random: &mut Random, buffer: &mut BytesMut) {
        let Some((version, count)) = self.read(ticket, buffer) else {
            return;
        };
        let number = ticket.session.number;
        let more = data(number, count + 1, random.below(4_000));
        match self.cache.save(&ticket.issued.id, version, &more) {
            Ok(_) => drop(ticket.session.saves.fetch_add(1, SeqCst)),
            Err(Error::Conflict | Error::Gone | Error::Full) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn end(&self, ticket: &Ticket) {
        if self.cache.end(&ticket.issued.id) {
            ticket.session.ended.store(true, SeqCst);
        }
    }

    /// Lists a user's sessions and occasionally ends one of them.
    fn list(&self, random: &mut Random) {
        let user = random.below(USERS);
        let sessions = self.cache.user_sessions(&user.to_string());
        assert!(sessions.len() <= MAX_SESSIONS, "the limit holds");
        let label = format!("label of {user}");
        assert!(
            sessions.iter().all(|info| info.label == label),
            "the list contains only the user's sessions"
        );
        if let Some(info) = sessions.last().filter(|_| random.below(4) == 0) {
            self.cache.end_by_handle(&info.handle);
            assert!(
                !self.cache.end_by_handle(&info.handle),
                "the session has ended"
            );
        }
    }

    /// Asserts that no token issued to the user before the call opens a session afterwards.
    fn end_user_sessions(&self, random: &mut Random, buffer: &mut BytesMut) {
        let user = random.below(USERS);
        let before: Vec<_> = {
            let tickets = self.tickets.read().expect("no thread panicked");
            tickets
                .iter()
                .filter(|ticket| ticket.user == Some(user))
                .cloned()
                .collect()
        };
        self.cache.end_user_sessions(&user.to_string(), None);
        for ticket in before {
            let token = ticket.issued.token.as_str().as_bytes();
            assert!(
                self.cache.open_token(token, buffer).is_none(),
                "all are ended"
            );
        }
    }

    /// Asserts that no session created before the call opens afterwards, by any id.
    fn end_all(&self, buffer: &mut BytesMut) {
        let before = self.tickets.read().expect("no thread panicked").clone();
        self.cache.end_all();
        before
            .iter()
            .for_each(|ticket| ticket.session.ended.store(true, SeqCst));
        before
            .iter()
            .for_each(|ticket| assert!(self.read(ticket, buffer).is_none()));
    }

    fn reissue(
        &self,
        ticket: &Ticket,
        user: Option<usize>,
        grace: u32,
        random: &mut Random,
        verb: impl Fn(&IssuedSession) -> Result<IssuedSession, Error>,
    ) {
        let was_old = ticket.is_old.load(SeqCst);
        let was_over = was_old || ticket.session.ended.load(SeqCst);
        match verb(&ticket.issued) {
            Ok(issued) => {
                assert!(!was_over, "an ended or replaced session is not rotated");
                // The clock advances before `now`, so the grace period began at this tick or
                // earlier.
                let began = self.now.load(SeqCst) + 1;
                ticket
                    .closed
                    .store(if grace == 0 { 0 } else { began + grace }, SeqCst);
                ticket.is_old.store(true, SeqCst);
                self.keep(issued, ticket.session.clone(), user, random);
            }
            Err(Error::Gone | Error::Full | Error::Rotated) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn keep(
        &self,
        issued: IssuedSession,
        session: Arc<Session>,
        user: Option<usize>,
        random: &mut Random,
    ) {
        let (is_old, closed) = (AtomicBool::new(false), AtomicU32::new(u32::MAX));
        let ticket = Arc::new(Ticket {
            issued,
            is_old,
            closed,
            session,
            user,
        });
        let mut tickets = self.tickets.write().expect("no thread panicked");
        if tickets.len() < TICKETS {
            tickets.push(ticket);
        } else {
            tickets[random.below(TICKETS)] = ticket;
        }
    }

    fn pick(&self, random: &mut Random) -> Option<Arc<Ticket>> {
        let tickets = self.tickets.read().expect("no thread panicked");
        (!tickets.is_empty()).then(|| tickets[random.below(tickets.len())].clone())
    }

    /// Asserts that every live session contains as many saves as returned a version.
    fn every_save_counts(&self) {
        let mut buffer = BytesMut::new();
        for ticket in self.tickets.read().expect("no thread panicked").iter() {
            if let Some((_, count)) = self.read(ticket, &mut buffer) {
                assert_eq!(count, ticket.session.saves.load(SeqCst), "no save is lost");
            }
        }
    }
}

/// Returns a grace period in half ticks: none, about one tick, or up to more than the idle timeout.
fn grace(random: &mut Random) -> u32 {
    match random.below(4) {
        0 => 0,
        1 => random.below(5) as u32,
        _ => random.below(2 * (IDLE + 20) as usize) as u32,
    }
}

/// Encodes a session's number and its number of saves, followed by bytes derived from both.
fn data(number: u64, count: u64, len: usize) -> Vec<u8> {
    let mut data = [number.to_le_bytes(), count.to_le_bytes()].concat();
    let mut random = Random::new(number ^ count << 32);
    data.extend((0..len).map(|_| random.below(256) as u8));
    data
}

/// Returns the number of saves in `read`, and asserts that the data belongs to the session.
fn count(number: u64, read: &[u8]) -> u64 {
    let word = |at: usize| u64::from_le_bytes(read[at..at + 8].try_into().expect("eight bytes"));
    assert_eq!(
        word(0),
        number,
        "a value is read under the id it was written to"
    );
    assert_eq!(
        read,
        data(number, word(8), read.len() - 16),
        "a read returns the whole value"
    );
    word(8)
}

/// Stops the other threads if one panics, so that the failure is reported.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, SeqCst);
        }
    }
}

/// xorshift64* (Marsaglia 2003), seeded so that each thread draws the same numbers in every run.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}
