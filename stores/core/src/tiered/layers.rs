//! Verbs for session layers, which load a session before the application uses it.
//!
//! Invariant: a read ahead of the first access counts as no use. The module does not know what a
//! layer makes of a session.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use sessile::{
    Error, Record, SessionId,
    cookie::MAX_CANDIDATES,
    tier::{Candidates, LookUp},
};

use super::{TieredCache, metrics::Verb, open::Access};
use crate::record;

impl TieredCache {
    /// Finds a session as [`try_peek`](Self::try_peek) does, by the bare values of cookies, in
    /// order.
    pub fn try_peek_tokens<'h>(
        &self,
        values: impl IntoIterator<Item = &'h [u8]>,
        buffer: &mut BytesMut,
    ) -> LookUp {
        self.first_of(values, |value| self.peek_token(value, buffer))
    }

    /// Finds a session as [`try_open`](Self::try_open) does, by the bare values of cookies, in
    /// order.
    pub fn try_open_tokens<'h>(
        &self,
        values: impl IntoIterator<Item = &'h [u8]>,
        buffer: &mut BytesMut,
    ) -> LookUp {
        self.first_of(values, |value| self.try_open_token(value, buffer))
    }

    /// Returns the result of the first valid value. If the store decides about it, the valid ones
    /// after it are candidates too, whether or not they are in memory.
    fn first_of<'h>(
        &self,
        values: impl IntoIterator<Item = &'h [u8]>,
        mut find: impl FnMut(&'h [u8]) -> LookUp,
    ) -> LookUp {
        let mut values = values.into_iter().take(MAX_CANDIDATES);
        while let Some(value) = values.next() {
            match find(value) {
                LookUp::Absent => {}
                LookUp::Unknown(first) => {
                    let later = values.filter_map(|value| self.inner().l1.verify_token(value));
                    return LookUp::Unknown(first.iter().chain(later).collect());
                }
                found => return found,
            }
        }
        LookUp::Absent
    }

    fn peek_token(&self, value: &[u8], buffer: &mut BytesMut) -> LookUp {
        let Some(candidate) = self.inner().l1.verify_token(value) else {
            return LookUp::Absent;
        };
        match self.peek_id(&candidate.id, buffer) {
            Some(record) => LookUp::Hit(record),
            None => LookUp::Unknown([candidate].into_iter().collect()),
        }
    }

    /// Finds a session by its id if it is in memory, without counting as use. Never waits.
    pub fn peek_id(&self, id: &SessionId, buffer: &mut BytesMut) -> Option<Record> {
        self.inner().hit(id, Access::Peek, buffer)
    }

    /// Continues after [`try_peek`](Self::try_peek), without counting as use.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable).
    pub async fn fetch_unused(
        &self,
        candidates: Candidates,
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        self.inner().fetch(candidates, Access::Peek, buffer).await
    }

    /// Counts a use of a session that [`fetch_unused`](Self::fetch_unused) returned, and which is
    /// not in memory. The store learns of it later.
    pub fn count_use(&self, id: &SessionId) {
        let inner = self.inner();
        inner.queue_touch(*id);
    }

    /// Finds a session by its id as [`load`](Self::load) does, without counting as use.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable).
    pub async fn load_unused(
        &self,
        id: &SessionId,
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        self.inner().peek_id(*id, buffer).await
    }

    /// Returns true if an id opens a session: its own, or one that was replaced and is within its
    /// grace period. Counts as no use.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable) if it is not in memory and the store does not answer.
    pub async fn contains(&self, id: &SessionId) -> Result<bool, Error> {
        let found = self.load_unused(id, &mut BytesMut::new()).await?;
        Ok(found.is_some())
    }

    /// Returns the time since the id was replaced; `None` if it was not, or not within the idle
    /// timeout.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable).
    pub async fn replaced(&self, id: &SessionId) -> Result<Option<Duration>, Error> {
        let inner = self.inner();
        inner.check_up()?;
        let (job, id) = (Arc::clone(inner), *id);
        // On the side of the store: the caller's thread may have no runtime.
        let read = inner.run(async move {
            let deadline = job.env.now() + job.settings.timeout;
            let read = job.call(Verb::Read, deadline, job.store.read(id)).await;
            read.map_err(|error| job.public(&error))
        });
        let stored = read.await?;
        Ok(stored.and_then(|stored| {
            let is_alias = matches!(
                record::Record::decode(&stored.bytes),
                Ok(record::Record::Alias(_))
            );
            // All nodes keep an alias for the idle timeout, counted from the replacement.
            is_alias.then(|| inner.l1.idle_timeout().saturating_sub(stored.expires_in))
        }))
    }

    /// Returns the id of a cookie value whose MAC is valid, whether or not there is a session.
    #[must_use]
    pub fn id_of_token(&self, value: &[u8]) -> Option<SessionId> {
        let candidate = self.inner().l1.verify_token(value);
        candidate.map(|candidate| candidate.id)
    }

    /// Ends a session as [`end`](Self::end) does, without waiting: it is queued until the store has
    /// confirmed it.
    pub fn end_later(&self, id: &SessionId) {
        self.inner().end_later(*id);
    }

    /// Returns the number of sessions with data of a length that fit in memory.
    #[must_use]
    pub fn capacity_for(&self, data_len: usize) -> usize {
        self.inner().l1.capacity_for(data_len)
    }
}
