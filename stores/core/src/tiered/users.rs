//! Verbs about the sessions of a user.
//!
//! Invariant: a sign-in publishes the new id only after the old one is retired. It does not know
//! how a store indexes users.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sessile::{
    Error, EventKind, IssuedSession, SessionId, SessionInfo, SignInOptions, UserHash, Version,
    tier::SignInRequest,
};

use super::{
    TieredCache,
    create::{NewSession, NewUser},
    fetched::{Fetched, Found},
    inner::Inner,
    metrics::Verb,
    queued_ends::{PIPELINED, call_each, is_executed},
};
use crate::{
    environment::join_all,
    protocol::ends::Retired,
    store::{BoxFuture, Lifetime, ServerTime, StoreError, UserIds},
};

impl TieredCache {
    /// Binds a session to a user and replaces its id, with the default options.
    ///
    /// # Errors
    /// Those of [`sign_in_with`](Self::sign_in_with).
    pub async fn sign_in(&self, id: &SessionId, user: &str) -> Result<IssuedSession, Error> {
        self.sign_in_with(id, user, SignInOptions::new()).await
    }

    /// Binds a session to a user and replaces its id. The old id no longer opens the session.
    ///
    /// # Errors
    /// Those of [`SessionCache::sign_in_with`](sessile::SessionCache::sign_in_with),
    /// [`Conflict`](Error::Conflict) also if other requests kept saving to the session, and
    /// [`Unreachable`](Error::Unreachable).
    pub async fn sign_in_with(
        &self,
        id: &SessionId,
        user: &str,
        options: SignInOptions<'_>,
    ) -> Result<IssuedSession, Error> {
        let inner = self.inner();
        inner.check_writable()?;
        let deadline = inner.commit_deadline();
        let mut attempt = 0;
        loop {
            let result = inner.sign_in_once(*id, user, &options, deadline).await;
            attempt += 1;
            match result {
                Err(Attempt::Repeat) if attempt < MAX_ATTEMPTS => {}
                Err(Attempt::Repeat) => return Err(Error::Conflict),
                Err(Attempt::Failed(error)) => return Err(error),
                Ok(issued) => return Ok(issued),
            }
        }
    }

    /// Lists the sessions of a user, the most recently used first. The list is not a snapshot of
    /// one moment. It considers the 1,000 sessions with the earliest sign-ins.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable), and [`Unsupported`](Error::Unsupported) if the store
    /// does not list a user's sessions.
    pub async fn user_sessions(&self, user: &str) -> Result<Vec<SessionInfo>, Error> {
        let inner = self.inner();
        inner.check_up()?;
        let (job, user) = (Arc::clone(inner), inner.l1.user_hash(user));
        let run = inner.run(async move {
            let deadline = job.commit_deadline();
            job.list(user, deadline).await
        });
        let mut listed = run.await?.sessions;
        listed.sort_by_key(|found| {
            let session = &found.session;
            let unused = session.idle_timeout.saturating_sub(session.idle_left);
            (unused, session.authenticated_ago, session.serial)
        });
        let info = |found: &Arc<Fetched>| inner.l1.session_info(&found.session, &found.label);
        Ok(listed.iter().map(info).collect())
    }
}

/// The sessions of a user.
pub(super) struct Listed {
    pub(super) sessions: Vec<Arc<Fetched>>,
    /// There are more, which signed in later.
    pub(super) more: bool,
}

/// The reason why an attempt to sign in failed.
enum Attempt {
    /// Another request saved to the session.
    Repeat,
    Failed(Error),
}

impl From<Error> for Attempt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Inner {
    /// Reads the session, and signs in to the version that was read. The options are checked
    /// between the two, on the side of the caller, because they borrow from it.
    async fn sign_in_once(
        self: &Arc<Self>,
        id: SessionId,
        user: &str,
        options: &SignInOptions<'_>,
        deadline: Duration,
    ) -> Result<IssuedSession, Attempt> {
        let job = Arc::clone(self);
        let read = self.run(async move {
            let found = job.fetch_session(id, deadline).await;
            found.map_err(|error| job.public(&error))
        });
        let old = read.await?;
        let request = self.l1.check_sign_in(user, options, &old.session)?;
        let is_given = request.data.is_some();
        if request
            .data
            .is_some_and(|(version, _)| version != old.session.version)
        {
            return Err(Attempt::Failed(Error::Conflict));
        }
        let new = signed_in(id, &old, &request);
        let (job, version) = (Arc::clone(self), old.session.version);
        let signed_in = self.run(async move { job.sign_in_to(id, version, new, deadline).await });
        match signed_in.await {
            Err(Error::Conflict) if !is_given => Err(Attempt::Repeat),
            result => result.map_err(Attempt::Failed),
        }
    }

