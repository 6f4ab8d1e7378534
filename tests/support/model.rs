//! A naive model of the cache, and the operations that are run on both: by proptest, by the fuzz target
//! and on its corpus.
//!
//! The model knows what is promised, not how it is kept. Where a promise leaves room (a session is
//! refused between fifteen sixteenths of its timeout and the whole; one may be evicted when memory is
//! short), it takes the cache's answer, and counts what it takes.

#[path = "model_users.rs"]
mod users;

use std::{cell::Cell, collections::HashMap, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use sessile::{
    AtLimit, Clock, Deadlines, Error, Handle, Issued, KeyRing, NewSession, Record, SessionCache,
    SessionId, UserHash,
};

/// One call. Sessions are named by their place among all that there ever were.
#[derive(Arbitrary, Clone, Debug)]
pub enum Op {
    Create { len: u16, idle: Option<u8>, lifetime: Option<u8> },
    Open { which: u16, forge: Option<u8> },
    Load { which: u16 },
    Save { which: u16, stale: bool, len: u16 },
    Touch { which: u16 },
    SetDeadlines { which: u16, idle: Option<u8>, lifetime: Option<u8> },
    Rotate { which: u16 },
    SignIn { which: u16, user: u8, idle: Option<u8>, renew: bool, label: u8 },
    SessionsOf { user: u8 },
    EndSession { which: u16 },
    EndUser { user: u8, except: Option<u16> },
    End { which: u16 },
    Advance { ticks: u16 },
    Maintain { budget: u8 },
}

/// Reads operations from bytes until they run out.
pub fn ops(bytes: &[u8]) -> Vec<Op> {
    let mut bytes = Unstructured::new(bytes);
    let next = || if bytes.is_empty() { None } else { Op::arbitrary(&mut bytes).ok() };
    std::iter::from_fn(next).take(1_000).collect()
}

/// How much memory a cache has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Plenty,
    Short,
    ShortInTwo,
    /// With half of it kept for sessions with a user.
    ShortWithFloor,
}

/// What a session is promised.
struct Session {
    data: Vec<u8>,
    version: u32,
    user: Option<u8>,
    created: u32,
    used: u32,
    idle_timeout: u32,
    /// From when the lifetime counts, and its end.
    start: u32,
    end: u32,
    /// What was said at the sign-in, and when; and the name in lists.
    label: u8,
    signed_in: u32,
    handle: Option<Handle>,
}

/// Where an id went that was rotated.
struct Alias {
    target: SessionId,
    /// Until when that is remembered.
    until: u32,
    /// Whose it was.
    user: Option<u8>,
}

/// The cache and the model, side by side.
pub struct Pair {
    cache: SessionCache,
    clock: Clock,
    now: u32,
    live: HashMap<SessionId, Session>,
    aliases: HashMap<SessionId, Alias>,
    known: Vec<Issued>,
    /// Every handle that there ever was of a session with a user.
    handles: Vec<Handle>,
    at_limit: AtLimit,
    written: u32,
    /// What is kept for sessions with a user, in bytes.
    floor: usize,
    /// Evictions that the model has not yet seen the loss of.
    evictions: [u64; 2],
    seen_evictions: [u64; 2],
    buffer: BytesMut,
    /// The hash by which the cache knows each user.
    users: HashMap<u8, UserHash>,
    /// Whether memory is so short that sessions are evicted.
    is_short: bool,
}

const IDLE: u32 = 100;
const LIFETIME: u32 = 400;
const TICK: Duration = Duration::from_millis(100);
const MOST_DATA: usize = 2_048;
const USERS: u8 = 6;
const MOST_SESSIONS: usize = 3;

