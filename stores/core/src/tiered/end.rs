//! Ends of sessions.
//!
//! Invariant: an end that was accepted takes effect in this process at once, and is in the queue
//! until the store has confirmed it. It does not know when the queue is sent.

use std::{collections::HashSet, sync::Arc, time::Duration};

use sessile::{EndReason, Error, EventKind, Handle, SessionId, Version};

use super::{
    TieredCache,
    fetched::{Found, decode},
    inner::Inner,
    metrics::Verb,
    open::MAX_HOPS,
    queued_ends::PIPELINED,
};
use crate::{
    environment::join_all,
    store::{BoxFuture, Ended, ServerTime, StoreError},
};

impl TieredCache {
    /// Ends a session, by its id or by one that it had before. Returns true if there was one. No
    /// read of this process finds it when this is called, and no read of another one within 100 ms.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable) if the store did not confirm it. Then the end is queued
    /// until it does.
    pub async fn end(&self, id: &SessionId) -> Result<bool, Error> {
        self.inner().end(*id, EndReason::Requested).await
    }

    /// Ends a session as [`end`](Self::end) does, by the value of its cookie.
    ///
    /// # Errors
    /// Those of [`end`](Self::end).
    pub async fn end_by_token(&self, value: &[u8]) -> Result<bool, Error> {
        match self.inner().l1.verify_token(value) {
            Some(candidate) => self.end(&candidate.id).await,
            None => Ok(false),
        }
    }

    /// Ends a session if it still has `version` and that id.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict), [`Rotated`](Error::Rotated), [`Gone`](Error::Gone),
    /// [`Unreachable`](Error::Unreachable).
    pub async fn end_if_unchanged(&self, id: &SessionId, version: Version) -> Result<(), Error> {
        let inner = self.inner();
        inner.check_writable()?;
        let (job, id) = (Arc::clone(inner), *id);
        inner
            .run(async move { job.end_if_unchanged(id, version).await })
            .await
    }

    /// Ends the session that a handle names. Returns true if there was one. A handle without a user
    /// names none.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable), and [`Unsupported`](Error::Unsupported) if the store
    /// does not list a user's sessions, or if the user has more than 1,000 and the handle names
    /// none of the 1,000 with the earliest sign-ins.
    pub async fn end_by_handle(&self, handle: &Handle) -> Result<bool, Error> {
        let inner = self.inner();
        let Some(user) = handle.user() else {
            return Ok(false);
        };
        inner.check_writable()?;
        let (job, handle) = (Arc::clone(inner), *handle);
        inner
            .run(async move { job.end_by_handle(user, handle).await })
            .await
    }

    /// Ends all sessions of a user, except the one named, and returns their number. That one may be
    /// named by an id that it had before. A store without a list of a user's sessions does not know
    /// their number: then it is 0.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable). Then the ends of the sessions that were listed are
    /// queued. A store without a list of a user's sessions queues nothing: repeat the call.
    pub async fn end_user_sessions(
        &self,
        user: &str,
        except: Option<&SessionId>,
    ) -> Result<usize, Error> {
        let inner = self.inner();
        inner.check_writable()?;
        let (job, except) = (Arc::clone(inner), except.copied());
        let user = inner.l1.user_hash(user);
        inner
            .run(async move { job.end_user_sessions(user, except).await })
            .await
    }

    /// Ends all sessions that were created until now.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable) if the store did not confirm it. Then it is queued.
    pub async fn end_all(&self) -> Result<(), Error> {
        let inner = self.inner();
        // If it is sent later, it ends no session that is created after it was accepted, except for
        // the error of the estimate.
        let bound = inner
            .server
            .estimate(inner.env.now() + inner.settings.timeout);
        let number = inner.ends.accept_all(bound.unwrap_or(ServerTime::MAX));
        // Leaves it to the queue on every way out, unless the store has confirmed it.
        let guard = ReleaseAll {
            inner: Arc::clone(inner),
            number,
        };
        // In this process it takes effect at once, whether or not the store confirms it. The
        // estimate is no later than the server's time, so no session that is created later ends.
        if let Some(now) = inner.server.estimate(inner.env.now()) {
            inner.cut_off(now);
        }
        inner.l1.invalidate_all();
        inner.check_up()?;
        let job = Arc::clone(inner);
        inner
            .run(async move {
                let result = job.end_all(number).await;
                drop(guard);
                result
            })
            .await
    }
}

