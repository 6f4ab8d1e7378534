//! One record: reading it with the items that decide about it, and replacing what was read.
//!
//! Invariant: a value is replaced only by a call that has read it, because the command names its
//! unique number. It does not know why a record is changed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sessile::{SessionId, Version};
use sessile_store::{
    ServerTime, StoreError,
    record::{AliasRecord, Header, Record, SessionRecord},
};

use crate::{
    MemcachedStore,
    connection::unexpected,
    meta::{Code, Parts, Put, Reply},
    now,
    seen::Checked,
    value::{DataSet, Generations, STAMP_LEN, Stamp},
};

/// The result of reading an id.
pub(crate) enum Loaded {
    /// There is no record, or the session has ended.
    Absent,
    /// The value is not a record of this format. It is never overwritten.
    Foreign(Bytes),
    Alias(LoadedAlias),
    Session(LoadedSession),
}

/// An alias, and its value.
pub(crate) struct LoadedAlias {
    pub(crate) alias: AliasRecord,
    pub(crate) record: Bytes,
    pub(crate) left: Duration,
}

/// A session that is open.
pub(crate) struct LoadedSession {
    pub(crate) record: Bytes,
    pub(crate) header: Header,
    pub(crate) stamp: Stamp,
    /// The unique number of the value.
    pub(crate) cas: u64,
    pub(crate) left: Duration,
    pub(crate) now: ServerTime,
    /// The numbers of the items that decided that it is open.
    pub(crate) meta: u64,
    pub(crate) place: Option<u64>,
}

/// A value, decoded. A session may have ended.
enum Decoded {
    Session(Bytes, Header, Stamp),
    Other(Loaded),
}

/// A change of a session that was read.
pub(crate) enum Change {
    Put(NewValue),
    Delete,
}

/// A value that replaces a session's.
pub(crate) struct NewValue {
    pub(crate) record: Vec<u8>,
    pub(crate) stamp: Stamp,
    pub(crate) left: Duration,
    /// The idle timeout, or zero for an alias.
    pub(crate) idle_timeout: Duration,
}

/// The result of a write that named what it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is done. The unique number of the new value.
    Done(u64),
    /// The key exists, or the value is another one.
    Other,
    /// There is no such key.
    Missing,
}

impl MemcachedStore {
    /// Reads an id, the data set and the generations of its place, in one round trip.
    pub(crate) async fn load(&self, id: &SessionId) -> Result<Loaded, StoreError> {
        self.check_open()?;
        let keys = &self.0.keys;
        let mut commands = self.commands();
        commands.get(&keys.record(id), Parts::Value);
        commands.get(&keys.meta(), Parts::Value);
        commands.get(&keys.generations(id.place()), Parts::Value);
        let replies = self.0.reads.call(&commands).await?;
        let [record, meta, place] = three(replies)?;
        let data = self.data_set(&meta)?;
        Ok(self.judge(id, &record, data, &place))
    }

    /// Returns the data set of a reply, or `None` if there is none.
    pub(crate) fn data_set(&self, reply: &Reply) -> Result<Option<(DataSet, u64)>, StoreError> {
        if reply.code != Code::Value {
            return Ok(None);
        }
        let data = DataSet::decode(&reply.value);
        let data = data.map_err(|_| self.foreign_item(&self.0.keys.meta()))?;
        Ok(Some((data, reply.cas)))
    }

    pub(crate) fn foreign_item(&self, key: &str) -> StoreError {
        let text = format!(
            "`prefix` must be one that no other application uses: `{key}` is not an item of \
             sessile, or of a later build"
        );
        StoreError::Incompatible(text.into())
    }

    /// Decides whether a value is a session that is open.
    fn judge(
        &self,
        id: &SessionId,
        record: &Reply,
        data: Option<(DataSet, u64)>,
        place: &Reply,
    ) -> Loaded {
        let (bytes, header, stamp) = match decode(record) {
            Decoded::Session(bytes, header, stamp) => (bytes, header, stamp),
            Decoded::Other(loaded) => return loaded,
        };
        let now = now();
        let Some((longest, meta)) = permitted_for(&header, &stamp, data, place, now) else {
            return Loaded::Absent;
        };
        let session = LoadedSession {
            record: bytes,
            header,
            stamp,
            cas: record.cas,
            left: seconds(record.left).min(longest),
            now,
            meta,
            place: header.user.map(|_| place.cas),
        };
        self.remember(id, &session, header.version, record.cas);
        Loaded::Session(session)
    }

