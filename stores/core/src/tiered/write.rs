//! Verbs that write one session under its id: save, timeouts, touch.
//!
//! Invariant: the store is written first, and L1 takes the result under the floor of the operation.
//! It does not know new ids and ends.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use sessile::{Error, EventKind, SessionId, Timeouts, Version, tier::StoredSession};

use super::{
    TieredCache,
    fetched::{Fetched, Found},
    inner::Inner,
    metrics::Verb,
    open::MAX_HOPS,
};
use crate::{
    encryption::Binding,
    protocol::operations::Ticket,
    store::{NewTimeouts, StoreError, StoredData},
};

impl TieredCache {
    /// Replaces a session's data if it still has `version`, the one that the caller read, and
    /// returns the new version. Counts as a use.
    ///
    /// # Errors
    /// Those of [`SessionCache::save`](sessile::SessionCache::save), and
    /// [`Unreachable`](Error::Unreachable), after which the data may have been stored.
    pub async fn save(
        &self,
        id: &SessionId,
        version: Version,
        data: &[u8],
    ) -> Result<Version, Error> {
        let inner = self.inner();
        inner.l1.check_len(data)?;
        inner.check_writable()?;
        let (job, id, data) = (Arc::clone(inner), *id, Bytes::copy_from_slice(data));
        inner
            .run(async move { job.save(id, version, &data).await })
            .await
    }

    /// Sets per-session timeouts if the session still has `version`, and returns the new version.
    /// Counts as a use.
    ///
    /// # Errors
    /// Those of [`SessionCache::set_timeouts`](sessile::SessionCache::set_timeouts), and
    /// [`Unreachable`](Error::Unreachable).
    pub async fn set_timeouts(
        &self,
        id: &SessionId,
        version: Version,
        timeouts: Timeouts,
    ) -> Result<Version, Error> {
        let inner = self.inner();
        inner.check_writable()?;
        let (job, id) = (Arc::clone(inner), *id);
        inner
            .run(async move { job.set_timeouts(id, version, timeouts).await })
            .await
    }

    /// Counts as a use of a session, and changes nothing else. If the session is in memory, the
    /// store learns of it later.
    ///
    /// # Errors
    /// [`Gone`](Error::Gone), [`Unreachable`](Error::Unreachable).
    pub async fn touch(&self, id: &SessionId) -> Result<(), Error> {
        let found = self.load(id, &mut BytesMut::new()).await?;
        found.map(|_| ()).ok_or(Error::Gone)
    }
}

impl Inner {
    /// Ends a write with a session for L1.
    pub(super) fn install(&self, ticket: Ticket, session: &StoredSession, data: &[u8]) {
        let version = Some(session.version);
        self.operations.finish(ticket, version, &self.lease, || {
            if !self.ends.is_queued(&session.id) {
                self.l1.install(session, data);
            }
        });
    }

    async fn save(&self, id: SessionId, expected: Version, data: &Bytes) -> Result<Version, Error> {
        let deadline = self.commit_deadline();
        let mut current = id;
        for _ in 0..MAX_HOPS {
            match self.save_as(current, expected, data, deadline).await {
                Err(StoreError::Rotated) => current = self.next_in_grace(current, deadline).await?,
                Err(StoreError::Conflict) => return Err(self.conflict(&current, expected)),
                Err(error) => return Err(self.public(&error)),
                Ok(version) => return Ok(version),
            }
        }
        Err(Error::Gone)
    }

    async fn save_as(
        &self,
        id: SessionId,
        expected: Version,
        data: &Bytes,
        deadline: Duration,
    ) -> Result<Version, StoreError> {
        if self.ends.is_queued(&id) {
            return Err(StoreError::Gone);
        }
        let next = self.next_version(expected)?;
        // Before L1 is read: a change in between keeps the result out of L1.
        let ticket = self.begin(&id)?;
        let known = self.known(&id).map(|(session, _)| session);
        let known = known.filter(|session| session.version == expected);
        let result = self
            .save_in_store(id, expected, next, known.as_ref(), data, deadline)
            .await;
        match result {
            Ok(()) => self.finish_save(ticket, id, known, next, data),
            Err(_) => self.abandon(ticket),
        }
        result.map(|()| next)
    }

