//! Encryption of the data of sessions in a store.
//!
//! ```text
//!  key number u8 │ nonce, 24 random bytes │ ciphertext │ tag, 16 bytes
//! ```
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) with a key that is derived from each key of the key
//! ring. Its nonces are long enough to be drawn at random for any number of records. The data is
//! bound to the id, the user and the version, so that a store cannot exchange the data of two
//! sessions or bring back an earlier version. Label and times stay readable.

use std::fmt;

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use sessile::{Error, SessionId, UserHash, Version, tier::L1};

use crate::record::{FORMAT, Header};

/// The keys that encrypt and decrypt the data of sessions.
pub struct Encryption(Vec<NumberedKey>);

struct NumberedKey {
    number: u8,
    cipher: XChaCha20Poly1305,
}

/// The session that encrypted data belongs to.
#[derive(Clone, Copy)]
pub struct Binding {
    /// The id.
    pub id: SessionId,
    /// The version that is stored with the data.
    pub version: Version,
    /// The serial.
    pub serial: u32,
    /// The authentication assurance level.
    pub assurance_level: u8,
    /// The user.
    pub user: Option<UserHash>,
}

/// Encrypted data that cannot be decrypted: its key is not in the key ring, or the bytes are not
/// those that were written for this session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecryptError;

impl Encryption {
    /// Creates the ciphers of a key ring, whose keys are derived for this purpose alone.
    #[must_use]
    pub fn derive(l1: &L1) -> Self {
        let keys = l1.derive_keys(PURPOSE);
        let numbered = keys
            .iter()
            .map(|key| NumberedKey::new(key.number, &key.key));
        Self(numbered.collect())
    }

    /// Creates the ciphers of keys and their numbers. The first encrypts, all decrypt.
    #[must_use]
    pub fn new(keys: &[(u8, [u8; 32])]) -> Self {
        let numbered = keys
            .iter()
            .map(|(number, key)| NumberedKey::new(*number, key));
        Self(numbered.collect())
    }

    /// Encrypts data.
    ///
    /// # Errors
    /// [`Error::Entropy`] if the operating system returns no random bytes.
    pub fn encrypt(&self, binding: &Binding, data: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.0.first().ok_or(Error::Entropy)?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| Error::Entropy)?;
        let payload = Payload {
            msg: data,
            aad: &binding.to_bytes(),
        };
        // It fails only for data of more than 256 GiB.
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| Error::Entropy)?;
        let mut bytes = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        bytes.push(key.number);
        bytes.extend(nonce);
        bytes.extend(sealed);
        Ok(bytes)
    }

    /// Decrypts data.
    ///
    /// # Errors
    /// [`DecryptError`].
    pub fn decrypt(&self, binding: &Binding, bytes: &[u8]) -> Result<Vec<u8>, DecryptError> {
        let (&number, rest) = bytes.split_first().ok_or(DecryptError)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(DecryptError)?;
        let (nonce, aad) = (XNonce::from(*nonce), binding.to_bytes());
        // Numbers are 8 bits, so two keys of a ring may once have shared one.
        let mut keys = self.0.iter().filter(|key| key.number == number);
        keys.find_map(|key| {
            let payload = Payload {
                msg: sealed,
                aad: &aad,
            };
            key.cipher.decrypt(&nonce, payload).ok()
        })
        .ok_or(DecryptError)
    }
}

impl Binding {
    /// Creates the binding of a record.
    #[must_use]
    pub fn of(id: SessionId, header: &Header) -> Self {
        Self {
            id,
            version: header.version,
            serial: header.serial,
            assurance_level: header.assurance_level,
            user: header.user,
        }
    }

    /// The associated data. The place is left out except for the partition, which is all that a key
    /// of the store contains.
    fn to_bytes(self) -> [u8; BINDING_LEN] {
        let mut bytes = [0; BINDING_LEN];
        bytes[..16].copy_from_slice(&self.id.to_bytes());
        bytes[16] = self.id.partition();
        bytes[17] = FORMAT;
        bytes[18] = self.assurance_level;
        bytes[19..23].copy_from_slice(&self.version.get().to_le_bytes());
        bytes[23..27].copy_from_slice(&self.serial.to_le_bytes());
        bytes[27..].copy_from_slice(&self.user.map_or([0; 16], |user| user.to_bytes()));
        bytes
    }
}

impl NumberedKey {
    /// Creates the cipher of a key, of which it makes no other copy.
    fn new(number: u8, key: &[u8; 32]) -> Self {
        Self {
            number,
            cipher: XChaCha20Poly1305::new(<&Key>::from(key)),
        }
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption")
            .field("keys", &self.0.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for DecryptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data cannot be decrypted with the keys of the key ring")
    }
}

impl std::error::Error for DecryptError {}

/// The bytes that encryption adds to data.
pub const OVERHEAD: usize = 1 + NONCE_LEN + 16;
const NONCE_LEN: usize = 24;
const PURPOSE: &str = "sessile store data v1";
const BINDING_LEN: usize = 43;

#[cfg(test)]
mod tests {
    use super::*;

    fn binding() -> Binding {
        Binding {
            id: SessionId::from_parts([1; 16], 0x0203),
            version: Version::new(4),
            serial: 5,
            assurance_level: 1,
            user: Some(UserHash::new([6; 16])),
        }
    }

    fn keys() -> Encryption {
        Encryption::new(&[(7, [8; 32]), (9, [10; 32])])
    }

    #[test]
    fn data_decrypts_to_what_was_encrypted() {
        for data in [&b""[..], b"cart", &[0; 4_096]] {
            let sealed = keys().encrypt(&binding(), data).expect("random bytes");
            assert_eq!(sealed.len(), data.len() + OVERHEAD);
            assert_eq!(sealed[0], 7, "the first key encrypts");
            let opened = keys().decrypt(&binding(), &sealed);
            assert_eq!(opened.as_deref(), Ok(data));
        }
    }

    #[test]
    fn a_key_that_is_no_longer_first_still_decrypts() {
        let old = Encryption::new(&[(9, [10; 32])]);
        let sealed = old.encrypt(&binding(), b"cart").expect("random bytes");
        assert!(keys().decrypt(&binding(), &sealed).is_ok());
        let other = Encryption::new(&[(9, [11; 32])]);
        assert_eq!(other.decrypt(&binding(), &sealed), Err(DecryptError));
    }

    #[test]
    fn data_of_another_session_or_version_does_not_decrypt() {
        let sealed = keys().encrypt(&binding(), b"cart").expect("random bytes");
        let others = [
            Binding {
                id: SessionId::from_parts([2; 16], 0x0203),
                ..binding()
            },
            Binding {
                id: SessionId::from_parts([1; 16], 0x0204),
                ..binding()
            },
            Binding {
                version: Version::new(3),
                ..binding()
            },
            Binding {
                serial: 6,
                ..binding()
            },
            Binding {
                assurance_level: 2,
                ..binding()
            },
            Binding {
                user: None,
                ..binding()
            },
        ];
        for other in others {
            assert_eq!(keys().decrypt(&other, &sealed), Err(DecryptError));
        }
    }

    #[test]
    fn damaged_and_truncated_data_does_not_decrypt() {
        let sealed = keys().encrypt(&binding(), b"cart").expect("random bytes");
        for len in 0..sealed.len() {
            assert_eq!(
                keys().decrypt(&binding(), &sealed[..len]),
                Err(DecryptError)
            );
            let mut damaged = sealed.clone();
            damaged[len] ^= 1;
            assert_eq!(keys().decrypt(&binding(), &damaged), Err(DecryptError));
        }
    }
}
