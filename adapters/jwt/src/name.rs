//! Names of tokens and subjects in the table and in a store: 128-bit hashes.
//!
//! Owns the hash, which must be the same on all nodes and in all versions. Its keys are public and
//! separate the kinds of names. It hides nothing: a store shows which subject is revoked to a
//! reader who guesses the subject.

use siphasher::sip128::SipHasher24;

/// The hash of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) [u64; 2]);

impl Name {
    /// The name of all tokens.
    pub(crate) const ALL: Self = Self([u64::MAX; 2]);

    /// Returns the name of a token: by its claim `jti`, or by its header and payload if that is
    /// absent or empty. The signature is not part of the name, as ECDSA has two for each token.
    pub(crate) fn of_token(id: Option<&str>, signed: &str) -> Self {
        match id {
            Some(id) if !id.is_empty() => Self::of_id(id),
            _ => Self::hash(b"sessile-jwt body", signed),
        }
    }

    /// Returns the name of the token with this `jti`.
    pub(crate) fn of_id(id: &str) -> Self {
        Self::hash(b"sessile-jwt jti.", id)
    }

    /// Returns the name of a subject.
    pub(crate) fn of_subject(subject: &str) -> Self {
        Self::hash(b"sessile-jwt sub.", subject)
    }

    fn hash(key: &[u8; 16], text: &str) -> Self {
        let hash = SipHasher24::new_with_key(key).hash(text.as_bytes());
        Self([hash.h1, hash.h2])
    }

    /// Returns the bytes in a store, little-endian.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0[0].to_le_bytes());
        bytes[8..].copy_from_slice(&self.0[1].to_le_bytes());
        bytes
    }

    /// Returns the name of bytes in a store.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        let all = u128::from_le_bytes(bytes);
        Self([all as u64, (all >> 64) as u64])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of different versions share a store, so the values must never change. They were
    /// computed with another implementation, checked with the vectors of the reference code.
    #[test]
    fn names_are_the_same_in_every_version() {
        let text = |name: Name| {
            name.to_bytes()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        assert_eq!(text(Name::of_id("j1")), "90a97f91d5ef574556016683b4d5986c");
        assert_eq!(
            text(Name::of_subject("ada")),
            "d696571b7665569d6048490e048db889"
        );
        assert_eq!(
            text(Name::of_token(None, "a.b")),
            "6e0338b8f5b0ab8d6ab8c3c05a20846b"
        );
        assert_eq!(text(Name::ALL), "ff".repeat(16));
    }

    #[test]
    fn kinds_are_separate_and_bytes_round_trip() {
        let names = [
            Name::of_id("x"),
            Name::of_subject("x"),
            Name::of_token(None, "x"),
        ];
        assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2]);
        for name in names {
            assert_eq!(Name::from_bytes(name.to_bytes()), name);
        }
        assert_eq!(Name::of_token(Some("x"), "y"), Name::of_id("x"));
        assert_eq!(Name::of_token(Some(""), "x"), Name::of_token(None, "x"));
    }
}
