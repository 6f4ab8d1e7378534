//! Opening sessions: from L1 without waiting, otherwise from the store.
//!
//! Invariant: only ids whose MAC is valid are read, and L1 answers during the lease only. It does
//! not know how a read reaches the store.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use sessile::{
    Error, EventKind, Record, SessionId,
    tier::{Candidate, Candidates, LookUp, Rejection},
};

use super::{
    TieredCache,
    fetched::{Fetched, Found},
    inner::Inner,
};
use crate::environment::{First, race};

/// The purpose of a read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It counts as a use of the session.
    Use,
    /// It counts as none.
    Peek,
}

/// The result for one candidate.
enum Opened {
    Session(Record),
    Absent(Rejection),
}

impl TieredCache {
    /// Reads a request's `Cookie` fields and opens the session if it is in memory. Never waits.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use sessile::{KeyRing, SessionCache};
    /// use sessile_store::{LookUp, MemoryStore, StoreExt};
    ///
    /// let builder = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = builder.store(MemoryStore::new())?;
    /// let blocking = cache.blocking();
    /// let issued = blocking.create(b"a cart")?;
    ///
    /// let header = format!("{}={}", cache.cookie_name(), issued.token.as_str());
    /// let mut buffer = BytesMut::new();
    /// let LookUp::Hit(record) = cache.try_open([header.as_bytes()], &mut buffer) else {
    ///     panic!("this process created the session");
    /// };
    /// assert_eq!((record.id, &buffer[..]), (issued.id, &b"a cart"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_open<'h>(
        &self,
        fields: impl IntoIterator<Item = &'h [u8]> + Clone,
        buffer: &mut BytesMut,
    ) -> LookUp {
        let inner = self.inner();
        let trust = inner.trust();
        // Returned as it is: a record that is copied costs a quarter of a hit.
        let mut found = inner.l1.look_up(fields.clone(), buffer);
        if let LookUp::Hit(record) = &found {
            if trust.covers(record) {
                inner.note_use(record);
            } else {
                buffer.clear();
                found = LookUp::Unknown(inner.l1.verify(fields));
            }
        }
        found
    }

    /// Opens a session as [`try_open`](Self::try_open) does, by the bare value of a cookie.
    pub fn try_open_token(&self, value: &[u8], buffer: &mut BytesMut) -> LookUp {
        let inner = self.inner();
        let trust = inner.trust();
        let mut found = inner.l1.look_up_token(value, buffer);
        if let LookUp::Hit(record) = &found {
            if trust.covers(record) {
                inner.note_use(record);
            } else {
                buffer.clear();
                found = LookUp::Unknown(inner.l1.verify_token(value).into_iter().collect());
            }
        }
        found
    }

    /// Reads a request's `Cookie` fields as [`try_open`](Self::try_open) does, without counting as
    /// a use: for a read ahead of the first access, which [`touch`](Self::touch) then counts.
    pub fn try_peek<'h>(
        &self,
        fields: impl IntoIterator<Item = &'h [u8]> + Clone,
        buffer: &mut BytesMut,
    ) -> LookUp {
        let inner = self.inner();
        let trust = inner.trust();
        let mut found = inner.l1.peek_fields(fields.clone(), buffer);
        if let LookUp::Hit(record) = &found
            && !trust.covers(record)
        {
            buffer.clear();
            found = LookUp::Unknown(inner.l1.verify(fields));
        }
        found
    }

    /// Continues after [`try_open`](Self::try_open) with [`LookUp::Unknown`]: asks the store. Waits
    /// for at most the timeout.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable).
    pub async fn fetch(
        &self,
        candidates: Candidates,
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        self.inner().fetch(candidates, Access::Use, buffer).await
    }

    /// Reads a request's `Cookie` fields and finds the session whose token is there: the first of
    /// at most four candidates that is valid. Its data is copied into the buffer, which is empty
    /// otherwise.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable) if a valid token is there, the session is not in memory,
    /// and the store does not answer.
    pub async fn open<'h>(
        &self,
        fields: impl IntoIterator<Item = &'h [u8]> + Clone,
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        let opened = self.try_open(fields, buffer);
        self.conclude(opened, buffer).await
    }

    /// Opens a session as [`open`](Self::open) does, by the bare value of a cookie.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn open_token(
        &self,
        value: &[u8],
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        let opened = self.try_open_token(value, buffer);
        self.conclude(opened, buffer).await
    }

    /// Finds a session by its id and copies its data into the buffer, which is empty on a miss.
    /// Counts as a use.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable).
    pub async fn load(
        &self,
        id: &SessionId,
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        let inner = self.inner();
        let deadline = inner.env.now() + inner.settings.timeout;
        match inner
            .open_id(*id, None, Access::Use, deadline, buffer)
            .await?
        {
            Opened::Session(record) => Ok(Some(record)),
            Opened::Absent(rejection) => {
                inner.reject(*id, rejection);
                Ok(None)
            }
        }
    }

    async fn conclude(
        &self,
        opened: LookUp,
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        match opened {
            LookUp::Hit(record) => Ok(Some(record)),
            LookUp::Unknown(candidates) => self.fetch(candidates, buffer).await,
            _ => Ok(None),
        }
    }
}

