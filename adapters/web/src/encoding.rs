//! A session's data: pairs of a key and a raw JSON value, flat, found by scanning.
//!
//! ```text
//! empty    no bytes at all
//! else     format (1) | pair | pair | …
//! pair     key length (u16) | value length (u32) | key | value        little endian
//! ```
//! Invariant of [`Pairs`]: its bytes are the one spelling of some map; keys are UTF-8 and strictly
//! ascending. So two maps are equal when their bytes are. Bytes of any other shape count as empty.
//!
//! It does not know what is in a value, nor where the bytes are kept.

use bytes::Bytes;

use crate::key::{PERSISTENT, REMEMBERED};

/// The longest key, in bytes.
pub(crate) const MAX_KEY_LEN: usize = u16::MAX as usize;

/// The bytes of a map from keys to raw values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs(Bytes);

impl Pairs {
    /// The map that those bytes spell; an empty one if they spell none.
    pub(crate) fn read(bytes: Bytes) -> Self {
        if is_canonical(&bytes) {
            Self(bytes)
        } else {
            Self::default()
        }
    }

    /// Returns true if bytes spell a map.
    pub(crate) fn is_valid(bytes: &[u8]) -> bool {
        is_canonical(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value of a key, without a copy.
    pub(crate) fn find(&self, key: &str) -> Option<Bytes> {
        let (_, value) = self.iter().find(|(other, _)| *other == key.as_bytes())?;
        Some(self.part(value))
    }

    /// A part of these bytes, such as a value that `iter` gave, without a copy.
    pub(crate) fn part(&self, part: &[u8]) -> Bytes {
        self.0.slice_ref(part)
    }

    /// Whether there is nothing in it that a session is kept for: for how long its cookie is to be kept is not.
    pub(crate) fn is_vacant(&self) -> bool {
        self.iter()
            .all(|(key, _)| [PERSISTENT, REMEMBERED].map(str::as_bytes).contains(&key))
    }

    /// Keys and values, by ascending key.
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter(self.0.get(1..).unwrap_or_default())
    }
}

/// See [`Pairs::iter`].
pub(crate) struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value, rest) = split_pair(self.0)?;
        self.0 = rest;
        Some((key, value))
    }
}

/// Writes a map, pair by pair; the caller brings the keys in ascending order.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// With room for so many bytes.
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }

    /// The key is at most [`MAX_KEY_LEN`] and the value shorter than 4 GiB: `Session::insert` refuses
    /// others.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        debug_assert!(key.len() <= MAX_KEY_LEN && u32::try_from(value.len()).is_ok());
        if self.0.is_empty() {
            self.0.push(FORMAT);
        }
        self.0.extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.0
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(value);
    }

    pub(crate) fn finish(self) -> Pairs {
        debug_assert!(is_canonical(&self.0));
        Pairs(self.0.into())
    }
}

/// Bytes that a map of one pair takes; each further pair takes one less.
pub(crate) fn len_with_one(key_len: usize, value_len: usize) -> usize {
    (1 + PAIR_HEADER)
        .saturating_add(key_len)
        .saturating_add(value_len)
}

fn is_canonical(bytes: &[u8]) -> bool {
    let Some((&format, mut rest)) = bytes.split_first() else {
        return true;
    };
    if format != FORMAT || rest.is_empty() {
        return false;
    }
    let mut last: Option<&[u8]> = None;
    while !rest.is_empty() {
        let Some((key, _, after)) = split_pair(rest) else {
            return false;
        };
        if last.is_some_and(|last| last >= key) || !is_text(key) {
            return false;
        }
        (last, rest) = (Some(key), after);
    }
    true
}

/// Whether it is UTF-8. Most keys are short and ASCII, which is sooner seen.
fn is_text(bytes: &[u8]) -> bool {
    bytes.is_ascii() || core::str::from_utf8(bytes).is_ok()
}

/// Key, value, and what follows; `None` if the bytes end before the pair does.
fn split_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key_len, bytes) = bytes.split_first_chunk::<2>()?;
    let (value_len, bytes) = bytes.split_first_chunk::<4>()?;
    let (key, bytes) = bytes.split_at_checked(usize::from(u16::from_le_bytes(*key_len)))?;
    let (value, rest) = bytes.split_at_checked(u32::from_le_bytes(*value_len) as usize)?;
    Some((key, value, rest))
}

const FORMAT: u8 = 1;
const PAIR_HEADER: usize = 2 + 4;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "encoding_tests.rs"]
mod tests;
