//! The header of a token.
//!
//! Owns the members that decide about verification, and the rejection of those that are not
//! supported. Keys in a header (`jwk`, `jku`, `x5u`, `x5c`) are ignored.

use core::fmt;
use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use crate::Rejection;

/// The members of a header that decide about verification.
#[derive(Default)]
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Option<Cow<'a, str>>,
    pub(crate) key_id: Option<Cow<'a, str>>,
    pub(crate) token_type: Option<Cow<'a, str>>,
    has_unsupported: bool,
}

impl<'a> Header<'a> {
    /// Reads a header. `crit`, `b64` and `zip` are rejected (RFC 7515, section 4.1.11; RFC 7797).
    pub(crate) fn parse(json: &'a str) -> Result<Self, Rejection> {
        let header: Self = serde_json::from_str(json).map_err(|_| Rejection::Malformed)?;
        match header.has_unsupported {
            true => Err(Rejection::Header),
            false => Ok(header),
        }
    }

    /// Returns true if `typ` is this media type. The prefix `application/` may be absent, and case
    /// does not matter (RFC 7515, section 4.1.9).
    pub(crate) fn is_type(&self, expected: &str) -> bool {
        let given = self.token_type.as_deref().map(without_prefix);
        given.is_some_and(|given| given.eq_ignore_ascii_case(without_prefix(expected)))
    }
}

fn without_prefix(media_type: &str) -> &str {
    match media_type.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => media_type,
    }
}

impl<'de> Deserialize<'de> for Header<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header<'de>, A::Error> {
        let mut header = Header::default();
        let mut names = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "alg" => header.algorithm = Some(map.next_value::<Text<'de>>()?.0),
                "kid" => header.key_id = Some(map.next_value::<Text<'de>>()?.0),
                "typ" => header.token_type = Some(map.next_value::<Text<'de>>()?.0),
                "crit" | "b64" | "zip" => {
                    header.has_unsupported = true;
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            names.add(name);
            if names.len() > MAX_MEMBERS {
                return Err(A::Error::custom("too many members"));
            }
        }
        names.check()?;
        Ok(header)
    }
}

/// A string, borrowed from the JSON unless it contains escapes.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// The names of an object's members. `serde_json` itself accepts duplicates.
#[derive(Default)]
pub(crate) struct Names<'a>(Vec<Cow<'a, str>>);

impl<'a> Names<'a> {
    pub(crate) fn add(&mut self, name: Cow<'a, str>) {
        self.0.push(name);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns an error if a name occurs twice.
    pub(crate) fn check<E: Error>(mut self) -> Result<(), E> {
        self.0.sort_unstable();
        match self.0.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(E::custom("duplicate member")),
            false => Ok(()),
        }
    }
}

const PREFIX: &str = "application/";
/// A header is read before its signature is verified, so its work is bounded.
const MAX_MEMBERS: usize = 32;
