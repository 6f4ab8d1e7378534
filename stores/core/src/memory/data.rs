//! The content of a store in memory, and the calls on it. Each does what the script of its name
//! does on a server: it checks everything before its first write.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bytes::Bytes;
use sessile::{SessionId, SessionLimitPolicy, UserHash, Version};

use super::revocations::Revocations;
use crate::{
    record::{AliasRecord, Header, Record, SessionRecord, to_ticks},
    store::{
        Change, Created, Ended, Heartbeat, NewAlias, NewRecord, NewTimeouts, Proposal, Revalidated,
        Rewrite, Rotated, ServerTime, StoreError, StoredData, StoredRecord, UserIds,
    },
};

#[derive(Clone, Default)]
pub(super) struct Data {
    records: HashMap<Key, Stored>,
    users: HashMap<UserHash, Index>,
    meta: Option<Meta>,
    pub(super) revocations: Revocations,
}

/// The key of a record: the low 8 bits of the place, which are its partition, and the id.
type Key = (u8, [u8; 16]);

/// The sessions of a user, with the times of their sign-ins.
type Index = BTreeMap<[u8; 16], ServerTime>;

#[derive(Clone)]
struct Stored {
    bytes: Bytes,
    expires: ServerTime,
}

#[derive(Clone)]
struct Meta {
    epoch: [u8; 16],
    user_key: [u8; 32],
    key_fingerprints: Vec<[u8; 8]>,
    ended_before: ServerTime,
}

impl Data {
    pub(super) fn len(&self, now: ServerTime) -> usize {
        self.records
            .values()
            .filter(|stored| stored.expires > now)
            .count()
    }

    pub(super) fn for_each_stored(&self, mut each: impl FnMut(&[u8], &[u8])) {
        for ((_, id), stored) in &self.records {
            each(id, &stored.bytes);
        }
        for (user, index) in &self.users {
            index.keys().for_each(|id| each(&user.to_bytes(), id));
        }
        self.revocations.for_each_stored(&mut each);
        if let Some(meta) = &self.meta {
            each(b"epoch", &meta.epoch);
            each(b"user_key", &meta.user_key);
            meta.key_fingerprints
                .iter()
                .for_each(|print| each(b"keys", print));
        }
    }

    pub(super) fn read(&self, id: &SessionId, now: ServerTime) -> Option<StoredRecord> {
        let stored = self.live(id, now)?;
        Some(StoredRecord {
            bytes: stored.bytes.clone(),
            expires_in: stored.expires.since(now),
            now,
        })
    }

    pub(super) fn revalidate(
        &self,
        id: &SessionId,
        known: Version,
        now: ServerTime,
    ) -> Revalidated {
        let version = self.session(id, now).map(|session| session.header.version);
        match self.read(id, now) {
            Some(stored) if version == Ok(known) => Revalidated::Unchanged {
                expires_in: stored.expires_in,
                now,
            },
            stored => Revalidated::Read(stored),
        }
    }

    pub(super) fn create(
        &mut self,
        new: &NewRecord<'_>,
        now: ServerTime,
        changes: &mut Vec<Change>,
    ) -> Result<Created, StoreError> {
        if self.live(&new.id, now).is_some() {
            return Err(StoreError::Taken);
        }
        let header = Header::new(new, now);
        let expires_in = header
            .expires_in(now, Duration::ZERO)
            .ok_or(StoreError::Gone)?;
        let mut ended = None;
        if let Some(user) = new.user {
            ended = self.make_room(user, new, now, changes)?;
            let index = self.users.entry(user).or_default();
            index.insert(new.id.to_bytes(), now);
        }
        let session = SessionRecord {
            header,
            label: new.label,
            data: new.data.bytes,
        };
        self.put(&new.id, session.encode(), now.after(expires_in));
        Ok(Created { now, ended })
    }

