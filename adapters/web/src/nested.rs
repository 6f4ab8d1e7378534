//! Layers behind layers: which of them mean the same sessions, and which overwrite each other's cookie.
//!
//! It does not know how a layer finds the one further out.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::{Session, Sessions};

impl Sessions {
    /// For adapters: warns, once per process, if a request that comes to these sessions already has the
    /// session of a layer further out, of another cache under the same cookie name.
    pub fn check_outer(&self, outer: &Session) {
        self.warn_if_overwriting(outer.sessions());
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
