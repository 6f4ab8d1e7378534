//! The settings of a cache and their limits.

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
/// Only [`keys`](Self::keys) is required. Most applications also set [`memory`](Self::memory).
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
    pub(crate) admission: Option<Arc<AdmissionHook>>,
    pub(crate) verify_first: bool,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) events: usize,
    pub(crate) end_reused: bool,
    pub(crate) shards: Option<NonZero<u16>>,
    pub(crate) pages: PageSize,
}

/// Returns true if a session may be created for this admission key.
pub(crate) type AdmissionHook = dyn Fn(&[u8]) -> bool + Send + Sync;

/// Per-session timeouts. A timeout that is not set is the cache's for a new session, and is
/// unchanged for an existing one. Both are capped by the cache's timeouts and count in whole ticks
/// of 100 ms, rounded down.
///
/// ```
/// use std::time::Duration;
/// use sessile::Timeouts;
///
/// let short = Timeouts::new().idle_timeout(Duration::from_secs(5 * 60));
/// assert_ne!(short, Timeouts::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct Timeouts {
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) lifetime: Option<Lifetime>,
}

/// A session's lifetime and its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lifetime {
    /// From the session's creation, or from the sign-in that renewed it.
    FromStart(Duration),
    FromNow(Duration),
}

impl Timeouts {
    /// Creates timeouts with neither set.
    pub const fn new() -> Self {
        Self {
            idle_timeout: None,
            lifetime: None,
        }
    }

    /// Sets the idle timeout: the session expires `span` after its last use. Less than one tick of
    /// 100 ms counts as zero.
    pub fn idle_timeout(self, span: Duration) -> Self {
        Self {
            idle_timeout: Some(span),
            ..self
        }
    }

    /// Sets the lifetime: the session expires `span` after its creation, or after the sign-in that
    /// renewed its lifetime, regardless of activity. Replaces
    /// [`lifetime_from_now`](Self::lifetime_from_now).
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

    /// Returns the lifetime set by either setter, or `default` if none is set.
    #[must_use]
    pub fn lifetime_or(&self, default: Duration) -> Duration {
        match self.lifetime {
            Some(Lifetime::FromStart(span) | Lifetime::FromNow(span)) => span,
            None => default,
        }
    }

    /// Sets a lifetime that ends `span` from now, for
    /// [`set_timeouts`](crate::SessionCache::set_timeouts),
    /// [`create_with`](crate::SessionCache::create_with) and
    /// [`sign_in_with`](crate::SessionCache::sign_in_with). Replaces [`lifetime`](Self::lifetime).
    /// It is capped at the start of the session's lifetime plus the cache's lifetime.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessile::{KeyRing, ManualClock, SessionCache, Timeouts};
    ///
    /// const HOUR: Duration = Duration::from_secs(60 * 60);
    /// let clock = ManualClock::new();
    /// let builder = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let builder = builder.idle_timeout(12 * HOUR).lifetime(12 * HOUR);
    /// let cache = builder.clock(clock.clone()).build()?;
    /// let issued = cache.create(b"a cart")?;
    ///
    /// clock.advance(10 * HOUR);
    /// cache.set_timeouts(&issued.id, issued.version, Timeouts::new().lifetime_from_now(HOUR))?;
    /// let mut buffer = bytes::BytesMut::new();
    /// assert_eq!(cache.load(&issued.id, &mut buffer).expect("it is live").expires_in(), HOUR);
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

    /// Sets the memory of the cache, in bytes; 64 MiB by default. It holds the index, the sessions
    /// and all metadata. [`build`](Self::build) allocates it and touches its pages.
    ///
    /// The index is sized for sessions of 256 bytes on average. Smaller sessions fill the index
    /// before the memory, so that each effectively takes 256 bytes. Larger sessions fill the memory
    /// first.
    pub fn memory(self, bytes: usize) -> Self {
        Self {
            memory: bytes,
            ..self
        }
    }

    /// Requests huge pages for the memory if `on`; true by default. With them a lookup among a
    /// million sessions takes up to a quarter less time. They are used only on Linux, for caches of
    /// 4 MiB or more, unless `/sys/kernel/mm/transparent_hugepage/enabled` is `never`. Otherwise
    /// this setting has no effect.
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

    /// Sets the maximum length of a session's data, in bytes; 16 KiB by default. A sign-in stores
    /// the session twice for a moment. If the memory has space for little more than one session of
    /// this length, signing in with it fails with [`Full`](crate::Error::Full).
    pub fn max_session_size(self, bytes: usize) -> Self {
        Self {
            max_session_size: bytes,
            ..self
        }
    }

    /// Sets the time after its last use at which a session expires, in whole ticks of 100 ms; 30
    /// minutes by default. A session may expire up to one sixteenth of this time earlier.
    pub fn idle_timeout(self, span: Duration) -> Self {
        Self {
            idle_timeout: span,
            ..self
        }
    }

