//! Building a tiered cache.
//!
//! Owns the order of its parts: settings are checked before memory is allocated, and the thread is
//! started last. It does not know a verb.

use std::{fmt, sync::Arc, time::Duration};

use sessile::{SessionCacheBuilder, tier::L1};

use super::{
    Owner, TieredCache,
    blocking::wait_for,
    driver,
    health::StoreState,
    inner::Inner,
    settings::{Settings, StoreBuildError},
};
#[cfg(feature = "__internals")]
use crate::environment::Environment;
use crate::{
    store::{Abilities, Store},
    thread::IoThread,
};

/// Puts a store behind a cache.
pub trait StoreExt {
    /// Builds a tiered cache with the default settings, and starts its thread. Waits for the first
    /// answer of the store, at most the timeout. If there is none, the cache starts without it.
    ///
    /// # Errors
    /// [`StoreBuildError`], if the settings cannot be used or do not fit those of the other nodes.
    fn store(self, store: impl Store) -> Result<TieredCache, StoreBuildError>;

    /// Creates a builder of a tiered cache, for settings of the store.
    fn tiered(self, store: impl Store) -> TieredCacheBuilder;
}

impl StoreExt for SessionCacheBuilder {
    fn store(self, store: impl Store) -> Result<TieredCache, StoreBuildError> {
        self.tiered(store).build()
    }

    fn tiered(self, store: impl Store) -> TieredCacheBuilder {
        TieredCacheBuilder {
            l1: self,
            store: Arc::new(store),
            lease: None,
            settings: Settings::default(),
        }
    }
}

/// The settings of a [`TieredCache`], from [`StoreExt::tiered`].
///
/// ```
/// use std::time::Duration;
/// use sessile::{KeyRing, SessionCache};
/// use sessile_store::{MemoryStore, StoreExt};
///
/// let builder = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
/// let cache = builder
///     .tiered(MemoryStore::new())
///     .timeout(Duration::from_millis(250))
///     .encrypt(true)
///     .build()?;
/// assert!(cache.blocking().create(b"").is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct TieredCacheBuilder {
    l1: SessionCacheBuilder,
    store: Arc<dyn Store>,
    lease: Option<Duration>,
    settings: Settings,
}

impl TieredCacheBuilder {
    /// Sets the time for which sessions in memory are opened after the last proof that no message
    /// is missing; 5 s unless set, between 3 s and 60 s.
    ///
    /// A store without push has no messages. There it is the time for which each session is opened
    /// before the store is asked again; 2 s unless set, between 1 s and 60 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Sets the longest time that one operation waits for the store; 500 ms unless set, between
    /// 10 ms and 10 s. A commit waits for at most twice as long.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets the time by which the lease is longer while the store does not answer; zero unless set,
    /// at most an hour. An ended session may be opened for that much longer on a node that lost its
    /// channel.
    pub fn stale_while_down(mut self, span: Duration) -> Self {
        self.settings.stale_while_down = span;
        self
    }

    /// Encrypts the data of sessions in the store if `is_on`; off unless set. The keys are derived
    /// from the key ring.
    pub fn encrypt(mut self, is_on: bool) -> Self {
        self.settings.is_encrypted = is_on;
        self
    }

    /// Builds the cache, as [`StoreExt::store`] does.
    ///
    /// # Errors
    /// Those of [`StoreExt::store`].
    pub fn build(self) -> Result<TieredCache, StoreBuildError> {
        let (abilities, settings) = self.checked()?;
        let (l1, user_key) = build_l1(self.l1)?;
        check_limit(&l1, &abilities)?;
        let thread = IoThread::start().map_err(StoreBuildError::Thread)?;
        let env = Arc::new(thread.environment());
        let inner = Arc::new(Inner::new(l1, self.store, env, settings));
        let first = inner.health.first();
        inner
            .env
            .spawn(Box::pin(driver::run(Arc::clone(&inner), user_key)));
        let _ = wait_for(first, settings.timeout);
        if let StoreState::Incompatible(cause) = inner.health.state() {
            return Err(StoreBuildError::Incompatible(cause));
        }
        Ok(TieredCache(Arc::new(Owner {
            inner,
            _thread: Some(thread),
        })))
    }

    /// Builds the cache on the time and the tasks of `env`, for the simulator. Waits for nothing.
    ///
    /// # Errors
    /// Those of [`build`](Self::build).
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn build_in(
        self,
        env: Arc<dyn Environment>,
        user_key: [u8; 32],
        rules: crate::internals::Rules,
    ) -> Result<TieredCache, StoreBuildError> {
        let (_, settings) = self.checked()?;
        let l1 = self.l1.build_l1(user_key)?;
        let settings = Settings { rules, ..settings };
        let inner = Arc::new(Inner::new(l1, self.store, env, settings));
        inner
            .env
            .spawn(Box::pin(driver::run(Arc::clone(&inner), user_key)));
        Ok(TieredCache(Arc::new(Owner {
            inner,
            _thread: None,
        })))
    }
}

impl TieredCacheBuilder {
    /// Returns what the store can do, and the settings for it.
    fn checked(&self) -> Result<(Abilities, Settings), StoreBuildError> {
        let (abilities, mut settings) = (self.store.abilities(), self.settings);
        settings.set_lease(self.lease, &abilities);
        settings.check()?;
        Ok((abilities, settings))
    }
}

/// Rejects a limit on the sessions of a user that the store cannot keep.
fn check_limit(l1: &L1, abilities: &Abilities) -> Result<(), StoreBuildError> {
    match l1.max_sessions_per_user() {
        Some(given) if !abilities.session_limit => Err(StoreBuildError::Unsupported {
            setting: "max_sessions_per_user",
            given,
        }),
        _ => Ok(()),
    }
}

/// Allocates L1 with a user key of its own, which the store's replaces.
fn build_l1(builder: SessionCacheBuilder) -> Result<(L1, [u8; 32]), StoreBuildError> {
    let mut user_key = [0; 32];
    getrandom::fill(&mut user_key).map_err(|_| StoreBuildError::Entropy)?;
    Ok((builder.build_l1(user_key)?, user_key))
}

impl fmt::Debug for TieredCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredCacheBuilder")
            .field("cache", &self.l1)
            .field("lease", &self.lease)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
