//! Verbs that write one session: create, save, timeouts, rotation, touch.
//!
//! Invariant: the store is written first, and L1 takes the result under the floor of the operation.
//! It does not know sign-ins and ends.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use sessile::{
    CreateOptions, Error, EventKind, Handle, IssuedSession, SessionId, Timeouts, Version,
    tier::{Placement, StoredSession},
};

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
    store::{
        Lifetime, NewAlias, NewRecord, NewTimeouts, Rewrite, Rotated, ServerTime, SessionLimit,
        StoreError, StoredData,
    },
};

/// A session to create, with all that its record needs.
pub(super) struct NewSession {
    pub(super) user: Option<NewUser>,
    /// The id that the session gets, if it was issued before.
    pub(super) reserved: Option<IssuedSession>,
    pub(super) idle_timeout: Duration,
    pub(super) life_left: Duration,
    pub(super) lifetime: Lifetime,
    /// The creation of the session that signs in.
    pub(super) created: Option<ServerTime>,
    /// The time since the creation of the session that signs in.
    pub(super) age: Duration,
    pub(super) is_renewed: bool,
    pub(super) replaces: Option<SessionId>,
    /// A client has returned a cookie of this session.
    pub(super) is_returned: bool,
    pub(super) data: Bytes,
}

/// The user of a session to create.
pub(super) struct NewUser {
    pub(super) hash: sessile::UserHash,
    pub(super) label: String,
    pub(super) assurance_level: u8,
}

/// A session that was created in the store, and is not in L1 yet.
pub(super) struct CreatedSession {
    pub(super) issued: IssuedSession,
    pub(super) session: StoredSession,
    ticket: Ticket,
    data: Bytes,
}

impl TieredCache {
    /// Creates an anonymous session with the default options.
    ///
    /// # Errors
    /// Those of [`create_with`](Self::create_with).
    pub async fn create(&self, data: &[u8]) -> Result<IssuedSession, Error> {
        self.create_with(data, CreateOptions::new()).await
    }

    /// Creates a session. Its token leaves the process only once the store has the session.
    ///
    /// # Errors
    /// Those of [`SessionCache::create_with`](sessile::SessionCache::create_with), and
    /// [`Unreachable`](Error::Unreachable).
    pub async fn create_with(
        &self,
        data: &[u8],
        options: CreateOptions<'_>,
    ) -> Result<IssuedSession, Error> {
        self.create_issued(None, data, options).await
    }

    /// Creates a session as [`create_with`](Self::create_with) does, under an id that was
    /// [issued](Self::issue) before.
    pub(super) async fn create_issued(
        &self,
        reserved: Option<IssuedSession>,
        data: &[u8],
        options: CreateOptions<'_>,
    ) -> Result<IssuedSession, Error> {
        let inner = self.inner();
        let request = inner.l1.check_create(&options, data)?;
        inner.check_writable()?;
        let new = NewSession {
            user: request.user.map(|user| NewUser {
                hash: user.user,
                label: user.label.to_owned(),
                assurance_level: user.assurance_level,
            }),
            idle_timeout: request.spans.idle_timeout,
            life_left: request.spans.life_left,
            lifetime: Lifetime::New(request.spans.life_left),
            reserved,
            created: None,
            age: Duration::ZERO,
            is_renewed: false,
            replaces: request.replaces,
            is_returned: false,
            data: Bytes::copy_from_slice(data),
        };
        let job = Arc::clone(inner);
        inner.run(async move { job.create(new).await }).await
    }

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

