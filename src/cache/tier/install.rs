//! Sessions as a store has them, and their way into L1.

use std::time::Duration;

use super::Ticks;
use crate::{
    cache::{Inner, Record, Version, cutoff::Creation},
    clock::{Tick, to_tick},
    cookie::{Parts, Tag},
    handle::Handle,
    id::{SessionId, UserHash},
    shard::{
        Placed, TieredEntry,
        entry::{Times, TokenParts},
    },
};

/// A session as the store has it, its data apart.
///
/// Times are spans, counted back or forth from `sent_at`: the store's clock need not be that of
/// this process. Since the read was sent before the store answered it, L1 never keeps a session
/// longer than the store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// The id.
    pub id: SessionId,
    /// The number of the key under which the client presented its token: later hits then need no
    /// MAC. `None`, and a key that is not in the key ring, stand for the signing key.
    pub key_number: Option<u8>,
    /// The version of the data.
    pub version: Version,
    /// The random number that tells the sessions of one user apart.
    pub serial: u32,
    /// The user that is signed in.
    pub user: Option<UserHash>,
    /// The authentication assurance level.
    pub assurance_level: u8,
    /// True if the lifetime counts from the last sign-in and not from the creation.
    pub lifetime_renewed: bool,
    /// True if a client has returned the cookie: false only for a session that was just created. A
    /// session whose cookie was never returned is evicted first.
    pub returned: bool,
    /// The idle timeout.
    pub idle_timeout: Duration,
    /// The time of the clock of L1 at which the command was sent that returned this.
    pub sent_at: Ticks,
    /// The time since the creation.
    pub age: Duration,
    /// The time since the id was issued.
    pub issued_ago: Duration,
    /// The time since the sign-in; ignored without a user.
    pub authenticated_ago: Duration,
    /// The time until the idle deadline.
    pub idle_left: Duration,
    /// The time until the end of the lifetime.
    pub life_left: Duration,
}

/// The result of [`L1::install`](super::L1::install).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Installed {
    /// The session is in L1.
    Stored,
    /// L1 has a higher version, which stays.
    Older,
    /// There is no memory for it, and no entry under its id. Harmless: the next read asks the
    /// store.
    Full,
    /// A deadline of the session has passed. There is no entry under its id.
    Expired,
}

impl StoredSession {
    /// Creates an anonymous session that has just been created, and expires at once unless its
    /// times are set.
    #[must_use]
    pub const fn new(id: SessionId, version: Version, sent_at: Ticks) -> Self {
        Self {
            id,
            key_number: None,
            version,
            serial: 0,
            user: None,
            assurance_level: 0,
            lifetime_renewed: false,
            returned: false,
            idle_timeout: Duration::ZERO,
            sent_at,
            age: Duration::ZERO,
            issued_ago: Duration::ZERO,
            authenticated_ago: Duration::ZERO,
            idle_left: Duration::ZERO,
            life_left: Duration::ZERO,
        }
    }

    /// Returns the handle of the session: the same on all nodes.
    #[must_use]
    pub fn handle(&self) -> Handle {
        handle(self.user, &self.id, self.serial)
    }
}

/// Returns the handle of a session of a tiered cache, which contains no time of creation. The place
/// of a session with a user is the user's.
pub(in crate::cache) fn handle(user: Option<UserHash>, id: &SessionId, serial: u32) -> Handle {
    let place = user.map_or(id.place, |user| user.place());
    Handle::new(user, place, serial, 0)
}

impl Inner {
    pub(super) fn install(&self, session: &StoredSession, data: &[u8]) -> Installed {
        let id = &session.id;
        let place = self.place(id.place);
        let (parts, epoch) = self.keys.sign_under(session.key_number, id.place, &id.id);
        let drop_entry = |below| {
            self.write(place, |shard, now| shard.invalidate(&id.id, below, now));
            Installed::Full
        };
        if data.len() > self.settings.max_session_size {
            return drop_entry(session.version.get().saturating_add(1));
        }
        let placed = self.with_room(place, || {
            self.write(place, |shard, now| {
                // The shard learns of all that was invalidated before.
                let Creation { created, cutoff } = self.cutoff.creation(now);
                shard.apply_cutoff(cutoff);
                let entry = self.tiered_entry(session, &parts, created, now);
                shard.install(&entry, data, now)
            })
        });
        let is_retired = || self.keys.epoch() != epoch && !self.keys.verify(&parts);
        match placed {
            // No entry keeps a tag of a key that was retired while it was installed.
            Ok(Placed::Stored) if is_retired() => drop_entry(u32::MAX),
            Ok(Placed::Stored) => Installed::Stored,
            Ok(Placed::Older) => Installed::Older,
            Ok(Placed::Expired) => Installed::Expired,
            Err(_) => Installed::Full,
        }
    }

    /// Returns the record of a session that need not be in L1.
    pub(super) fn stored_record(&self, session: &StoredSession, opened_by: &SessionId) -> Record {
        let now = self.now();
        let unsigned = Parts {
            key: 0,
            place: session.id.place,
            id: session.id.id,
            tag: Tag([0; 2]),
        };
        let entry = self.tiered_entry(session, &unsigned, now, now);
        let is_alias = *opened_by != session.id;
        Record {
            id: *opened_by,
            version: session.version,
            user: session.user,
            assurance_level: session.user.map_or(0, |_| session.assurance_level),
            meta: entry.used(is_alias, now),
            now,
        }
    }

    /// The entry of a session that is installed now.
    fn tiered_entry(
        &self,
        session: &StoredSession,
        parts: &Parts,
        created: Tick,
        now: Tick,
    ) -> TieredEntry {
        let times = self.stored_times(session, now);
        TieredEntry {
            token: TokenParts {
                id: parts.id,
                tag: parts.tag,
                key: parts.key,
            },
            birth: times.created,
            sent: session.sent_at.tick().min(now),
            place: session.id.place,
            times: Times { created, ..times },
            version: session.version.get(),
            serial: session.serial,
            user: session.user,
            assurance_level: session.assurance_level,
            is_renewed: session.lifetime_renewed,
            is_returned: session.returned,
        }
    }

    /// The times of a session as points of this process's clock. No entry outlives the cache's own
    /// lifetime, for which the number of a retired key stays unused.
    pub(super) fn stored_times(&self, session: &StoredSession, now: Tick) -> Times {
        let idle_timeout = to_tick(session.idle_timeout);
        let idle_left = to_tick(session.idle_left).min(idle_timeout);
        let latest = now.saturating_add(self.lifetime);
        let sent = session.sent_at.tick().min(now);
        let end = sent.saturating_add(to_tick(session.life_left)).min(latest);
        let authenticated = session
            .user
            .map_or(0, |_| session.ago(session.authenticated_ago, now));
        Times {
            created: session.ago(session.age, now),
            authenticated,
            issued: session.ago(session.issued_ago, now),
            idle: sent.saturating_add(idle_left),
            end,
            idle_timeout,
        }
    }
}

impl StoredSession {
    /// The point of time that is `span` before the command was sent.
    fn ago(&self, span: Duration, now: Tick) -> Tick {
        let sent = self.sent_at.tick().min(now);
        sent.saturating_sub(to_tick(span))
    }

    /// The start of the lifetime.
    pub(super) fn start(&self, now: Tick) -> Tick {
        if self.lifetime_renewed && self.user.is_some() {
            self.ago(self.authenticated_ago, now)
        } else {
            self.ago(self.age, now)
        }
    }
}
