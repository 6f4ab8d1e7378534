//! sessile as a contender: by id, and by the cookie's value.

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use sessile::{Clock, IssuedSession, KeyRing, SessionCache, SessionCacheBuilder, SessionId, Token};
use sessile_redis::RedisStore;
use sessile_store::{StoreExt, StoreState, TieredCache};

use crate::{
    contender::Contender,
    workload::{Id, VALUE_LEN},
};

/// Lookups by id: the deadline is checked, the tag is not.
pub(crate) struct ById<const HUGE_PAGES: bool>(SessionCache);

/// sessile with its defaults.
pub(crate) type Sessile = ById<true>;

/// sessile with pages of the default size.
pub(crate) type SmallPages = ById<false>;

/// Lookups by the cookie's value: decoded, tag and deadline checked.
pub(crate) struct SessileCookie(SessionCache);

impl<const HUGE_PAGES: bool> Contender for ById<HUGE_PAGES> {
    const NAME: &'static str = if HUGE_PAGES {
        "sessile"
    } else {
        "sessile, without huge pages"
    };
    type Key = SessionId;

    fn build(sessions: usize) -> Self {
        Self(fitting(
            sessions,
            &builder(&Clock::system()).huge_pages(HUGE_PAGES),
        ))
    }

    /// The engine generates the ids.
    fn insert(&self, _: Id, value: &[u8]) -> SessionId {
        create(&self.0, value).id
    }

    #[inline(always)]
    fn lookup(&self, key: &SessionId, buffer: &mut BytesMut) -> bool {
        self.0.load(key, buffer).is_some()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl Contender for SessileCookie {
    const NAME: &'static str = "sessile, by the cookie's value";
    type Key = Token;

    fn build(sessions: usize) -> Self {
        Self(cache_for(sessions, &Clock::system()))
    }

    fn insert(&self, _: Id, value: &[u8]) -> Token {
        create(&self.0, value).token
    }

    #[inline(always)]
    fn lookup(&self, key: &Token, buffer: &mut BytesMut) -> bool {
        self.0.open_token(key.as_str().as_bytes(), buffer).is_some()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Creates a cache with room for `sessions` sessions of the usual size.
pub(crate) fn cache_for(sessions: usize, clock: &Clock) -> SessionCache {
    fitting(sessions, &builder(clock))
}

fn fitting(sessions: usize, builder: &SessionCacheBuilder) -> SessionCache {
    let mut memory = (sessions * (VALUE_LEN + OVERHEAD_GUESSED)).max(LEAST_MEMORY);
    loop {
        let cache = builder
            .clone()
            .memory(memory)
            .build()
            .expect("valid settings");
        if cache.capacity_for(VALUE_LEN) >= sessions {
            return cache;
        }
        memory += memory / 16;
    }
}

/// Creates a cache of `memory` bytes.
pub(crate) fn cache_of(memory: usize, clock: &Clock) -> SessionCache {
    builder(clock)
        .memory(memory)
        .build()
        .expect("valid settings")
}

/// Creates a cache of `memory` bytes before a Redis or Valkey server, and waits until the server
/// answers. All have the same keys, so that several processes share the sessions.
pub(crate) fn tiered(url: &str, memory: usize) -> TieredCache {
    let keys = KeyRing::from_base64(KEY).expect("a key");
    let store = RedisStore::open(url).expect("a valid URL");
    let builder = builder(&Clock::system()).memory(memory).keys(keys);
    let cache = builder.store(store).expect("valid settings");
    await_store(&cache);
    cache
}

/// Waits until the store of a cache answers. While it does not, calls fail at once.
pub(crate) fn await_store(cache: &TieredCache) {
    let deadline = Instant::now() + PATIENCE;
    while cache.store_health().state != StoreState::Up {
        assert!(Instant::now() < deadline, "the server does not answer");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Creates a cache of `memory` bytes in which a user may have any number of sessions.
pub(crate) fn crowded(memory: usize) -> SessionCache {
    let builder = builder(&Clock::system())
        .memory(memory)
        .max_sessions_per_user(None);
    builder.build().expect("valid settings")
}

/// Creates a cache of `memory` bytes with a maximum session size, or returns `None` if it cannot
/// hold one session.
pub(crate) fn smallest(
    memory: usize,
    max_session_size: usize,
    clock: &Clock,
) -> Option<SessionCache> {
    builder(clock)
        .memory(memory)
        .max_session_size(max_session_size)
        .build()
        .ok()
}

/// Creates a session; the settings of every axis leave room for it.
pub(crate) fn create(cache: &SessionCache, value: &[u8]) -> IssuedSession {
    cache
        .create(value)
        .expect("a cache of anonymous sessions makes room")
}

/// Signs each user in to one of the sessions.
pub(crate) fn sign_in(cache: &SessionCache, guests: &[SessionId], names: &[String]) {
    for (guest, name) in guests.iter().zip(names) {
        cache
            .sign_in(guest, name)
            .expect("anonymous sessions make room");
    }
}

/// Ends all sessions of the users, one user after the other.
pub(crate) fn end_users(cache: &SessionCache, names: &[String]) -> usize {
    names
        .iter()
        .map(|name| cache.end_user_sessions(name, None))
        .sum()
}

fn builder(clock: &Clock) -> SessionCacheBuilder {
    SessionCache::builder()
        .idle_timeout(Duration::from_secs(30 * 60))
        .lifetime(Duration::from_secs(12 * 60 * 60))
        .keys(KeyRing::generate().expect("the operating system returns random bytes"))
        .clock(clock.clone())
}

/// The key of all processes of a run. It protects nothing.
const KEY: &str = "ArEGKSWKlaJAD/b30XzRreArUfVEGItEYVzccZM+M/I=";
/// Longer than any pause of a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const OVERHEAD_GUESSED: usize = 112;
/// Room for one session of the maximum size, without which the builder returns an error.
const LEAST_MEMORY: usize = 1 << 18;
