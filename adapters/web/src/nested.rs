//! Layers behind layers: which of them mean the same sessions, and which overwrite each other's cookie.
//!
//! It does not know how a layer finds the one further out.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::{Pending, Session, SessionManager};

impl SessionManager {
    /// For adapters: the session of a request that already has one, of a layer further out with the same cache and equal
    /// settings. It is used and committed there, so that a request loads and stores its session once.
    ///
    /// Returns `None` where the other layer is a different one. If that has another cache under the same cookie name, a
    /// warning says so, once per process.
    #[must_use]
    pub fn pend_behind(&self, outer: &Session) -> Option<Pending> {
        self.warn_if_overwriting(outer.sessions());
        (self == outer.sessions()).then(|| Pending::outer(outer.clone()))
    }

    pub(crate) fn warn_if_overwriting(&self, outer: &Self) {
        let name = self.cookie().name();
        if self.cache() == outer.cache() || name != outer.cookie().name() {
            return;
        }
        if !WARNED.swap(true, Relaxed) {
            tracing::warn!(
                cookie_name = name,
                "two session layers with different caches serve one request under one cookie name, so \
                 that each overwrites the other's sessions: build both with clones of one cache, or give \
                 one of the caches another `cookie_name`"
            );
        }
    }
}

/// One for the process, because it is a fault of the program's setup, found again by each request.
static WARNED: AtomicBool = AtomicBool::new(false);
