//! Creations and the ends that they must survive: of all sessions of a user, and of all users.
//!
//! Invariant: a session that was created or stamped before an end does not agree with the items
//! after it, whichever of them the server evicts. It does not know single ends.

use std::time::Duration;

use sessile::{SessionId, UserHash};
use sessile_store::{
    Created, NewRecord, ServerTime, StoreError,
    record::{Header, SessionRecord},
};

use crate::{
    MemcachedStore,
    connection::unexpected,
    meta::{Code, Commands, Parts, Put, Reply},
    random,
    records::{Change, LoadedSession, MAX_ATTEMPTS, NewValue, Written, changing, written},
    seen::Checked,
    value::{DataSet, Generations, Stamp},
};

/// The items under which a session is created.
struct Origin {
    data: DataSet,
    meta: u64,
    generations: Option<(Generations, u64)>,
}

impl MemcachedStore {
    /// Creates a record under the generations that are in force.
    pub(crate) async fn create_record(
        &self,
        new: &NewRecord<'_>,
        not_after: ServerTime,
    ) -> Result<Created, StoreError> {
        self.check_open()?;
        let now = self.check_time(not_after)?;
        let origin = self.origin(new.user.as_ref()).await?;
        // Another node's clock may be ahead, and with it the cutoff.
        let now = now.max(origin.data.ended_before.after(MILLISECOND));
        let header = Header::new(new, now);
        let left = header.expires_in(now, Duration::ZERO);
        let value = NewValue {
            record: SessionRecord {
                header,
                label: new.label,
                data: new.data.bytes,
            }
            .encode(),
            stamp: origin.stamp(),
            left: left.ok_or(StoreError::Gone)?,
            idle_timeout: header.idle_timeout(),
        };
        self.check_time(not_after)?;
        match self.put(&new.id, None, &value).await? {
            Written::Done(cas) => {
                let mut checked = Checked::new(&new.id, new.version, [cas, origin.meta]);
                checked.place = origin.generations.map(|(_, number)| number);
                self.state(|state| state.seen.insert(&new.id, checked));
                Ok(Created { now, ended: None })
            }
            Written::Other | Written::Missing => Err(StoreError::Taken),
        }
    }

    /// Returns the items under which a session is created now.
    async fn origin(&self, user: Option<&UserHash>) -> Result<Origin, StoreError> {
        let place_key = user.map(|user| self.0.keys.generations(user.place()));
        for _ in 0..MAX_ATTEMPTS {
            let mut commands = self.commands();
            commands.get(&self.0.keys.meta(), Parts::Value);
            if let Some(key) = &place_key {
                commands.get(key, Parts::Value);
            }
            let mut replies = self.0.writes.call(&commands).await?.into_iter();
            let meta = replies.next().ok_or_else(unexpected)?;
            let (data, meta) = self.data_set(&meta)?.ok_or_else(no_data_set)?;
            let Some(key) = &place_key else {
                let generations = None;
                return Ok(Origin {
                    data,
                    meta,
                    generations,
                });
            };
            let place = replies.next().ok_or_else(unexpected)?;
            if place.code == Code::Value {
                let found = Generations::decode(&place.value);
                let found = found.map_err(|_| self.foreign_item(key))?;
                return Ok(Origin {
                    data,
                    meta,
                    generations: Some((found, place.cas)),
                });
            }
            let new = Generations::new(random()?, random()? as u32);
            self.put_item(key, None, &new.encode()).await?;
        }
        Err(changing())
    }

