//! The settings of a cache, and what is refused of them.

use core::{fmt, num::NonZero};
use std::{sync::Arc, time::Duration};

use crate::{
    clock::{Clock, TICK, Tick, to_duration, to_tick},
    cookie::{KeyRing, check_name},
    error::BuildError,
    id::{Entropy, system_entropy},
    shard::{SessionLimitPolicy, entry},
    sync::Pages,
};

/// The settings of a [`SessionCache`](crate::SessionCache), from
/// [`SessionCache::builder`](crate::SessionCache::builder).
///
/// Only [`keys`](Self::keys) must be set; the memory is the one knob that most will turn.
#[derive(Clone)]
pub struct Builder {
    pub(crate) memory: usize,
    pub(crate) max_session_size: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) cookie_name: String,
    pub(crate) keys: Option<KeyRing>,
    pub(crate) max_sessions_per_user: usize,
    pub(crate) session_limit_policy: SessionLimitPolicy,
    pub(crate) reserved_for_authenticated: usize,
    pub(crate) admission: Option<Arc<Admit>>,
    pub(crate) verify_first: bool,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) events: usize,
    pub(crate) end_reused: bool,
    pub(crate) shards: Option<NonZero<u16>>,
    pub(crate) pages: Pages,
}

/// Says by a key of the application's own whether a session may be made.
pub(crate) type Admit = dyn Fn(&[u8]) -> bool + Send + Sync;

/// A session's own timeouts; what is `None` is the cache's own when a session is created, and left as
/// it is otherwise. Both are capped by the cache's, and count in whole ticks of 100 ms, rounded down.
///
/// ```
/// use std::time::Duration;
/// use sessile::Timeouts;
///
/// let short = Timeouts::default().idle_timeout(Duration::from_secs(5 * 60));
/// assert_eq!(short.lifetime, None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// How long after its last use a session is refused. Less than a tick of 100 ms is none at all.
    pub idle_timeout: Option<Duration>,
    /// How long after its creation a session is refused, whatever it is used for.
    pub lifetime: Option<Duration>,
    /// How long from now a session is refused, whatever it is used for. Overrides `lifetime`. The end is capped by the
    /// start of the session's lifetime plus the cache's lifetime.
    pub lifetime_from_now: Option<Duration>,
}

impl Timeouts {
    /// With an idle timeout.
    #[must_use]
    pub fn idle_timeout(self, span: Duration) -> Self {
        Self { idle_timeout: Some(span), ..self }
    }

    /// With a lifetime, which counts from the session's creation.
    #[must_use]
    pub fn lifetime(self, span: Duration) -> Self {
        Self { lifetime: Some(span), ..self }
    }

    /// Sets a lifetime that ends `span` from now, for [`set_timeouts`](crate::SessionCache::set_timeouts),
    /// [`create`](crate::SessionCache::create) and [`sign_in`](crate::SessionCache::sign_in). It overrides
    /// [`lifetime`](Self::lifetime), and is capped: the session never outlives the start of its lifetime plus the
    /// cache's lifetime.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessile::{Clock, Timeouts, KeyRing, NewSession, SessionCache};
    ///
    /// const HOUR: Duration = Duration::from_secs(60 * 60);
    /// let clock = Clock::manual();
    /// let settings = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = settings.idle_timeout(12 * HOUR).lifetime(12 * HOUR).clock(clock.clone()).build()?;
    /// let made = cache.create(b"a cart", NewSession::default())?;
    ///
    /// clock.advance(10 * HOUR);
    /// cache.set_timeouts(&made.id, Timeouts::default().lifetime_from_now(HOUR))?;
    /// let mut buffer = bytes::BytesMut::new();
    /// assert_eq!(cache.load(&made.id, &mut buffer).expect("it is live").expires_in(), HOUR);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn lifetime_from_now(self, span: Duration) -> Self {
        Self { lifetime_from_now: Some(span), ..self }
    }
}

/// How long an id still opens its session after it was replaced by [`rotate`](crate::SessionCache::rotate), in
/// whole ticks of 100 ms, rounded down. For requests that were under way meanwhile; none unless asked for.
///
/// ```
/// use std::time::Duration;
/// use sessile::Grace;
///
/// assert_eq!(Grace::default(), Grace::NONE);
/// let grace = Grace::of(Duration::from_secs(10));
/// # assert_ne!(grace, Grace::NONE);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grace(pub(crate) Duration);

