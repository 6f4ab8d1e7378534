//! Keys and digests that are derived from the key ring for use outside the engine.

use core::fmt;

use zeroize::Zeroizing;

/// A digest of a key of the key ring. It is not secret.
pub type KeyFingerprint = [u8; 8];

/// A key for one purpose, derived from a key of the key ring.
#[derive(Clone)]
#[non_exhaustive]
pub struct DerivedKey {
    /// The number of the key in the ring. Of two keys of one ring the numbers differ.
    pub number: u8,
    /// The key. It is wiped when it is dropped.
    pub key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for DerivedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedKey(..)")
    }
}
