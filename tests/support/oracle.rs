//! The parsing rules in their simplest form; the engine's parsers must agree with them.
//!
//! 1. Work on bytes. Split on `;` only: quotes do not escape it.
//! 2. Trim SP and HTAB only, at both ends of the pair and around the first `=`.
//! 3. Drop a pair without `=` or with an empty name; keep the rest.
//! 4. Names and values are raw.
//! 5. Keep every pair in order, including duplicates.

#![allow(dead_code)]

/// A name and a value.
pub(crate) type Pair<'h> = (&'h [u8], &'h [u8]);

/// Returns all pairs of a `Cookie` field.
pub(crate) fn pairs(field: &[u8]) -> Vec<Pair<'_>> {
    let mut found = Vec::new();
    for piece in field.split(|byte| *byte == b';') {
        let Some(equals) = piece.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let name = trim(&piece[..equals]);
        let value = trim(&piece[equals + 1..]);
        if !name.is_empty() {
            found.push((name, value));
        }
    }
    found
}

/// Returns the values of the pairs with that name.
pub(crate) fn values<'h>(field: &'h [u8], name: &[u8]) -> Vec<&'h [u8]> {
    let named = pairs(field).into_iter().filter(|pair| pair.0 == name);
    named.map(|pair| pair.1).collect()
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Decodes base64url text without padding, bit by bit; returns `None` if it is invalid.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = Vec::new();
    for character in text {
        let digit = ALPHABET.iter().position(|known| known == character)?;
        bits.extend((0..6).rev().map(|bit| digit >> bit & 1 == 1));
    }
    let bytes = bits.chunks_exact(8);
    let canonical = bytes.remainder().len() < 6 && !bytes.remainder().contains(&true);
    let byte = |bits: &[bool]| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    canonical.then(|| bytes.map(byte).collect())
}