impl Grace {
    /// The old id opens nothing from now on.
    pub const NONE: Self = Self(Duration::ZERO);

    /// The old id opens the session for so long.
    #[must_use]
    pub const fn of(span: Duration) -> Self {
        Self(span)
    }
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            memory: 64 << 20,
            max_session_size: 16 << 10,
            idle_timeout: Duration::from_secs(30 * 60),
            lifetime: Duration::from_secs(12 * 60 * 60),
            cookie_name: "__Host-session".to_owned(),
            keys: None,
            max_sessions_per_user: 32,
            session_limit_policy: SessionLimitPolicy::default(),
            reserved_for_authenticated: 0,
            admission: None,
            verify_first: false,
            clock: Clock::system(),
            entropy: system_entropy,
            events: 0,
            end_reused: false,
            shards: None,
            pages: Pages::Huge,
        }
    }

    /// All the memory of the cache, in bytes; 64 MiB unless set. Index, sessions and all that keeps them
    /// in order are carved out of it at [`build`](Self::build), and its pages are touched there. The
    /// index is carved for sessions of 256 bytes on average: with larger ones the memory is full first,
    /// with smaller ones the index is, so that they cost as much as those.
    #[must_use]
    pub fn memory(self, bytes: usize) -> Self {
        Self { memory: bytes, ..self }
    }

    /// Whether the system is asked for huge pages of memory; on unless set. With them a lookup among a million
    /// sessions takes up to a quarter less time. Linux alone has them, where
    /// `/sys/kernel/mm/transparent_hugepage/enabled` is not `never`, for caches of 4 MiB or more; elsewhere this
    /// changes nothing.
    #[must_use]
    pub fn huge_pages(self, on: bool) -> Self {
        Self { pages: if on { Pages::Huge } else { Pages::Usual }, ..self }
    }

    /// The most bytes of data in a session; 16 KiB unless set. While a session gets a new id, old and new are there
    /// both: where memory holds hardly more than one of that size, signing in with it is `Full`.
    #[must_use]
    pub fn max_session_size(self, bytes: usize) -> Self {
        Self { max_session_size: bytes, ..self }
    }

    /// How long after its last use a session is refused, in whole ticks of 100 ms; 30 minutes unless set.
    /// It is never refused before fifteen sixteenths of that.
    #[must_use]
    pub fn idle_timeout(self, span: Duration) -> Self {
        Self { idle_timeout: span, ..self }
    }

    /// How long after its creation a session is refused, whatever it is used for, in whole ticks of 100 ms;
    /// 12 hours unless set.
    #[must_use]
    pub fn lifetime(self, span: Duration) -> Self {
        Self { lifetime: span, ..self }
    }

    /// The name of the cookie; `__Host-session` unless set. Keys are bound to it: a token for one name is
    /// refused under another.
    #[must_use]
    pub fn cookie_name(self, name: impl Into<String>) -> Self {
        Self { cookie_name: name.into(), ..self }
    }

    /// The keys that sign and verify tokens.
    #[must_use]
    pub fn keys(self, keys: KeyRing) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// The most sessions of one user; 32 unless set. With `usize::MAX` there is no limit, and nothing is
    /// counted. Otherwise a sign-in looks at each of the user's sessions.
    #[must_use]
    pub fn max_sessions_per_user(self, most: usize) -> Self {
        Self { max_sessions_per_user: most, ..self }
    }

    /// What a sign-in beyond that does; [`SessionLimitPolicy::EndLeastRecentlyUsed`] unless set. Which one is the stalest is known
    /// to a sixteenth of the idle timeout.
    #[must_use]
    pub fn session_limit_policy(self, then: SessionLimitPolicy) -> Self {
        Self { session_limit_policy: then, ..self }
    }

    /// How many bytes of the memory for sessions are kept for those with a user; 0 unless set. All others,
    /// and the old ids of rotated sessions, never take more than the rest of it: a newcomer that would
    /// displaces others of its kind though there is memory. So a flood of them leaves room for signing in
    /// that is there at once.
    ///
    /// Each shard keeps an even share, of its memory and of the places in its index. Sessions with a user
    /// may take more than that.
    #[must_use]
    pub fn reserved_for_authenticated(self, bytes: usize) -> Self {
        Self { reserved_for_authenticated: bytes, ..self }
    }

    /// A hook of the application's own, asked before a session is made, with the
    /// [key](crate::NewSession::key) that [`create`](crate::SessionCache::create) was given; none unless
    /// set. Where it says no, nothing else is done and the answer is
    /// [`Refused`](crate::Error::AdmissionDenied). It is called on the thread of whoever creates, by many at once,
    /// with no lock held; if it panics, so does `create`, and nothing was changed.
    ///
    /// ```
    /// use sessile::{Error, KeyRing, NewSession, SessionCache};
    ///
    /// let cache = SessionCache::builder()
    ///     .keys(KeyRing::generate()?)
    ///     .admission(|address| address != b"203.0.113.9")
    ///     .build()?;
    ///
    /// assert!(cache.create(b"", NewSession::default().key(b"192.0.2.1")).is_ok());
    /// let robot = cache.create(b"", NewSession::default().key(b"203.0.113.9"));
    /// assert_eq!(robot.err(), Some(Error::AdmissionDenied));
    /// assert_eq!(cache.stats().admission_denied, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn admission(self, hook: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self { admission: Some(Arc::new(hook)), ..self }
    }

    /// Whether each token's MAC is computed before the session is looked up; off unless set. Without it a
    /// hit compares the tag with the one that the engine computed and kept, and the time of a refusal may
    /// tell whoever holds a bare id that it is live.
    #[must_use]
    pub fn verify_first(self, on: bool) -> Self {
        Self { verify_first: on, ..self }
    }

    /// How many events are kept for [`next_event`](crate::SessionCache::next_event) until the application takes
    /// them; none unless set. Further ones are dropped and counted. They take some 64 bytes each of the memory.
    #[must_use]
    pub fn events(self, limit: usize) -> Self {
        Self { events: limit, ..self }
    }

    /// Whether a session ends when an id is read that it had before, and whose grace is over: then two hold
    /// cookies of it, and one of them stole it. Off unless set. Requests that were under way when the id was
    /// replaced look the same, so whoever sets this gives each rotation a [`Grace`], and has a browser send
    /// nothing else while somebody signs in.
    #[must_use]
    pub fn end_reused(self, on: bool) -> Self {
        Self { end_reused: on, ..self }
    }

    /// The clock; the system's unless set.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Where random bytes come from. For tests.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn entropy(self, entropy: fn(&mut [u8]) -> Result<(), crate::Error>) -> Self {
        Self { entropy, ..self }
    }

    /// How many shards, a power of two. For tests.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn shards(self, shards: u16) -> Self {
        Self { shards: NonZero::new(shards), ..self }
    }

    /// Refuses what cannot be, memory apart.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        check_name(&self.cookie_name).map_err(BuildError::CookieName)?;
        let (given, most) = (self.max_session_size, entry::MOST_DATA);
        if !(1..=most).contains(&given) {
            return Err(BuildError::MaxSessionSize { given, most });
        }
        if self.max_sessions_per_user == 0 {
            return Err(BuildError::MaxSessionsPerUser { given: 0, least: 1 });
        }
        self.check_timeouts()
    }

    fn check_timeouts(&self) -> Result<(), BuildError> {
        let most = to_duration(Tick::MAX - 1);
        let settings = [("idle_timeout", self.idle_timeout), ("lifetime", self.lifetime)];
        for (setting, given) in settings {
            if !(LEAST_TIMEOUT..=most).contains(&given) {
                return Err(BuildError::Timeout { setting, given, least: LEAST_TIMEOUT, most });
            }
        }
        if self.idle_timeout > self.lifetime {
            let (idle_timeout, lifetime) = (self.idle_timeout, self.lifetime);
            return Err(BuildError::Contradiction { idle_timeout, lifetime });
        }
        Ok(())
    }

    pub(crate) fn ticks(&self) -> [Tick; 2] {
        [self.idle_timeout, self.lifetime].map(to_tick)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("memory", &self.memory)
            .field("max_session_size", &self.max_session_size)
            .field("idle_timeout", &self.idle_timeout)
            .field("lifetime", &self.lifetime)
            .field("cookie_name", &self.cookie_name)
            .finish_non_exhaustive()
    }
}

/// A sixteenth of a timeout is a tick at least, so that no session is refused earlier than promised.
const LEAST_TIMEOUT: Duration = Duration::from_millis(1_600);
const _: () = assert!(LEAST_TIMEOUT.as_millis() == 16 * TICK.as_millis());