impl Inner {
    /// Asks the store about the candidates of a request, in order.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        candidates: Candidates,
        access: Access,
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        let deadline = self.env.now() + self.settings.timeout;
        let mut reused = Vec::new();
        for candidate in candidates.iter() {
            let Candidate { id, key_number, .. } = candidate;
            let opened = self.open_id(id, Some(key_number), access, deadline, buffer);
            match opened.await? {
                Opened::Session(record) => return Ok(Some(record)),
                Opened::Absent(Rejection::Reused) => reused.push(id),
                Opened::Absent(rejection) => self.l1.count_rejection(rejection),
            }
        }
        // A replaced id beside one that opens a session is not a reuse.
        for id in reused {
            self.reject(id, Rejection::Reused);
        }
        Ok(None)
    }

    /// Finds a session by an id that the caller may use, without counting as use.
    pub(super) async fn peek_id(
        self: &Arc<Self>,
        id: SessionId,
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        let deadline = self.env.now() + self.settings.timeout;
        let opened = self.open_id(id, None, Access::Peek, deadline, buffer);
        Ok(match opened.await? {
            Opened::Session(record) => Some(record),
            Opened::Absent(_) => None,
        })
    }

    /// Opens a session by an id that the caller may use.
    async fn open_id(
        self: &Arc<Self>,
        id: SessionId,
        key_number: Option<u8>,
        access: Access,
        deadline: Duration,
        buffer: &mut BytesMut,
    ) -> Result<Opened, Error> {
        buffer.clear();
        if let Some(record) = self.hit(&id, access, buffer) {
            return Ok(Opened::Session(record));
        }
        let mut current = id;
        for hop in 0..MAX_HOPS {
            if hop > 0
                && let Some(record) = self.hit(&current, access, buffer)
            {
                let record = self.l1.record(&record.to_stored(), &id);
                return Ok(Opened::Session(record));
            }
            let key_number = key_number.filter(|_| hop == 0);
            match self.find(current, key_number, deadline).await? {
                Found::Session(found) => {
                    let record = self.use_fetched(&found, &id, access, buffer);
                    return Ok(Opened::Session(record));
                }
                Found::Alias(target) if target.is_in_grace => current = target.id,
                Found::Alias(_) => return Ok(Opened::Absent(Rejection::Reused)),
                Found::Absent | Found::CutOff => return Ok(Opened::Absent(Rejection::Unknown)),
            }
        }
        Ok(Opened::Absent(Rejection::Unknown))
    }

    pub(super) fn hit(
        &self,
        id: &SessionId,
        access: Access,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        let trust = self.trust();
        let record = match access {
            Access::Use => self.l1.load(id, buffer)?,
            Access::Peek => self.l1.peek(id, buffer)?,
        };
        if !trust.covers(&record) {
            buffer.clear();
            return None;
        }
        if access == Access::Use {
            self.note_use(&record);
        }
        Some(record)
    }

    async fn find(
        self: &Arc<Self>,
        id: SessionId,
        key_number: Option<u8>,
        deadline: Duration,
    ) -> super::ReadResult {
        self.check_up()?;
        if self.ends.is_queued(&id) {
            return Ok(Found::Absent);
        }
        let read = self.start_read(id, key_number, deadline);
        let left = deadline.saturating_sub(self.env.now());
        if left >= self.settings.timeout {
            return read.await.unwrap_or(Err(Error::Unreachable));
        }
        // A request that has waited for an alias may join a read that began later than it did. The
        // timer is on the side of the store: the caller's thread may have none.
        let job = Arc::clone(self);
        self.run(async move {
            match race(read, job.env.sleep(left)).await {
                First::Left(result) => result.unwrap_or(Err(Error::Unreachable)),
                First::Right(()) => Err(Error::Unreachable),
            }
        })
        .await
    }

    fn use_fetched(
        &self,
        found: &Fetched,
        opened_by: &SessionId,
        access: Access,
        buffer: &mut BytesMut,
    ) -> Record {
        buffer.clear();
        buffer.extend_from_slice(&found.data);
        let record = self.l1.record(&found.session, opened_by);
        if access == Access::Use {
            self.note_use(&record);
        }
        record
    }

    /// Counts why an id opened nothing. The use of a replaced id after its grace period is an
    /// event, and ends the session if the settings say so.
    fn reject(self: &Arc<Self>, id: SessionId, rejection: Rejection) {
        self.l1.count_rejection(rejection);
        if rejection != Rejection::Reused {
            return;
        }
        let inner = Arc::clone(self);
        self.env.spawn(Box::pin(async move {
            let deadline = inner.commit_deadline();
            let handle = inner.handle_behind(id, deadline).await;
            inner.l1.emit(EventKind::Reused, handle);
            if inner.l1.end_reused() {
                // Queued if the store does not answer.
                let _ = inner
                    .end_now(id, sessile::EndReason::Reused, deadline)
                    .await;
            }
        }));
    }

    /// Returns the handle of the session that a replaced id leads to.
    async fn handle_behind(&self, id: SessionId, deadline: Duration) -> Option<sessile::Handle> {
        let mut current = id;
        for _ in 0..MAX_HOPS {
            match self.look(current, deadline).await.ok()? {
                Found::Session(found) => return Some(found.session.handle()),
                Found::Alias(target) => current = target.id,
                Found::Absent | Found::CutOff => return None,
            }
        }
        None
    }
}

/// The most aliases that a verb follows.
pub(super) const MAX_HOPS: usize = 8;
