//! Ids: 16 random bytes each, minted here and nowhere else, and the place that chooses its shard.
//!
//! An id opens a session, so neither type shows one in `Debug`.

mod bytes;

use core::fmt;

use crate::error::Error;

/// Which session, and in which shard it lives: what every verb but `open` and `create` takes.
///
/// Whoever holds one can read and end the session: keep it out of logs and addresses. Its `Debug`
/// output is mute.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId {
    pub(crate) id: Id,
    pub(crate) place: Place,
}

/// A keyed 128-bit hash of a user's name. The key is drawn when the cache is built, so hashes of two
/// caches, or of two runs, say nothing about each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserHash(pub(crate) [u64; 2]);

/// 16 random bytes, as the two words that a region keeps.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub(crate) [u64; 2]);

/// The 16 bits of an id and a token that choose the shard.
pub(crate) type Place = u16;

/// Where random bytes come from: the operating system, unless a test says otherwise.
pub(crate) type Entropy = fn(&mut [u8]) -> Result<(), Error>;

/// Asks the operating system at each call, so that no buffer can be copied by a fork.
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

impl SessionId {
    /// Returns the bytes of the id and of its place, for a MAC over them. They open the session: never show them.
    #[doc(hidden)]
    #[must_use]
    pub fn expose(&self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[..Id::LEN].copy_from_slice(&self.id.to_bytes());
        bytes[Id::LEN..].copy_from_slice(&self.place.to_le_bytes());
        bytes
    }
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
