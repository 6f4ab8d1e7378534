//! The settings of a cache, and what is refused of them.

use core::{fmt, num::NonZero};
use std::{sync::Arc, time::Duration};

use crate::{
    clock::{Clock, TICK, Tick, to_duration, to_tick},
    cookie::{KeyRing, check_name},
    error::BuildError,
    id::{Entropy, system_entropy},
    shard::{SessionLimitPolicy, entry},
    sync::PageSize,
};

/// The settings of a [`SessionCache`](crate::SessionCache), from
/// [`SessionCache::builder`](crate::SessionCache::builder).
///
/// Only [`keys`](Self::keys) must be set; the memory is the one knob that most will turn.
#[derive(Clone)]
#[must_use]
pub struct SessionCacheBuilder {
    pub(crate) memory: usize,
    pub(crate) max_session_size: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) cookie_name: String,
    pub(crate) keys: Option<KeyRing>,
    pub(crate) max_sessions_per_user: Option<usize>,
    pub(crate) session_limit_policy: SessionLimitPolicy,
    pub(crate) reserved_for_authenticated: usize,
    pub(crate) admission: Option<Arc<Admit>>,
    pub(crate) verify_first: bool,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) events: usize,
    pub(crate) end_reused: bool,
    pub(crate) shards: Option<NonZero<u16>>,
    pub(crate) pages: PageSize,
}

/// Says by a key of the application's own whether a session may be made.
pub(crate) type Admit = dyn Fn(&[u8]) -> bool + Send + Sync;

/// Per-session timeouts. What is not set is the cache's when a session is created, and is unchanged otherwise. Both are
/// capped by the cache's, and count in whole ticks of 100 ms, rounded down.
///
/// ```
/// use std::time::Duration;
/// use sessile::Timeouts;
///
/// let short = Timeouts::new().idle_timeout(Duration::from_secs(5 * 60));
/// assert_ne!(short, Timeouts::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Timeouts {
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) lifetime: Option<Lifetime>,
}

/// A session's lifetime, and from when it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// From the session's creation, or from the sign-in that renewed it.
    FromStart(Duration),
    FromNow(Duration),
}

impl Timeouts {
    /// Creates timeouts of which none is set.
    pub const fn new() -> Self {
        Self {
            idle_timeout: None,
            lifetime: None,
        }
    }

    /// Sets the idle timeout: the session expires `span` after its last use. Less than a tick of 100 ms counts as
    /// zero.
    pub fn idle_timeout(self, span: Duration) -> Self {
        Self {
            idle_timeout: Some(span),
            ..self
        }
    }

    /// Sets the lifetime: the session expires `span` after its creation, or after the sign-in that renewed its
    /// lifetime, however it is used. Replaces [`lifetime_from_now`](Self::lifetime_from_now).
    pub fn lifetime(self, span: Duration) -> Self {
        Self {
            lifetime: Some(Lifetime::FromStart(span)),
            ..self
        }
    }

    /// Returns the idle timeout, or `default` if none is set.
    #[must_use]
    pub fn idle_timeout_or(&self, default: Duration) -> Duration {
        self.idle_timeout.unwrap_or(default)
    }

    /// Returns the lifetime, whichever setter set it, or `default` if none is set.
    #[must_use]
    pub fn lifetime_or(&self, default: Duration) -> Duration {
        match self.lifetime {
            Some(Lifetime::FromStart(span) | Lifetime::FromNow(span)) => span,
            None => default,
        }
    }

    /// Sets a lifetime that ends `span` from now, for [`set_timeouts`](crate::SessionCache::set_timeouts),
    /// [`create_with`](crate::SessionCache::create_with) and [`sign_in_with`](crate::SessionCache::sign_in_with).
    /// Replaces [`lifetime`](Self::lifetime), and is capped: the session never outlives the start of its lifetime plus
    /// the cache's lifetime.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessile::{KeyRing, ManualClock, SessionCache, Timeouts};
    ///
    /// const HOUR: Duration = Duration::from_secs(60 * 60);
    /// let clock = ManualClock::new();
    /// let settings = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = settings.idle_timeout(12 * HOUR).lifetime(12 * HOUR).clock(clock.clone()).build()?;
    /// let made = cache.create(b"a cart")?;
    ///
    /// clock.advance(10 * HOUR);
    /// cache.set_timeouts(&made.id, made.version, Timeouts::new().lifetime_from_now(HOUR))?;
    /// let mut buffer = bytes::BytesMut::new();
    /// assert_eq!(cache.load(&made.id, &mut buffer).expect("it is live").expires_in(), HOUR);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lifetime_from_now(self, span: Duration) -> Self {
        Self {
            lifetime: Some(Lifetime::FromNow(span)),
            ..self
        }
    }
}

