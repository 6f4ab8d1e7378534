//! Ids: 16 random bytes, and the place that chooses the shard.
//!
//! An id opens a session, so `Debug` shows neither [`SessionId`] nor `Id`.

mod bytes;

use core::fmt;

use crate::error::Error;

/// The id of a session, with the place of its shard.
///
/// A caller that has it can read and end the session. Keep it out of logs and URLs. `Debug` does
/// not show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId {
    pub(crate) id: Id,
    pub(crate) place: Place,
}

/// A keyed 128-bit hash of a user's name. The key is random for each cache, so hashes of two
/// caches, or of two runs, cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserHash(pub(crate) [u64; 2]);

/// 16 random bytes as two words, in the layout of a region.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub(crate) [u64; 2]);

/// The 16 bits of an id and a token that choose the shard.
pub(crate) type Place = u16;

/// A source of random bytes: the operating system, except in tests.
pub(crate) type Entropy = fn(&mut [u8]) -> Result<(), Error>;

/// Reads from the operating system at each call. A buffer of random bytes would be duplicated by a
/// fork.
pub(crate) fn system_entropy(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|_| Error::Entropy)
}

impl Id {
    pub(crate) const LEN: usize = 16;

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let [low, high] = split(bytes);
        Self([u64::from_le_bytes(low), u64::from_le_bytes(high)])
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.0[0].to_le_bytes());
        bytes[8..].copy_from_slice(&self.0[1].to_le_bytes());
        bytes
    }
}

fn split(bytes: [u8; 16]) -> [[u8; 8]; 2] {
    let (mut low, mut high) = ([0; 8], [0; 8]);
    low.copy_from_slice(&bytes[..8]);
    high.copy_from_slice(&bytes[8..]);
    [low, high]
}

impl UserHash {
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Id::from_bytes(bytes).0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Id(..)")
    }
}

impl fmt::Debug for UserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserHash({:016x}{:016x})", self.0[1], self.0[0])
    }
}
