//! Invariants of every response of the contract's routes.

use crate::{Answer, COOKIE_NAME, browser::redacted};

/// # Panics
/// If the response violates one.
pub(crate) fn check(answer: &Answer) {
    let own = own_cookies(answer);
    // COOK-1, COOK-3, COOK-5, COOK-6, TERM-6: docs/security-checklist.md
    assert!(own.len() <= 1, "the cookie is set {} times", own.len());
    if let Some(field) = own.first() {
        assert!(
            is_golden(field),
            "the cookie's attributes are wrong: {}",
            redacted(field)
        );
        assert!(
            says(answer, "cache-control", "no-store"),
            "a cookie without no-store"
        );
        assert!(varies(answer), "a cookie without Vary");
    }
}

/// Returns the `Set-Cookie` fields of the session cookie.
pub(crate) fn own_cookies(answer: &Answer) -> Vec<&str> {
    let is_own = |field: &&str| field.split('=').next() == Some(COOKIE_NAME);
    answer
        .all("set-cookie")
        .into_iter()
        .filter(is_own)
        .collect()
}

/// Returns true if the response lists `Cookie` in `Vary` exactly once.
pub(crate) fn varies(answer: &Answer) -> bool {
    says(answer, "vary", "cookie")
}

/// Returns true if a list in a header contains a word exactly once.
fn says(answer: &Answer, name: &str, word: &str) -> bool {
    let fields = answer.all(name).join(",");
    fields
        .split(',')
        .filter(|said| said.trim().eq_ignore_ascii_case(word))
        .count()
        == 1
}

/// Returns the attributes of a `Set-Cookie` field in lower case. Browsers ignore the case, and
/// adapters write it as their frameworks do.
pub(crate) fn attributes(field: &str) -> String {
    field
        .split_once("; ")
        .map(|(_, attributes)| attributes.to_ascii_lowercase())
        .unwrap_or_default()
}

/// Returns true if the attributes are the engine's defaults, regardless of case: with a token, or
/// with an empty value and no time left.
fn is_golden(field: &str) -> bool {
    let pair = field
        .split("; ")
        .next()
        .and_then(|pair| pair.strip_prefix(COOKIE_NAME));
    let Some(value) = pair.and_then(|rest| rest.strip_prefix('=')) else {
        return false;
    };
    let attributes = attributes(field);
    let age = attributes.strip_prefix("path=/");
    let Some(age) = age.and_then(|age| age.strip_suffix("; httponly; secure; samesite=lax")) else {
        return false;
    };
    if value.is_empty() {
        age == REMOVED
    } else {
        is_token(value) && is_age(age)
    }
}

fn is_token(value: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    value.len() == 48 && value.bytes().all(is_base64url)
}

/// Returns true for no `Max-Age`, or at most 400 days in seconds.
fn is_age(age: &str) -> bool {
    let seconds = age
        .strip_prefix("; max-age=")
        .and_then(|seconds| seconds.parse::<u32>().ok());
    age.is_empty() || seconds.is_some_and(|seconds| (1..=400 * 24 * 60 * 60).contains(&seconds))
}

const REMOVED: &str = "; max-age=0; expires=thu, 01 jan 1970 00:00:00 gmt";

#[cfg(test)]
mod tests {
    use super::is_golden;

    // COOK-1, COOK-5, TERM-6: docs/security-checklist.md
    #[test]
    fn only_the_defaults_pass() {
        let token = "A".repeat(48);
        let end = "; HttpOnly; Secure; SameSite=Lax";
        for good in [
            format!("__Host-session={token}; Path=/{end}"),
            format!("__Host-session={token}; Path=/; Max-Age=60{end}"),
            format!("__Host-session={token}; path=/; Max-Age=60; httponly; secure; samesite=lax"),
            format!(
                "__Host-session=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{end}"
            ),
        ] {
            assert!(is_golden(&good), "{good}");
        }
        for bad in [
            format!("session={token}; Path=/{end}"),
            format!("__host-session={token}; Path=/{end}"),
            format!("__Host-session={token}; Path=/shop{end}"),
            format!("__Host-session={token}; Path=/; Domain=localhost{end}"),
            format!("__Host-session={token}; Path=/; Max-Age=34560001{end}"),
            format!("__Host-session={token}; Path=/; Expires=Thu, 01 Jan 2099 00:00:00 GMT{end}"),
            format!("__Host-session={token}; Path=/; Secure; SameSite=Lax"),
            format!("__Host-session={token}; Path=/; HttpOnly; SameSite=Lax"),
            format!("__Host-session={token}; Path=/; HttpOnly; Secure"),
            format!("__Host-session=a b; Path=/{end}"),
            format!("__Host-session=; Path=/{end}"),
            format!("__Host-session=; Path=/; Max-Age=0{end}"),
        ] {
            assert!(!is_golden(&bad), "{bad}");
        }
    }
}
