//! Log lines that come up while a request's state is locked. A subscriber is the application's code and may look at the
//! session, so they are written when the lock was released.

use sessile::Error;

#[derive(Default)]
pub(crate) struct LogLines {
    /// The session has a new id.
    pub(crate) is_rotated: bool,
    /// A rotation was due and could not be done.
    pub(crate) not_rotated: Option<Error>,
    /// Another request saved first.
    pub(crate) is_merged: bool,
}

impl LogLines {
    /// Writes the lines.
    pub(crate) fn emit(self) {
        if self.is_rotated {
            tracing::debug!("a session has a new id");
        }
        if let Some(error) = self.not_rotated {
            tracing::debug!(%error, "a session keeps its id for now");
        }
        if self.is_merged {
            tracing::debug!("changes are made again, to what another request left");
        }
    }
}