    async fn save_in_store(
        &self,
        id: SessionId,
        expected: Version,
        next: Version,
        known: Option<&StoredSession>,
        data: &Bytes,
        deadline: Duration,
    ) -> Result<(), StoreError> {
        let sealed = match (self.settings.is_encrypted, known) {
            (false, _) => Sealed::plain(data),
            (true, Some(session)) => self.seal(session, next, data)?,
            (true, None) => {
                let found = self.fetch_current(id, expected, deadline).await?;
                self.seal(&found.session, next, data)?
            }
        };
        let not_after = self.not_after(deadline);
        self.echo.expect(&id, next, self.env.now());
        let save = self
            .store
            .save(id, expected, next, sealed.as_stored(), not_after);
        self.call(Verb::Write, deadline, save).await.map(|_| ())
    }

    /// Installs the data that was saved if L1 knows the rest of the session, and drops what is
    /// older otherwise.
    fn finish_save(
        &self,
        ticket: Ticket,
        id: SessionId,
        known: Option<StoredSession>,
        next: Version,
        data: &[u8],
    ) {
        match known {
            Some(known) => self.install(ticket, &saved(&known, next), data),
            None => {
                self.abandon(ticket);
                self.outdate(&id, next);
            }
        }
    }

    /// Keeps L1, and reads that are in progress, from showing the version that lost.
    fn conflict(&self, id: &SessionId, expected: Version) -> Error {
        let handle = self.known_handle(id);
        self.outdate(id, Version::new(expected.get().saturating_add(1)));
        if handle.is_some() {
            self.l1.emit(EventKind::Conflict, handle);
        }
        Error::Conflict
    }

    async fn set_timeouts(
        &self,
        id: SessionId,
        expected: Version,
        timeouts: Timeouts,
    ) -> Result<Version, Error> {
        let deadline = self.commit_deadline();
        let mut current = id;
        for _ in 0..MAX_HOPS {
            match self
                .set_timeouts_as(current, expected, timeouts, deadline)
                .await
            {
                Err(StoreError::Rotated) => current = self.next_in_grace(current, deadline).await?,
                Err(StoreError::Conflict) => return Err(self.conflict(&current, expected)),
                Err(error) => return Err(self.public(&error)),
                Ok(version) => return Ok(version),
            }
        }
        Err(Error::Gone)
    }

    async fn set_timeouts_as(
        &self,
        id: SessionId,
        expected: Version,
        timeouts: Timeouts,
        deadline: Duration,
    ) -> Result<Version, StoreError> {
        let next = self.next_version(expected)?;
        let ticket = self.begin(&id)?;
        let result = self
            .set_timeouts_in_store(id, expected, next, timeouts, deadline)
            .await;
        match &result {
            Ok(Some((session, data))) => self.install(ticket, session, data),
            Ok(None) => {
                self.abandon(ticket);
                self.forget(&id);
            }
            Err(_) => self.abandon(ticket),
        }
        result.map(|_| next)
    }

    /// Returns the session with its new timeouts, or `None` if they end it.
    async fn set_timeouts_in_store(
        &self,
        id: SessionId,
        expected: Version,
        next: Version,
        timeouts: Timeouts,
        deadline: Duration,
    ) -> Result<Option<(StoredSession, Bytes)>, StoreError> {
        let found = self.fetch_current(id, expected, deadline).await?;
        let spans = self.l1.change_timeouts(&found.session, timeouts);
        if spans.life_left.is_zero() {
            let generation = self.lease.generation();
            let end = self.store.end_if_unchanged(id, expected);
            self.call(Verb::End, deadline, end).await?;
            self.record_end(id, generation)?;
            return Ok(None);
        }
        let sealed = self.seal(&found.session, next, &found.data)?;
        let stored = self.settings.is_encrypted.then(|| sealed.as_stored());
        let new = NewTimeouts {
            idle_timeout: spans.idle_timeout,
            end: found.end_after(spans.life_left),
        };
        let not_after = self.not_after(deadline);
        let set = self
            .store
            .set_timeouts(id, expected, next, new, stored, not_after);
        self.call(Verb::Write, deadline, set).await?;
        let session = StoredSession {
            idle_timeout: spans.idle_timeout,
            life_left: spans.life_left,
            ..found.session
        };
        Ok(Some((saved(&session, next), found.data.clone())))
    }