impl Pair {
    /// Plenty of memory over four shards, or hardly any in one or in two.
    pub fn new(memory: Memory, at_limit: AtLimit) -> Self {
        let clock = Clock::manual();
        let (bytes, shards) = match memory {
            Memory::Plenty => (1 << 20, 4),
            Memory::Short => (40 << 10, 1),
            Memory::ShortInTwo | Memory::ShortWithFloor => (80 << 10, 2),
        };
        let floor = if memory == Memory::ShortWithFloor { bytes / 2 } else { 0 };
        NEXT.set(0);
        let cache = SessionCache::builder()
            .memory(bytes)
            .shards(shards)
            .entropy(counted)
            .max_session_size(MOST_DATA)
            .idle_timeout(TICK * IDLE)
            .lifetime(TICK * LIFETIME)
            .max_sessions_per_user(MOST_SESSIONS)
            .at_limit(at_limit)
            .authenticated_floor(floor)
            .clock(clock.clone())
            .keys(KeyRing::from_bytes(&[KEY]).expect("a key"))
            .build()
            .expect("settings that hold");
        Self {
            cache,
            clock,
            now: 0,
            live: HashMap::new(),
            aliases: HashMap::new(),
            known: Vec::new(),
            handles: Vec::new(),
            at_limit,
            written: 0,
            floor,
            evictions: [0; 2],
            seen_evictions: [0; 2],
            buffer: BytesMut::new(),
            is_short: memory != Memory::Plenty,
            users: HashMap::new(),
        }
    }

