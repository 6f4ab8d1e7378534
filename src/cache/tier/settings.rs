//! The settings of an L1 that its tiered cache applies in the store, and what adapters ask of a
//! cache.

use std::time::Duration;

use super::L1;
use crate::{
    id::SessionId,
    shard::{SessionLimitPolicy, region::WORD},
};

impl L1 {
    /// Returns the name of the cookie.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        self.cache.cookie_name()
    }

    /// Returns the maximum length of a session's data, in bytes.
    #[must_use]
    pub fn max_session_size(&self) -> usize {
        self.cache.max_session_size()
    }

    /// Returns the idle timeout of sessions without their own.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        self.cache.idle_timeout()
    }

    /// Returns the lifetime of sessions without their own. No session lives longer.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.cache.lifetime()
    }

    /// Returns the maximum number of sessions of one user, if there is one.
    #[must_use]
    pub fn max_sessions_per_user(&self) -> Option<usize> {
        self.cache.0.settings.max_sessions_per_user
    }

    /// Returns the policy that applies to a sign-in beyond that number.
    #[must_use]
    pub fn session_limit_policy(&self) -> SessionLimitPolicy {
        self.cache.0.settings.session_limit_policy
    }

    /// Returns true if the use of a replaced id after its grace period ends the session.
    #[must_use]
    pub fn end_reused(&self) -> bool {
        self.cache.0.settings.end_reused
    }

    /// Returns true if there is a hook that decides about the creation of sessions.
    #[must_use]
    pub fn has_admission_hook(&self) -> bool {
        self.cache.has_admission_hook()
    }

    /// Returns the number of entries. Expired ones count until their memory is reclaimed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Returns true if there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// Returns the number of anonymous sessions with `data_len` bytes of data that fit.
    #[must_use]
    pub fn capacity_for(&self, data_len: usize) -> usize {
        // One word is for the time of creation.
        self.cache.capacity_for(data_len.saturating_add(WORD))
    }

    /// Returns a one-way hash of an id, for MACs of forms.
    #[doc(hidden)]
    #[must_use]
    pub fn form_binding(&self, id: &SessionId) -> [u8; 16] {
        self.cache.form_binding(id)
    }

    /// Returns the MAC of a binding under the first key of the ring.
    #[doc(hidden)]
    #[must_use]
    pub fn form_mac(&self, binding: &[u8; 16]) -> [u8; 16] {
        self.cache.form_mac(binding)
    }

    /// Returns true if the MAC of a binding is right under any key of the ring.
    #[doc(hidden)]
    #[must_use]
    pub fn verify_form_mac(&self, binding: &[u8; 16], mac: &[u8; 16]) -> bool {
        self.cache.verify_form_mac(binding, mac)
    }
}