    /// Creates the new session, then retires the old one. If that fails, the new one is ended.
    async fn sign_in_to(
        self: Arc<Self>,
        id: SessionId,
        version: Version,
        new: NewSession,
        deadline: Duration,
    ) -> Result<IssuedSession, Error> {
        if self.ends.is_queued(&id) {
            return Err(Error::Gone);
        }
        let generation = self.lease.generation();
        let created = self.create_in_store(&new, deadline).await?;
        let (issued, handle) = (created.issued, created.session.handle());
        let target = issued.id;
        let retired = match self.check_generation(generation) {
            Ok(()) => {
                let retired = Retired { id, target };
                self.retire(retired, Some(version), deadline).await
            }
            failed => failed,
        };
        // Both calls were executed by one server, which the channel has not left since.
        if let Err(error) = retired.and_then(|()| self.check_generation(generation)) {
            self.end_created(created);
            if error == StoreError::Conflict {
                self.outdate(&id, Version::new(version.get().saturating_add(1)));
            }
            return Err(self.public(&error));
        }
        self.ends.retire(Retired { id, target }, self.env.now());
        self.forget(&id);
        self.install_created(created);
        self.l1.emit(EventKind::SignedIn, Some(handle));
        Ok(self.signed_now(issued))
    }

    async fn retire(
        &self,
        retired: Retired,
        expected: Option<Version>,
        deadline: Duration,
    ) -> Result<(), StoreError> {
        let alias = self.alias(retired.target, Duration::ZERO);
        let not_after = self.not_after(deadline);
        let retire = self.store.retire(retired.id, expected, alias, not_after);
        self.call(Verb::Write, deadline, retire).await.map(|_| ())
    }

    /// Repeats retirements that the store confirmed. Returns true if each is in force on the
    /// server, whether or not a replica has it.
    ///
    /// The new session need not exist: it may have ended since, or a failover has lost it too. The
    /// visitor has the new token, so the old one must open nothing in any case.
    pub(super) async fn retire_again(&self, retired: Vec<Retired>) -> bool {
        let results = call_each(&retired, |retired| {
            Box::pin(self.retire(*retired, None, self.commit_deadline()))
        });
        results.await.iter().all(|result| {
            let is_over = matches!(result, Err(StoreError::Gone | StoreError::Rotated));
            is_over || is_executed(result)
        })
    }

    /// Returns the ids of a user's sessions whose sign-in was at `up_to` or before: one page.
    pub(super) async fn user_ids(
        &self,
        user: UserHash,
        up_to: Option<ServerTime>,
        deadline: Duration,
    ) -> Result<UserIds, Error> {
        let call = self.store.user_ids(user, up_to);
        let page = self.call(Verb::Read, deadline, call).await;
        page.map_err(|error| self.public(&error))
    }

    /// Reads the sessions of a user: at most one page of them.
    pub(super) async fn list(&self, user: UserHash, deadline: Duration) -> Result<Listed, Error> {
        let UserIds { ids, more, .. } = self.user_ids(user, None, deadline).await?;
        let mut sessions = Vec::with_capacity(ids.len());
        for group in ids.chunks(PIPELINED) {
            let reads = group
                .iter()
                .map(|id| -> BoxFuture<'_, _> { Box::pin(self.look(*id, deadline)) });
            for result in join_all(reads).await {
                if let Found::Session(found) = result? {
                    sessions.push(found);
                }
            }
        }
        Ok(Listed { sessions, more })
    }
}

/// Returns the session that a sign-in creates.
fn signed_in(id: SessionId, old: &Fetched, request: &SignInRequest<'_>) -> NewSession {
    let life_left = request.spans.life_left;
    NewSession {
        user: Some(NewUser {
            hash: request.user.user,
            label: request.user.label.to_owned(),
            assurance_level: request.user.assurance_level,
        }),
        idle_timeout: request.spans.idle_timeout,
        life_left,
        lifetime: continued(old, life_left, request.renew_lifetime),
        created: Some(old.header.created),
        age: old.session.age,
        is_renewed: request.renew_lifetime || old.header.is_renewed,
        replaces: Some(id),
        reserved: None,
        is_returned: true,
        data: request.data.map_or_else(
            || old.data.clone(),
            |(_, data)| Bytes::copy_from_slice(data),
        ),
    }
}

fn continued(old: &Fetched, life_left: Duration, is_renewed: bool) -> Lifetime {
    let created = old.header.created;
    if is_renewed {
        Lifetime::Renewed {
            created,
            lifetime: life_left,
        }
    } else {
        Lifetime::Continued {
            created,
            end: old.end_after(life_left),
            is_renewed: old.header.is_renewed,
        }
    }
}

/// The number of times that a sign-in is tried while other requests save to the session.
const MAX_ATTEMPTS: usize = 4;
