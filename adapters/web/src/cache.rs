//! The cache behind a manager: a local one, or a tiered one with a store.
//!
//! Owns the difference between the two. A verb that may reach the store is `async`; on a local
//! cache it is ready at the first poll and allocates nothing. The verbs of a tiered cache are boxed
//! here, so that the futures of local caches stay small. The module does not know a session's data.

use std::{io, time::Duration};

use bytes::BytesMut;
use sessile::{
    CreateOptions, Error, Event, Handle, IssuedSession, MaintenanceThread, Record, SessionCache,
    SessionId, SessionInfo, SignInOptions, Timeouts, Version, stats::Stats,
};
use sessile_store::{Candidates, LookUp, StoreHealth, TieredCache};

/// The cache of a [`SessionManager`](crate::SessionManager). Both kinds convert into it.
///
/// ```
/// use sessile::{KeyRing, SessionCache};
/// use sessile_store::{MemoryStore, StoreExt};
/// use sessile_web::SessionManager;
///
/// let builder = || Ok::<_, sessile::KeyError>(SessionCache::builder().keys(KeyRing::generate()?));
/// let local = SessionManager::new(builder()?.memory(4 << 20).build()?);
/// assert!(local.cache().local().is_some());
///
/// let tiered = SessionManager::new(builder()?.memory(8 << 20).store(MemoryStore::new())?);
/// assert!(tiered.cache().tiered().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Sessions in the memory of this process.
    Local(SessionCache),
    /// Sessions in a store, shared with other processes.
    Tiered(TieredCache),
}

impl Cache {
    /// Returns the local cache.
    #[must_use]
    pub fn local(&self) -> Option<&SessionCache> {
        match self {
            Self::Local(cache) => Some(cache),
            Self::Tiered(_) => None,
        }
    }

    /// Returns the tiered cache.
    #[must_use]
    pub fn tiered(&self) -> Option<&TieredCache> {
        match self {
            Self::Local(_) => None,
            Self::Tiered(cache) => Some(cache),
        }
    }

    /// Returns the name of the cookie.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        match self {
            Self::Local(cache) => cache.cookie_name(),
            Self::Tiered(cache) => cache.cookie_name(),
        }
    }

    /// Returns the maximum length of a session's data, in bytes.
    #[must_use]
    pub fn max_session_size(&self) -> usize {
        match self {
            Self::Local(cache) => cache.max_session_size(),
            Self::Tiered(cache) => cache.max_session_size(),
        }
    }

    /// Returns the idle timeout of sessions without their own.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        match self {
            Self::Local(cache) => cache.idle_timeout(),
            Self::Tiered(cache) => cache.idle_timeout(),
        }
    }

    /// Returns the lifetime of sessions without their own.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        match self {
            Self::Local(cache) => cache.lifetime(),
            Self::Tiered(cache) => cache.lifetime(),
        }
    }

    /// Returns the number of sessions with data of a length that fit in memory.
    #[must_use]
    pub fn capacity_for(&self, data_len: usize) -> usize {
        match self {
            Self::Local(cache) => cache.capacity_for(data_len),
            Self::Tiered(cache) => cache.capacity_for(data_len),
        }
    }

    /// Returns counters and gauges of the sessions in memory.
    #[must_use]
    pub fn stats(&self) -> Stats {
        match self {
            Self::Local(cache) => cache.stats(),
            Self::Tiered(cache) => cache.stats(),
        }
    }

    /// Returns the metrics in the text format of Prometheus, with those of the store.
    #[must_use]
    pub fn prometheus(&self) -> String {
        match self {
            Self::Local(cache) => cache.stats().prometheus().to_string(),
            Self::Tiered(cache) => cache.prometheus(),
        }
    }

    /// Returns the oldest event that the application has not taken yet.
    #[must_use]
    pub fn next_event(&self) -> Option<Event> {
        match self {
            Self::Local(cache) => cache.next_event(),
            Self::Tiered(cache) => cache.next_event(),
        }
    }

    /// Starts a thread that reclaims the memory of sessions that expired, until the handle is
    /// dropped.
    ///
    /// # Errors
    /// The error of the operating system, if it starts no thread.
    pub fn start_maintenance(&self) -> io::Result<MaintenanceThread> {
        match self {
            Self::Local(cache) => cache.start_maintenance(),
            Self::Tiered(cache) => cache.start_maintenance(),
        }
    }

    /// Returns the state of the store, for readiness probes; `None` without a store.
    #[must_use]
    pub fn store_health(&self) -> Option<StoreHealth> {
        self.tiered().map(TieredCache::store_health)
    }

    pub(crate) fn has_admission_hook(&self) -> bool {
        match self {
            Self::Local(cache) => cache.has_admission_hook(),
            Self::Tiered(cache) => cache.has_admission_hook(),
        }
    }

    pub(crate) fn check_admission(&self, key: &[u8]) -> Result<(), Error> {
        match self {
            Self::Local(cache) => cache.check_admission(key),
            Self::Tiered(cache) => cache.check_admission(key),
        }
    }

    pub(crate) fn form_binding(&self, id: &SessionId) -> [u8; 16] {
        match self {
            Self::Local(cache) => cache.form_binding(id),
            Self::Tiered(cache) => cache.form_binding(id),
        }
    }

    pub(crate) fn form_mac(&self, binding: &[u8; 16]) -> [u8; 16] {
        match self {
            Self::Local(cache) => cache.form_mac(binding),
            Self::Tiered(cache) => cache.form_mac(binding),
        }
    }

    pub(crate) fn verify_form_mac(&self, binding: &[u8; 16], mac: &[u8; 16]) -> bool {
        match self {
            Self::Local(cache) => cache.verify_form_mac(binding, mac),
            Self::Tiered(cache) => cache.verify_form_mac(binding, mac),
        }
    }

    /// Returns the id of a cookie value whose MAC is valid.
    pub(crate) fn id_of_token(&self, value: &[u8]) -> Option<SessionId> {
        match self {
            Self::Local(cache) => cache.id_of_token(value),
            Self::Tiered(cache) => cache.id_of_token(value),
        }
    }
}

