//! A naive model of L1, and the operations that are run on both: by proptest, by the fuzz target
//! and on its corpus.
//!
//! The model keeps what the store said of each session. Where memory is short it takes L1's word
//! for what was evicted, checks that each of those was allowed to be, and that as many were
//! counted.

use std::{cell::Cell, collections::HashMap, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use sessile::{
    Error, IssuedSession, KeyRing, ManualClock, Record, SessionCache, UserHash, Version,
    tier::{Installed, L1, LookUp, Placement, StoredSession, Ticks},
};

/// One call. Sessions are named by their place in the list of issued ids.
#[derive(Arbitrary, Clone, Debug)]
pub enum Op {
    Install {
        which: u8,
        given: Given,
        len: u16,
    },
    Load {
        which: u8,
    },
    Peek {
        which: u8,
    },
    /// A request with two cookies, of which one may be forged.
    LookUp {
        which: [u8; 2],
        forged: Option<bool>,
        is_use: bool,
    },
    Invalidate {
        which: u8,
        below: Option<u8>,
        is_message: bool,
    },
    InvalidateAll {
        chance: u8,
    },
    SetUserKey {
        chance: u8,
        key: u8,
    },
    Record {
        which: u8,
        given: Given,
        is_alias: bool,
    },
    Advance {
        ticks: u8,
    },
    Maintain {
        budget: u8,
    },
}

/// The answer of a store, in ticks.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Given {
    version: u8,
    serial: u8,
    idle_timeout: u8,
    idle_left: u8,
    life_left: u16,
    age: u16,
    issued_ago: u8,
    authenticated_ago: u8,
    sent_ago: u8,
    is_renewed: bool,
    is_returned: bool,
}

/// Reads operations from bytes until they run out.
pub fn ops(bytes: &[u8]) -> Vec<Op> {
    let mut bytes = Unstructured::new(bytes);
    let next = || {
        if bytes.is_empty() {
            None
        } else {
            Op::arbitrary(&mut bytes).ok()
        }
    };
    std::iter::from_fn(next).take(1_000).collect()
}

/// An entry: what the store said, and the times as ticks of the clock of L1.
#[derive(Clone)]
struct Entry {
    session: StoredSession,
    data: Vec<u8>,
    idle: u32,
    end: u32,
}

/// L1 and the model, side by side.
pub struct Pair {
    l1: L1,
    clock: ManualClock,
    now: u32,
    issued: Vec<IssuedSession>,
    users: Vec<Option<UserHash>>,
    live: HashMap<usize, Entry>,
    is_short: bool,
    written: u32,
    evicted: u64,
    hits: u64,
    misses: u64,
    forged: u64,
    buffer: BytesMut,
}

const IDLE: u32 = 200;
const LIFETIME: u32 = 400;
const TICK: Duration = Duration::from_millis(100);
const MOST_DATA: usize = 2_048;
const SESSIONS: usize = 48;

impl Pair {
    /// Plenty of memory over four shards, or hardly any in one.
    pub fn new(is_short: bool) -> Self {
        let clock = ManualClock::new();
        let (bytes, shards) = if is_short {
            (40 << 10, 1)
        } else {
            (1 << 20, 4)
        };
        NEXT.set(0);
        let l1 = SessionCache::builder()
            .memory(bytes)
            .shards(shards)
            .entropy(counted)
            .max_session_size(MOST_DATA)
            .idle_timeout(TICK * IDLE)
            .lifetime(TICK * LIFETIME)
            .clock(clock.clone())
            .keys(KeyRing::from_bytes(&[KEY]).expect("a key"))
            .build_l1([1; 32])
            .expect("settings that hold");
        let users: Vec<_> = (0..SESSIONS)
            .map(|n| (n % 3 == 0).then(|| l1.user_hash(&format!("user {}", n % 4))))
            .collect();
        let issue = |user: &Option<UserHash>| {
            let placement = user.map_or(Placement::Random, Placement::User);
            l1.issue(placement).expect("random bytes")
        };
        Self {
            issued: users.iter().map(issue).collect(),
            users,
            l1,
            clock,
            now: LIFETIME,
            live: HashMap::new(),
            is_short,
            written: 0,
            evicted: 0,
            hits: 0,
            misses: 0,
            forged: 0,
            buffer: BytesMut::new(),
        }
    }

