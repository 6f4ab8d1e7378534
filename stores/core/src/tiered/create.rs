//! Creation of sessions.
//!
//! Invariant: a token leaves the process only once the store has its session, and the session of a
//! creation that was not answered is ended. It does not know what a session is created for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sessile::{
    CreateOptions, EndReason, Error, EventKind, IssuedSession, SessionId, UserHash,
    tier::{Placement, StoredSession},
};

use super::{
    TieredCache,
    inner::Inner,
    metrics::Verb,
    write::{MAX_IDS, Sealed, no_random_bytes},
};
use crate::{
    protocol::{operations::Ticket, switches::Rule},
    store::{Created, Lifetime, NewRecord, ServerTime, SessionLimit, StoreError},
};

/// A session to create, with all that its record needs.
pub(super) struct NewSession {
    pub(super) user: Option<NewUser>,
    pub(super) idle_timeout: Duration,
    pub(super) life_left: Duration,
    pub(super) lifetime: Lifetime,
    /// The creation of the session that signs in.
    pub(super) created: Option<ServerTime>,
    /// The time since the creation of the session that signs in.
    pub(super) age: Duration,
    pub(super) is_renewed: bool,
    pub(super) replaces: Option<SessionId>,
    /// The id and the token, if they were issued before.
    pub(super) reserved: Option<IssuedSession>,
    /// A client has returned a cookie of this session.
    pub(super) is_returned: bool,
    pub(super) data: Bytes,
}

/// The user of a session to create.
pub(super) struct NewUser {
    pub(super) hash: UserHash,
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
        self.create_under(None, data, options).await
    }

    /// Issues the id and the token of an anonymous session that
    /// [`create_reserved`](Self::create_reserved) may create later. Stores nothing.
    ///
    /// # Errors
    /// [`Entropy`](Error::Entropy).
    pub fn reserve(&self) -> Result<IssuedSession, Error> {
        self.inner().l1.issue(Placement::Random)
    }

    /// Creates an anonymous session under an id that was reserved. With a user in the options it
    /// gets another id, as by a sign-in. The token must not be sent before: a node remembers that
    /// an id is absent.
    ///
    /// # Errors
    /// Those of [`create_with`](Self::create_with), and [`Conflict`](Error::Conflict) if a session
    /// was created under this id before.
    pub async fn create_reserved(
        &self,
        reserved: &IssuedSession,
        data: &[u8],
        options: CreateOptions<'_>,
    ) -> Result<IssuedSession, Error> {
        self.create_under(Some(*reserved), data, options).await
    }

    async fn create_under(
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
            created: None,
            age: Duration::ZERO,
            is_renewed: false,
            replaces: request.replaces,
            reserved: reserved.filter(|_| request.user.is_none()),
            is_returned: false,
            data: Bytes::copy_from_slice(data),
        };
        let job = Arc::clone(inner);
        inner.run(async move { job.create(new).await }).await
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
            let _ = self.end_now(old, EndReason::Requested, deadline).await;
        }
        Ok(self.signed_now(issued))
    }

    /// Returns a session with a token of the current key ring, which may have been replaced since
    /// the id was issued.
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
            return match self.create_as(new, reserved, deadline).await {
                Err(StoreError::Taken) => Err(Error::Conflict),
                created => created.map_err(|error| self.public(&error)),
            };
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
        // Ids do not repeat, so the cutoff is ahead of the server's clock.
        Err(Error::Unreachable)
    }

    async fn create_as(
        self: &Arc<Self>,
        new: &NewSession,
        issued: IssuedSession,
        deadline: Duration,
    ) -> Result<CreatedSession, StoreError> {
        let session = self.describe(new, issued)?;
        let sealed = self.seal(&session, session.version, &new.data)?;
        let record = self.record_of(new, &session, &sealed);
        let (ticket, generation) = (self.begin(&issued.id)?, self.lease.generation());
        let create = self.store.create(&record, self.not_after(deadline));
        let result = self.call(Verb::Write, deadline, create).await;
        if let Ok(Created {
            ended: Some(id), ..
        }) = result
        {
            self.ended_at_limit(id, generation);
        }
        match result.and_then(|created| self.check_cutoff(new, created.now)) {
            Ok(()) => Ok(CreatedSession {
                issued,
                session,
                ticket,
                data: new.data.clone(),
            }),
            Err(error) => {
                self.abandon(ticket);
                self.end_uncertain(issued.id, &error);
                Err(error)
            }
        }
    }

    fn record_of<'a>(
        &self,
        new: &'a NewSession,
        session: &StoredSession,
        sealed: &'a Sealed,
    ) -> NewRecord<'a> {
        NewRecord {
            id: session.id,
            user: session.user,
            assurance_level: session.assurance_level,
            label: new.user.as_ref().map_or("", |user| &user.label),
            version: session.version,
            serial: session.serial,
            idle_timeout: new.idle_timeout,
            lifetime: new.lifetime,
            data: sealed.as_stored(),
            limit: self.session_limit(),
            replaces: new.replaces,
        }
    }

    /// Records the end of a session that the store ended at the limit. It holds whether or not the
    /// new session can be used.
    fn ended_at_limit(self: &Arc<Self>, id: SessionId, generation: u64) {
        let handle = self.known_handle(&id);
        self.forget(&id);
        if self.settings.rules.has(Rule::LimitEndsAgain) {
            // Queued if the server may have been replaced since.
            let _ = self.record_end(id, generation);
        }
        let _ = self.report(Ok(true), handle, EndReason::SessionLimit);
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
        let ended_before = self.ended_before();
        if ended_before == ServerTime(0) {
            return Ok(());
        }
        if new.created.is_some_and(|created| created <= ended_before) {
            return Err(StoreError::Gone);
        }
        // The server's clock has not passed the cutoff yet, or was set back.
        let is_new = new.user.is_some() || new.created.is_none();
        if is_new && now <= ended_before {
            return Err(StoreError::Taken);
        }
        Ok(())
    }

    /// Ends a session whose creation was not confirmed: its token was sent to no client.
    fn end_uncertain(self: &Arc<Self>, id: SessionId, error: &StoreError) {
        if matches!(
            error,
            StoreError::Unreachable(_) | StoreError::Unreplicated(_)
        ) {
            self.end_later(id);
        }
    }

    /// Installs a session that was created.
    pub(super) fn install_created(&self, created: CreatedSession) {
        self.install(created.ticket, &created.session, &created.data);
    }

    /// Ends a session that was created and is not needed, and its operation.
    pub(super) fn end_created(self: &Arc<Self>, created: CreatedSession) {
        self.abandon(created.ticket);
        self.end_later(created.issued.id);
    }

    fn session_limit(&self) -> SessionLimit {
        SessionLimit {
            max: self.l1.max_sessions_per_user(),
            policy: self.l1.session_limit_policy(),
            longest_lifetime: self.l1.lifetime(),
        }
    }
}
