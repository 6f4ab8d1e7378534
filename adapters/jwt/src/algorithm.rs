//! The algorithms of signatures.

use core::{fmt, str::FromStr};

/// An algorithm of signatures, by its name in RFC 7518 and RFC 8037.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// `HS256`: HMAC with SHA-256.
    Hs256,
    /// `HS384`: HMAC with SHA-384.
    Hs384,
    /// `HS512`: HMAC with SHA-512.
    Hs512,
    /// `RS256`: RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// `ES256`: ECDSA on P-256 with SHA-256.
    Es256,
    /// `EdDSA`: Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All algorithms.
    pub(crate) const ALL: [Self; 6] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Es256,
        Self::EdDsa,
    ];

    /// Returns the name in a token's header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Returns the algorithm of a name, or `None` if it is not supported. Case matters.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Returns the minimum length of a secret in bytes (RFC 7518, section 3.2), or `None` if the
    /// algorithm does not use a secret.
    pub(crate) const fn min_secret_len(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
        }
    }

    /// Returns the kind of key that verifies this algorithm.
    pub(crate) const fn needed_key(self) -> &'static str {
        match self {
            Self::Hs256 => "a secret of 32 bytes or more",
            Self::Hs384 => "a secret of 48 bytes or more",
            Self::Hs512 => "a secret of 64 bytes or more",
            Self::Rs256 => "an RSA public key, as PEM or JWK",
            Self::Es256 => "a public key on P-256, as PEM or JWK",
            Self::EdDsa => "an Ed25519 public key, as PEM or JWK",
        }
    }

    /// Returns the algorithm as `jsonwebtoken` names it.
    pub(crate) const fn signature(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads the name in a token's header. `none` is not an algorithm in any spelling.
impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::named(name).ok_or(UnknownAlgorithm)
    }
}

/// A name is not that of a supported algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownAlgorithm;

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("algorithm must be HS256, HS384, HS512, RS256, ES256 or EdDSA")
    }
}

impl core::error::Error for UnknownAlgorithm {}