    /// Replaces a session's id. Within the grace period the old one still opens it.
    ///
    /// # Errors
    /// Those of [`SessionCache::rotate`](sessile::SessionCache::rotate), and
    /// [`Unreachable`](Error::Unreachable).
    pub async fn rotate(&self, id: &SessionId, grace: Duration) -> Result<IssuedSession, Error> {
        let inner = self.inner();
        let max = inner.l1.lifetime();
        if grace > max {
            return Err(Error::GraceTooLong { given: grace, max });
        }
        inner.check_writable()?;
        let (job, id) = (Arc::clone(inner), *id);
        inner.run(async move { job.rotate(id, grace).await }).await
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
    async fn create(self: Arc<Self>, new: NewSession) -> Result<IssuedSession, Error> {
        let deadline = self.commit_deadline();
        let created = self.create_in_store(&new, deadline).await?;
        let (issued, handle) = (created.issued, created.session.handle());
        self.install_created(created);
        self.l1.emit(EventKind::Created, Some(handle));
        if let Some(old) = new.replaces {
            // Queued if the store does not answer: the new session exists in any case.
            let _ = self
                .end_now(old, sessile::EndReason::Requested, deadline)
                .await;
        }
        Ok(self.signed_now(issued))
    }

    /// Returns a session with a token of the current key ring, which may have been replaced since the
    /// id was issued.
    pub(super) fn signed_now(&self, issued: IssuedSession) -> IssuedSession {
        let mut issued = issued;
        issued.token = self.l1.sign(&issued.id);
        issued
    }

    /// Creates a record under an id that is issued for it.
    pub(super) async fn create_in_store(
        self: &Arc<Self>,
        new: &NewSession,
        deadline: Duration,
    ) -> Result<CreatedSession, Error> {
        if let Some(reserved) = new.reserved {
            let created = self.create_as(new, reserved, deadline).await;
            return created.map_err(|error| self.public(&error));
        }
        let user = new.user.as_ref().map(|user| user.hash);
        let placement = user.map_or(Placement::Random, Placement::User);
        for _ in 0..MAX_IDS {
            let issued = self.l1.issue(placement)?;
            match self.create_as(new, issued, deadline).await {
                Err(StoreError::Taken) => {}
                Ok(created) => return Ok(created),
                Err(error) => return Err(self.public(&error)),
            }
        }
        Err(Error::Entropy)
    }

    async fn create_as(
        self: &Arc<Self>,
        new: &NewSession,
        issued: IssuedSession,
        deadline: Duration,
    ) -> Result<CreatedSession, StoreError> {
        let session = self.describe(new, issued)?;
        let sealed = self.seal(&session, session.version, &new.data)?;
        let user = new.user.as_ref();
        let record = NewRecord {
            id: issued.id,
            user: session.user,
            assurance_level: session.assurance_level,
            label: user.map_or("", |user| &user.label),
            version: issued.version,
            serial: session.serial,
            idle_timeout: new.idle_timeout,
            lifetime: new.lifetime,
            data: sealed.as_stored(),
            limit: self.session_limit(),
            replaces: new.replaces,
        };
        let ticket = self.begin(&issued.id)?;
        let create = self.store.create(&record, self.not_after(deadline));
        match self.call(Verb::Write, deadline, create).await {
            Ok(created) => match self.check_cutoff(new, created.now) {
                Ok(()) => Ok(CreatedSession {
                    issued,
                    session,
                    ticket,
                    data: new.data.clone(),
                }),
                Err(error) => {
                    self.abandon(ticket);
                    Err(error)
                }
            },
            Err(error) => {
                self.abandon(ticket);
                self.end_uncertain(issued.id, &error);
                Err(error)
            }
        }
    }

    /// Returns a new session as L1 takes it.
    fn describe(
        &self,
        new: &NewSession,
        issued: IssuedSession,
    ) -> Result<StoredSession, StoreError> {
        let mut serial = [0; 4];
        self.l1
            .fill_random(&mut serial)
            .map_err(|_| no_random_bytes())?;
        let user = new.user.as_ref();
        Ok(StoredSession {
            serial: u32::from_le_bytes(serial),
            user: user.map(|user| user.hash),
            assurance_level: user.map_or(0, |user| user.assurance_level),
            lifetime_renewed: new.is_renewed,
            returned: new.is_returned,
            idle_timeout: new.idle_timeout,
            age: new.age,
            idle_left: new.idle_timeout.min(new.life_left),
            life_left: new.life_left,
            ..StoredSession::new(issued.id, issued.version, self.l1.now())
        })
    }

    /// Rejects a session that ended with all others when it was created: another id is tried a
    /// moment later, unless the session that signs in has ended.
    fn check_cutoff(&self, new: &NewSession, now: ServerTime) -> Result<(), StoreError> {
        let (created, error) = match new.created {
            Some(created) => (created, StoreError::Gone),
            None => (now, StoreError::Taken),
        };
        let ended_before = self.ended_before();
        if created <= ended_before && ended_before != ServerTime(0) {
            return Err(error);
        }
        Ok(())
    }

    /// Ends a session whose creation was not answered: its token was sent to no client.
    fn end_uncertain(self: &Arc<Self>, id: SessionId, error: &StoreError) {
        if matches!(error, StoreError::Unreachable(_)) {
            self.end_later(id);
        }
    }

    /// Installs a session that was created.
    pub(super) fn install_created(&self, created: CreatedSession) {
        self.install(created.ticket, &created.session, &created.data);
    }

    /// Ends the operation of a session that was created and is of no use.
    pub(super) fn discard_created(self: &Arc<Self>, created: CreatedSession) {
        self.abandon(created.ticket);
        self.end_later(created.issued.id);
    }

    /// Ends a write with a session for L1.
    fn install(&self, ticket: Ticket, session: &StoredSession, data: &[u8]) {
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
        let save = self
            .store
            .save(id, expected, next, sealed.as_stored(), not_after);
        self.call(Verb::Write, deadline, save).await.map(|_| ())
    }

    /// Installs the data that was saved if L1 knows the rest of the session, and drops what is older
    /// otherwise.
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
            let end = self.store.end_if_unchanged(id, expected);
            self.call(Verb::End, deadline, end).await?;
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

    async fn rotate(&self, id: SessionId, grace: Duration) -> Result<IssuedSession, Error> {
        let deadline = self.commit_deadline();
        for _ in 0..MAX_IDS {
            let mut issued = self.l1.issue(Placement::Of(id))?;
            match self.rotate_to(id, issued.id, grace, deadline).await {
                Err(StoreError::Taken) => {}
                Err(error) => return Err(self.public(&error)),
                Ok((rotated, handle)) => {
                    issued.version = rotated.version;
                    self.l1.emit(EventKind::Rotated, handle);
                    return Ok(self.signed_now(issued));
                }
            }
        }
        Err(Error::Entropy)
    }

    async fn rotate_to(
        &self,
        id: SessionId,
        target: SessionId,
        grace: Duration,
        deadline: Duration,
    ) -> Result<(Rotated, Option<Handle>), StoreError> {
        if self.ends.is_queued(&id) {
            return Err(StoreError::Gone);
        }
        // Before L1 is read: a change in between keeps the result out of L1.
        let ticket = self.begin(&target)?;
        let known = self.known(&id);
        let handle = known.as_ref().map(|(session, _)| session.handle());
        let rotated = match self.rotate_in_store(id, target, grace, deadline).await {
            Ok(rotated) => rotated,
            Err(error) => {
                self.abandon(ticket);
                return Err(error);
            }
        };
        self.forget(&id);
        match known.filter(|(session, _)| session.version == rotated.version) {
            Some((session, data)) => self.install(ticket, &rotated_to(&session, target), &data),
            None => self.abandon(ticket),
        }
        Ok((rotated, handle))
    }

    async fn rotate_in_store(
        &self,
        id: SessionId,
        target: SessionId,
        grace: Duration,
        deadline: Duration,
    ) -> Result<Rotated, StoreError> {
        let rewritten = self.rewrite(id, target, deadline).await?;
        let rewrite = rewritten.as_ref().map(|(expected, next, sealed)| Rewrite {
            expected: *expected,
            next: *next,
            data: sealed.as_stored(),
        });
        let alias = self.alias(target, grace);
        let rotate = self
            .store
            .rotate(id, alias, rewrite, self.not_after(deadline));
        self.call(Verb::Write, deadline, rotate).await
    }

    /// Returns the version and the data that a session gets with its new id: encrypted data is bound
    /// to the id.
    async fn rewrite(
        &self,
        id: SessionId,
        target: SessionId,
        deadline: Duration,
    ) -> Result<Option<(Version, Version, Sealed)>, StoreError> {
        if !self.settings.is_encrypted {
            return Ok(None);
        }
        let found = self.fetch_session(id, deadline).await?;
        let expected = found.session.version;
        let next = if expected.get() >= RESTART {
            Version::new(1)
        } else {
            expected
        };
        let session = StoredSession {
            id: target,
            ..found.session
        };
        let sealed = self.seal(&session, next, &found.data)?;
        Ok(Some((expected, next, sealed)))
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

    /// Returns an alias of `target`. All aliases are remembered equally long, so that none expires
    /// before those that lead to it.
    pub(super) fn alias(&self, target: SessionId, grace: Duration) -> NewAlias {
        NewAlias {
            target,
            grace,
            remember: self.l1.idle_timeout(),
        }
    }

    fn session_limit(&self) -> SessionLimit {
        SessionLimit {
            max: self.l1.max_sessions_per_user(),
            policy: self.l1.session_limit_policy(),
            longest_lifetime: self.l1.lifetime(),
        }
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
    fn seal(
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
            StoreError::Taken
            | StoreError::Late
            | StoreError::Unreachable(_)
            | StoreError::Unsupported(_)
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

    fn as_stored(&self) -> StoredData<'_> {
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

fn rotated_to(session: &StoredSession, target: SessionId) -> StoredSession {
    StoredSession {
        id: target,
        issued_ago: Duration::ZERO,
        ..*session
    }
}

fn no_random_bytes() -> StoreError {
    StoreError::Unreachable("the operating system returned no random bytes".into())
}

/// The number of ids that are tried. An id that exists is a failure of the source of random bytes.
const MAX_IDS: usize = 4;
/// The last version that a save may replace. Versions never wrap.
const LAST: u32 = u32::MAX - 256;
/// From this version on a rotation starts again at 1.
const RESTART: u32 = 1 << 31;
