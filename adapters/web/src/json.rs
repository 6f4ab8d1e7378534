//! What is done to raw JSON without making values of it: a number grows, a list gets longer, two texts are
//! compared.
//!
//! It knows nothing of keys and sessions. What is no JSON of the kind that was asked for is an error.

use bytes::Bytes;
use serde::de::Error as _;
use serde_json::{Error, Value};

/// A whole number and so much more; nothing counts as 0. It stops at the least and the greatest `i64`.
pub(crate) fn add(json: Option<&[u8]>, by: i64) -> Result<i64, Error> {
    let number: i64 = json.map_or(Ok(0), serde_json::from_slice)?;
    Ok(number.saturating_add(by))
}

/// A list with one more item at its end; nothing counts as an empty one.
pub(crate) fn append(json: Option<&[u8]>, item: &[u8]) -> Result<Bytes, Error> {
    let items = json.map_or(Some(&b""[..]), items);
    let items = items.ok_or_else(|| Error::custom("it is no list"))?;
    let comma: &[u8] = if items.is_empty() { b"" } else { b"," };
    Ok([b"[", items, comma, item, b"]"].concat().into())
}

/// Whether two texts say the same. Equal bytes do; otherwise the order of members and blanks may differ.
pub(crate) fn is_same(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    if one == other {
        return true;
    }
    let value = |json| serde_json::from_slice::<Value>(json).ok();
    match (one, other) {
        (Some(one), Some(other)) => value(one).is_some_and(|one| Some(one) == value(other)),
        _ => false,
    }
}

/// The characters of the least `i64`.
pub(crate) const LONGEST_NUMBER: usize = 20;

/// What stands between the brackets of a list.
fn items(json: &[u8]) -> Option<&[u8]> {
    let inner = json.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?;
    Some(inner.trim_ascii())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stops_at_its_ends() {
        for (json, by, sum) in [
            (None, 5, 5),
            (Some(&b"7"[..]), -9, -2),
            (Some(b" 1\n"), 1, 2),
            (Some(b"9223372036854775807"), 1, i64::MAX),
            (Some(b"-9223372036854775808"), -1, i64::MIN),
        ] {
            assert_eq!(add(json, by).unwrap(), sum);
        }
        for json in [&b"1.5"[..], b"\"1\"", b"[1]", b"null", b"9223372036854775808", b"", b"\xff"] {
            assert!(add(Some(json), 1).is_err(), "{}", json.escape_ascii());
        }
    }

    #[test]
    fn a_list_grows_at_its_end() {
        for (json, longer) in [
            (None, "[9]"),
            (Some(&b"[]"[..]), "[9]"),
            (Some(b" [ ] "), "[9]"),
            (Some(b"[1,\"]\"]"), "[1,\"]\",9]"),
            (Some(b"\t[[1] ]"), "[[1],9]"),
        ] {
            assert_eq!(append(json, b"9").unwrap(), longer);
        }
        for json in [&b"1"[..], b"{}", b"\"[]\"", b"null", b"[", b"]", b"", b"\xff"] {
            assert!(append(Some(json), b"9").is_err(), "{}", json.escape_ascii());
        }
    }

    #[test]
    fn texts_that_say_the_same_are_the_same() {
        let same = |one: &str, other: &str| is_same(Some(one.as_bytes()), Some(other.as_bytes()));
        assert!(is_same(None, None) && same("x", "x"));
        assert!(same(r#"{"a":1,"b":[2]}"#, r#"{ "b": [2], "a": 1 }"#));
        assert!(!same("1", "2") && !same("1", "x") && !same("x", "y"));
        assert!(!is_same(None, Some(b"null")));
    }
}
