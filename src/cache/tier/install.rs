//! Sessions as a store has them, and their way into L1.

use std::time::Duration;

use super::Ticks;
use crate::{
    cache::Version,
    handle::Handle,
    id::{SessionId, UserHash},
};

/// A session as the store has it, its data apart.
///
/// Times are spans, counted back or forth from `sent_at`: the store's clock need not be that of this process. Since
/// the read was sent before the store answered it, L1 never keeps a session longer than the store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// The id.
    pub id: SessionId,
    /// The number of the key under which the client presented its token: later hits then need no MAC. `None`, and a
    /// key that is not in the key ring, stand for the signing key.
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
    /// True if a client has returned the cookie: false only for a session that was just created. A session whose
    /// cookie was never returned is evicted first.
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
    /// There is no memory for it, and no entry under its id. Harmless: the next read asks the store.
    Full,
    /// A deadline of the session has passed. There is no entry under its id.
    Expired,
}

impl StoredSession {
    /// Creates an anonymous session that has just been created, and expires at once unless its times are set.
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
        Handle::new(self.user, self.id.place, self.serial, 0)
    }
}