    /// Runs every operation on both, and checks every structure after each.
    pub fn run(&mut self, ops: &[Op]) {
        for op in ops {
            self.step(op);
            self.cache.validate();
            let memory = self.cache.stats().memory;
            let anonymous = memory.used - memory.authenticated;
            assert!(anonymous <= memory.capacity - self.floor, "the floor is kept");
        }
        self.settle();
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Create { len, idle, lifetime } => self.create(len, deadlines(idle, lifetime)),
            Op::Open { which, forge } => self.open(which, forge),
            Op::Load { which } => self.load(which),
            Op::Save { which, stale, len } => self.save(which, stale, len),
            Op::Touch { which } => {
                let Some(id) = self.pick(which) else { return };
                let answer = self.cache.touch(&id);
                self.agree(&id, answer.is_ok());
                self.used(&id);
            }
            Op::SetDeadlines { which, idle, lifetime } => {
                let Some(id) = self.pick(which) else { return };
                let deadlines = deadlines(idle, lifetime);
                let answer = self.cache.set_deadlines(&id, deadlines);
                self.agree(&id, answer.is_ok());
                let now = self.now;
                self.live.get_mut(&id).map(|session| session.set(deadlines, now)).unwrap_or(());
            }
            Op::Rotate { which } => {
                let Some(id) = self.pick(which) else { return };
                let answer = self.cache.rotate(&id, sessile::Grace::NONE);
                self.reissued(&id, answer, |_| {});
            }
            Op::SignIn { which, user, idle, renew, label } => {
                let Some(id) = self.pick(which) else { return };
                self.sign_in(&id, user % USERS, deadlines(idle, None), renew, label % 49);
            }
            Op::SessionsOf { user } => drop(self.sessions_of(user % USERS)),
            Op::EndSession { which } => self.end_session(which),
            Op::EndUser { user, except } => self.end_user(user % USERS, except),
            Op::End { which } => self.end(which),
            Op::Advance { ticks } => {
                let ticks = u32::from(ticks % 150);
                self.clock.advance(TICK * ticks);
                self.now += ticks;
            }
            Op::Maintain { budget } => {
                let done = self.cache.maintain(usize::from(budget));
                assert!(done.visited <= usize::from(budget) && done.expired <= done.visited);
            }
        }
    }

    fn create(&mut self, len: u16, deadlines: Deadlines) {
        let data = self.fresh_data(usize::from(len) % (MOST_DATA + 16));
        match self.cache.create(&data, NewSession::default().deadlines(deadlines)) {
            Ok(made) => {
                assert!(data.len() <= MOST_DATA);
                let end = self.now + LIFETIME;
                let mut session = Session {
                    data,
                    version: made.version,
                    user: None,
                    created: self.now,
                    used: self.now,
                    idle_timeout: IDLE,
                    start: self.now,
                    end,
                    label: 0,
                    signed_in: 0,
                    handle: None,
                };
                session.set(deadlines, self.now);
                assert!(self.live.insert(made.id, session).is_none(), "an id is new");
                self.known.push(made);
            }
            Err(Error::TooLarge { len, limit }) => {
                assert!(len == data.len() && limit == MOST_DATA && len > limit);
            }
            Err(error) => self.refused(error),
        }
        self.count_evictions();
    }

    /// `Full` comes only when memory is short, and then nobody went.
    fn refused(&self, error: Error) {
        assert!(error == Error::Full && self.is_short, "{error}");
        let evicted = self.cache.stats().evicted;
        let evicted = [evicted.probation + evicted.anonymous, evicted.authenticated];
        assert_eq!(evicted, self.seen_evictions, "a refusal evicts nobody");
    }

    fn open(&mut self, which: u16, forge: Option<u8>) {
        let Some(issued) = self.known.get(usize::from(which) % self.known.len().max(1)) else {
            return;
        };
        let (id, mut value) = (issued.id, issued.token.as_str().as_bytes().to_vec());
        if let Some(place) = forge {
            value[usize::from(place) % 48] ^= 1;
        }
        let field = [b"a=1; __Host-session=", &value[..], b"; b=2"].concat();
        let mut buffer = std::mem::take(&mut self.buffer);
        let record = self.cache.open([&field[..]], &mut buffer);
        self.buffer = buffer;
        if forge.is_some() {
            assert!(record.is_none() && self.buffer.is_empty(), "a forged token opens nothing");
        } else {
            self.read(&id, record);
        }
    }

    fn load(&mut self, which: u16) {
        let Some(id) = self.pick(which) else { return };
        let mut buffer = std::mem::take(&mut self.buffer);
        let record = self.cache.load(&id, &mut buffer);
        self.buffer = buffer;
        self.read(&id, record);
    }

    fn read(&mut self, id: &SessionId, record: Option<Record>) {
        self.agree(id, record.is_some());
        let Some(record) = record else { return assert!(self.buffer.is_empty()) };
        let (session, now) = (&self.live[id], self.now);
        assert_eq!(record.id, *id);
        assert_eq!(&self.buffer[..], &session.data, "what was written is what is read");
        assert_eq!(record.version, session.version);
        let user = session.user.zip(record.user);
        assert_eq!(record.user.is_some(), session.user.is_some());
        assert!(user.is_none_or(|(user, hash)| *self.users.entry(user).or_insert(hash) == hash));
        assert!(self.users.values().filter(|&&hash| Some(hash) == record.user).count() <= 1);
        assert_eq!(record.age(), TICK * (now - session.created));
        assert_eq!(record.assurance, session.label, "both are one number here");
        assert!(session.user.is_none() || session.handle == Some(record.handle()));
        let signed_in = session.user.map(|_| TICK * (now - session.signed_in));
        assert_eq!(record.authenticated_for(), signed_in);
        let until = session.end.min(now + session.idle_timeout) - now;
        let left = record.expires_in();
        assert!(left <= TICK * until && left + TICK * (session.idle_timeout / 16) >= TICK * until);
        self.used(id);
    }

    fn save(&mut self, which: u16, stale: bool, len: u16) {
        let Some(id) = self.pick(which) else { return };
        let data = self.fresh_data(usize::from(len) % (MOST_DATA + 1));
        let version = self.live.get(&id).map_or(0, |session| session.version);
        let answer = self.cache.save(&id, version.wrapping_sub(stale.into()), &data);
        if answer == Err(Error::Full) {
            self.refused(Error::Full);
            return self.agree(&id, true);
        }
        self.count_evictions();
        self.agree(&id, answer != Err(Error::Gone));
        let Some(session) = self.live.get_mut(&id) else { return };
        if stale {
            assert_eq!(answer, Err(Error::Conflict));
        } else {
            assert_eq!(answer, Ok(version + 1));
            (session.data, session.version) = (data, version + 1);
            self.used(&id);
        }
    }

    fn reissued(
        &mut self,
        id: &SessionId,
        answer: Result<Issued, Error>,
        change: impl FnOnce(&mut Session),
    ) {
        if let Err(Error::Full) = answer {
            self.refused(Error::Full);
            return self.agree(id, true);
        }
        self.count_evictions();
        self.agree(id, answer.is_ok());
        let Ok(issued) = answer else {
            return assert_eq!(answer.err(), Some(Error::Gone));
        };
        let mut session = self.live.remove(id).expect("both agree that it was there");
        assert_eq!(issued.version, session.version, "a new id leaves the data alone");
        let remembered = session.end.min(self.now + session.idle_timeout);
        session.used = self.now;
        let alias = Alias { target: issued.id, until: remembered, user: session.user };
        self.aliases.insert(*id, alias);
        change(&mut session);
        assert!(self.live.insert(issued.id, session).is_none(), "an id is new");
        self.known.push(issued);
    }

    fn end(&mut self, which: u16) {
        let Some(mut id) = self.pick(which) else { return };
        let answer = self.cache.end(&id);
        let mut is_remembered = true;
        while let Some(alias) = self.aliases.get(&id) {
            is_remembered &= self.now < alias.until && !self.is_short;
            id = alias.target;
        }
        if is_remembered || answer {
            self.agree(&id, answer);
            self.live.remove(&id);
        }
    }

    /// Checks whether a session is there against what the model promises, and takes the answer where it
    /// promises nothing.
    fn agree(&mut self, id: &SessionId, is_there: bool) {
        let Some(session) = self.live.get(id) else {
            return assert!(!is_there, "what ended, expired or was rotated does not come back");
        };
        if is_there {
            return assert!(!session.is_dead(self.now), "a deadline is kept");
        }
        if session.is_promised(self.now) {
            let class = usize::from(session.user.is_some());
            assert!(self.evictions[class] > 0, "a session is there until its deadline");
            self.evictions[class] -= 1;
        }
        self.live.remove(id);
    }

    fn used(&mut self, id: &SessionId) {
        let now = self.now;
        self.live.get_mut(id).map(|session| session.used = now).unwrap_or(());
    }

    fn count_evictions(&mut self) {
        let stats = self.cache.stats();
        let evicted =
            [stats.evicted.probation + stats.evicted.anonymous, stats.evicted.authenticated];
        assert!(self.is_short || evicted == [0; 2], "nothing is evicted while there is room");
        assert!(
            stats.memory.used <= stats.memory.capacity
                && stats.memory.capacity < stats.memory.budget
        );
        // Those of before that were seen, or that concerned sessions that expired meanwhile, are left in.
        let seen = std::mem::replace(&mut self.seen_evictions, evicted);
        self.evictions = [0, 1].map(|class| self.evictions[class] + evicted[class] - seen[class]);
    }

    /// Reads every session at the end: nothing is lost but what was evicted.
    fn settle(&mut self) {
        for which in 0..self.known.len() {
            self.load(which as u16);
            assert!(self.known.len() <= usize::from(u16::MAX));
        }
        let (len, at_most) = (self.cache.len(), self.live.len());
        assert!(len >= at_most, "{len} sessions, and {at_most} are promised");
        self.clock.advance(TICK * LIFETIME);
        while self.cache.maintain(64).more {}
        assert_eq!(self.cache.len(), 0, "all memory comes back");
        assert_eq!(self.cache.stats().memory.used, 0);
    }

    fn pick(&self, which: u16) -> Option<SessionId> {
        let known = self.known.get(usize::from(which) % self.known.len().max(1))?;
        Some(known.id)
    }

    /// Bytes that no other write has.
    fn fresh_data(&mut self, len: usize) -> Vec<u8> {
        self.written += 1;
        self.written.to_le_bytes().into_iter().cycle().take(len).collect()
    }
}

