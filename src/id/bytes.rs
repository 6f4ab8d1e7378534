//! Ids and hashes of users as bytes, for stores.

use super::{Id, Place, SessionId, UserHash};

/// For authors of stores: an application never needs these.
impl SessionId {
    /// Creates an id from its bytes and its place. It opens the session in every verb that takes an
    /// id, so it must come from a token whose MAC is valid, or from the store.
    #[must_use]
    pub fn from_parts(id: [u8; 16], place: u16) -> Self {
        Self {
            id: Id::from_bytes(id),
            place,
        }
    }

    /// Returns the bytes of the id, without its place. They open nothing without the MAC of the
    /// token, but keep them out of logs all the same.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 16] {
        self.id.to_bytes()
    }

    /// Returns the place: 16 bits that are the same on all nodes of a tiered cache. A local cache
    /// numbers its shards with it.
    #[must_use]
    pub fn place(&self) -> u16 {
        self.place
    }

    /// Returns the partition of a store: the low 8 bits of the place.
    #[must_use]
    pub fn partition(&self) -> u8 {
        self.place as u8
    }
}

/// For authors of stores.
impl UserHash {
    /// Creates a hash from its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self::from_bytes(bytes)
    }

    /// Returns the bytes of the hash.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 16] {
        Id(self.0).to_bytes()
    }

    /// Returns the place of the user's sessions in a tiered cache: the low 16 bits.
    #[must_use]
    pub fn place(&self) -> u16 {
        self.0[0] as Place
    }

    /// Returns the partition of the user's sessions in a store: the low 8 bits of their place.
    #[must_use]
    pub fn partition(&self) -> u8 {
        self.place() as u8
    }
}