    /// Ends the least recently used session of a user at the limit and returns its id, or rejects
    /// the new one.
    fn make_room(
        &mut self,
        user: UserHash,
        new: &NewRecord<'_>,
        now: ServerTime,
        changes: &mut Vec<Change>,
    ) -> Result<Option<SessionId>, StoreError> {
        self.clean_index(&user, now);
        let place = new.id.place();
        let ids = self.users.get(&user).into_iter().flat_map(BTreeMap::keys);
        let replaced = new.replaces.map(|id| id.to_bytes());
        let others = ids.filter(|id| Some(**id) != replaced);
        let others: Vec<_> = others.map(|id| SessionId::from_parts(*id, place)).collect();
        if new.limit.max.is_none_or(|max| others.len() < max) {
            return Ok(None);
        }
        if new.limit.policy != SessionLimitPolicy::EndLeastRecentlyUsed {
            return Err(StoreError::TooMany);
        }
        let oldest = others.iter().min_by_key(|id| self.last_seen(id));
        let oldest = *oldest.ok_or(StoreError::TooMany)?;
        self.remove(&oldest, now);
        changes.push(Change::Ended {
            id: by_partition(&oldest),
        });
        Ok(Some(oldest))
    }

    pub(super) fn save(
        &mut self,
        id: &SessionId,
        expected: Version,
        next: Version,
        data: StoredData<'_>,
        now: ServerTime,
        changes: &mut Vec<Change>,
    ) -> Result<ServerTime, StoreError> {
        self.rewrite(id, expected, now, |session| {
            session.header.version = next;
            session.header.is_encrypted = data.is_encrypted;
            data.bytes.to_vec()
        })?;
        changes.push(Change::Written {
            id: by_partition(id),
            version: next,
        });
        Ok(now)
    }

    pub(super) fn touch(&mut self, id: &SessionId, since: Duration, now: ServerTime) -> bool {
        let Ok(header) = self.session(id, now).map(|session| session.header) else {
            return false;
        };
        let stored = self.records.get_mut(&key(id));
        if let (Some(stored), Some(left)) = (stored, header.expires_in(now, since)) {
            stored.expires = stored.expires.max(now.after(left));
        }
        true
    }

    #[expect(clippy::too_many_arguments, reason = "the arguments of the call")]
    pub(super) fn set_timeouts(
        &mut self,
        id: &SessionId,
        expected: Version,
        next: Version,
        timeouts: NewTimeouts,
        data: Option<StoredData<'_>>,
        now: ServerTime,
        changes: &mut Vec<Change>,
    ) -> Result<ServerTime, StoreError> {
        self.rewrite(id, expected, now, |session| {
            session.header.version = next;
            session.header.idle_ticks = to_ticks(timeouts.idle_timeout);
            session.header.end = timeouts.end;
            if let Some(data) = data {
                session.header.is_encrypted = data.is_encrypted;
            }
            data.map_or(session.data, |data| data.bytes).to_vec()
        })?;
        changes.push(Change::Written {
            id: by_partition(id),
            version: next,
        });
        Ok(now)
    }

    pub(super) fn rotate(
        &mut self,
        id: &SessionId,
        alias: NewAlias,
        rewrite: Option<Rewrite<'_>>,
        now: ServerTime,
        changes: &mut Vec<Change>,
    ) -> Result<Rotated, StoreError> {
        let stored = self.live(id, now).cloned().ok_or(StoreError::Gone)?;
        let mut session = self.session(id, now)?;
        let old = session.header;
        if self.live(&alias.target, now).is_some() {
            return Err(StoreError::Taken);
        }
        if let Some(rewrite) = &rewrite {
            expect(&session, rewrite.expected)?;
            session.header.version = rewrite.next;
            session.header.is_encrypted = rewrite.data.is_encrypted;
            session.data = rewrite.data.bytes;
        }
        session.header.issued = now;
        let version = session.header.version;
        let bytes = session.encode();
        let expires = now.after(old.expires_in(now, Duration::ZERO).unwrap_or_default());
        self.put(&alias.target, bytes, expires.max(stored.expires));
        self.put_alias(id, old, alias, now);
        if let Some(index) = old.user.and_then(|user| self.users.get_mut(&user)) {
            let signed_in = index.remove(&id.to_bytes()).unwrap_or(now);
            index.insert(alias.target.to_bytes(), signed_in);
        }
        changes.push(Change::Ended {
            id: by_partition(id),
        });
        Ok(Rotated { now, version })
    }

