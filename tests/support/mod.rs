//! Caches for tests, and the operations of a request. A cache has one shard, a manual clock and
//! fixed keys, unless a test needs others.

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

/// The resolution of timeouts.
pub(crate) const TICK: Duration = Duration::from_millis(100);

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// Timeouts of the cache.
pub(crate) const PLAIN: Timeouts = Timeouts::new();

/// Options of a session without any details.
pub(crate) const NEW: CreateOptions<'static> = CreateOptions::new();

/// Options of a sign-in without any details.
pub(crate) const PLAINLY: SignInOptions<'static> = SignInOptions::new();

/// Creates a builder with one shard of 2 MiB, key 1 of `rings` and the default timeouts.
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

/// Returns options with per-session timeouts.
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

/// Creates a session and signs in to it.
pub(crate) fn signed_in(cache: &SessionCache, data: &[u8], user: &str) -> IssuedSession {
    sign_in(cache, &create(cache, data).id, user)
}

/// Returns the record and the data of an id.
pub(crate) fn load(cache: &SessionCache, id: &SessionId) -> Option<(Record, Vec<u8>)> {
    let mut buffer = BytesMut::from(&b"left from before"[..]);
    let record = cache.load(id, &mut buffer);
    assert!(
        record.is_some() || buffer.is_empty(),
        "a miss clears the buffer"
    );
    record.map(|record| (record, buffer.to_vec()))
}

pub(crate) fn data(cache: &SessionCache, id: &SessionId) -> Option<Vec<u8>> {
    load(cache, id).map(|(_, data)| data)
}

/// Returns the record and the data for a request with these `Cookie` fields.
pub(crate) fn open(cache: &SessionCache, fields: &[&[u8]]) -> Option<(Record, Vec<u8>)> {
    let mut buffer = BytesMut::from(&b"left from before"[..]);
    let record = cache.open(fields.iter().copied(), &mut buffer);
    assert!(
        record.is_some() || buffer.is_empty(),
        "a miss clears the buffer"
    );
    record.map(|record| (record, buffer.to_vec()))
}

/// Returns the record and the data for a request with this cookie among others.
pub(crate) fn request(cache: &SessionCache, token: &str) -> Option<(Record, Vec<u8>)> {
    open(cache, &[&field(cache, token)])
}

pub(crate) fn opens(cache: &SessionCache, token: &Token) -> bool {
    request(cache, token.as_str()).is_some()
}

pub(crate) fn field(cache: &SessionCache, token: &str) -> Vec<u8> {
    format!("theme=dark; {}={token}; a=1", cache.cookie_name()).into_bytes()
}

/// Asserts that every verb that needs a session finds none and creates none. The memory of an
/// expired session may be freed by the calls.
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

/// Returns the version after `changes` more changes.
pub(crate) fn later(version: Version, changes: u32) -> Version {
    Version::new(version.get().wrapping_add(changes))
}

/// Creates as many sessions of `data_len` bytes as fit; returns them in order of creation.
pub(crate) fn fill(cache: &SessionCache, data_len: usize) -> Vec<IssuedSession> {
    let all: Vec<_> = (0..cache.capacity_for(data_len))
        .map(|n| create(cache, &filler(n, data_len)))
        .collect();
    assert_eq!(cache.stats().evicted.probation, 0, "all fit");
    all
}

/// Creates authenticated sessions until no anonymous one of three times their length fits; returns
/// them in order of creation. One of their own length may still fit.
pub(crate) fn fill_with_users(cache: &SessionCache, data_len: usize) -> Vec<IssuedSession> {
    assert!(data_len >= 128, "the remainder is less than two blocks");
    // Creation draws two of many shards.
    let create = |data: &[u8]| (0..30).find_map(|_| cache.create(data).ok());
    let probe = filler(0, data_len * 3);
    let mut all = Vec::new();
    while let Some(probe) = create(&probe) {
        assert!(cache.end(&probe.id));
        assert!(
            all.len() < cache.capacity_for(0) * 4,
            "authenticated sessions evict each other, so filling would not end"
        );
        let issued = create(&filler(all.len(), data_len)).unwrap();
        all.push(sign_in(cache, &issued.id, &format!("user {}", all.len())));
    }
    all.retain(|issued| cache.touch(&issued.id).is_ok());
    all
}

/// Returns bytes that distinguish one session from another.
pub(crate) fn filler(number: usize, len: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(len).collect()
}

/// Returns the size of a session's block in bytes, by the documented formula.
pub(crate) fn block(data_len: usize, has_user: bool) -> usize {
    let user = if has_user { 24 } else { 0 };
    (96 + user + data_len.next_multiple_of(8)).max(128)
}

/// Returns the size of the largest session's block, which has a user and the longest label.
pub(crate) fn largest_block(data_len: usize) -> usize {
    block(data_len, true) + 48
}

/// Returns true if `SESSILE_LONG=1` requests the long forms of tests.
pub(crate) fn is_long() -> bool {
    env::var_os("SESSILE_LONG").is_some_and(|value| value == "1")
}

/// Random numbers that are the same in each run, unless `SESSILE_SEED` is set (xorshift; Marsaglia
/// 2003).
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

    /// Returns an independent generator seeded by this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next().wrapping_mul(0x2545_f491_4f6c_dd1d) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        (1..items.len())
            .rev()
            .for_each(|at| items.swap(at, self.below(at + 1)));
    }
}
