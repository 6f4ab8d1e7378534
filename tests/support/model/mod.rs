//! A naive model of the cache, and operations that run on both: by proptest, by the fuzz target and
//! on its corpus.
//!
//! The model knows the guarantees, not the implementation. Some guarantees allow a choice: a
//! session is rejected between fifteen sixteenths of its timeout and the whole, and may be evicted
//! when memory is short. There the model follows the cache's events and checks that they were
//! allowed.

mod ends;
mod events;
mod reads;
mod rotation;
mod timeouts;
mod users;
mod writes;

use std::{cell::Cell, collections::HashMap, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use events::SideEffects;
use rotation::{Alias, Resolved};
use sessile::{
    Error, EventKind, Handle, IssuedSession, KeyRing, ManualClock, SessionCache,
    SessionCacheBuilder, SessionId, SessionLimitPolicy, UserHash,
};
use timeouts::{SessionTimeouts, span, timeouts};

/// One call. Sessions are named by their position among all sessions ever created.
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
    SetTimeouts {
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
        details: SignInDetails,
        renew: bool,
        data: Option<(bool, u16)>,
    },
    CreateFor {
        user: u8,
        len: u16,
        lifetime: Option<u8>,
        details: SignInDetails,
    },
    UserSessions {
        user: u8,
    },
    EndByHandle {
        which: u16,
    },
    EndUserSessions {
        user: u8,
        except: Option<u16>,
    },
    End {
        which: u16,
    },
    EndIfUnchanged {
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
    SetLifetimeFromNow {
        which: u16,
        ticks: u16,
    },
}

/// Details of a sign-in.
#[derive(Arbitrary, Clone, Copy, Debug, Default)]
pub struct SignInDetails {
    idle: Option<u8>,
    label: u8,
}

/// Decodes operations from bytes until they run out.
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

/// Amount of memory of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Plenty,
    Short,
    ShortInTwoShards,
    /// Half of it is reserved for authenticated sessions.
    ShortWithReservation,
}

/// The guaranteed state of a session.
#[derive(Clone)]
struct Session {
    data: Vec<u8>,
    version: u32,
    user: Option<u8>,
    created: u32,
    used: u32,
    idle_timeout: u32,
    /// Start and end of the lifetime.
    start: u32,
    end: u32,
    /// Details and time of the sign-in, and the handle in lists.
    label: u8,
    signed_in: u32,
    handle: Handle,
    /// Set when the session was rejected because of its timeouts; it stays rejected.
    is_over: bool,
}

/// The cache and the model, side by side.
pub struct Pair {
    cache: SessionCache,
    clock: ManualClock,
    now: u32,
    /// Sessions created before this tick have ended.
    cutoff: u32,
    /// The sessions whose end was not emitted yet.
    live: HashMap<SessionId, Session>,
    aliases: HashMap<SessionId, Alias>,
    known: Vec<IssuedSession>,
    /// Every handle ever issued, in order.
    handles: Vec<Handle>,
    session_limit_policy: SessionLimitPolicy,
    end_reused: bool,
    written: u32,
    /// Bytes reserved for authenticated sessions.
    reserved: usize,
    /// Number of events of each kind, and of sessions ended by `end_all`.
    tally: HashMap<EventKind, u64>,
    ended_at_once: u64,
    buffer: BytesMut,
    /// The hash under which the cache knows each user.
    users: HashMap<u8, UserHash>,
    /// True if memory is so short that sessions are evicted.
    is_short: bool,
}

const IDLE: u32 = 100;
const LIFETIME: u32 = 400;
const TICK: Duration = Duration::from_millis(100);
const MAX_DATA: usize = 2_048;
/// More than any operation emits.
const EVENTS: usize = 1_200;
const USERS: u8 = 6;
const MAX_SESSIONS: usize = 3;

impl Pair {
    /// Creates a cache with ample memory over four shards, or with little in one or in two.
    pub fn new(memory: Memory, session_limit_policy: SessionLimitPolicy, end_reused: bool) -> Self {
        let clock = ManualClock::new();
        let (bytes, shards) = match memory {
            Memory::Plenty => (1 << 20, 4),
            Memory::Short => (40 << 10, 1),
            Memory::ShortInTwoShards | Memory::ShortWithReservation => (80 << 10, 2),
        };
        let reserved = if memory == Memory::ShortWithReservation {
            bytes / 2
        } else {
            0
        };
        NEXT.set(0);
        let cache = builder(&clock)
            .memory(bytes + EVENTS * 60)
            .end_reused(end_reused)
            .shards(shards)
            .session_limit_policy(session_limit_policy)
            .reserved_for_authenticated(reserved)
            .build();
        Self {
            cache: cache.expect("valid settings"),
            clock,
            now: 0,
            cutoff: 0,
            live: HashMap::new(),
            aliases: HashMap::new(),
            known: Vec::new(),
            handles: Vec::new(),
            session_limit_policy,
            end_reused,
            written: 0,
            reserved,
            tally: HashMap::new(),
            ended_at_once: 0,
            buffer: BytesMut::new(),
            is_short: memory != Memory::Plenty,
            users: HashMap::new(),
        }
    }