impl Inner {
    /// Accepts an end, which takes effect in this process at once, and sends it.
    async fn end(self: &Arc<Self>, id: SessionId, reason: EndReason) -> Result<bool, Error> {
        let handle = self.accept_end(id)?;
        if self.check_up().is_err() {
            self.ends.release(&id);
            return Err(Error::Unreachable);
        }
        // Not at the first poll of the caller: an end that was accepted is sent even if the caller
        // stops waiting.
        let guard = Release {
            inner: Arc::clone(self),
            id,
        };
        let job = Arc::clone(self);
        self.run(async move {
            let deadline = job.commit_deadline();
            let is_ended = job.end_chain(id, deadline).await;
            drop(guard);
            job.report(is_ended, handle, reason)
        })
        .await
    }

    /// Ends a session from within a verb. The end is queued if the store does not answer.
    pub(super) async fn end_now(
        self: &Arc<Self>,
        id: SessionId,
        reason: EndReason,
        deadline: Duration,
    ) -> Result<bool, Error> {
        let handle = self.accept_end(id)?;
        let is_ended = self.end_chain(id, deadline).await;
        self.report(is_ended, handle, reason)
    }

    async fn end_by_handle(
        self: &Arc<Self>,
        user: sessile::UserHash,
        handle: Handle,
    ) -> Result<bool, Error> {
        let deadline = self.commit_deadline();
        let listed = self.list(user, deadline).await?;
        let mut sessions = listed.sessions.iter().map(|found| &found.session);
        match sessions.find(|session| session.handle() == handle) {
            Some(session) => {
                self.end_now(session.id, EndReason::UserRevoked, deadline)
                    .await
            }
            // It may be one of the others.
            None if listed.more => Err(Error::Unsupported {
                verb: "`end_by_handle` for a user with more than 1,000 sessions",
            }),
            None => Ok(false),
        }
    }

    /// Queues an end, which the driver sends.
    pub(super) fn end_later(&self, id: SessionId) {
        if self.accept_end(id).is_ok() {
            self.ends.release(&id);
            self.wake.notify_one();
        }
    }

    pub(super) fn report(
        &self,
        is_ended: Result<bool, Error>,
        handle: Option<Handle>,
        reason: EndReason,
    ) -> Result<bool, Error> {
        if is_ended == Ok(true) && handle.is_some() {
            self.l1.emit(EventKind::Ended(reason), handle);
        }
        is_ended
    }

    /// Queues an end and drops the session from L1. Returns its handle if L1 had it.
    fn accept_end(&self, id: SessionId) -> Result<Option<Handle>, Error> {
        let handle = self.known_handle(&id);
        let accepted = self.ends.accept(id);
        self.forget(&id);
        match accepted {
            Ok(()) => Ok(handle),
            Err(_) => {
                self.metrics.end_rejected();
                Err(Error::Unreachable)
            }
        }
    }

    /// Ends an id, and the session that it leads to. The end stays in the queue if the store does
    /// not confirm it.
    async fn end_chain(self: &Arc<Self>, id: SessionId, deadline: Duration) -> Result<bool, Error> {
        let ended = self.send_end(id, deadline, false).await;
        ended.map_err(|error| self.public(&error))
    }