    /// Remembers the numbers of items under which a session is open.
    pub(crate) fn remember(
        &self,
        id: &SessionId,
        found: &LoadedSession,
        version: Version,
        cas: u64,
    ) {
        let mut checked = Checked::new(id, version, [cas, found.meta]);
        checked.place = found.place;
        self.state(|state| state.seen.insert(id, checked));
    }

    /// Reads the session of an id.
    pub(crate) async fn load_session(&self, id: &SessionId) -> Result<LoadedSession, StoreError> {
        match self.load(id).await? {
            Loaded::Session(session) => Ok(session),
            Loaded::Alias(_) => Err(StoreError::Rotated),
            Loaded::Absent | Loaded::Foreign(_) => Err(StoreError::Gone),
        }
    }

    /// Changes a session: reads it and replaces what was read, again if another write came between.
    pub(crate) async fn update(
        &self,
        id: &SessionId,
        not_after: ServerTime,
        decide: impl Fn(&LoadedSession) -> Result<Change, StoreError>,
    ) -> Result<ServerTime, StoreError> {
        for _ in 0..MAX_ATTEMPTS {
            self.check_time(not_after)?;
            let found = self.load_session(id).await?;
            let change = decide(&found)?;
            self.check_time(not_after)?;
            let written = match &change {
                Change::Put(value) => self.put(id, Some(found.cas), value).await?,
                Change::Delete => self.delete(id, found.cas).await?,
            };
            match (written, &change) {
                (Written::Done(cas), Change::Put(value)) => {
                    if let Ok(Record::Session(session)) = Record::decode(&value.record) {
                        self.remember(id, &found, session.header.version, cas);
                    }
                    return Ok(found.now);
                }
                (Written::Done(_), Change::Delete) => return Ok(found.now),
                (Written::Missing, _) => return Err(StoreError::Gone),
                (Written::Other, _) => {}
            }
        }
        Err(changing())
    }

    /// Stores a value in place of one with a number, or under an id that has none.
    pub(crate) async fn put(
        &self,
        id: &SessionId,
        cas: Option<u64>,
        value: &NewValue,
    ) -> Result<Written, StoreError> {
        let key = self.0.keys.record(id);
        // A server that rejects a value for its length deletes the one that is there.
        let len = value.record.len() + STAMP_LEN + key.len() + ITEM_OVERHEAD;
        if len > self.state(|state| state.max_item_len) {
            return Err(StoreError::Full);
        }
        let put = Put {
            cas,
            expiry: expiry(value.left),
            flags: whole_seconds(value.idle_timeout) as u32,
        };
        let stamp = value.stamp.encode();
        let mut commands = self.commands();
        commands.put(&key, put, &[&value.record, &stamp]);
        let replies = self.0.writes.call(&commands).await?;
        written(replies.first())
    }

    /// Deletes the value that has a number.
    pub(crate) async fn delete(&self, id: &SessionId, cas: u64) -> Result<Written, StoreError> {
        let mut commands = self.commands();
        commands.delete(&self.0.keys.record(id), cas);
        let replies = self.0.writes.call(&commands).await?;
        written(replies.first())
    }
}

impl LoadedSession {
    /// Returns the session, decoded.
    pub(crate) fn session(&self) -> Result<SessionRecord<'_>, StoreError> {
        match Record::decode(&self.record) {
            Ok(Record::Session(session)) => Ok(session),
            _ => Err(StoreError::Gone),
        }
    }

    /// Returns the value of this session after a change that counts as a use, or a deletion if its
    /// lifetime is over.
    pub(crate) fn changed(&self, session: &SessionRecord<'_>) -> Change {
        let Some(left) = session.header.expires_in(self.now, Duration::ZERO) else {
            return Change::Delete;
        };
        Change::Put(NewValue {
            record: session.encode(),
            stamp: self.stamp,
            left,
            idle_timeout: session.header.idle_timeout(),
        })
    }
}

