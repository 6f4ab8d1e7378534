//! A naive model of the cache, and the operations that are run on both: by proptest, by the fuzz target
//! and on its corpus.
//!
//! The model knows what is promised, not how it is kept. Where a promise leaves room (a session is
//! refused between fifteen sixteenths of its timeout and the whole; one may be evicted when memory is
//! short), it takes the cache's word, which are its events, and checks that the word was allowed.

mod events;
mod reads;
mod rotation;
mod users;

use std::{cell::Cell, collections::HashMap, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use events::Along;
use rotation::{Alias, Way};
use sessile::{
    CreateOptions, EndReason, Error, EventKind, Handle, IssuedSession, KeyRing, ManualClock,
    SessionCache, SessionId, SessionLimitPolicy, Timeouts, UserHash, Version,
};

/// One call. Sessions are named by their place among all that there ever were.
#[derive(Arbitrary, Clone, Debug)]
pub enum Op {
    Create {
        len: u16,
        idle: Option<u8>,
        lifetime: Option<u8>,
    },
    Flood {
        number: u8,
        len: u16,
        user: Option<u8>,
    },
    Open {
        which: u16,
        forge: Option<u8>,
    },
    Load {
        which: u16,
    },
    Save {
        which: u16,
        stale: bool,
        len: u16,
    },
    Touch {
        which: u16,
    },
    SetDeadlines {
        which: u16,
        idle: Option<u8>,
        lifetime: Option<u8>,
    },
    Rotate {
        which: u16,
        grace: Option<u16>,
    },
    SignIn {
        which: u16,
        user: u8,
        how: How,
        renew: bool,
        data: Option<(bool, u16)>,
    },
    CreateFor {
        user: u8,
        len: u16,
        lifetime: Option<u8>,
        how: How,
    },
    SessionsOf {
        user: u8,
    },
    EndSession {
        which: u16,
    },
    EndUser {
        user: u8,
        except: Option<u16>,
    },
    End {
        which: u16,
    },
    EndIf {
        which: u16,
        stale: bool,
    },
    EndAll {
        chance: u8,
    },
    Advance {
        ticks: u16,
    },
    Maintain {
        budget: u8,
    },
    Keep {
        which: u16,
        ticks: u16,
    },
}

/// What is said of somebody who signs in.
#[derive(Arbitrary, Clone, Copy, Debug, Default)]
pub struct How {
    idle: Option<u8>,
    label: u8,
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
#[derive(Clone)]
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
    handle: Handle,
    /// Whether it was refused because of its timeouts: then it stays refused.
    is_over: bool,
}

/// The cache and the model, side by side.
pub struct Pair {
    cache: SessionCache,
    clock: ManualClock,
    now: u32,
    /// What was created before this has ended.
    horizon: u32,
    /// The sessions whose end was not told yet.
    live: HashMap<SessionId, Session>,
    aliases: HashMap<SessionId, Alias>,
    known: Vec<IssuedSession>,
    /// Every handle that there ever was, in order.
    handles: Vec<Handle>,
    session_limit_policy: SessionLimitPolicy,
    end_reused: bool,
    written: u32,
    /// What is kept for sessions with a user, in bytes.
    floor: usize,
    /// How often each thing was told, and how many sessions were ended all at once.
    tally: HashMap<EventKind, u64>,
    ended_at_once: u64,
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
/// More than any operation can make.
const EVENTS: usize = 1_200;
const USERS: u8 = 6;
const MOST_SESSIONS: usize = 3;

impl Pair {
    /// Plenty of memory over four shards, or hardly any in one or in two.
    pub fn new(memory: Memory, session_limit_policy: SessionLimitPolicy, end_reused: bool) -> Self {
        let clock = ManualClock::new();
        let (bytes, shards) = match memory {
            Memory::Plenty => (1 << 20, 4),
            Memory::Short => (40 << 10, 1),
            Memory::ShortInTwo | Memory::ShortWithFloor => (80 << 10, 2),
        };
        let floor = if memory == Memory::ShortWithFloor {
            bytes / 2
        } else {
            0
        };
        NEXT.set(0);
        let cache = SessionCache::builder()
            .memory(bytes + EVENTS * 60)
            .events(EVENTS)
            .end_reused(end_reused)
            .shards(shards)
            .entropy(counted)
            .max_session_size(MOST_DATA)
            .idle_timeout(TICK * IDLE)
            .lifetime(TICK * LIFETIME)
            .max_sessions_per_user(MOST_SESSIONS)
            .session_limit_policy(session_limit_policy)
            .reserved_for_authenticated(floor)
            .clock(clock.clone())
            .keys(KeyRing::from_bytes(&[KEY]).expect("a key"))
            .build()
            .expect("settings that hold");
        Self {
            cache,
            clock,
            now: 0,
            horizon: 0,
            live: HashMap::new(),
            aliases: HashMap::new(),
            known: Vec::new(),
            handles: Vec::new(),
            session_limit_policy,
            end_reused,
            written: 0,
            floor,
            tally: HashMap::new(),
            ended_at_once: 0,
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
            assert_eq!(
                self.cache.len(),
                self.live.len(),
                "what is not there any more was told"
            );
            let memory = self.cache.stats().memory;
            let anonymous = memory.used - memory.authenticated;
            let is_kept = anonymous <= memory.capacity - self.floor;
            assert!(is_kept || self.ended_at_once > 0, "the floor is kept");
        }
        self.settle();
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Create {
                len,
                idle,
                lifetime,
            } => self.create(len, timeouts(idle, lifetime)),
            Op::Flood { number, len, user } => self.flood(number, len, user),
            Op::Open { which, forge } => self.open(which, forge),
            Op::Load { which } => self.load(which),
            Op::Save { which, stale, len } => self.save(which, stale, len),
            Op::Touch { which } => self.touch(which),
            Op::SetDeadlines {
                which,
                idle,
                lifetime,
            } => {
                self.set_timeouts(which, timeouts(idle, lifetime));
            }
            Op::Keep { which, ticks } => {
                let span = TICK * u32::from(ticks % 500);
                self.set_timeouts(
                    which,
                    Own {
                        from_now: Some(span),
                        ..Own::default()
                    },
                );
            }
            Op::Rotate { which, grace } => self.rotate(which, grace.map_or(Duration::ZERO, span)),
            Op::SignIn {
                which,
                user,
                how,
                renew,
                data,
            } => {
                let Some(id) = self.pick(which) else { return };
                self.sign_in(&id, user % USERS, how, renew, data);
            }
            Op::CreateFor {
                user,
                len,
                lifetime,
                how,
            } => {
                self.create_for(user % USERS, len, timeouts(None, lifetime), how);
            }
            Op::SessionsOf { user } => drop(self.user_sessions(user % USERS)),
            Op::EndSession { which } => self.end_by_handle(which),
            Op::EndUser { user, except } => self.end_user_sessions(user % USERS, except),
            Op::End { which } => self.end(which),
            Op::EndIf { which, stale } => self.end_if_unchanged(which, stale),
            // So rarely that there is something to end.
            Op::EndAll { chance } if chance % 8 == 0 => self.end_all(),
            Op::EndAll { .. } => {}
            Op::Advance { ticks } => {
                let ticks = u32::from(ticks % 150);
                self.clock.advance(TICK * ticks);
                self.now += ticks;
            }
            Op::Maintain { budget } => {
                let done = self.cache.maintain(usize::from(budget));
                assert!(done.visited <= usize::from(budget) && done.expired <= done.visited);
                let before = self.told_of(EventKind::Expired);
                self.expect(Along::Expiry, &[]);
                assert_eq!(
                    self.told_of(EventKind::Expired) - before,
                    done.expired as u64
                );
            }
        }
    }

    fn create(&mut self, len: u16, timeouts: Own) {
        let data = self.fresh_data(usize::from(len) % (MOST_DATA + 16));
        match self
            .cache
            .create_with(&data, CreateOptions::new().timeouts(timeouts.get()))
        {
            Ok(made) => {
                let own = self.told(Along::Anonymous);
                let &[(EventKind::Created, Some(handle))] = &own[..] else {
                    panic!("{own:?}")
                };
                assert!(
                    handle.user().is_none() && !self.handles.contains(&handle),
                    "it is new"
                );
                self.handles.push(handle);
                self.created(made, data, handle, |session, now| {
                    session.set(timeouts, now);
                });
            }
            Err(Error::TooLarge {
                given: len,
                max: limit,
            }) => {
                assert!(len == data.len() && limit == MOST_DATA && len > limit);
                self.expect(Along::Nothing, &[]);
            }
            Err(error) => self.refused(error),
        }
    }

    /// Many sessions, so that memory is short where there is little; perhaps each with a user.
    fn flood(&mut self, number: u8, len: u16, user: Option<u8>) {
        for each in 0..number % if self.is_short { 24 } else { 4 } {
            let before = self.known.len();
            self.create(len % (MOST_DATA as u16), Own::default());
            let made = self.known.get(before).map(|made| made.id);
            if let (Some(id), Some(user)) = (made, user) {
                let user = user.wrapping_add(each) % USERS;
                self.sign_in(
                    &id,
                    user,
                    How {
                        idle: None,
                        label: each,
                    },
                    false,
                    None,
                );
            }
        }
    }

    fn created(
        &mut self,
        made: IssuedSession,
        data: Vec<u8>,
        handle: Handle,
        with: impl FnOnce(&mut Session, u32),
    ) {
        assert!(data.len() <= MOST_DATA);
        let mut session = Session {
            data,
            version: made.version.get(),
            user: None,
            created: self.now.max(self.horizon),
            used: self.now,
            idle_timeout: IDLE,
            start: self.now,
            end: self.now + LIFETIME,
            label: 0,
            signed_in: 0,
            handle,
            is_over: false,
        };
        with(&mut session, self.now);
        session.start = session.created;
        assert!(self.live.insert(made.id, session).is_none(), "an id is new");
        self.known.push(made);
    }

    /// `Full` comes only when memory is short, and then nobody went.
    fn refused(&mut self, error: Error) {
        assert!(error == Error::Full && self.is_short, "{error}");
        self.expect(Along::Expiry, &[]);
    }

    fn touch(&mut self, which: u16) {
        let Some(id) = self.pick(which) else { return };
        let (way, answer) = (self.way(&id), self.cache.touch(&id));
        self.expect(Along::Nothing, &[]);
        self.agree(&way, answer.is_ok());
        if answer.is_ok() {
            self.used(&way.end);
        }
    }

    fn set_timeouts(&mut self, which: u16, timeouts: Own) {
        let Some(id) = self.pick(which) else { return };
        let way = self.way(&id);
        let version = self.live.get(&way.end).map_or(0, |session| session.version);
        let answer = self
            .cache
            .set_timeouts(&id, Version::new(version), timeouts.get());
        self.expect(Along::Nothing, &[]);
        self.agree(&way, answer.is_ok());
        let now = self.now;
        if let (Ok(next), Some(session)) = (answer, self.live.get_mut(&way.end)) {
            assert_eq!(next.get(), version + 1);
            session.version = next.get();
            session.set(timeouts, now);
        }
    }

    fn save(&mut self, which: u16, stale: bool, len: u16) {
        let Some(id) = self.pick(which) else { return };
        let data = self.fresh_data(usize::from(len) % (MOST_DATA + 1));
        let way = self.way(&id);
        let known = self.live.get(&way.end);
        let known = known.map(|session| (session.version, session.handle));
        let version = known.map_or(0, |(version, _)| version);
        let answer = self
            .cache
            .save(&id, Version::new(version.wrapping_sub(stale.into())), &data);
        let handle = known.map(|(_, handle)| handle);
        let has_user = handle.is_some_and(|handle| handle.user().is_some());
        match answer {
            Ok(_) if has_user => self.expect(Along::Anyone, &[]),
            Ok(_) => self.expect(Along::Anonymous, &[]),
            Err(Error::Conflict) => self.expect(Along::Expiry, &[(EventKind::Conflict, handle)]),
            Err(Error::Gone) => self.expect(Along::Expiry, &[]),
            Err(error) => self.refused(error),
        }
        self.agree(&way, answer != Err(Error::Gone));
        match answer {
            Ok(next) => {
                assert!(!stale && next.get() == version + 1);
                let session = self
                    .live
                    .get_mut(&way.end)
                    .expect("both agree that it is there");
                (session.data, session.version) = (data, next.get());
                self.used(&way.end);
            }
            Err(error) => assert!(stale || error != Error::Conflict, "a conflict with nobody"),
        }
    }

    fn end_if_unchanged(&mut self, which: u16, stale: bool) {
        let Some(id) = self.pick(which) else { return };
        let way = self.way(&id);
        let known = self.live.get(&way.end);
        let version = known
            .map_or(0, |session| session.version)
            .wrapping_sub(stale.into());
        let handle = known.map(|session| session.handle);
        let answer = self.cache.end_if_unchanged(&id, Version::new(version));
        match answer {
            Ok(()) => {
                self.expect(
                    Along::Nothing,
                    &[(EventKind::Ended(EndReason::Requested), handle)],
                );
            }
            Err(Error::Conflict) => self.expect(Along::Nothing, &[(EventKind::Conflict, handle)]),
            Err(error) => {
                assert!(error == Error::Gone || way.is_old && error == Error::Rotated);
                self.expect(Along::Nothing, &[]);
            }
        }
        if answer == Err(Error::Rotated) {
            // Whether the old id still opens the session, or whether that has ended, is not asked.
            return;
        }
        assert!(
            !(way.is_old && way.is_sure),
            "an old id that is remembered says so"
        );
        self.agree(&way, answer != Err(Error::Gone));
        let is_there = answer != Err(Error::Gone);
        assert!(!is_there || !way.is_old && stale == answer.is_err());
        if answer.is_ok() {
            self.live.remove(&way.end);
        }
    }

    fn end(&mut self, which: u16) {
        let Some(id) = self.pick(which) else { return };
        let way = self.way(&id);
        let handle = self.live.get(&way.end).map(|session| session.handle);
        if self.cache.end(&id) {
            self.expect(
                Along::Nothing,
                &[(EventKind::Ended(EndReason::Requested), handle)],
            );
            self.judge(&way.end, true);
            self.live.remove(&way.end);
            return;
        }
        self.expect(Along::Expiry, &[]);
        assert!(
            !way.is_sure || !self.live.contains_key(&way.end),
            "an end is not lost"
        );
    }

    fn end_all(&mut self) {
        self.cache.end_all();
        self.horizon = self.horizon.max(self.now) + 1;
        self.ended_at_once += self.live.len() as u64;
        self.live.clear();
        self.expect(
            Along::Nothing,
            &[(EventKind::Ended(EndReason::Global), None)],
        );
    }

    /// Checks whether a session answers to an id against what the model promises.
    fn agree(&mut self, way: &Way, is_there: bool) {
        if !way.is_open {
            return assert!(!is_there, "an old id opens nothing after its grace");
        }
        if is_there || way.is_sure {
            self.judge(&way.end, is_there);
        }
    }

    /// Checks whether a session is there against what the model promises, and takes the answer where it
    /// promises nothing.
    fn judge(&mut self, id: &SessionId, is_there: bool) {
        let Some(session) = self.live.get_mut(id) else {
            return assert!(
                !is_there,
                "what ended, expired or was evicted does not come back"
            );
        };
        if is_there {
            assert!(
                !session.is_dead(self.now) && !session.is_over,
                "a deadline is kept"
            );
        } else {
            assert!(
                !session.is_promised(self.now),
                "a session is there until its deadline"
            );
            session.is_over = true;
        }
    }

    fn used(&mut self, id: &SessionId) {
        let now = self.now;
        self.live
            .get_mut(id)
            .map(|session| session.used = now)
            .unwrap_or(());
    }

    /// Reads every session at the end: nothing is lost but what was evicted.
    fn settle(&mut self) {
        for which in 0..self.known.len() {
            self.load(which as u16);
            assert!(self.known.len() <= usize::from(u16::MAX));
        }
        // What was created after an end of all may count from a later tick.
        let drift = self.horizon.saturating_sub(self.now);
        // And an old id is remembered for a grace and an idle timeout.
        self.now += LIFETIME + drift + IDLE;
        self.clock.advance(TICK * (LIFETIME + drift + IDLE));
        while self.cache.maintain(64).more {}
        self.expect(Along::Expiry, &[]);
        assert!(self.live.is_empty(), "the end of each was told");
        assert_eq!(self.cache.len(), 0, "all memory comes back");
        assert_eq!(self.cache.stats().memory.used, 0);
    }

    fn pick(&self, which: u16) -> Option<SessionId> {
        let known = self
            .known
            .get(usize::from(which) % self.known.len().max(1))?;
        Some(known.id)
    }

    /// Bytes that no other write has.
    fn fresh_data(&mut self, len: usize) -> Vec<u8> {
        self.written += 1;
        self.written
            .to_le_bytes()
            .into_iter()
            .cycle()
            .take(len)
            .collect()
    }
}

impl Session {
    fn set(&mut self, timeouts: Own, now: u32) {
        let ticks = |span: Option<Duration>| span.map(|span| (span.as_millis() / 100) as u32);
        self.idle_timeout =
            ticks(timeouts.idle_timeout).map_or(self.idle_timeout, |own| own.min(IDLE));
        // Several ends of all in one tick have what is created after them begin in a tick to come.
        let start = self.start.min(now);
        self.end = ticks(timeouts.lifetime).map_or(self.end, |own| start + own.min(LIFETIME));
        let from_now = ticks(timeouts.from_now);
        self.end = from_now.map_or(self.end, |own| (now + own).min(start + LIFETIME));
        self.used = now;
    }

    fn is_promised(&self, now: u32) -> bool {
        now < self.end && now < self.used + self.idle_timeout - self.idle_timeout / 16
    }

    fn is_dead(&self, now: u32) -> bool {
        now >= self.end || now >= self.used + self.idle_timeout
    }
}

fn timeouts(idle: Option<u8>, lifetime: Option<u8>) -> Own {
    let idle_timeout = idle.map(|ticks| TICK * u32::from(ticks));
    let lifetime = lifetime.map(|ticks| TICK * 2 * u32::from(ticks));
    Own {
        idle_timeout,
        lifetime,
        from_now: None,
    }
}

/// Timeouts of a session, as the model reads them.
#[derive(Clone, Copy, Default)]
struct Own {
    idle_timeout: Option<Duration>,
    lifetime: Option<Duration>,
    from_now: Option<Duration>,
}

impl Own {
    fn get(self) -> Timeouts {
        let mut timeouts = Timeouts::new();
        if let Some(span) = self.idle_timeout {
            timeouts = timeouts.idle_timeout(span);
        }
        if let Some(span) = self.lifetime {
            timeouts = timeouts.lifetime(span);
        }
        self.from_now
            .map_or(timeouts, |span| timeouts.lifetime_from_now(span))
    }
}

/// A span of time from none to more than a lifetime, often of about a tick.
fn span(number: u16) -> Duration {
    let millis = if number.is_multiple_of(4) {
        number % 300
    } else {
        number % 45_000
    };
    Duration::from_millis(millis.into())
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
