//! Building a list of revocations.

use core::fmt;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use sessile_store::TieredCache;

use super::{Clock, Revocations, RevocationsBuildError, Shared, list::List};
use crate::table::{ENTRY_LEN, MAX_CAPACITY, Table};

/// The settings of [`Revocations`], from [`Revocations::builder`].
#[derive(Clone)]
#[must_use]
pub struct RevocationsBuilder {
    capacity: usize,
    max_lifetime: Duration,
    clock: Clock,
}

impl RevocationsBuilder {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            max_lifetime: DEFAULT_LIFETIME,
            clock: Arc::new(SystemTime::now),
        }
    }

    /// Sets the longest time from `iat` to `exp` of a token that is accepted; 30 days unless set,
    /// between 1 s and 10 years. A revocation of a subject takes an entry for as long.
    pub fn max_lifetime(mut self, max: Duration) -> Self {
        self.max_lifetime = max;
        self
    }

    /// Sets the clock; the system's unless set. For tests.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds a list in the memory of this process. **A restart forgets it.**
    ///
    /// # Errors
    /// [`RevocationsBuildError`], if a setting is out of bounds, or without memory or entropy.
    pub fn in_memory(self) -> Result<Revocations, RevocationsBuildError> {
        let list = self.list()?;
        Ok(self.revocations(list, None))
    }

    /// Builds a list that is kept in the store of a cache.
    ///
    /// # Errors
    /// Those of [`in_memory`](Self::in_memory), and [`RevocationsBuildError::Store`] if the cache
    /// has a list already.
    pub fn with_store(self, cache: &TieredCache) -> Result<Revocations, RevocationsBuildError> {
        let list = self.list()?;
        let sink = Arc::clone(&list);
        let mirrored = cache.mirror_revocations(sink);
        mirrored.map_err(RevocationsBuildError::Store)?;
        Ok(self.revocations(list, Some(cache.clone())))
    }

    fn revocations(&self, list: Arc<List>, store: Option<TieredCache>) -> Revocations {
        Revocations(Arc::new(Shared {
            list,
            store,
            max_lifetime: self.max_lifetime,
        }))
    }

    fn list(&self) -> Result<Arc<List>, RevocationsBuildError> {
        if !(1..=MAX_CAPACITY).contains(&self.capacity) {
            return Err(RevocationsBuildError::Capacity {
                given: self.capacity,
                min: 1,
                max: MAX_CAPACITY,
            });
        }
        if !(MIN_LIFETIME..=MAX_LIFETIME).contains(&self.max_lifetime) {
            return Err(RevocationsBuildError::MaxLifetime {
                given: self.max_lifetime,
                min: MIN_LIFETIME,
                max: MAX_LIFETIME,
            });
        }
        let random = [random()?, random()?];
        let table = Table::new(self.capacity, random).ok_or(RevocationsBuildError::Allocation {
            bytes: self.capacity * ENTRY_LEN,
        })?;
        Ok(Arc::new(List::new(table, Arc::clone(&self.clock))))
    }
}

fn random() -> Result<u64, RevocationsBuildError> {
    getrandom::u64().map_err(|_| RevocationsBuildError::Entropy)
}

impl fmt::Debug for RevocationsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationsBuilder")
            .field("capacity", &self.capacity)
            .field("max_lifetime", &self.max_lifetime)
            .finish_non_exhaustive()
    }
}

const DEFAULT_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3_600);
const MIN_LIFETIME: Duration = Duration::from_secs(1);
const MAX_LIFETIME: Duration = Duration::from_secs(3_650 * 24 * 3_600);