    /// Sets the time after its creation at which a session expires regardless of activity, in whole
    /// ticks of 100 ms; 12 hours by default.
    pub fn lifetime(self, span: Duration) -> Self {
        Self {
            lifetime: span,
            ..self
        }
    }

    /// Sets the name of the cookie; `__Host-session` by default. Keys are derived for this name: a
    /// token for one name is rejected under another.
    pub fn cookie_name(self, name: impl Into<String>) -> Self {
        Self {
            cookie_name: name.into(),
            ..self
        }
    }

    /// Sets the keys that sign and verify tokens. Required.
    pub fn keys(self, keys: KeyRing) -> Self {
        Self {
            keys: Some(keys),
            ..self
        }
    }

    /// Sets the maximum number of sessions of one user; 32 by default. `None` sets no limit, and
    /// sessions are then not counted. With a limit, a sign-in visits each of the user's sessions.
    pub fn max_sessions_per_user(self, max: impl Into<Option<usize>>) -> Self {
        Self {
            max_sessions_per_user: max.into(),
            ..self
        }
    }

    /// Sets the policy for a sign-in beyond that maximum;
    /// [`SessionLimitPolicy::EndLeastRecentlyUsed`] by default. Times of use are known to one
    /// sixteenth of the idle timeout.
    pub fn session_limit_policy(self, then: SessionLimitPolicy) -> Self {
        Self {
            session_limit_policy: then,
            ..self
        }
    }

    /// Reserves `bytes` of the memory for authenticated sessions; 0 by default. Anonymous sessions
    /// and remembered ids of rotated sessions share the rest. If they fill it, they evict entries
    /// of their own class even while reserved memory is free. Space for signing in is therefore
    /// available at once, even during a flood of anonymous sessions.
    ///
    /// Each shard reserves an equal share of its memory and of its index. Authenticated sessions
    /// may use more than the reservation.
    pub fn reserved_for_authenticated(self, bytes: usize) -> Self {
        Self {
            reserved_for_authenticated: bytes,
            ..self
        }
    }

    /// Sets a hook that is called before a session is created, with the
    /// [key](crate::CreateOptions::admission_key) of
    /// [`create_with`](crate::SessionCache::create_with); none by default. If it returns false,
    /// creation fails with [`AdmissionDenied`](crate::Error::AdmissionDenied). It is called on the
    /// thread that creates the session, concurrently, and without a lock. If it panics, the panic
    /// propagates and nothing is changed.
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
    /// let denied = cache.create_with(b"", CreateOptions::new().admission_key(b"203.0.113.9"));
    /// assert_eq!(denied.err(), Some(Error::AdmissionDenied));
    /// assert_eq!(cache.stats().admission_denied, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn admission(self, hook: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self {
            admission: Some(Arc::new(hook)),
            ..self
        }
    }

    /// Verifies the MAC of each token before looking up the session if `on`; false by default. By
    /// default a hit compares the tag with the one stored with the session instead. The response
    /// time of a rejection may then reveal to an attacker who has only an id that its session is
    /// live.
    pub fn verify_first(self, on: bool) -> Self {
        Self {
            verify_first: on,
            ..self
        }
    }

    /// Sets the size of the event queue that [`next_event`](crate::SessionCache::next_event) reads;
    /// 0 by default. Events that do not fit are dropped and counted. Each takes about 64 bytes of
    /// the memory.
    pub fn events(self, limit: usize) -> Self {
        Self {
            events: limit,
            ..self
        }
    }

    /// Ends a session if `on` and a replaced id of it is read after its grace period; false by
    /// default. Such a read means that two clients hold cookies of the session, and that one of
    /// them may have stolen it. A delayed request of the same client looks the same. To avoid that,
    /// give each rotation a grace period, and send no concurrent requests during a sign-in.
    pub fn end_reused(self, on: bool) -> Self {
        Self {
            end_reused: on,
            ..self
        }
    }

    /// Sets the clock, such as a [`ManualClock`](crate::ManualClock); the system clock by default.
    pub fn clock(self, clock: impl Into<Clock>) -> Self {
        Self {
            clock: clock.into(),
            ..self
        }
    }

    /// Sets the source of random bytes. For tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn entropy(self, entropy: fn(&mut [u8]) -> Result<(), crate::Error>) -> Self {
        Self { entropy, ..self }
    }

    /// Sets the number of shards, a power of two. For tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn shards(self, shards: u16) -> Self {
        Self {
            shards: NonZero::new(shards),
            ..self
        }
    }

    /// Checks all settings except the memory and the keys.
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

impl Default for SessionCacheBuilder {
    fn default() -> Self {
        Self::new()
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

/// Access times are stored in units of a sixteenth of the idle timeout. With at least one tick per
/// unit, no session expires earlier than documented.
const MIN_TIMEOUT: Duration = Duration::from_millis(1_600);
const _: () = assert!(MIN_TIMEOUT.as_millis() == 16 * TICK.as_millis());