impl SessionCacheBuilder {
    pub(crate) fn new() -> Self {
        Self {
            memory: 64 << 20,
            max_session_size: 16 << 10,
            idle_timeout: Duration::from_secs(30 * 60),
            lifetime: Duration::from_secs(12 * 60 * 60),
            cookie_name: "__Host-session".to_owned(),
            keys: None,
            max_sessions_per_user: Some(32),
            session_limit_policy: SessionLimitPolicy::default(),
            reserved_for_authenticated: 0,
            admission: None,
            verify_first: false,
            clock: Clock::system(),
            entropy: system_entropy,
            events: 0,
            end_reused: false,
            shards: None,
            pages: PageSize::Huge,
        }
    }

    /// All the memory of the cache, in bytes; 64 MiB unless set. Index, sessions and all that keeps them
    /// in order are carved out of it at [`build`](Self::build), and its pages are touched there. The
    /// index is carved for sessions of 256 bytes on average: with larger ones the memory is full first,
    /// with smaller ones the index is, so that they cost as much as those.
    pub fn memory(self, bytes: usize) -> Self {
        Self {
            memory: bytes,
            ..self
        }
    }

    /// Whether the system is asked for huge pages of memory; on unless set. With them a lookup among a million
    /// sessions takes up to a quarter less time. Linux alone has them, where
    /// `/sys/kernel/mm/transparent_hugepage/enabled` is not `never`, for caches of 4 MiB or more; elsewhere this
    /// changes nothing.
    pub fn huge_pages(self, on: bool) -> Self {
        Self {
            pages: if on {
                PageSize::Huge
            } else {
                PageSize::Default
            },
            ..self
        }
    }

    /// The most bytes of data in a session; 16 KiB unless set. While a session gets a new id, old and new are there
    /// both: where memory holds hardly more than one of that size, signing in with it is `Full`.
    pub fn max_session_size(self, bytes: usize) -> Self {
        Self {
            max_session_size: bytes,
            ..self
        }
    }

    /// How long after its last use a session is refused, in whole ticks of 100 ms; 30 minutes unless set.
    /// It is never refused before fifteen sixteenths of that.
    pub fn idle_timeout(self, span: Duration) -> Self {
        Self {
            idle_timeout: span,
            ..self
        }
    }

    /// How long after its creation a session is refused, whatever it is used for, in whole ticks of 100 ms;
    /// 12 hours unless set.
    pub fn lifetime(self, span: Duration) -> Self {
        Self {
            lifetime: span,
            ..self
        }
    }

    /// The name of the cookie; `__Host-session` unless set. Keys are bound to it: a token for one name is
    /// refused under another.
    pub fn cookie_name(self, name: impl Into<String>) -> Self {
        Self {
            cookie_name: name.into(),
            ..self
        }
    }

    /// The keys that sign and verify tokens.
    pub fn keys(self, keys: KeyRing) -> Self {
        Self {
            keys: Some(keys),
            ..self
        }
    }

    /// Sets the maximum number of sessions of one user; 32 unless set. `None` sets no limit, and sessions are not
    /// counted. With a limit a sign-in visits each of the user's sessions.
    pub fn max_sessions_per_user(self, max: impl Into<Option<usize>>) -> Self {
        Self {
            max_sessions_per_user: max.into(),
            ..self
        }
    }

    /// What a sign-in beyond that does; [`SessionLimitPolicy::EndLeastRecentlyUsed`] unless set. Which one is the stalest is known
    /// to a sixteenth of the idle timeout.
    pub fn session_limit_policy(self, then: SessionLimitPolicy) -> Self {
        Self {
            session_limit_policy: then,
            ..self
        }
    }

    /// How many bytes of the memory for sessions are kept for those with a user; 0 unless set. All others,
    /// and the old ids of rotated sessions, never take more than the rest of it: a newcomer that would
    /// displaces others of its kind though there is memory. So a flood of them leaves room for signing in
    /// that is there at once.
    ///
    /// Each shard keeps an even share, of its memory and of the places in its index. Sessions with a user
    /// may take more than that.
    pub fn reserved_for_authenticated(self, bytes: usize) -> Self {
        Self {
            reserved_for_authenticated: bytes,
            ..self
        }
    }

