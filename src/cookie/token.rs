//! The cookie's value: 36 bytes in 48 base64url characters, without padding and with exactly one
//! encoding.
//!
//! ```text
//!  0        1            2      4                    20                   36
//!  ├ format ┼ key number ┼ place ┼ id ───────────────┼ tag ───────────────┤
//!  └───────────────────── covered by the tag ────────┘
//! ```
//!
//! Owns this layout. It does not know keys or the cache, and cannot verify a tag.

use core::fmt;

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use subtle::{Choice, ConstantTimeEq};

use crate::id::{Id, Place};

/// The value of a session's cookie: 48 characters of `A`–`Z`, `a`–`z`, `0`–`9`, `-` and `_`.
///
/// A client that has it can use the session, so send it only in a `Set-Cookie` header. `Debug` does
/// not show it, and comparison takes constant time.
#[derive(Clone, Copy)]
pub struct Token([u8; Token::LEN]);

/// The parts of a token. They must not be trusted until the tag is verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub(crate) key: u8,
    pub(crate) place: Place,
    pub(crate) id: Id,
    pub(crate) tag: Tag,
}

/// 128 bits of a MAC as two words, in the layout of a region. Compared in constant time.
#[derive(Clone, Copy)]
pub(crate) struct Tag(pub(crate) [u64; 2]);

impl Token {
    /// The length of a token, in characters.
    pub(crate) const LEN: usize = 48;

    pub(crate) fn encode(parts: &Parts) -> Self {
        let mut bytes = [0; Parts::LEN];
        bytes[..Parts::COVERED].copy_from_slice(&parts.covered());
        bytes[Parts::COVERED..].copy_from_slice(&parts.tag.to_bytes());
        let mut token = [0; Self::LEN];
        let _ = URL_SAFE_NO_PAD.encode(&bytes, token.as_mut_slice().as_out());
        Self(token)
    }

    /// Parses a cookie's value. Returns `None` if it is not in a token's format. The MAC is not
    /// verified. For sending a cookie again that came with a request.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        Parts::parse(value).map(|parts| Self::encode(&parts))
    }

    /// Returns the cookie's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

impl Parts {
    const LEN: usize = 36;

    /// The length of the part that the tag covers: all bytes before it.
    pub(crate) const COVERED: usize = 20;

    /// Parses a cookie's value. Returns `None` if the length, a character or the format is wrong.
    /// Different values have different parts.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        if value.len() != Token::LEN {
            return None;
        }
        let mut bytes = [0; Self::LEN];
        URL_SAFE_NO_PAD
            .decode(value, bytes.as_mut_slice().as_out())
            .ok()?;
        let (&[format, key, low, high], rest) = bytes.split_first_chunk()?;
        let (&id, rest) = rest.split_first_chunk()?;
        let (&tag, _) = rest.split_first_chunk()?;
        (format == FORMAT).then(|| Self {
            key,
            place: Place::from_le_bytes([low, high]),
            id: Id::from_bytes(id),
            tag: Tag::from_bytes(tag),
        })
    }

    /// Returns the bytes that the tag covers.
    pub(crate) fn covered(&self) -> [u8; Self::COVERED] {
        let [low, high] = self.place.to_le_bytes();
        let mut bytes = [0; Self::COVERED];
        bytes[..4].copy_from_slice(&[FORMAT, self.key, low, high]);
        bytes[4..].copy_from_slice(&self.id.to_bytes());
        bytes
    }
}

impl Tag {
    pub(crate) const LEN: usize = 16;

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(Id::from_bytes(bytes).0)
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        Id(self.0).to_bytes()
    }

    /// Returns true if the tags are equal. The time does not depend on where they differ.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl ConstantTimeEq for Tag {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0[0].ct_eq(&other.0[0]) & self.0[1].ct_eq(&other.0[1])
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(..)")
    }
}

/// The first byte of every token. Another layout needs another number.
const FORMAT: u8 = 1;

const _: () = {
    assert!(Parts::COVERED == 1 + 1 + size_of::<Place>() + Id::LEN);
    assert!(Parts::LEN == Parts::COVERED + Tag::LEN);
    assert!(
        Parts::LEN.is_multiple_of(3),
        "no padding, and no unused bits, which would permit several encodings"
    );
    assert!(Token::LEN == Parts::LEN / 3 * 4);
    assert!(size_of::<Token>() == Token::LEN);
    assert!(size_of::<Tag>() == Tag::LEN);
};