impl Session {
    fn set(&mut self, deadlines: Deadlines, now: u32) {
        let ticks = |span: Option<Duration>| span.map(|span| (span.as_millis() / 100) as u32);
        self.idle_timeout =
            ticks(deadlines.idle_timeout).map_or(self.idle_timeout, |own| own.min(IDLE));
        self.end = ticks(deadlines.lifetime).map_or(self.end, |own| self.start + own.min(LIFETIME));
        self.used = now;
    }

    fn is_promised(&self, now: u32) -> bool {
        now < self.end && now < self.used + self.idle_timeout - self.idle_timeout / 16
    }

    fn is_dead(&self, now: u32) -> bool {
        now >= self.end || now >= self.used + self.idle_timeout
    }
}

fn deadlines(idle: Option<u8>, lifetime: Option<u8>) -> Deadlines {
    let idle_timeout = idle.map(|ticks| TICK * u32::from(ticks));
    Deadlines { idle_timeout, lifetime: lifetime.map(|ticks| TICK * 2 * u32::from(ticks)) }
}

thread_local! {
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// Random bytes that are the same in each run, so that what fails fails again.
fn counted(bytes: &mut [u8]) -> Result<(), Error> {
    for chunk in bytes.chunks_mut(8) {
        NEXT.set(NEXT.get() + 1);
        let mut word = NEXT.get().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        chunk.copy_from_slice(&(word ^ (word >> 29)).to_le_bytes()[..chunk.len()]);
    }
    Ok(())
}

const KEY: &[u8] = b"9f5c1d07b3e84a62-a key of the model-6d20";
