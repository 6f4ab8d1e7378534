//! The parts of this module that tests, benchmarks and fuzz targets use, as plain bytes. The types
//! themselves stay private.

use super::{keys, token};
use crate::{Error, KeyError, KeyRing, Token, id::Id};

/// A prepared header reader.
pub struct Reader(super::Reader<'static>);

impl Reader {
    pub fn new(name: &str) -> Self {
        Self(super::Reader::new(name))
    }

    #[inline]
    pub fn candidates<'h>(&self, field: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
        self.0.candidates(field)
    }
}

/// A token's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    pub key: u8,
    pub place: u16,
    pub id: [u8; 16],
    pub tag: [u8; 16],
}

impl Parts {
    #[inline]
    pub fn parse(value: &[u8]) -> Option<Self> {
        token::Parts::parse(value).map(Self::from)
    }

    #[inline]
    pub fn encode(self) -> Token {
        Token::encode(&self.into())
    }
}

impl From<token::Parts> for Parts {
    #[inline]
    fn from(
        token::Parts {
            key,
            place,
            id,
            tag,
        }: token::Parts,
    ) -> Self {
        Self {
            key,
            place,
            id: id.to_bytes(),
            tag: tag.to_bytes(),
        }
    }
}

impl From<Parts> for token::Parts {
    #[inline]
    fn from(
        Parts {
            key,
            place,
            id,
            tag,
        }: Parts,
    ) -> Self {
        Self {
            key,
            place,
            id: Id::from_bytes(id),
            tag: token::Tag::from_bytes(tag),
        }
    }
}

/// The derived keys.
pub struct Keys(keys::Keys);

impl Keys {
    pub fn new(ring: &KeyRing, cookie_name: &str) -> Result<Self, KeyError> {
        keys::Keys::new(ring, cookie_name).map(Self)
    }

    pub fn set(&self, ring: &KeyRing) -> Result<(), KeyError> {
        self.0.set(ring, u32::MAX, || 0)
    }

    #[inline]
    pub fn is_valid(&self, key_number: u8) -> bool {
        self.0.is_valid(key_number)
    }

    #[inline]
    pub fn sign(&self, place: u16, id: [u8; 16]) -> Parts {
        self.0.sign(place, &Id::from_bytes(id)).0.into()
    }

    #[inline]
    pub fn verify(&self, parts: &Parts) -> bool {
        self.0.verify(&(*parts).into())
    }
}

/// The keyed hash of user names.
pub struct Prf(keys::Prf);

impl Prf {
    pub fn random() -> Result<Self, Error> {
        keys::Prf::random(crate::id::system_entropy).map(Self)
    }

    pub fn fixed() -> Result<Self, Error> {
        let entropy = |bytes: &mut [u8]| {
            bytes.fill(0x42);
            Ok(())
        };
        keys::Prf::random(entropy).map(Self)
    }

    pub fn hash(&self, name: &str) -> [u8; 16] {
        Id(self.0.hash(name).0).to_bytes()
    }
}

/// The MAC of tokens, CSRF tokens and user names.
pub fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    keys::mac(&keys::keyed(key), message)
}
