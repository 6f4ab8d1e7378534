//! The parsers on bytes from outside, for this repository's fuzz target.

use bytes::BytesMut;

use crate::{
    meta::{Line, parse},
    value::{DataSet, Generations, Stamp},
};

/// Parses bytes as lines of a server, whole and in parts, and their values as those of items.
///
/// # Panics
/// If the parts of a line decide what it means, or if a value changes by being encoded again.
pub fn check(bytes: &[u8]) {
    let whole = lines(bytes, bytes.len().max(1));
    for len in [1, 2, 7] {
        let parts = lines(bytes, len);
        // A line that is too long is found earlier in parts.
        assert!(whole.starts_with(&parts) || parts.starts_with(&whole));
    }
    for line in &whole {
        if let Line::Reply(reply) = line {
            check_value(&reply.value);
        }
    }
    check_value(bytes);
}

fn lines(bytes: &[u8], len: usize) -> Vec<Line> {
    let (mut arrived, mut lines) = (BytesMut::new(), Vec::new());
    for part in bytes.chunks(len) {
        arrived.extend_from_slice(part);
        loop {
            match parse(&mut arrived) {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break,
                Err(_) => return lines,
            }
        }
    }
    lines
}

fn check_value(value: &[u8]) {
    if let Ok((len, stamp)) = Stamp::split(value) {
        assert_eq!(value[len..], stamp.encode());
    }
    if let Ok(place) = Generations::decode(value) {
        assert_eq!(place.encode(), value);
    }
    if let Ok(data) = DataSet::decode(value) {
        assert_eq!(data.encode(), value);
    }
}