/// Reads, which count as a use unless their documentation says otherwise.
impl Cache {
    /// Opens the session of `Cookie` fields, if that needs no store.
    pub(crate) fn try_open<'h>(
        &self,
        fields: impl IntoIterator<Item = &'h [u8]> + Clone,
        buffer: &mut BytesMut,
    ) -> LookUp {
        match self {
            Self::Local(cache) => found(cache.open(fields, buffer)),
            Self::Tiered(cache) => cache.try_open(fields, buffer),
        }
    }

    /// Opens the session of bare cookie values, if that needs no store.
    pub(crate) fn try_open_tokens<'h>(
        &self,
        mut values: impl Iterator<Item = &'h [u8]>,
        buffer: &mut BytesMut,
    ) -> LookUp {
        match self {
            Self::Local(cache) => found(values.find_map(|value| cache.open_token(value, buffer))),
            Self::Tiered(cache) => cache.try_open_tokens(values, buffer),
        }
    }

    /// Continues after a peek. It counts as no use.
    pub(crate) async fn fetch_unused(
        &self,
        candidates: Candidates,
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        match self {
            Self::Local(_) => Ok(None),
            Self::Tiered(cache) => cache.fetch_unused(candidates, buffer).await,
        }
    }

    /// Opens the session of one bare cookie value.
    pub(crate) async fn open_token(
        &self,
        value: &[u8],
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        match self {
            Self::Local(cache) => Ok(cache.open_token(value, buffer)),
            Self::Tiered(cache) => Box::pin(cache.open_token(value, buffer)).await,
        }
    }

    pub(crate) async fn load(
        &self,
        id: &SessionId,
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        match self {
            Self::Local(cache) => Ok(cache.load(id, buffer)),
            Self::Tiered(cache) => Box::pin(cache.load(id, buffer)).await,
        }
    }

    /// Returns the record of a session that this request stored, if it is in memory.
    pub(crate) fn record(&self, id: &SessionId) -> Option<Record> {
        let mut buffer = BytesMut::new();
        match self {
            Self::Local(cache) => cache.load(id, &mut buffer),
            Self::Tiered(cache) => cache.peek_id(id, &mut buffer),
        }
    }

    /// Returns true if the id opens a session. It counts as no use.
    pub(crate) async fn contains(&self, id: &SessionId) -> Result<bool, Error> {
        match self {
            Self::Local(cache) => Ok(cache.contains(id)),
            Self::Tiered(cache) => Box::pin(cache.contains(id)).await,
        }
    }

    /// Returns the time since the id was replaced; `None` if it was not.
    pub(crate) async fn replaced(&self, id: &SessionId) -> Result<Option<Duration>, Error> {
        match self {
            Self::Local(cache) => Ok(cache.replaced(id)),
            Self::Tiered(cache) => Box::pin(cache.replaced(id)).await,
        }
    }

    pub(crate) async fn user_sessions(&self, user: &str) -> Result<Vec<SessionInfo>, Error> {
        match self {
            Self::Local(cache) => Ok(cache.user_sessions(user)),
            Self::Tiered(cache) => Box::pin(cache.user_sessions(user)).await,
        }
    }
}