    /// Runs every operation on both, and validates every structure after each.
    pub fn run(&mut self, ops: &[Op]) {
        for op in ops {
            self.step(op);
            self.cache.validate();
            assert_eq!(
                self.cache.len(),
                self.live.len(),
                "the end of every missing session was emitted"
            );
            let memory = self.cache.stats().memory;
            let anonymous = memory.used - memory.authenticated;
            let is_kept = anonymous <= memory.capacity - self.reserved;
            assert!(is_kept || self.ended_at_once > 0, "the reservation is kept");
        }
        self.finish();
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
            Op::SetTimeouts {
                which,
                idle,
                lifetime,
            } => {
                self.set_timeouts(which, timeouts(idle, lifetime));
            }
            Op::SetLifetimeFromNow { which, ticks } => {
                let span = TICK * u32::from(ticks % 500);
                self.set_timeouts(
                    which,
                    SessionTimeouts {
                        from_now: Some(span),
                        ..SessionTimeouts::default()
                    },
                );
            }
            Op::Rotate { which, grace } => self.rotate(which, grace.map_or(Duration::ZERO, span)),
            Op::SignIn {
                which,
                user,
                details,
                renew,
                data,
            } => {
                let Some(id) = self.pick(which) else { return };
                self.sign_in(&id, user % USERS, details, renew, data);
            }
            Op::CreateFor {
                user,
                len,
                lifetime,
                details,
            } => {
                self.create_for(user % USERS, len, timeouts(None, lifetime), details);
            }
            Op::UserSessions { user } => drop(self.user_sessions(user % USERS)),
            Op::EndByHandle { which } => self.end_by_handle(which),
            Op::EndUserSessions { user, except } => self.end_user_sessions(user % USERS, except),
            Op::End { which } => self.end(which),
            Op::EndIfUnchanged { which, stale } => self.end_if_unchanged(which, stale),
            // Seldom, so that there are sessions to end.
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
                let before = self.emitted(EventKind::Expired);
                self.expect(SideEffects::Expiry, &[]);
                assert_eq!(
                    self.emitted(EventKind::Expired) - before,
                    done.expired as u64
                );
            }
        }
    }

    /// Checks that the answer for an id agrees with the guarantees.
    fn check_id(&mut self, resolved: &Resolved, is_there: bool) {
        if !resolved.is_open {
            return assert!(
                !is_there,
                "an old id opens no session after its grace period"
            );
        }
        if is_there || resolved.is_sure {
            self.check_session(&resolved.end, is_there);
        }
    }

    /// Checks that the presence of a session agrees with the guarantees, and adopts the answer
    /// where they allow either.
    fn check_session(&mut self, id: &SessionId, is_there: bool) {
        let Some(session) = self.live.get_mut(id) else {
            return assert!(
                !is_there,
                "an ended, expired or evicted session does not return"
            );
        };
        if is_there {
            assert!(
                !session.is_dead(self.now) && !session.is_over,
                "no session opens past its deadline"
            );
        } else {
            assert!(
                !session.is_promised(self.now),
                "a session is kept until its deadline"
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

    /// Reads every session at the end: only evicted ones are missing.
    fn finish(&mut self) {
        for which in 0..self.known.len() {
            self.load(which as u16);
            assert!(self.known.len() <= usize::from(u16::MAX));
        }
        // A session created after `end_all` may count from a later tick.
        let drift = self.cutoff.saturating_sub(self.now);
        // An old id is remembered for a grace period and an idle timeout.
        self.now += LIFETIME + drift + IDLE;
        self.clock.advance(TICK * (LIFETIME + drift + IDLE));
        while self.cache.maintain(64).more {}
        self.expect(SideEffects::Expiry, &[]);
        assert!(self.live.is_empty(), "the end of each session was emitted");
        assert_eq!(self.cache.len(), 0, "all sessions are freed");
        assert_eq!(self.cache.stats().memory.used, 0);
    }

    fn pick(&self, which: u16) -> Option<SessionId> {
        let known = self
            .known
            .get(usize::from(which) % self.known.len().max(1))?;
        Some(known.id)
    }

    /// Returns bytes that no other write has.
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

fn builder(clock: &ManualClock) -> SessionCacheBuilder {
    SessionCache::builder()
        .events(EVENTS)
        .entropy(counted)
        .max_session_size(MAX_DATA)
        .idle_timeout(TICK * IDLE)
        .lifetime(TICK * LIFETIME)
        .max_sessions_per_user(MAX_SESSIONS)
        .clock(clock.clone())
        .keys(KeyRing::from_bytes(&[KEY]).expect("a valid key"))
}

thread_local! {
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// Random bytes that are the same in each run, so that failures are reproducible.
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
