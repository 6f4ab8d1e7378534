//! Revocations of tokens that no store creates, such as JWTs.
//!
//! Owns what a revocation is and how it is stored. A check of a token is nearly always negative, so
//! it must not cost a read: each node mirrors the whole list into a [`RevocationSink`]. It does not
//! know what a key was made of.

use std::{error, fmt};

use crate::store::ServerTime;

/// A revocation as a store keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Revocation {
    /// The hash of what is revoked: a token, a subject, or all tokens.
    pub key: [u8; 16],
    /// Tokens that were issued before this time are revoked, in seconds since the Unix epoch.
    /// `u64::MAX` revokes the token itself.
    pub issued_before: u64,
    /// The time at which the last revoked token has expired, in seconds since the Unix epoch. The
    /// revocation is removed then. It must include the leeway with which tokens are verified, and
    /// the difference that is expected between the clocks of this process and of the store. Times
    /// after [`MAX_EXPIRES_AT`](Self::MAX_EXPIRES_AT) count as that one.
    pub expires_at: u64,
}

impl Revocation {
    /// The latest time at which a revocation may expire, in seconds.
    pub const MAX_EXPIRES_AT: u64 = ServerTime::MAX.0 / 1_000;

    /// The length of an encoded revocation.
    pub const LEN: usize = 32;

    /// Returns the revocation as stores and messages contain it: the key, `issued_before` and
    /// `expires_at`, the numbers in little-endian order.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..16].copy_from_slice(&self.key);
        bytes[16..24].copy_from_slice(&self.issued_before.to_le_bytes());
        let expires_at = self.expires_at.min(Self::MAX_EXPIRES_AT);
        bytes[24..].copy_from_slice(&expires_at.to_le_bytes());
        bytes
    }

    /// Decodes what [`to_bytes`](Self::to_bytes) returned.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let number = |at: usize| {
            let digits: [u8; 8] = std::array::from_fn(|digit| bytes[at + digit]);
            u64::from_le_bytes(digits)
        };
        Self {
            key: std::array::from_fn(|at| bytes[at]),
            issued_before: number(16),
            expires_at: number(24),
        }
    }

    /// Returns true if the revocation has expired at a time of the server.
    #[must_use]
    pub fn is_expired(&self, now: ServerTime) -> bool {
        self.expires_at <= now.0 / 1_000
    }
}

/// Receives every revocation of a store: all of them after each fence, then each as it is
/// published. The same one may be received many times, and concurrently.
///
/// A call returns quickly and never blocks. The cache keeps the sink, so a sink must not keep the
/// cache.
pub trait RevocationSink: Send + Sync {
    /// Takes one revocation.
    ///
    /// # Errors
    /// [`RevocationsFull`] if there is no room for it. Then the mirror is not current until all
    /// revocations were loaded again.
    fn revoked(&self, revocation: &Revocation) -> Result<(), RevocationsFull>;
}

/// The error of a [`RevocationSink`] without room for another revocation. Raise the capacity of the
/// sink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevocationsFull;

/// A part of the revocations of a store.
#[derive(Clone, Debug)]
pub struct RevocationPage {
    /// The revocations, in no order. One may be in several pages.
    pub revocations: Vec<Revocation>,
    /// The cursor of the next page, or `None` after the last one.
    pub next: Option<u64>,
}

/// Errors of [`TieredCache::mirror_revocations`](crate::TieredCache::mirror_revocations).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MirrorError {
    /// The cache has a sink already.
    Exists,
    /// The store keeps no revocations; see [`Abilities`](crate::Abilities).
    Unsupported,
}

impl fmt::Display for RevocationsFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no room for another revocation: raise the capacity")
    }
}

impl fmt::Display for MirrorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exists => "the cache mirrors revocations already: it must have one sink",
            Self::Unsupported => {
                "`store` must be one that keeps revocations, such as Redis or Valkey"
            }
        })
    }
}

impl error::Error for RevocationsFull {}

impl error::Error for MirrorError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_survives_its_encoding() {
        let revocation = Revocation {
            key: std::array::from_fn(|at| at as u8),
            issued_before: u64::MAX,
            expires_at: 0x0102_0304,
        };
        let bytes = revocation.to_bytes();
        assert_eq!(
            bytes[15..25],
            [15, 255, 255, 255, 255, 255, 255, 255, 255, 4]
        );
        assert_eq!(Revocation::from_bytes(&bytes), revocation);
        let endless = Revocation {
            expires_at: u64::MAX,
            ..revocation
        };
        let decoded = Revocation::from_bytes(&endless.to_bytes());
        assert_eq!(decoded.expires_at, Revocation::MAX_EXPIRES_AT);
    }

    #[test]
    fn a_revocation_expires_at_its_second() {
        let revocation = Revocation {
            key: [0; 16],
            issued_before: 1,
            expires_at: 2,
        };
        assert!(!revocation.is_expired(ServerTime(1_999)));
        assert!(revocation.is_expired(ServerTime(2_000)));
    }
}
