//! Log lines that are produced while the state of a request is locked. A subscriber is application
//! code and may read the session, so they are emitted after the lock was released.

use sessile::Error;

#[derive(Default)]
pub(crate) struct LogLines {
    /// The session has a new id.
    pub(crate) is_rotated: bool,
    /// A rotation was due and failed.
    pub(crate) not_rotated: Option<Error>,
    /// Another request saved first.
    pub(crate) is_merged: bool,
    /// The stored data was not written by this crate.
    pub(crate) is_foreign: bool,
}

impl LogLines {
    /// Emits the lines.
    pub(crate) fn emit(self) {
        if self.is_rotated {
            tracing::debug!("session id rotated");
        }
        if let Some(error) = self.not_rotated {
            tracing::debug!(%error, "session id not rotated; the next response tries again");
        }
        if self.is_merged {
            tracing::debug!("session changed by another request; changes merged");
        }
        if self.is_foreign {
            tracing::warn!(
                "session data was not written by sessile-web; it reads as empty, and the next change \
                 overwrites it"
            );
        }
    }
}