    /// Sets a hook that is called before a session is created, with the
    /// [key](crate::CreateOptions::admission_key) of [`create_with`](crate::SessionCache::create_with); none unless
    /// set. If it returns false, creation fails with [`AdmissionDenied`](crate::Error::AdmissionDenied). It is called
    /// on the thread that creates the session, concurrently, with no lock held. If it panics, so does the creation,
    /// and nothing is changed.
    ///
    /// ```
    /// use sessile::{CreateOptions, Error, KeyRing, SessionCache};
    ///
    /// let cache = SessionCache::builder()
    ///     .keys(KeyRing::generate()?)
    ///     .admission(|address| address != b"203.0.113.9")
    ///     .build()?;
    ///
    /// assert!(cache.create_with(b"", CreateOptions::new().admission_key(b"192.0.2.1")).is_ok());
    /// let robot = cache.create_with(b"", CreateOptions::new().admission_key(b"203.0.113.9"));
    /// assert_eq!(robot.err(), Some(Error::AdmissionDenied));
    /// assert_eq!(cache.stats().admission_denied, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn admission(self, hook: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self {
            admission: Some(Arc::new(hook)),
            ..self
        }
    }

    /// Whether each token's MAC is computed before the session is looked up; off unless set. Without it a
    /// hit compares the tag with the one that the engine computed and kept, and the time of a refusal may
    /// tell whoever holds a bare id that it is live.
    pub fn verify_first(self, on: bool) -> Self {
        Self {
            verify_first: on,
            ..self
        }
    }

    /// How many events are kept for [`next_event`](crate::SessionCache::next_event) until the application takes
    /// them; none unless set. Further ones are dropped and counted. They take some 64 bytes each of the memory.
    pub fn events(self, limit: usize) -> Self {
        Self {
            events: limit,
            ..self
        }
    }

    /// Whether a session ends when an id is read that it had before, and whose grace is over: then two hold
    /// cookies of it, and one of them stole it. Off unless set. Requests that were under way when the id was
    /// replaced look the same: give each rotation a grace period, and let the browser send nothing else during a
    /// sign-in.
    pub fn end_reused(self, on: bool) -> Self {
        Self {
            end_reused: on,
            ..self
        }
    }

    /// Sets the clock: the system's unless set, or a [`ManualClock`](crate::ManualClock).
    pub fn clock(self, clock: impl Into<Clock>) -> Self {
        Self {
            clock: clock.into(),
            ..self
        }
    }

    /// Where random bytes come from. For tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn entropy(self, entropy: fn(&mut [u8]) -> Result<(), crate::Error>) -> Self {
        Self { entropy, ..self }
    }

    /// How many shards, a power of two. For tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn shards(self, shards: u16) -> Self {
        Self {
            shards: NonZero::new(shards),
            ..self
        }
    }

    /// Refuses what cannot be, memory apart.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        check_name(&self.cookie_name).map_err(BuildError::CookieName)?;
        let (given, max) = (self.max_session_size, entry::MAX_DATA);
        if !(1..=max).contains(&given) {
            return Err(BuildError::MaxSessionSize { given, max });
        }
        if self.max_sessions_per_user == Some(0) {
            return Err(BuildError::MaxSessionsPerUser);
        }
        self.check_timeouts()
    }

    fn check_timeouts(&self) -> Result<(), BuildError> {
        let (min, max) = (MIN_TIMEOUT, to_duration(Tick::MAX - 1));
        let settings = [
            ("idle_timeout", self.idle_timeout),
            ("lifetime", self.lifetime),
        ];
        for (setting, given) in settings {
            if !(min..=max).contains(&given) {
                return Err(BuildError::Timeout {
                    setting,
                    given,
                    min,
                    max,
                });
            }
        }
        if self.idle_timeout > self.lifetime {
            let (idle_timeout, lifetime) = (self.idle_timeout, self.lifetime);
            return Err(BuildError::Contradiction {
                idle_timeout,
                lifetime,
            });
        }
        Ok(())
    }

    pub(crate) fn ticks(&self) -> [Tick; 2] {
        [self.idle_timeout, self.lifetime].map(to_tick)
    }
}

impl fmt::Debug for SessionCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCacheBuilder")
            .field("memory", &self.memory)
            .field("max_session_size", &self.max_session_size)
            .field("idle_timeout", &self.idle_timeout)
            .field("lifetime", &self.lifetime)
            .field("cookie_name", &self.cookie_name)
            .finish_non_exhaustive()
    }
}

/// A sixteenth of a timeout is a tick at least, so that no session is refused earlier than promised.
const MIN_TIMEOUT: Duration = Duration::from_millis(1_600);
const _: () = assert!(MIN_TIMEOUT.as_millis() == 16 * TICK.as_millis());
