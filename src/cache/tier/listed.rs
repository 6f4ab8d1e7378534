//! Sessions of a user in a list that a store gave.

use super::{L1, StoredSession};
use crate::cache::SessionInfo;

impl L1 {
    /// Creates the list entry of a session with a user that was read from the store.
    #[must_use]
    pub fn session_info(&self, session: &StoredSession, label: &str) -> SessionInfo {
        let now = session.sent_at.tick();
        SessionInfo {
            handle: session.handle(),
            assurance_level: session.assurance_level,
            label: label.to_owned(),
            times: self.cache.0.stored_times(session, now),
            now,
        }
    }
}