    /// Ends an id, and the session that it leads to. `is_again` repeats a confirmed end.
    ///
    /// # Errors
    /// The end stays in the queue, or in the log if it is repeated.
    /// [`Unreplicated`](StoreError::Unreplicated) if the server has executed it.
    pub(super) async fn send_end(
        self: &Arc<Self>,
        id: SessionId,
        deadline: Duration,
        is_again: bool,
    ) -> Result<bool, StoreError> {
        let mut current = id;
        for hop in 0..=MAX_HOPS {
            let generation = self.lease.generation();
            let ended = self.end_in_store(current, deadline).await;
            // A reply that crosses a fence confirms nothing.
            let target = match self.check_generation(generation).and(ended) {
                Err(error) => {
                    self.ends.release(&current);
                    return Err(error);
                }
                Ok(Ended::Alias(target)) => target,
                Ok(ended) => {
                    self.confirm(&current, is_again && hop == 0);
                    return Ok(ended == Ended::Session);
                }
            };
            // The target is queued before the alias is confirmed, so that the end is in the queue
            // at every moment.
            let accepted = self.accept_end(target);
            self.confirm(&current, is_again && hop == 0);
            accepted.map_err(|_| StoreError::Unreachable("the queue of ends is full".into()))?;
            current = target;
        }
        // The queue continues with it.
        self.ends.release(&current);
        Ok(true)
    }

    /// Ends one id.
    async fn end_in_store(&self, id: SessionId, deadline: Duration) -> Result<Ended, StoreError> {
        let end = self.store.end(id);
        let ended = self.call(Verb::End, deadline, end).await;
        let Err(error @ StoreError::Unreplicated(_)) = ended else {
            return ended;
        };
        // The error replaces the reply. If that was an alias, its target is not ended yet.
        let target = self.alias_target(id, deadline).await?;
        target.map(Ended::Alias).ok_or(error)
    }

    /// Returns the id that an alias leads to, or `None` for an id that is not one. Queued ends do
    /// not hide it.
    async fn alias_target(
        &self,
        id: SessionId,
        deadline: Duration,
    ) -> Result<Option<SessionId>, StoreError> {
        let sent_at = self.l1.now();
        let read = self.call(Verb::Read, deadline, self.store.read(id)).await?;
        let decoded = self.with_encryption(|keys| Some(decode(id, &read?, sent_at, keys)));
        Ok(match decoded {
            Some(Ok(Found::Alias(target))) => Some(target.id),
            _ => None,
        })
    }

    /// Records an end that the store made within another call, which began in a generation. It is
    /// queued if the server may have been replaced since.
    ///
    /// # Errors
    /// Those of [`check_generation`](Self::check_generation), after which the end is in the queue.
    pub(super) fn record_end(&self, id: SessionId, generation: u64) -> Result<(), StoreError> {
        let checked = self.check_generation(generation);
        match &checked {
            Ok(()) => self.ends.confirm(&id, self.env.now()),
            Err(_) => self.end_later(id),
        }
        checked
    }

    fn confirm(&self, id: &SessionId, is_again: bool) {
        if !is_again {
            self.ends.confirm(id, self.env.now());
        }
    }

    async fn end_if_unchanged(
        self: Arc<Self>,
        id: SessionId,
        expected: Version,
    ) -> Result<(), Error> {
        let deadline = self.commit_deadline();
        let (handle, generation) = (self.known_handle(&id), self.lease.generation());
        let end = self.store.end_if_unchanged(id, expected);
        let ended = self.call(Verb::End, deadline, end).await;
        // A failover may lose it, like any end.
        match ended.and_then(|_| self.record_end(id, generation)) {
            Ok(()) => {
                self.forget(&id);
                let _ = self.report(Ok(true), handle, EndReason::Requested);
                Ok(())
            }
            Err(StoreError::Conflict) => {
                self.outdate(&id, Version::new(expected.get().saturating_add(1)));
                Err(Error::Conflict)
            }
            Err(error) => {
                // It had this version, and ended: the queue sends the end to the replicas.
                if matches!(error, StoreError::Unreplicated(_)) {
                    self.end_later(id);
                }
                Err(self.public(&error))
            }
        }
    }

