//! The results of the verbs: an issued session, and a session that was found.

use core::fmt;
use std::time::Duration;

use super::tier;
use crate::{
    clock::{Tick, to_duration},
    cookie::Token,
    handle::Handle,
    id::{SessionId, UserHash},
    shard::entry::{EntryMeta, Flags, HeaderFields},
};

/// The version of a session: a number that each save and each change of its timeouts increments.
///
/// It wraps around after 2³² changes, so versions can be compared for equality but are not ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u32);

impl Version {
    /// Creates a version from its number, for a version that was sent elsewhere, such as in a form.
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

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<Version> for u32 {
    fn from(version: Version) -> Self {
        version.0
    }
}

/// A session with a new id: the result of [`create`](super::SessionCache::create),
/// [`rotate`](super::SessionCache::rotate) and [`sign_in`](super::SessionCache::sign_in).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssuedSession {
    /// The new id.
    pub id: SessionId,
    /// The new value of the cookie.
    pub token: Token,
    /// The version of the session.
    pub version: Version,
}

/// A session that was found. Its data is in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The id.
    pub id: SessionId,
    /// The version of the session, for [`save`](super::SessionCache::save).
    pub version: Version,
    /// The hash of the signed-in user, or `None`.
    pub user: Option<UserHash>,
    /// The authentication assurance level (NIST SP 800-63B AAL, OIDC `acr`) of the sign-in; 0
    /// without a user.
    pub assurance_level: u8,
    pub(super) meta: EntryMeta,
    pub(super) now: Tick,
}

impl Record {
    /// Returns the public name of the session, for lists and events. It cannot open the session.
    #[must_use]
    pub fn handle(&self) -> Handle {
        if self.meta.flags().has(Flags::TIERED) {
            return tier::handle(self.user, &self.id, self.meta.serial());
        }
        Handle::new(
            self.user,
            self.id.place,
            self.meta.serial(),
            self.meta.times().created,
        )
    }

    /// Returns the time since the session was created.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since(self.meta.times().created)
    }

    /// Returns the time since the session's id was issued, by its creation, a rotation or a
    /// sign-in.
    #[must_use]
    pub fn id_age(&self) -> Duration {
        self.since(self.meta.times().issued)
    }

    /// Returns the time since the user signed in, or `None` if the session is anonymous.
    #[must_use]
    pub fn authenticated_for(&self) -> Option<Duration> {
        self.user
            .map(|_| self.since(self.meta.times().authenticated))
    }

    /// Returns the time until the session expires without further activity.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        to_duration(self.meta.deadline().saturating_sub(self.now))
    }

    /// Returns true if a user is signed in.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.user.is_some()
    }

    /// Returns true if the session was opened by a replaced id within its grace period. The
    /// response must not send that id again.
    #[must_use]
    pub fn is_alias(&self) -> bool {
        self.meta.flags().has(Flags::ALIAS)
    }

    fn since(&self, then: Tick) -> Duration {
        to_duration(self.now.saturating_sub(then))
    }
}