    /// Ends all sessions of a user but one.
    ///
    /// That one is stamped first for the end that follows, so that it is open at every moment. If
    /// another end comes between, everything is done again under its generations.
    pub(crate) async fn end_sessions_of(
        &self,
        user: UserHash,
        except: Option<SessionId>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.check_open()?;
        let key = self.0.keys.generations(user.place());
        for _ in 0..MAX_ATTEMPTS {
            let mut commands = self.commands();
            commands.get(&key, Parts::Value);
            let place = one(self.0.writes.call(&commands).await?)?;
            if place.code != Code::Value {
                // All sessions of the place have ended with their generations.
                return Ok(());
            }
            let found = Generations::decode(&place.value);
            let mut generations = found.map_err(|_| self.foreign_item(&key))?;
            let next = generations.next_stamp(0, random()? as u32);
            if let Some(except) = except {
                self.stamp(&except, &user, &next).await?;
            }
            generations.end(&user, next.sequence, crate::now(), lifetime);
            let value = generations.encode();
            let written = self.put_item(&key, Some(place.cas), &value).await?;
            if matches!(written, Written::Done(_)) {
                return Ok(());
            }
        }
        Err(changing())
    }

    /// Stamps a session of a user for an end that it outlives. A session that is not there, or of
    /// another user, is left out.
    async fn stamp(&self, id: &SessionId, user: &UserHash, next: &Stamp) -> Result<(), StoreError> {
        let decide = |found: &LoadedSession| {
            if found.header.user.as_ref() != Some(user) {
                return Err(StoreError::Gone);
            }
            let stamp = Stamp {
                generation: found.stamp.generation,
                ..*next
            };
            Ok(Change::Put(NewValue {
                record: found.record.to_vec(),
                stamp,
                left: found.left,
                idle_timeout: found.header.idle_timeout(),
            }))
        };
        match self.update(id, ServerTime::MAX, decide).await {
            Ok(_) | Err(StoreError::Gone | StoreError::Rotated) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends all sessions that were created until now, or until a time that an earlier call ended.
    ///
    /// A call for now draws another generation, so it does not depend on the clocks of the nodes.
    pub(crate) async fn end_all_sessions(
        &self,
        at_least: Option<ServerTime>,
    ) -> Result<ServerTime, StoreError> {
        self.check_open()?;
        let key = self.0.keys.meta();
        for _ in 0..MAX_ATTEMPTS {
            let mut commands = self.commands();
            commands.get(&key, Parts::Value);
            let meta = one(self.0.writes.call(&commands).await?)?;
            let Some((mut data, cas)) = self.data_set(&meta)? else {
                // All sessions have ended with their data set.
                return Ok(at_least.unwrap_or_else(crate::now));
            };
            match at_least {
                Some(cutoff) if cutoff <= data.ended_before => return Ok(data.ended_before),
                Some(cutoff) => data.ended_before = cutoff,
                None => {
                    let later = data.ended_before.after(MILLISECOND);
                    data.ended_before = later.max(crate::now());
                    data.generation = random()?;
                }
            }
            let value = data.encode();
            let written = self.put_item(&key, Some(cas), &value).await?;
            if matches!(written, Written::Done(_)) {
                return Ok(data.ended_before);
            }
        }
        Err(changing())
    }

    /// Stores an item that has no end.
    async fn put_item(
        &self,
        key: &str,
        cas: Option<u64>,
        value: &[u8],
    ) -> Result<Written, StoreError> {
        let mut commands = self.commands();
        put_item(&mut commands, key, cas, value);
        written(self.0.writes.call(&commands).await?.first())
    }
}

impl Origin {
    fn stamp(&self) -> Stamp {
        let generation = self.data.generation;
        match &self.generations {
            Some((generations, _)) => generations.stamp(generation),
            None => Stamp {
                generation,
                ..Stamp::default()
            },
        }
    }
}

/// Adds a command that stores an item without an end.
pub(crate) fn put_item(commands: &mut Commands, key: &str, cas: Option<u64>, value: &[u8]) {
    let put = Put {
        cas,
        expiry: 0,
        flags: 0,
    };
    commands.put(key, put, &[value]);
}

pub(crate) fn one(replies: Vec<Reply>) -> Result<Reply, StoreError> {
    replies.into_iter().next().ok_or_else(unexpected)
}

/// The next heartbeat creates one.
fn no_data_set() -> StoreError {
    StoreError::Unreachable("the server has lost its data".into())
}

const MILLISECOND: Duration = Duration::from_millis(1);