    pub(super) fn retire(
        &mut self,
        id: &SessionId,
        expected: Option<Version>,
        alias: NewAlias,
        now: ServerTime,
        changes: &mut Vec<Change>,
    ) -> Result<ServerTime, StoreError> {
        let session = self.session(id, now)?;
        if let Some(version) = expected {
            expect(&session, version)?;
        }
        let header = session.header;
        self.put_alias(id, header, alias, now);
        self.leave_index(id, &header);
        changes.push(Change::Ended {
            id: by_partition(id),
        });
        Ok(now)
    }

    pub(super) fn end(
        &mut self,
        id: &SessionId,
        now: ServerTime,
        changes: &mut Vec<Change>,
    ) -> Ended {
        changes.push(Change::Ended {
            id: by_partition(id),
        });
        match self
            .live(id, now)
            .map(|stored| Record::decode(&stored.bytes))
        {
            Some(Ok(Record::Alias(alias))) => Ended::Alias(alias.target),
            Some(Ok(Record::Session(_))) => {
                self.remove(id, now);
                Ended::Session
            }
            Some(Err(_)) | None => Ended::Absent,
        }
    }

    pub(super) fn end_if_unchanged(
        &mut self,
        id: &SessionId,
        expected: Version,
        now: ServerTime,
        changes: &mut Vec<Change>,
    ) -> Result<ServerTime, StoreError> {
        expect(&self.session(id, now)?, expected)?;
        self.end(id, now, changes);
        Ok(now)
    }

    pub(super) fn user_ids(
        &mut self,
        user: &UserHash,
        up_to: Option<ServerTime>,
        now: ServerTime,
    ) -> UserIds {
        self.clean_index(user, now);
        let place = user.place();
        let listed = self.users.get(user).into_iter().flatten();
        // Sign-ins are later than now if the clock was set back since.
        let latest = listed
            .clone()
            .map(|(_, time)| *time)
            .fold(now, ServerTime::max);
        let up_to = up_to.unwrap_or(latest);
        let mut listed: Vec<_> = listed.filter(|(_, time)| **time <= up_to).collect();
        listed.sort_by_key(|(id, time)| (**time, **id));
        let more = listed.len() > MAX_USER_IDS;
        let ids = listed.into_iter().take(MAX_USER_IDS);
        UserIds {
            ids: ids
                .map(|(id, _)| SessionId::from_parts(*id, place))
                .collect(),
            up_to,
            more,
        }
    }

    pub(super) fn end_all(
        &mut self,
        at_least: ServerTime,
        changes: &mut Vec<Change>,
    ) -> ServerTime {
        let meta = self.meta.get_or_insert_with(Meta::empty);
        meta.ended_before = meta.ended_before.max(at_least);
        changes.push(Change::AllEnded {
            ended_before: meta.ended_before,
        });
        meta.ended_before
    }

    pub(super) fn heartbeat(&mut self, proposal: &Proposal, now: ServerTime) -> Heartbeat {
        let meta = self.meta.get_or_insert_with(Meta::empty);
        if meta.epoch == [0; 16] {
            (meta.epoch, meta.user_key) = (proposal.epoch, proposal.user_key);
        }
        let recorded = meta.key_fingerprints.clone();
        for print in &proposal.key_fingerprints {
            if !meta.key_fingerprints.contains(print) {
                meta.key_fingerprints.push(*print);
            }
        }
        Heartbeat {
            epoch: meta.epoch,
            user_key: meta.user_key,
            key_fingerprints: recorded,
            ended_before: meta.ended_before,
            now,
        }
    }