    /// Runs every operation on both, and compares all entries after each.
    pub fn run(&mut self, ops: &[Op]) {
        for op in ops {
            self.step(op);
            self.l1.validate();
            let is_of_user = matches!(op, Op::Install { which, .. } if self.user(*which).is_some());
            self.compare_all(is_of_user);
        }
        self.settle();
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Install { which, given, len } => self.install(which, &given, len),
            Op::Load { which } => self.load(which),
            Op::Peek { which } => self.peek(number(which)),
            Op::LookUp {
                which,
                forged,
                is_use,
            } => self.look_up(which, forged, is_use),
            Op::Invalidate {
                which,
                below,
                is_message,
            } => self.invalidate(number(which), below, is_message),
            Op::InvalidateAll { chance } if chance < 64 => {
                self.l1.invalidate_all();
                self.live.clear();
            }
            Op::SetUserKey { chance, key } if chance < 32 => {
                self.l1.set_user_key([key; 32]);
                self.live.clear();
            }
            Op::InvalidateAll { .. } | Op::SetUserKey { .. } => {}
            Op::Record {
                which,
                given,
                is_alias,
            } => self.record(number(which), &given, is_alias),
            Op::Advance { ticks } => {
                self.clock.advance(TICK * u32::from(ticks));
                self.now += u32::from(ticks);
            }
            Op::Maintain { budget } => {
                self.l1.maintain(budget.into());
            }
        }
    }

    fn install(&mut self, which: u8, given: &Given, len: u16) {
        let number = number(which);
        let new = self.entry(number, given, usize::from(len) % (MOST_DATA + 1));
        let answer = self.l1.install(&new.session, &new.data);
        let old = self.live.get(&number).filter(|old| old.is_live(self.now));
        if old.is_some_and(|old| old.session.version.get() > new.session.version.get()) {
            return assert_eq!(answer, Installed::Older);
        }
        self.live.remove(&number);
        if !new.is_live(self.now) {
            return assert_eq!(answer, Installed::Expired);
        }
        if answer == Installed::Full {
            return assert!(self.is_short, "there is plenty of memory");
        }
        assert_eq!(answer, Installed::Stored);
        self.live.insert(number, new);
    }

    fn load(&mut self, which: u8) {
        let number = number(which);
        let id = self.issued[number].id;
        let record = self.l1.load(&id, &mut self.buffer);
        self.count(record.is_some());
        self.check_use(number, record.as_ref());
    }

    fn peek(&mut self, number: usize) {
        let id = self.issued[number].id;
        let record = self.l1.peek(&id, &mut self.buffer);
        let entry = self
            .live
            .get(&number)
            .filter(|entry| entry.is_live(self.now));
        assert_eq!(record.is_some(), entry.is_some());
        if let (Some(record), Some(entry)) = (record, entry) {
            assert!(!record.needs_touch());
            entry.compare(&record, &self.buffer, self.now);
        }
    }

    /// Checks a read that counts as use.
    fn check_use(&mut self, number: usize, record: Option<&Record>) {
        let now = self.now;
        let entry = self
            .live
            .get_mut(&number)
            .filter(|entry| entry.is_live(now));
        assert_eq!(record.is_some(), entry.is_some());
        let (Some(record), Some(entry)) = (record, entry) else {
            return assert!(self.buffer.is_empty());
        };
        let timeout = entry.idle_timeout();
        let is_due = entry.idle - now <= timeout - timeout / 16;
        assert_eq!(
            record.needs_touch(),
            is_due,
            "the store learns of each move"
        );
        if is_due {
            entry.idle = now + timeout;
        }
        entry.compare(record, &self.buffer, now);
    }

    fn look_up(&mut self, which: [u8; 2], forged: Option<bool>, is_use: bool) {
        let numbers = which.map(number);
        let is_forged = |at: usize| forged.is_some_and(|second| usize::from(second) == at);
        let mut field = b"a=1".to_vec();
        for (at, &number) in numbers.iter().enumerate() {
            let mut value = self.issued[number].token.as_str().as_bytes().to_vec();
            value[40] ^= u8::from(is_forged(at));
            field.extend_from_slice(b"; __Host-session=");
            field.extend_from_slice(&value);
        }
        let valid: Vec<_> = (0..2)
            .filter(|&at| !is_forged(at))
            .map(|at| numbers[at])
            .collect();
        let answer = if is_use {
            self.l1.look_up([&field[..]], &mut self.buffer)
        } else {
            self.l1.peek_fields([&field[..]], &mut self.buffer)
        };
        // The second one is not examined after a hit.
        let is_examined = |second: bool| !second || !matches!(answer, LookUp::Hit(_));
        self.forged += u64::from(forged.is_some_and(is_examined));
        match answer {
            LookUp::Hit(record) if is_use => {
                self.count(true);
                self.check_use(valid[0], Some(&record));
            }
            LookUp::Hit(record) => {
                let entry = &self.live[&valid[0]];
                entry.compare(&record, &self.buffer, self.now);
            }
            LookUp::Unknown(candidates) => {
                let ids: Vec<_> = candidates.iter().map(|candidate| candidate.id).collect();
                let expected: Vec<_> = valid.iter().map(|&at| self.issued[at].id).collect();
                assert_eq!(ids, expected);
                let first = self.live.get(&valid[0]);
                assert!(first.is_none_or(|entry| !entry.is_live(self.now)));
                assert!(self.buffer.is_empty());
                self.misses += u64::from(is_use);
            }
            _ => panic!("one token is valid"),
        }
    }

    fn invalidate(&mut self, number: usize, below: Option<u8>, is_message: bool) {
        let id = self.issued[number].id;
        let below = below.map_or(Version::MAX, |below| Version::new(below.into()));
        let dropped = if is_message {
            self.l1.invalidate_in(id.partition(), id.to_bytes(), below)
        } else {
            self.l1.invalidate(&id, below)
        };
        let is_lower = |entry: &Entry| entry.session.version.get() < below.get();
        let expected = self.live.get(&number).is_some_and(is_lower);
        assert_eq!(dropped, expected && self.live[&number].is_live(self.now));
        if expected {
            self.live.remove(&number);
        }
    }

    fn record(&mut self, number: usize, given: &Given, is_alias: bool) {
        let mut entry = self.entry(number, given, 0);
        let other = self.issued[(number + 1) % SESSIONS].id;
        let opened_by = if is_alias { other } else { entry.session.id };
        let record = self.l1.record(&entry.session, &opened_by);
        assert_eq!((record.id, record.is_alias()), (opened_by, is_alias));
        if record.needs_touch() {
            entry.idle = self.now + entry.idle_timeout();
        }
        // It names the id that opened it.
        let mut record = record;
        record.id = entry.session.id;
        entry.compare(&record, &[], self.now);
    }

    /// Compares every entry. Those that are missing were evicted, which is allowed where memory is
    /// short, and of a session with a user only for another.
    fn compare_all(&mut self, may_evict_users: bool) {
        let now = self.now;
        self.live.retain(|_, entry| entry.is_live(now));
        for number in 0..SESSIONS {
            let id = self.issued[number].id;
            let is_there = self.l1.peek(&id, &mut self.buffer).is_some();
            if self.live.contains_key(&number) && !is_there {
                assert!(self.is_short, "nothing is evicted from plenty of memory");
                assert!(may_evict_users || self.users[number].is_none());
                self.live.remove(&number);
                self.evicted += 1;
            }
            self.peek(number);
        }
        let stats = self.l1.stats();
        let evicted = stats.evicted;
        let counted = evicted.probation + evicted.anonymous + evicted.authenticated;
        assert_eq!(counted, self.evicted, "evictions are counted");
        assert_eq!((stats.hits, stats.misses), (self.hits, self.misses));
        let rejected = stats.rejected;
        assert_eq!(rejected.forged + rejected.malformed, self.forged);
        assert!(self.l1.len() >= self.live.len());
    }

    fn count(&mut self, is_hit: bool) {
        self.hits += u64::from(is_hit);
        self.misses += u64::from(!is_hit);
    }

    fn settle(&mut self) {
        self.clock.advance(TICK * 2 * LIFETIME);
        while self.l1.maintain(64).more {}
        assert_eq!(self.l1.len(), 0, "all entries expire");
        assert_eq!(self.l1.stats().memory.used, 0);
    }

    fn user(&self, which: u8) -> Option<UserHash> {
        self.users[number(which)]
    }

    /// The entry that comes of an answer.
    fn entry(&mut self, number: usize, given: &Given, len: usize) -> Entry {
        self.written += 1;
        let data = self
            .written
            .to_le_bytes()
            .into_iter()
            .cycle()
            .take(len)
            .collect();
        let ticks = |number: u32| TICK * number;
        let sent = self.now - u32::from(given.sent_ago % 100);
        let user = self.users[number];
        let session = StoredSession {
            serial: given.serial.into(),
            user,
            assurance_level: user.map_or(0, |_| given.serial),
            lifetime_renewed: given.is_renewed,
            returned: given.is_returned,
            idle_timeout: ticks(given.idle_timeout.into()),
            age: ticks((given.age % 200).into()),
            issued_ago: ticks((given.issued_ago % 150).into()),
            authenticated_ago: ticks((given.authenticated_ago % 150).into()),
            idle_left: ticks(given.idle_left.into()),
            life_left: ticks((given.life_left % 600).into()),
            ..StoredSession::new(
                self.issued[number].id,
                Version::new(given.version.into()),
                Ticks::new(sent),
            )
        };
        let idle_left = u32::from(given.idle_left.min(given.idle_timeout));
        let life_left = u32::from(given.life_left % 600);
        Entry {
            session,
            data,
            idle: sent + idle_left,
            end: (sent + life_left).min(self.now + LIFETIME),
        }
    }
}

