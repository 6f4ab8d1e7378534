//! Rotation of ids.
//!
//! Invariant: the new id enters L1 only with the version that the store rotated. It does not know
//! sign-ins, which change the place of a session.

use std::{sync::Arc, time::Duration};

use sessile::{
    Error, EventKind, Handle, IssuedSession, SessionId, Version,
    tier::{Placement, StoredSession},
};

use super::{
    TieredCache,
    inner::Inner,
    metrics::Verb,
    write::{MAX_IDS, Sealed},
};
use crate::store::{NewAlias, Rewrite, Rotated, StoreError};

impl TieredCache {
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
}

impl Inner {
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
        let is_high = known
            .as_ref()
            .is_some_and(|(session, _)| session.version.get() >= RESTART);
        let is_rewritten = self.settings.is_encrypted || is_high;
        let rotate = self.rotate_in_store(id, target, grace, is_rewritten, deadline);
        let rotated = match rotate.await {
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
        is_rewritten: bool,
        deadline: Duration,
    ) -> Result<Rotated, StoreError> {
        let rewritten = if is_rewritten {
            Some(self.rewrite(id, target, deadline).await?)
        } else {
            None
        };
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

    /// Returns the version and the data that a session gets with its new id: encrypted data is
    /// bound to the id.
    async fn rewrite(
        &self,
        id: SessionId,
        target: SessionId,
        deadline: Duration,
    ) -> Result<(Version, Version, Sealed), StoreError> {
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
        Ok((expected, next, sealed))
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
}

fn rotated_to(session: &StoredSession, target: SessionId) -> StoredSession {
    StoredSession {
        id: target,
        issued_ago: Duration::ZERO,
        ..*session
    }
}

/// From this version on a rotation starts again at 1.
const RESTART: u32 = 1 << 31;
