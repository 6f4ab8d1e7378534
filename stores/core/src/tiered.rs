//! The tiered cache: sessions in a store, answered from memory.
//!
//! Owns the public type. Each verb is in the module of its topic. Invariant: the store decides, and
//! L1 repeats what it said while the lease lasts. It does not know a particular store.

mod blocking;
mod build;
mod close;
mod create;
mod driver;
mod echo;
mod end;
mod end_user;
mod fetched;
mod health;
mod inner;
mod layers;
mod metrics;
mod open;
mod queued_ends;
mod revalidate;
mod revocations;
mod rotate;
mod settings;
mod users;
mod write;

use std::{fmt, io, sync::Arc, time::Duration};

use sessile::{
    Error, Event, KeyError, KeyRing, MaintenanceReport, MaintenanceThread, SessionId, stats::Stats,
};

pub use blocking::Blocking;
pub use build::{StoreExt, TieredCacheBuilder};
pub use health::{MirrorState, StoreHealth, StoreState};
pub use sessile::tier::{Candidates, LookUp};
pub use settings::StoreBuildError;

use crate::{protocol::lock, thread::IoThread};
use inner::{Inner, ReadResult};
use metrics::Gauges;

/// A cache of sessions that are kept in a store, and shared with all processes that use it.
///
/// Cheap to clone; clones share everything. When the last one is dropped, the thread of the store
/// stops, and the number of ends that it has not confirmed is logged as a warning of `tracing`;
/// [`close`](Self::close) sends first what is queued.
///
/// ```
/// use bytes::BytesMut;
/// use sessile::{KeyRing, SessionCache};
/// use sessile_store::{MemoryStore, StoreExt};
///
/// let (keys, store) = (KeyRing::generate()?, MemoryStore::new());
/// let node = || SessionCache::builder().memory(8 << 20).keys(keys.clone());
/// let one = node().store(store.clone())?.blocking();
/// let two = node().store(store.clone())?.blocking();
///
/// let issued = one.create(b"a cart")?;
/// let mut buffer = BytesMut::new();
/// let record = two.open_token(issued.token.as_str().as_bytes(), &mut buffer)?;
/// assert_eq!(record.map(|record| record.id), Some(issued.id));
/// assert_eq!(&buffer[..], b"a cart");
///
/// two.end(&issued.id)?;
/// assert!(one.load(&issued.id, &mut buffer)?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TieredCache(Arc<Owner>);

/// The state of a node, and the thread that ends with it.
struct Owner {
    inner: Arc<Inner>,
    _thread: Option<IoThread>,
}

impl TieredCache {
    fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }

    /// Returns the state of the store, for readiness probes.
    #[must_use]
    pub fn store_health(&self) -> StoreHealth {
        let inner = self.inner();
        StoreHealth {
            state: inner.health.state(),
            lease_remaining: inner.lease.until().since(inner.l1.now()),
            fences: inner.metrics.fences(),
            ends_queued: inner.ends.queued(),
            revocations_queued: inner.revocations.queued(),
            mirror: self.mirror_state(),
        }
    }

    /// Returns the oldest event that the application has not taken yet. Events are those of this
    /// process.
    #[must_use]
    pub fn next_event(&self) -> Option<Event> {
        self.inner().l1.next_event()
    }

    /// Returns counters and gauges of the sessions in memory. Those of sessions that the store
    /// decides, such as `created` and `ended`, are 0.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner().l1.stats()
    }

    /// Returns the metrics of the cache in memory and of its traffic with the store, in the text
    /// format of Prometheus.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let inner = self.inner();
        let mut text = self.stats().prometheus().to_string();
        let gauges = Gauges {
            in_flight: inner.operations.in_flight(),
            below_floor: inner.operations.below_floor(),
            lease_remaining: self.store_health().lease_remaining,
            channel_lag: inner.echo.lag(),
            ends_queued: inner.ends.queued(),
            touches_dropped: lock(&inner.touches).dropped(),
            is_up: inner.lease.is_up(),
            revocations_queued: inner.revocations.queued(),
            revocations_rejected: inner.revocations.rejected(),
            are_revocations_current: (inner.mirror.is_on()).then(|| self.revocations_are_current()),
        };
        // Writing to a string does not fail.
        let _ = inner.metrics.write(&mut text, &gauges);
        text
    }

    /// Replaces the key ring, as [`SessionCache::set_keys`](sessile::SessionCache::set_keys) does.
    ///
    /// # Errors
    /// The error of the key ring; then the previous one stays.
    pub fn set_keys(&self, keys: &KeyRing) -> Result<(), KeyError> {
        self.inner().l1.set_keys(keys)?;
        self.inner().renew_encryption();
        Ok(())
    }

    /// Reclaims the memory of sessions that expired, as
    /// [`SessionCache::maintain`](sessile::SessionCache::maintain) does.
    pub fn maintain(&self, budget: usize) -> MaintenanceReport {
        self.inner().l1.maintain(budget)
    }

    /// Starts a thread that calls [`maintain`](Self::maintain) until the handle is dropped.
    ///
    /// # Errors
    /// The error of the operating system, if it starts no thread.
    pub fn start_maintenance(&self) -> io::Result<MaintenanceThread> {
        self.inner().l1.start_maintenance()
    }

    /// Asks the admission hook.
    ///
    /// # Errors
    /// [`AdmissionDenied`](Error::AdmissionDenied).
    pub fn check_admission(&self, key: &[u8]) -> Result<(), Error> {
        self.inner().l1.admit(key)
    }

    /// Returns true if there is a hook that decides about the creation of sessions.
    #[must_use]
    pub fn has_admission_hook(&self) -> bool {
        self.inner().l1.has_admission_hook()
    }

    /// Returns the name of the cookie.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        self.inner().l1.cookie_name()
    }

    /// Returns the maximum length of a session's data, in bytes.
    #[must_use]
    pub fn max_session_size(&self) -> usize {
        self.inner().l1.max_session_size()
    }

    /// Returns the idle timeout of sessions without their own.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        self.inner().l1.idle_timeout()
    }

    /// Returns the lifetime of sessions without their own.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.inner().l1.lifetime()
    }

    /// Returns the longest time that one operation waits for the store.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.inner().settings.timeout
    }

    /// Returns a one-way hash of an id, for MACs of forms.
    #[doc(hidden)]
    #[must_use]
    pub fn form_binding(&self, id: &SessionId) -> [u8; 16] {
        self.inner().l1.form_binding(id)
    }

    /// Returns the MAC of a binding under the first key of the ring.
    #[doc(hidden)]
    #[must_use]
    pub fn form_mac(&self, binding: &[u8; 16]) -> [u8; 16] {
        self.inner().l1.form_mac(binding)
    }

    /// Returns true if the MAC of a binding is right under any key of the ring.
    #[doc(hidden)]
    #[must_use]
    pub fn verify_form_mac(&self, binding: &[u8; 16], mac: &[u8; 16]) -> bool {
        self.inner().l1.verify_form_mac(binding, mac)
    }

    /// Returns L1, to check its structures in tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn l1(&self) -> &sessile::tier::L1 {
        &self.inner().l1
    }
}

/// Clones of one cache are equal.
impl PartialEq for TieredCache {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TieredCache {}

impl fmt::Debug for TieredCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TieredCache(..)")
    }
}
