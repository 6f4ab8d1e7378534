//! Caches for tests: one shard, a manual clock and the same keys in each run, unless a test says
//! otherwise; and what a request does with one.

#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod l1;
pub(crate) mod rings;

use std::{env, time::Duration};

use bytes::BytesMut;
use rings::ring;
use sessile::{
    CreateOptions, Error, IssuedSession, ManualClock, Record, SessionCache, SessionCacheBuilder,
    SessionId, SignInOptions, Timeouts, Token, Version,
};

/// What timeouts are counted in.
pub(crate) const TICK: Duration = Duration::from_millis(100);

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// The cache's own timeouts.
pub(crate) const PLAIN: Timeouts = Timeouts::new();

/// A new session that says nothing.
pub(crate) const NEW: CreateOptions<'static> = CreateOptions::new();

/// A sign-in that says nothing.
pub(crate) const PLAINLY: SignInOptions<'static> = SignInOptions::new();

/// One shard of 2 MiB, under key 1 of `rings`, with the default timeouts.
pub(crate) fn builder(clock: &ManualClock) -> SessionCacheBuilder {
    let builder = SessionCache::builder().memory(2 << 20).shards(1);
    builder.clock(clock.clone()).keys(ring(&[1]))
}

pub(crate) fn cache() -> (SessionCache, ManualClock) {
    let clock = ManualClock::new();
    (builder(&clock).build().unwrap(), clock)
}

pub(crate) fn idle(span: Duration) -> Timeouts {
    PLAIN.idle_timeout(span)
}

/// A new session with timeouts of its own.
pub(crate) fn having(timeouts: Timeouts) -> CreateOptions<'static> {
    NEW.timeouts(timeouts)
}

pub(crate) fn lifetime(span: Duration) -> Timeouts {
    PLAIN.lifetime(span)
}

pub(crate) fn create(cache: &SessionCache, data: &[u8]) -> IssuedSession {
    cache.create(data).unwrap()
}

pub(crate) fn sign_in(cache: &SessionCache, id: &SessionId, user: &str) -> IssuedSession {
    cache.sign_in(id, user).unwrap()
}

pub(crate) fn create_many(cache: &SessionCache, number: usize, data: &[u8]) -> Vec<IssuedSession> {
    (0..number).map(|_| create(cache, data)).collect()
}

/// A session that somebody has signed in to.
pub(crate) fn signed_in(cache: &SessionCache, data: &[u8], user: &str) -> IssuedSession {
    sign_in(cache, &create(cache, data).id, user)
}

/// The record and the data of an id.
pub(crate) fn load(cache: &SessionCache, id: &SessionId) -> Option<(Record, Vec<u8>)> {
    let mut buffer = BytesMut::from(&b"left from before"[..]);
    let record = cache.load(id, &mut buffer);
    assert!(
        record.is_some() || buffer.is_empty(),
        "a miss leaves nothing in the buffer"
    );
    record.map(|record| (record, buffer.to_vec()))
}

pub(crate) fn data(cache: &SessionCache, id: &SessionId) -> Option<Vec<u8>> {
    load(cache, id).map(|(_, data)| data)
}

/// The record and the data of a request with those `Cookie` fields.
pub(crate) fn open(cache: &SessionCache, fields: &[&[u8]]) -> Option<(Record, Vec<u8>)> {
    let mut buffer = BytesMut::from(&b"left from before"[..]);
    let record = cache.open(fields.iter().copied(), &mut buffer);
    assert!(
        record.is_some() || buffer.is_empty(),
        "a miss leaves nothing in the buffer"
    );
    record.map(|record| (record, buffer.to_vec()))
}

/// The same for a request with that cookie among others.
pub(crate) fn request(cache: &SessionCache, token: &str) -> Option<(Record, Vec<u8>)> {
    open(cache, &[&field(cache, token)])
}

pub(crate) fn opens(cache: &SessionCache, token: &Token) -> bool {
    request(cache, token.as_str()).is_some()
}

pub(crate) fn field(cache: &SessionCache, token: &str) -> Vec<u8> {
    format!("theme=dark; {}={token}; a=1", cache.cookie_name()).into_bytes()
}

