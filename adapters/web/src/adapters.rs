//! Parts of a session that adapters need and handlers do not.
//!
//! Owns no state. It does not know which adapter asks.

use bytes::BytesMut;

use crate::{Session, pairs::Pairs};

impl Session {
    /// For adapters: returns true if another thread works with this session now, so that a verb would wait for it.
    /// The answer may be out of date when it is used.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.is_locked()
    }

    /// For adapters: has the response send the cookie that opened the session, which the client does not have: its
    /// session was found in another way.
    pub fn send_cookie_again(&self) {
        self.state().is_kept_anew = true;
    }

    /// For adapters: returns true if the stored data was not written by a session layer. It reads as empty, and the
    /// next change would overwrite it.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.with(|state, request| {
            let Some(live) = state.stored.live(request) else { return false };
            // Such data reads as no pairs at all, as hardly any session does: only then it is read again.
            let mut buffer = BytesMut::new();
            live.data.as_bytes().is_empty()
                && request.sessions.cache().load(&live.id, &mut buffer).is_some()
                && !Pairs::is_written_here(&buffer)
        })
    }
}