/// Writes.
impl Cache {
    /// Creates a session, under an id that was reserved for it if there is one.
    pub(crate) async fn create(
        &self,
        reserved: Option<IssuedSession>,
        data: &[u8],
        options: CreateOptions<'_>,
    ) -> Result<IssuedSession, Error> {
        match (self, reserved) {
            (Self::Local(cache), _) => cache.create_with(data, options),
            (Self::Tiered(cache), None) => Box::pin(cache.create_with(data, options)).await,
            (Self::Tiered(cache), Some(reserved)) => {
                Box::pin(cache.create_reserved(&reserved, data, options)).await
            }
        }
    }

    pub(crate) async fn save(
        &self,
        id: &SessionId,
        version: Version,
        data: &[u8],
    ) -> Result<Version, Error> {
        match self {
            Self::Local(cache) => cache.save(id, version, data),
            Self::Tiered(cache) => Box::pin(cache.save(id, version, data)).await,
        }
    }

    pub(crate) async fn set_timeouts(
        &self,
        id: &SessionId,
        version: Version,
        timeouts: Timeouts,
    ) -> Result<Version, Error> {
        match self {
            Self::Local(cache) => cache.set_timeouts(id, version, timeouts),
            Self::Tiered(cache) => Box::pin(cache.set_timeouts(id, version, timeouts)).await,
        }
    }

    pub(crate) async fn rotate(
        &self,
        id: &SessionId,
        grace: Duration,
    ) -> Result<IssuedSession, Error> {
        match self {
            Self::Local(cache) => cache.rotate(id, grace),
            Self::Tiered(cache) => Box::pin(cache.rotate(id, grace)).await,
        }
    }

    pub(crate) async fn sign_in(
        &self,
        id: &SessionId,
        user: &str,
        options: SignInOptions<'_>,
    ) -> Result<IssuedSession, Error> {
        match self {
            Self::Local(cache) => cache.sign_in_with(id, user, options),
            Self::Tiered(cache) => Box::pin(cache.sign_in_with(id, user, options)).await,
        }
    }
}

/// Ends.
impl Cache {
    /// Ends sessions at once in this process. If the store does not confirm one, its end is queued
    /// and the result is an error. All are accepted at the first poll.
    pub(crate) async fn end_each(&self, ids: &[SessionId]) -> Result<(), Error> {
        match self {
            Self::Local(cache) => {
                for id in ids {
                    cache.end(id);
                }
                Ok(())
            }
            Self::Tiered(cache) => Box::pin(end_each(cache, ids)).await,
        }
    }

    /// Ends a session without waiting.
    pub(crate) fn end_later(&self, id: &SessionId) {
        match self {
            Self::Local(cache) => {
                cache.end(id);
            }
            Self::Tiered(cache) => cache.end_later(id),
        }
    }

    pub(crate) async fn end_if_unchanged(
        &self,
        id: &SessionId,
        version: Version,
    ) -> Result<(), Error> {
        match self {
            Self::Local(cache) => cache.end_if_unchanged(id, version),
            Self::Tiered(cache) => Box::pin(cache.end_if_unchanged(id, version)).await,
        }
    }

    pub(crate) async fn end_by_handle(&self, handle: &Handle) -> Result<bool, Error> {
        match self {
            Self::Local(cache) => Ok(cache.end_by_handle(handle)),
            Self::Tiered(cache) => Box::pin(cache.end_by_handle(handle)).await,
        }
    }

    pub(crate) async fn end_user_sessions(
        &self,
        user: &str,
        except: Option<&SessionId>,
    ) -> Result<usize, Error> {
        match self {
            Self::Local(cache) => Ok(cache.end_user_sessions(user, except)),
            Self::Tiered(cache) => Box::pin(cache.end_user_sessions(user, except)).await,
        }
    }
}

async fn end_each(cache: &TieredCache, ids: &[SessionId]) -> Result<(), Error> {
    let Some((first, others)) = ids.split_first() else {
        return Ok(());
    };
    // Accepted before the first wait, in case the caller stops waiting.
    others.iter().for_each(|id| cache.end_later(id));
    let mut result = cache.end(first).await.map(drop);
    for id in others {
        result = result.and(cache.end(id).await.map(drop));
    }
    result
}

fn found(record: Option<Record>) -> LookUp {
    record.map_or(LookUp::Absent, LookUp::Hit)
}

impl From<SessionCache> for Cache {
    fn from(cache: SessionCache) -> Self {
        Self::Local(cache)
    }
}

impl From<TieredCache> for Cache {
    fn from(cache: TieredCache) -> Self {
        Self::Tiered(cache)
    }
}
