//! The encoding of a session's data: a flat list of pairs of a key and a raw JSON value, found by
//! scanning.
//!
//! ```text
//! ```text
//! empty    zero bytes
//! else     format (1) | pair | pair | …
//! pair     key length (u16) | value length (u32) | key | value        little endian
//! ```
//! Invariant of [`Pairs`]: each map has exactly one encoding, and keys are UTF-8 in strictly
//! ascending order. So two maps are equal if their bytes are. Bytes in any other format read as an
//! empty map.
//!
//! The module does not know the format of values, nor where the bytes are stored.

use bytes::Bytes;

use crate::key::{PERSISTENT, REMEMBERED};

/// The maximum length of a key, in bytes.
pub(crate) const MAX_KEY_LEN: usize = u16::MAX as usize;

/// The encoding of a map from keys to raw values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs(Bytes);

impl Pairs {
    /// Validates encoded bytes. Bytes in another format become an empty map.
    pub(crate) fn read(bytes: Bytes) -> Self {
        if is_canonical(&bytes) {
            Self(bytes)
        } else {
            Self::default()
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the value of a key, without copying it.
    pub(crate) fn find(&self, key: &str) -> Option<Bytes> {
        let (_, value) = self.iter().find(|(other, _)| *other == key.as_bytes())?;
        Some(self.part(value))
    }

    /// Returns a part of these bytes, such as a value of `iter`, without copying it.
    pub(crate) fn part(&self, part: &[u8]) -> Bytes {
        self.0.slice_ref(part)
    }

    /// Returns true if there is no data to keep a session for. The persistence of its cookie is not
    /// such data.
    pub(crate) fn is_vacant(&self) -> bool {
        self.iter()
            .all(|(key, _)| [PERSISTENT, REMEMBERED].map(str::as_bytes).contains(&key))
    }

    /// Returns the keys and values in ascending order of keys.
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter(self.0.get(1..).unwrap_or_default())
    }
}

/// The iterator of [`Pairs::iter`].
pub(crate) struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value, rest) = split_pair(self.0)?;
        self.0 = rest;
        Some((key, value))
    }
}

/// Encodes a map pair by pair. The caller provides the keys in ascending order.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Creates a writer with a capacity of `len` bytes.
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }

    /// Appends a pair. `Session::insert` ensures that the key is at most [`MAX_KEY_LEN`] bytes and
    /// the value less than 4 GiB.
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

/// Returns the length of a map of one pair. Each further pair takes one byte less.
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

/// Returns true if the bytes are UTF-8. Most keys are short and ASCII, which is checked faster.
fn is_text(bytes: &[u8]) -> bool {
    bytes.is_ascii() || core::str::from_utf8(bytes).is_ok()
}

/// Returns the key, the value and the remaining bytes; `None` if the bytes end within the pair.
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
