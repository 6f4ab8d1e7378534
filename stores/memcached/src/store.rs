//! The calls of the trait.

use std::{sync::Arc, time::Duration};

use sessile::{SessionId, UserHash, Version};
use sessile_store::{
    Abilities, BoxFuture, Created, Ended, Heartbeat, NewAlias, NewRecord, NewTimeouts, Proposal,
    Revalidated, Rewrite, Rotated, ServerTime, Sink, Store, StoreError, StoredData, StoredRecord,
    UserIds,
    record::{AliasRecord, SessionRecord, to_ticks},
};

use crate::{
    MemcachedStore,
    meta::{Code, Parts},
    now,
    records::{
        Change, Loaded, LoadedSession, MAX_ATTEMPTS, NewValue, Written, changing, expiry, seconds,
    },
    watch,
};

impl Store for MemcachedStore {
    fn abilities(&self) -> Abilities {
        Abilities {
            push: false,
            user_index: false,
            session_limit: false,
            revocations: false,
        }
    }

    fn read(&self, id: SessionId) -> BoxFuture<'_, Result<Option<StoredRecord>, StoreError>> {
        Box::pin(self.read_record(id))
    }

    fn revalidate(
        &self,
        id: SessionId,
        known: Version,
    ) -> BoxFuture<'_, Result<Revalidated, StoreError>> {
        Box::pin(async move {
            match self.compare(&id, known).await? {
                Some(expires_in) => Ok(Revalidated::Unchanged {
                    expires_in,
                    now: now(),
                }),
                None => self.read_record(id).await.map(Revalidated::Read),
            }
        })
    }

    fn create<'a>(
        &'a self,
        new: &'a NewRecord<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Created, StoreError>> {
        Box::pin(async move {
            if new.limit.max.is_some() {
                return Err(StoreError::Unsupported("`max_sessions_per_user`"));
            }
            self.create_record(new, not_after).await
        })
    }

    fn save<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        data: StoredData<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            let decide = |found: &LoadedSession| {
                let mut session = found.expect(expected)?;
                session.header.version = next;
                session.header.is_encrypted = data.is_encrypted;
                session.data = data.bytes;
                Ok(found.changed(&session))
            };
            self.update(&id, not_after, decide).await
        })
    }

    fn touch<'a>(
        &'a self,
        batch: &'a [(SessionId, Duration)],
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(self.touch_all(batch, not_after))
    }

    fn set_timeouts<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        timeouts: NewTimeouts,
        data: Option<StoredData<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            let decide = |found: &LoadedSession| {
                let mut session = found.expect(expected)?;
                session.header.version = next;
                session.header.idle_ticks = to_ticks(timeouts.idle_timeout);
                session.header.end = timeouts.end;
                if let Some(data) = data {
                    session.header.is_encrypted = data.is_encrypted;
                    session.data = data.bytes;
                }
                Ok(found.changed(&session))
            };
            self.update(&id, not_after, decide).await
        })
    }

    fn rotate<'a>(
        &'a self,
        id: SessionId,
        alias: NewAlias,
        rewrite: Option<Rewrite<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Rotated, StoreError>> {
        Box::pin(async move {
            for _ in 0..MAX_ATTEMPTS {
                let rotated = self.rotate_once(&id, alias, rewrite, not_after).await?;
                if let Some(rotated) = rotated {
                    return Ok(rotated);
                }
            }
            Err(changing())
        })
    }

    fn retire(
        &self,
        id: SessionId,
        expected: Option<Version>,
        alias: NewAlias,
        not_after: ServerTime,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            let decide = |found: &LoadedSession| {
                if let Some(expected) = expected {
                    found.expect(expected)?;
                }
                Ok(Change::Put(found.alias(alias)))
            };
            self.update(&id, not_after, decide).await
        })
    }

    fn end(&self, id: SessionId) -> BoxFuture<'_, Result<Ended, StoreError>> {
        Box::pin(self.end_record(id))
    }

    fn end_if_unchanged(
        &self,
        id: SessionId,
        expected: Version,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            let decide = |found: &LoadedSession| found.expect(expected).map(|_| Change::Delete);
            self.update(&id, ServerTime::MAX, decide).await
        })
    }

    fn user_ids(
        &self,
        _: UserHash,
        _: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<UserIds, StoreError>> {
        Box::pin(async { Err(StoreError::Unsupported("the list of a user's sessions")) })
    }

    fn end_user(
        &self,
        user: UserHash,
        except: Option<SessionId>,
        lifetime: Duration,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.end_sessions_of(user, except, lifetime))
    }

    fn end_all(
        &self,
        at_least: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        Box::pin(self.end_all_sessions(at_least))
    }

    fn watch(&self, sink: Arc<dyn Sink>, timeout: Duration) -> BoxFuture<'_, StoreError> {
        Box::pin(watch::watch(self, sink, timeout))
    }

    fn heartbeat<'a>(
        &'a self,
        proposal: &'a Proposal,
    ) -> BoxFuture<'a, Result<Heartbeat, StoreError>> {
        Box::pin(watch::heartbeat(self, proposal))
    }
}

impl MemcachedStore {
    async fn read_record(&self, id: SessionId) -> Result<Option<StoredRecord>, StoreError> {
        let (bytes, expires_in, now) = match self.load(&id).await? {
            Loaded::Absent => return Ok(None),
            // It decodes to an error, and is counted.
            Loaded::Foreign(bytes) => (bytes, Duration::ZERO, now()),
            Loaded::Alias(alias) => (alias.record, alias.left, now()),
            Loaded::Session(found) => (found.record, found.left, found.now),
        };
        Ok(Some(StoredRecord {
            bytes,
            expires_in,
            now,
        }))
    }