    fn live(&self, id: &SessionId, now: ServerTime) -> Option<&Stored> {
        self.records
            .get(&key(id))
            .filter(|stored| stored.expires > now)
    }

    fn session(&self, id: &SessionId, now: ServerTime) -> Result<SessionRecord<'_>, StoreError> {
        let stored = self.live(id, now).ok_or(StoreError::Gone)?;
        match Record::decode(&stored.bytes) {
            Ok(Record::Session(session)) => Ok(session),
            Ok(Record::Alias(_)) => Err(StoreError::Rotated),
            Err(_) => Err(StoreError::Gone),
        }
    }

    /// Replaces header and data of a session that has the version `expected`, and counts as a use.
    fn rewrite(
        &mut self,
        id: &SessionId,
        expected: Version,
        now: ServerTime,
        change: impl FnOnce(&mut SessionRecord<'_>) -> Vec<u8>,
    ) -> Result<(), StoreError> {
        let mut session = self.session(id, now)?;
        expect(&session, expected)?;
        let data = change(&mut session);
        let header = session.header;
        let bytes = SessionRecord {
            data: &data,
            ..session
        }
        .encode();
        match header.expires_in(now, Duration::ZERO) {
            Some(left) => self.put(id, bytes, now.after(left)),
            None => self.remove(id, now),
        }
        Ok(())
    }

    fn put(&mut self, id: &SessionId, bytes: Vec<u8>, expires: ServerTime) {
        let bytes = bytes.into();
        self.records.insert(key(id), Stored { bytes, expires });
    }

    fn put_alias(&mut self, id: &SessionId, header: Header, alias: NewAlias, now: ServerTime) {
        let record = AliasRecord {
            header,
            target: alias.target,
            grace_until: alias.grace_until(now),
        };
        self.put(id, record.encode(), now.after(alias.remember));
    }

    fn remove(&mut self, id: &SessionId, now: ServerTime) {
        let header = self.session(id, now).map(|session| session.header);
        self.records.remove(&key(id));
        if let Ok(header) = header {
            self.leave_index(id, &header);
        }
    }

    fn leave_index(&mut self, id: &SessionId, header: &Header) {
        let Some(user) = header.user else { return };
        if let Some(index) = self.users.get_mut(&user) {
            index.remove(&id.to_bytes());
            if index.is_empty() {
                self.users.remove(&user);
            }
        }
    }

    /// Removes the entries of a user's index that have no record.
    fn clean_index(&mut self, user: &UserHash, now: ServerTime) {
        let place = user.place();
        let Some(index) = self.users.get_mut(user) else {
            return;
        };
        let records = &self.records;
        index.retain(|id, _| {
            let stored = records.get(&key(&SessionId::from_parts(*id, place)));
            stored.is_some_and(|stored| stored.expires > now)
        });
    }

    fn last_seen(&self, id: &SessionId) -> u64 {
        let Some(stored) = self.records.get(&key(id)) else {
            return 0;
        };
        let idle = Record::decode(&stored.bytes).map(|record| record.header().idle_timeout());
        let idle = idle.unwrap_or_default().as_millis() as u64;
        stored.expires.0.saturating_sub(idle)
    }
}

impl Meta {
    fn empty() -> Self {
        Self {
            epoch: [0; 16],
            user_key: [0; 32],
            key_fingerprints: Vec::new(),
            ended_before: ServerTime(0),
        }
    }
}

fn expect(session: &SessionRecord<'_>, version: Version) -> Result<(), StoreError> {
    if session.header.version == version {
        Ok(())
    } else {
        Err(StoreError::Conflict)
    }
}

fn partition(id: &SessionId) -> u8 {
    id.partition()
}

fn key(id: &SessionId) -> Key {
    (partition(id), id.to_bytes())
}

/// The id as a message names it: with its partition in place of its place.
fn by_partition(id: &SessionId) -> SessionId {
    SessionId::from_parts(id.to_bytes(), partition(id).into())
}

/// The most ids that one call lists.
const MAX_USER_IDS: usize = 1_000;