impl Entry {
    fn idle_timeout(&self) -> u32 {
        (self.session.idle_timeout.as_millis() / 100) as u32
    }

    fn is_live(&self, now: u32) -> bool {
        self.idle.min(self.end) > now
    }

    /// Checks that a record and its data are what the store said.
    fn compare(&self, record: &Record, data: &[u8], now: u32) {
        let session = &self.session;
        let since = Ticks::new(now).since(session.sent_at);
        assert_eq!((record.id, record.version), (session.id, session.version));
        assert_eq!(data, self.data);
        assert_eq!(
            (record.user, record.assurance_level),
            (session.user, session.assurance_level)
        );
        assert_eq!(record.age(), session.age + since);
        assert_eq!(record.id_age(), session.issued_ago + since);
        let authenticated = session.user.map(|_| session.authenticated_ago + since);
        assert_eq!(record.authenticated_for(), authenticated);
        let left = self.idle.min(self.end).saturating_sub(now);
        assert_eq!(record.expires_in(), TICK * left);
        assert_eq!(record.idle_timeout(), session.idle_timeout);
        assert_eq!(record.handle(), session.handle());
        assert_eq!(record.read_at(), Ticks::new(now));
        assert_eq!(
            record.to_stored().lifetime_renewed,
            session.lifetime_renewed
        );
    }
}

fn number(which: u8) -> usize {
    usize::from(which) % SESSIONS
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
