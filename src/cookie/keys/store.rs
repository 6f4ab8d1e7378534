//! Keys for a store: derived from the key ring beside those that sign, and the choice of the key
//! that signs.
//!
//! A tiered cache alone derives these, so a local one keeps nothing of them.

use zeroize::Zeroizing;

use super::{Key, KeyRing, Keyed, Keys, Parts, Prf, expand, keyed, mac};
use crate::id::{Id, Place};
use hkdf::Hkdf;
use sha2::Sha256;

/// The values that are derived from a key ring for a store, the signing key's first.
pub(crate) struct StoreKeys(Vec<StoreKey>);

struct StoreKey {
    number: u8,
    fingerprint: [u8; 8],
    /// Derives the keys for each purpose.
    root: Keyed,
}

impl StoreKeys {
    pub(crate) fn derive(ring: &KeyRing, cookie_name: &str) -> Self {
        let derive = |key: &super::Secret| StoreKey::derive(key, cookie_name);
        Self(ring.0.iter().map(derive).collect())
    }

    /// Returns a digest of each key, which may be shown.
    pub(crate) fn fingerprints(&self) -> impl Iterator<Item = [u8; 8]> {
        self.0.iter().map(|key| key.fingerprint)
    }

    /// Returns the number of each key, and the key for a purpose that is derived from it.
    pub(crate) fn for_purpose(
        &self,
        purpose: &str,
    ) -> impl Iterator<Item = (u8, Zeroizing<[u8; 32]>)> {
        self.0.iter().map(move |key| {
            (
                key.number,
                Zeroizing::new(mac(&key.root, purpose.as_bytes())),
            )
        })
    }
}

impl StoreKey {
    fn derive(key: &[u8], cookie_name: &str) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, key);
        let (mut number, mut fingerprint, mut root) = ([0], [0; 8], Zeroizing::new([0; 32]));
        expand(&hkdf, cookie_name, "key number", &mut number);
        expand(&hkdf, cookie_name, "store fingerprint", &mut fingerprint);
        expand(&hkdf, cookie_name, "store root", &mut *root);
        Self {
            number: number[0],
            fingerprint,
            root: keyed(&*root),
        }
    }
}

impl Keys {
    /// Signs an id under the key with a number, or under the first key if the ring has none with
    /// that number. Returns the epoch of the ring too.
    pub(crate) fn sign_under(&self, number: Option<u8>, place: Place, id: &Id) -> (Parts, u32) {
        self.state.read(|state| {
            let named = |key: &&Key| Some(key.number) == number;
            let key = state.ring.keys().find(named);
            let key = key.unwrap_or(&state.ring.signing);
            (key.sign(place, id), self.epoch())
        })
    }
}

impl Prf {
    /// Creates the keyed hash of users' names under a given key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(keyed(key))
    }
}