    /// Compares the numbers of the items of a session with those that were checked before. Returns
    /// the time left if they are equal, and `None` if the session must be read.
    async fn compare(
        &self,
        id: &SessionId,
        known: Version,
    ) -> Result<Option<Duration>, StoreError> {
        self.check_open()?;
        let Some(checked) = self.state(|state| state.seen.find(id, known)) else {
            return Ok(None);
        };
        let keys = &self.0.keys;
        let mut commands = self.commands();
        commands.get(&keys.record(id), Parts::Attributes);
        commands.get(&keys.meta(), Parts::Attributes);
        if checked.place.is_some() {
            commands.get(&keys.generations(id.place()), Parts::Attributes);
        }
        let replies = self.0.reads.call(&commands).await?;
        let numbers = [Some(checked.record), Some(checked.meta), checked.place];
        let mut pairs = replies.iter().zip(numbers);
        let is_same =
            pairs.all(|(reply, number)| reply.code == Code::Done && Some(reply.cas) == number);
        let left = replies.first().map(|reply| seconds(reply.left));
        Ok(left.filter(|_| is_same))
    }

    /// Moves the idle deadlines of sessions. The flags of an item are its idle timeout, so no value
    /// is read.
    async fn touch_all(
        &self,
        batch: &[(SessionId, Duration)],
        not_after: ServerTime,
    ) -> Result<Vec<bool>, StoreError> {
        self.check_open()?;
        self.check_time(not_after)?;
        let mut touched = Vec::with_capacity(batch.len());
        for batch in batch.chunks(MAX_TOUCHES) {
            touched.extend(self.touch_some(batch, not_after).await?);
        }
        Ok(touched)
    }

    async fn touch_some(
        &self,
        batch: &[(SessionId, Duration)],
        not_after: ServerTime,
    ) -> Result<Vec<bool>, StoreError> {
        let keys: Vec<_> = batch.iter().map(|(id, _)| self.0.keys.record(id)).collect();
        let mut commands = self.commands();
        keys.iter()
            .for_each(|key| commands.get(key, Parts::Attributes));
        let found = self.0.writes.call(&commands).await?;
        self.check_time(not_after)?;
        let mut touched = Vec::with_capacity(batch.len());
        let mut later = self.commands();
        for ((key, (_, since)), reply) in keys.iter().zip(batch).zip(&found) {
            let is_session = reply.code == Code::Done && reply.flags > 0;
            touched.push(is_session);
            let left = Duration::from_secs(reply.flags.into()).saturating_sub(*since);
            if is_session && left > seconds(reply.left) {
                later.touch(key, expiry(left));
            }
        }
        if later.len() > 0 {
            self.0.writes.call(&later).await?;
        }
        Ok(touched)
    }

    /// Creates the target and makes the old id its alias. Returns `None` if another write came
    /// between, after the target was deleted again.
    async fn rotate_once(
        &self,
        id: &SessionId,
        alias: NewAlias,
        rewrite: Option<Rewrite<'_>>,
        not_after: ServerTime,
    ) -> Result<Option<Rotated>, StoreError> {
        self.check_time(not_after)?;
        let found = self.load_session(id).await?;
        let mut session = found.session()?;
        if let Some(rewrite) = &rewrite {
            found.expect(rewrite.expected)?;
            session.header.version = rewrite.next;
            session.header.is_encrypted = rewrite.data.is_encrypted;
            session.data = rewrite.data.bytes;
        }
        session.header.issued = found.now;
        let Change::Put(value) = found.changed(&session) else {
            return Err(StoreError::Gone);
        };
        self.check_time(not_after)?;
        let Written::Done(created) = self.put(&alias.target, None, &value).await? else {
            return Err(StoreError::Taken);
        };
        let version = session.header.version;
        match self.put(id, Some(found.cas), &found.alias(alias)).await? {
            Written::Done(_) => {
                self.remember(&alias.target, &found, version, created);
                let now = found.now;
                Ok(Some(Rotated { now, version }))
            }
            other => {
                self.delete(&alias.target, created).await?;
                match other {
                    Written::Missing => Err(StoreError::Gone),
                    _ => Ok(None),
                }
            }
        }
    }

    /// Deletes a session, whatever else is written to it. An alias is left as it is.
    async fn end_record(&self, id: SessionId) -> Result<Ended, StoreError> {
        for _ in 0..MAX_ATTEMPTS {
            let (cas, ended) = match self.load(&id).await? {
                Loaded::Absent | Loaded::Foreign(_) => return Ok(Ended::Absent),
                Loaded::Alias(found) => return Ok(Ended::Alias(found.alias.target)),
                Loaded::Session(found) => (found.cas, Ended::Session),
            };
            match self.delete(&id, cas).await? {
                Written::Done(_) => return Ok(ended),
                Written::Missing => return Ok(Ended::Absent),
                Written::Other => {}
            }
        }
        Err(changing())
    }
}

impl LoadedSession {
    /// Returns the session if it has a version.
    fn expect(&self, version: Version) -> Result<SessionRecord<'_>, StoreError> {
        if self.header.version != version {
            return Err(StoreError::Conflict);
        }
        self.session()
    }

    fn alias(&self, alias: NewAlias) -> NewValue {
        let record = AliasRecord {
            header: self.header,
            target: alias.target,
            grace_until: alias.grace_until(self.now),
        };
        NewValue {
            record: record.encode(),
            stamp: self.stamp,
            left: alias.remember,
            idle_timeout: Duration::ZERO,
        }
    }
}

/// The most touches of one call to the server.
const MAX_TOUCHES: usize = 64;