    /// Returns the session of an id from the store.
    pub(super) async fn fetch_session(
        &self,
        id: SessionId,
        deadline: Duration,
    ) -> Result<Arc<Fetched>, StoreError> {
        match self.read(id, deadline).await {
            Ok(Found::Session(found)) => Ok(found),
            Ok(Found::Alias(_)) => Err(StoreError::Rotated),
            Ok(Found::Absent | Found::CutOff) => Err(StoreError::Gone),
            Err(_) => Err(StoreError::Unreachable("the session cannot be read".into())),
        }
    }

    /// Returns the session of an id from the store if it has a version.
    async fn fetch_current(
        &self,
        id: SessionId,
        expected: Version,
        deadline: Duration,
    ) -> Result<Arc<Fetched>, StoreError> {
        let found = self.fetch_session(id, deadline).await?;
        if found.session.version == expected {
            Ok(found)
        } else {
            Err(StoreError::Conflict)
        }
    }

    /// Returns the id that a replaced id leads to within its grace period.
    async fn next_in_grace(&self, id: SessionId, deadline: Duration) -> Result<SessionId, Error> {
        match self.read(id, deadline).await? {
            Found::Alias(target) if target.is_in_grace => Ok(target.id),
            _ => Err(Error::Gone),
        }
    }

    pub(super) fn begin(&self, id: &SessionId) -> Result<Ticket, StoreError> {
        let ticket = self.operations.begin(id, &self.lease);
        ticket.ok_or_else(|| StoreError::Unreachable("too many operations are in flight".into()))
    }

    /// Returns the version after `version`. The random step tells apart two saves that follow the
    /// same version, one of which a failover lost.
    pub(super) fn next_version(&self, version: Version) -> Result<Version, StoreError> {
        let mut random = [0];
        self.l1
            .fill_random(&mut random)
            .map_err(|_| no_random_bytes())?;
        if version.get() > LAST {
            return Err(StoreError::Conflict);
        }
        Ok(Version::new(version.get() + 1 + u32::from(random[0])))
    }

    /// Returns data as it is stored.
    pub(super) fn seal(
        &self,
        session: &StoredSession,
        version: Version,
        data: &Bytes,
    ) -> Result<Sealed, StoreError> {
        let binding = Binding {
            id: session.id,
            version,
            serial: session.serial,
            assurance_level: session.assurance_level,
            user: session.user,
        };
        self.with_encryption(|keys| match keys {
            None => Ok(Sealed::plain(data)),
            Some(keys) => keys
                .encrypt(&binding, data)
                .map(|bytes| Sealed {
                    bytes: bytes.into(),
                    is_encrypted: true,
                })
                .map_err(|_| no_random_bytes()),
        })
    }

    /// Returns the error that a caller sees.
    pub(super) fn public(&self, error: &StoreError) -> Error {
        match error {
            StoreError::Gone => Error::Gone,
            StoreError::Rotated => Error::Rotated,
            StoreError::Conflict => Error::Conflict,
            StoreError::TooMany => Error::TooManySessions,
            StoreError::Full => Error::Full,
            StoreError::Unsupported(verb) => Error::Unsupported { verb },
            StoreError::Taken
            | StoreError::Late
            | StoreError::Unreachable(_)
            | StoreError::Unreplicated(_)
            | StoreError::Incompatible(_) => Error::Unreachable,
        }
    }
}

/// Data as it is stored.
pub(super) struct Sealed {
    bytes: Bytes,
    is_encrypted: bool,
}

impl Sealed {
    fn plain(data: &Bytes) -> Self {
        Self {
            bytes: data.clone(),
            is_encrypted: false,
        }
    }

    pub(super) fn as_stored(&self) -> StoredData<'_> {
        StoredData {
            bytes: &self.bytes,
            is_encrypted: self.is_encrypted,
        }
    }
}

/// Returns a session after a save. Its spans count from the time at which L1 was read, which is
/// before the save.
fn saved(session: &StoredSession, version: Version) -> StoredSession {
    StoredSession {
        version,
        idle_left: session.idle_timeout.min(session.life_left),
        ..*session
    }
}

pub(super) fn no_random_bytes() -> StoreError {
    StoreError::Unreachable("the operating system returned no random bytes".into())
}

/// The number of ids that are tried. An id that exists is a failure of the source of random bytes.
pub(super) const MAX_IDS: usize = 4;
/// The last version that a save may replace. Versions never wrap.
const LAST: u32 = u32::MAX - 256;