fn decode(record: &Reply) -> Decoded {
    if record.code != Code::Value {
        return Decoded::Other(Loaded::Absent);
    }
    let Ok((len, stamp)) = Stamp::split(&record.value) else {
        return Decoded::Other(Loaded::Foreign(record.value.clone()));
    };
    let bytes = record.value.slice(..len);
    match Record::decode(&bytes) {
        Ok(Record::Session(session)) => {
            let header = session.header;
            Decoded::Session(bytes, header, stamp)
        }
        Ok(Record::Alias(alias)) => Decoded::Other(Loaded::Alias(LoadedAlias {
            alias,
            record: bytes,
            left: seconds(record.left),
        })),
        Err(_) => Decoded::Other(Loaded::Foreign(bytes)),
    }
}

/// Returns the longest time for which a session is open from now on, and the number of the data
/// set. `None` if its lifetime, an end of all sessions or one of its user's has ended it.
fn permitted_for(
    header: &Header,
    stamp: &Stamp,
    data: Option<(DataSet, u64)>,
    place: &Reply,
    now: ServerTime,
) -> Option<(Duration, u64)> {
    let (data, meta) = data?;
    let is_of_user = header.user.is_none_or(|user| {
        let generations = Generations::decode(&place.value);
        generations.is_ok_and(|generations| generations.permits(&user, stamp))
    });
    let cutoff = data.ended_before;
    let is_old_sign_in = header.user.is_some() && header.authenticated <= cutoff;
    let is_open = stamp.generation == data.generation
        && header.created > cutoff
        && !is_old_sign_in
        && is_of_user;
    let longest = header.expires_in(now, Duration::ZERO)?;
    is_open.then_some((longest, meta))
}

pub(crate) fn written(reply: Option<&Reply>) -> Result<Written, StoreError> {
    match reply.map(|reply| (reply.code, reply.cas)) {
        Some((Code::Done, cas)) => Ok(Written::Done(cas)),
        Some((Code::NotStored | Code::Exists, _)) => Ok(Written::Other),
        Some((Code::NotFound, _)) => Ok(Written::Missing),
        _ => Err(unexpected()),
    }
}

/// Other writes came between each attempt.
pub(crate) fn changing() -> StoreError {
    StoreError::Unreachable("the item was changed again and again".into())
}

pub(crate) fn three(replies: Vec<Reply>) -> Result<[Reply; 3], StoreError> {
    replies.try_into().map_err(|_| unexpected())
}

/// Returns the time left that a server reported. An item without an end expires with its session.
pub(crate) fn seconds(left: Option<u32>) -> Duration {
    left.map_or(Duration::MAX, |left| Duration::from_secs(left.into()))
}

/// Returns the time to live as the protocol has it. The server counts whole seconds, and the first
/// one may be nearly over, so an item lives for up to two seconds longer than it must.
pub(crate) fn expiry(left: Duration) -> u64 {
    let seconds = whole_seconds(left) + 1;
    if seconds <= MAX_RELATIVE {
        return seconds;
    }
    // A larger number is a time.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs() + seconds
}

/// Returns a span in seconds, rounded up.
fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// The number of times that a change is tried while others come between.
pub(crate) const MAX_ATTEMPTS: usize = 16;
/// The length of what the server keeps beside key and value, in bytes, rounded up.
const ITEM_OVERHEAD: usize = 80;
/// The longest relative time of the protocol: 30 days in seconds.
const MAX_RELATIVE: u64 = 30 * 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_are_rounded_up() {
        assert_eq!(expiry(Duration::from_millis(200)), 2);
        assert_eq!(expiry(Duration::from_secs(60)), 61);
        let month = Duration::from_secs(MAX_RELATIVE - 1);
        assert_eq!(expiry(month), MAX_RELATIVE);
        let longer = expiry(month + Duration::from_millis(1));
        assert!(longer > 1_700_000_000, "a time, {longer}");
        assert_eq!(seconds(None), Duration::MAX);
    }
}
