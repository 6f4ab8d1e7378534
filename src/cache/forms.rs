//! MACs of CSRF tokens, for adapters, under keys that are derived from the key ring for this
//! purpose.
//!
//! It does not know how a form carries a MAC.

use sha2::{Digest, Sha256};

use super::SessionCache;
use crate::id::SessionId;

/// For adapters, which document their use. Exempt from semantic versioning.
impl SessionCache {
    /// Returns a one-way hash of an id, to which a form's MAC is bound. It does not reveal the id,
    /// so it can be stored.
    #[doc(hidden)]
    #[must_use]
    pub fn form_binding(&self, id: &SessionId) -> [u8; 16] {
        let hash = Sha256::new()
            .chain_update(BINDING)
            .chain_update(id.id.to_bytes())
            .finalize();
        core::array::from_fn(|at| hash[at])
    }

    /// Returns the MAC of a binding under the first key of the ring.
    #[doc(hidden)]
    #[must_use]
    pub fn form_mac(&self, binding: &[u8; 16]) -> [u8; 16] {
        self.0.keys.form_mac(binding)
    }

    /// Returns true if the MAC of a binding is correct under any key of the ring.
    #[doc(hidden)]
    #[must_use]
    pub fn verify_form_mac(&self, binding: &[u8; 16], mac: &[u8; 16]) -> bool {
        self.0.keys.verify_form_mac(binding, mac)
    }
}

/// Separates this hash from other hashes of an id.
const BINDING: &[u8] = b"sessile form binding v1";
