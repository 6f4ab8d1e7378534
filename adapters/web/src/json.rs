//! Operations on raw JSON that need not decode whole values: adding to a number, appending to a
//! list, comparing two texts.
//!
//! The module does not know keys and sessions. JSON of the wrong type is an error.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::{Error as _, IgnoredAny};
use serde_json::Error;

/// Returns the sum of an integer and `by`, which saturates at the bounds of `i64`. A missing value
/// counts as 0.
pub(crate) fn add(json: Option<&[u8]>, by: i64) -> Result<i64, Error> {
    let number: i64 = json.map_or(Ok(0), serde_json::from_slice)?;
    Ok(number.saturating_add(by))
}

/// Returns the list with an item appended. A missing value counts as an empty list.
pub(crate) fn append(json: Option<&[u8]>, item: &[u8]) -> Result<Bytes, Error> {
    let items = json.map_or(Some(&b""[..]), items);
    let items = items.ok_or_else(|| Error::custom("value is not a list"))?;
    let comma: &[u8] = if items.is_empty() { b"" } else { b"," };
    Ok([b"[", items, comma, item, b"]"].concat().into())
}

/// Returns true if two JSON texts have the same value, regardless of whitespace, escapes and the
/// order of members. Numbers are compared as text, because two integers that do not fit an `f64`
/// could round to one value. Text that is not JSON equals only the same bytes.
pub(crate) fn is_same(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    let is_json = |json| serde_json::from_slice::<IgnoredAny>(json).is_ok();
    match (one, other) {
        (Some(one), Some(other)) => {
            one == other || is_json(one) && is_json(other) && have_same_value(one, other, MAX_DEPTH)
        }
        (one, other) => one == other,
    }
}

/// Returns the members of an object with their raw values, the last one of each name; `None` if it
/// is not an object.
pub(crate) fn members(json: &[u8]) -> Option<BTreeMap<String, &[u8]>> {
    let members = parts(between(json, b"{", b"}")?, b',').into_iter();
    let member = |member| {
        let [name, value] = parts(member, b':').try_into().ok()?;
        Some((text(name)?, value))
    };
    members.map(member).collect()
}

/// The length of the minimum `i64` in characters.
pub(crate) const MAX_NUMBER_LEN: usize = 20;

/// The depth to which `serde_json` reads. Deeper values equal only the same bytes.
const MAX_DEPTH: usize = 128;

/// Returns the text between the brackets of a list.
fn items(json: &[u8]) -> Option<&[u8]> {
    between(json, b"[", b"]")
}

fn between<'j>(json: &'j [u8], open: &[u8], close: &[u8]) -> Option<&'j [u8]> {
    let inner = json.trim_ascii().strip_prefix(open)?.strip_suffix(close)?;
    Some(inner.trim_ascii())
}

/// Compares two valid JSON texts.
fn have_same_value(one: &[u8], other: &[u8], depth: usize) -> bool {
    let (one, other) = (one.trim_ascii(), other.trim_ascii());
    if one == other || depth == 0 {
        return one == other;
    }
    let is_same = |(one, other): (&&[u8], &&[u8])| have_same_value(one, other, depth - 1);
    match (one.first(), other.first()) {
        (Some(b'{'), Some(b'{')) => match (members(one), members(other)) {
            (Some(one), Some(other)) => {
                one.keys().eq(other.keys()) && one.values().zip(other.values()).all(is_same)
            }
            _ => false,
        },
        (Some(b'['), Some(b'[')) => match (items(one), items(other)) {
            (Some(one), Some(other)) => {
                let (one, other) = (parts(one, b','), parts(other, b','));
                one.len() == other.len() && one.iter().zip(&other).all(is_same)
            }
            _ => false,
        },
        (Some(b'"'), Some(b'"')) => text(one).is_some_and(|one| Some(one) == text(other)),
        _ => false,
    }
}

fn text(json: &[u8]) -> Option<String> {
    serde_json::from_slice(json).ok()
}

/// Splits the inside of a list or an object at a separator, except within strings and nested
/// values.
fn parts(inner: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    let is_separator = |&byte: &u8| {
        let is_literal = core::mem::take(&mut is_escaped);
        match byte {
            _ if is_literal => {}
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => return byte == separator && depth == 0,
        }
        false
    };
    if inner.is_empty() {
        Vec::new()
    } else {
        inner.split(is_separator).collect()
    }
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
        for json in [
            &b"1.5"[..],
            b"\"1\"",
            b"[1]",
            b"null",
            b"9223372036854775808",
            b"",
            b"\xff",
        ] {
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
        for json in [
            &b"1"[..],
            b"{}",
            b"\"[]\"",
            b"null",
            b"[",
            b"]",
            b"",
            b"\xff",
        ] {
            assert!(append(Some(json), b"9").is_err(), "{}", json.escape_ascii());
        }
    }

    #[test]
    fn texts_with_the_same_value_are_equal() {
        let same = |one: &str, other: &str| is_same(Some(one.as_bytes()), Some(other.as_bytes()));
        assert!(is_same(None, None) && same("x", "x"));
        assert!(same(r#"{"a":1,"b":[2]}"#, r#"{ "b": [2], "a": 1 }"#));
        assert!(!same("1", "2") && !same("1", "x") && !same("x", "y"));
        assert!(!is_same(None, Some(b"null")));
        assert!(same(
            r#"{"a,}":"x:\"]","b":{}}"#,
            r#"{"b":{ },"a,}":"\u0078:\u0022]"}"#
        ));
        assert!(same("[1,[2,{}],\"\"]", " [ 1 , [2,{}],\"\" ] ") && !same("[1]", "[1,1]"));
        assert!(
            same(r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
            "the last member of a name counts"
        );
        assert!(!same(r#"{"a":1}"#, r#"{"b":1}"#) && !same("[", " [") && !same("", " "));
    }

    #[test]
    fn numbers_that_an_f64_cannot_tell_apart_are_not_the_same() {
        let same = |one: &str, other: &str| is_same(Some(one.as_bytes()), Some(other.as_bytes()));
        let max = "340282366920938463463374607431768211455";
        let less = "340282366920938463463374607431768211448";
        assert!(same(max, &format!(" {max}\n")) && !same(max, less));
        assert!(!same(&format!("[{max}]"), &format!("[ {less} ]")));
        assert!(!same(
            &format!(r#"{{"a":{max}}}"#),
            &format!(r#"{{"a":{less}}}"#)
        ));
    }

    #[test]
    fn values_of_any_depth_are_compared_without_deep_recursion() {
        let deep = |blank: &str| format!("{}{blank}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(is_same(
            Some(deep("").as_bytes()),
            Some(deep("").as_bytes())
        ));
        assert!(!is_same(
            Some(deep("").as_bytes()),
            Some(deep(" ").as_bytes())
        ));
    }
}
