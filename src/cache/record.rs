//! Results of the verbs: a session that was issued, one that was found.

use std::time::Duration;

use super::tier;
use crate::{
    clock::{Tick, to_duration},
    cookie::Token,
    handle::Handle,
    id::{SessionId, UserHash},
    shard::entry::{EntryMeta, Flags, HeaderFields},
};

/// The version of a session: a number that every save and every change of its timeouts replaces by the next one.
///
/// It wraps around after 2³² changes, so two versions are equal or different, and are not ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u32);

impl Version {
    /// Creates a version from its number, for one that left the process: in a form, or in another language.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A session with a new id: the result of [`create`](super::SessionCache::create),
/// [`rotate`](super::SessionCache::rotate) and [`sign_in`](super::SessionCache::sign_in).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssuedSession {
    /// The new id.
    pub id: SessionId,
    /// The value of the cookie to send.
    pub token: Token,
    /// The version of the session.
    pub version: Version,
}

/// A session that was found. Its data is in the caller's buffer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Record {
    /// The id.
    pub id: SessionId,
    /// The version of the session, for [`save`](super::SessionCache::save).
    pub version: Version,
    /// Who is signed in, if anybody is.
    pub user: Option<UserHash>,
    /// How sure the application was of the user, on its own scale; 0 without one.
    pub assurance_level: u8,
    pub(super) facts: EntryMeta,
    pub(super) now: Tick,
}

impl Record {
    /// The name of the session for lists and events. It opens nothing.
    #[must_use]
    pub fn handle(&self) -> Handle {
        if self.facts.flags().has(Flags::TIERED) {
            return tier::handle(self.user, &self.id, self.facts.serial());
        }
        Handle::new(
            self.user,
            self.id.place,
            self.facts.serial(),
            self.facts.times().created,
        )
    }

    /// How old the session is.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since(self.facts.times().created)
    }

    /// How long ago its id was issued, by its creation, a rotation or a sign-in.
    #[must_use]
    pub fn id_age(&self) -> Duration {
        self.since(self.facts.times().issued)
    }

    /// How long ago its user signed in, if one did.
    #[must_use]
    pub fn authenticated_for(&self) -> Option<Duration> {
        self.user
            .map(|_| self.since(self.facts.times().authenticated))
    }

    /// How long until the session is refused, if it is not used again.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        to_duration(self.facts.deadline().saturating_sub(self.now))
    }

    /// Whether a user is signed in.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.user.is_some()
    }

    /// Returns true if the session was opened by an id that was replaced, within its grace period. A response to such
    /// a request must not send that id again.
    #[must_use]
    pub fn is_alias(&self) -> bool {
        self.facts.flags().has(Flags::ALIAS)
    }

    fn since(&self, then: Tick) -> Duration {
        to_duration(self.now.saturating_sub(then))
    }
}