/// Every verb that needs a session says that there is none, and none comes of it. (An expired one may
/// lose its memory meanwhile.)
pub(crate) fn assert_gone(cache: &SessionCache, id: &SessionId, version: Version) {
    let before = (cache.len(), cache.stats());
    assert_eq!(cache.save(id, version, b"back again"), Err(Error::Gone));
    assert_eq!(cache.touch(id), Err(Error::Gone));
    assert_eq!(cache.set_timeouts(id, version, PLAIN), Err(Error::Gone));
    assert_eq!(cache.rotate(id, Duration::ZERO).err(), Some(Error::Gone));
    assert_eq!(cache.sign_in(id, "alice").err(), Some(Error::Gone));
    assert!(load(cache, id).is_none());
    let after = (cache.len(), cache.stats());
    assert!(after.0 <= before.0 && after.1.memory.used <= before.1.memory.used);
    assert_eq!(after.1.created, before.1.created);
    assert!(after.1.sessions.authenticated <= before.1.sessions.authenticated);
}

/// A version that the session has after so many more changes.
pub(crate) fn later(version: Version, changes: u32) -> Version {
    Version::new(version.get().wrapping_add(changes))
}

/// As many sessions of that many bytes as fit, first in, first in the list.
pub(crate) fn fill(cache: &SessionCache, data_len: usize) -> Vec<IssuedSession> {
    let all: Vec<_> = (0..cache.capacity_for(data_len))
        .map(|n| create(cache, &filler(n, data_len)))
        .collect();
    assert_eq!(cache.stats().evicted.probation, 0, "all fit");
    all
}

/// Sessions with users and nothing else, as many as leave no room for an anonymous one that is three
/// times as long; first in, first in the list. (For one of their own length there may be some.)
pub(crate) fn fill_with_users(cache: &SessionCache, data_len: usize) -> Vec<IssuedSession> {
    assert!(data_len >= 128, "what is left over is less than two blocks");
    // Of many shards, two are drawn.
    let create = |data: &[u8]| (0..30).find_map(|_| cache.create(data).ok());
    let probe = filler(0, data_len * 3);
    let mut all = Vec::new();
    while let Some(probe) = create(&probe) {
        assert!(cache.end(&probe.id));
        assert!(
            all.len() < cache.capacity_for(0) * 4,
            "users push out users, and it never ends"
        );
        let made = create(&filler(all.len(), data_len)).unwrap();
        all.push(sign_in(cache, &made.id, &format!("user {}", all.len())));
    }
    all.retain(|made| cache.touch(&made.id).is_ok());
    all
}

/// Bytes that tell one session from another.
pub(crate) fn filler(number: usize, len: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(len).collect()
}

/// The bytes of a session's block, as the documentation of memory has it.
pub(crate) fn block(data_len: usize, has_user: bool) -> usize {
    let user = if has_user { 24 } else { 0 };
    (96 + user + data_len.next_multiple_of(8)).max(128)
}

/// The bytes of the largest session's block, which has a user and the longest label.
pub(crate) fn largest_block(data_len: usize) -> usize {
    block(data_len, true) + 48
}

/// Whether the long forms of tests were asked for, with `SESSILE_LONG=1`.
pub(crate) fn is_long() -> bool {
    env::var_os("SESSILE_LONG").is_some_and(|value| value == "1")
}

/// Numbers that are the same in each run, unless `SESSILE_SEED` is set (xorshift; Marsaglia 2003).
pub(crate) struct Random(u64);

impl Random {
    #[allow(clippy::print_stderr)]
    pub(crate) fn new() -> Self {
        let seed = env::var("SESSILE_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(0x9e37_79b9_7f4a_7c15);
        eprintln!("SESSILE_SEED={seed}");
        Self(seed | 1)
    }

    /// Another, which goes its own way from here.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next().wrapping_mul(0x2545_f491_4f6c_dd1d) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        (1..items.len())
            .rev()
            .for_each(|at| items.swap(at, self.below(at + 1)));
    }
}