    async fn end_user_sessions(
        self: Arc<Self>,
        user: sessile::UserHash,
        except: Option<SessionId>,
    ) -> Result<usize, Error> {
        let deadline = self.commit_deadline();
        if !self.store.abilities().user_index {
            return self.end_unlisted(user, except, deadline).await.map(|()| 0);
        }
        let (mut number, mut up_to) = (0, None);
        loop {
            let page = self.user_ids(user, up_to, deadline).await?;
            let kept = match except {
                // Read after the list: a rotation in between is seen in one of the two.
                Some(id) => self.chain(id, deadline).await?,
                None => HashSet::new(),
            };
            let mut ids = page.ids;
            ids.retain(|id| !kept.contains(&id.to_bytes()));
            number += self.end_page(&ids, deadline).await?;
            if !page.more || ids.is_empty() {
                return Ok(number);
            }
            up_to = Some(page.up_to);
        }
    }

    /// Ends sessions, all of which are in the queue before the first end is sent.
    async fn end_page(
        self: &Arc<Self>,
        ids: &[SessionId],
        deadline: Duration,
    ) -> Result<usize, Error> {
        let accepted: Vec<_> = ids.iter().map(|id| self.accept_end(*id)).collect();
        let results = self.end_listed(ids, deadline).await;
        let mut number = 0;
        for (result, handle) in results.into_iter().zip(accepted) {
            let is_ended = self.report(result, handle?, EndReason::UserRevoked)?;
            number += usize::from(is_ended);
        }
        Ok(number)
    }

    async fn end_listed(
        self: &Arc<Self>,
        ids: &[SessionId],
        deadline: Duration,
    ) -> Vec<Result<bool, Error>> {
        let mut results = Vec::with_capacity(ids.len());
        for group in ids.chunks(PIPELINED) {
            if self.env.now() >= deadline {
                group.iter().for_each(|id| self.ends.release(id));
                results.extend(group.iter().map(|_| Err(Error::Unreachable)));
                continue;
            }
            let ends = group
                .iter()
                .map(|id| -> BoxFuture<'_, _> { Box::pin(self.end_chain(*id, deadline)) });
            results.extend(join_all(ends).await);
        }
        results
    }

    /// Returns an id and all ids that it leads to.
    async fn chain(&self, id: SessionId, deadline: Duration) -> Result<HashSet<[u8; 16]>, Error> {
        let mut chain = HashSet::from([id.to_bytes()]);
        let mut current = id;
        for _ in 0..MAX_HOPS {
            let Found::Alias(target) = self.look(current, deadline).await? else {
                break;
            };
            current = target.id;
            chain.insert(current.to_bytes());
        }
        Ok(chain)
    }

    async fn end_all(self: Arc<Self>, number: u64) -> Result<(), Error> {
        let deadline = self.commit_deadline();
        let generation = self.lease.generation();
        let call = self.store.end_all(None);
        let cutoff = self.call(Verb::End, deadline, call).await;
        let cutoff = cutoff.map_err(|error| self.public(&error))?;
        if self.lease.generation() != generation {
            return Err(Error::Unreachable);
        }
        self.ends.confirm_all(number, cutoff, self.env.now());
        self.cut_off(cutoff);
        self.l1.emit(EventKind::Ended(EndReason::Global), None);
        Ok(())
    }
}

/// Leaves an end to the queue when its task is dropped.
struct Release {
    inner: Arc<Inner>,
    id: SessionId,
}

impl Drop for Release {
    fn drop(&mut self) {
        self.inner.ends.release(&self.id);
    }
}

/// Leaves an end of all sessions to the queue when its task is dropped.
struct ReleaseAll {
    inner: Arc<Inner>,
    number: u64,
}

impl Drop for ReleaseAll {
    fn drop(&mut self) {
        self.inner.ends.release_all(self.number);
    }
}
