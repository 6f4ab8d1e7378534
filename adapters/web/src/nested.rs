//! Nested session layers: whether they share a session, and a warning if they overwrite each
//! other's cookies.
//!
//! It does not know how a layer finds the session of the outer one.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::{Session, SessionManager};

impl SessionManager {
    /// For adapters: returns true if the session of an outer layer can be used, because both layers
    /// have the same cache and equal settings. The outer layer commits it, so that a request loads
    /// and stores its session once.
    ///
    /// If the outer layer has another cache under the same cookie name, a warning is logged, once
    /// per process.
    #[must_use]
    pub fn shares(&self, outer: &Session) -> bool {
        let is_shared = self == outer.manager();
        if !is_shared {
            self.warn_if_overwriting(outer.manager());
        }
        is_shared
    }

    fn warn_if_overwriting(&self, outer: &Self) {
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

/// Global to the process, because the warning reports an error in the program's setup, which every
/// request would repeat.
static WARNED: AtomicBool = AtomicBool::new(false);
