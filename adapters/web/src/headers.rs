//! The response headers of a session: `Set-Cookie`, `Vary`, `Cache-Control`.
//!
//! Owns how they are merged with the handler's headers. It does not know why a cookie is set or
//! removed.

use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, Entry, SET_COOKIE, VARY},
};

/// Adds `Cookie` to `Vary`, unless it is listed already.
pub(crate) fn vary_by_cookie(headers: &mut HeaderMap) {
    let said = |name: &[u8]| name == b"*" || name.eq_ignore_ascii_case(b"cookie");
    let cookie = HeaderValue::from_static("Cookie");
    match headers.entry(VARY) {
        Entry::Vacant(none) => drop(none.insert(cookie)),
        Entry::Occupied(mut fields) => {
            if !fields.iter().flat_map(members).any(said) {
                fields.append(cookie);
            }
        }
    }
}

/// Appends the cookie, replacing one of the same name, and forbids caches to store the response: a
/// cache would send the cookie to other clients.
pub(crate) fn set_cookie(headers: &mut HeaderMap, name: &str, cookie: String) {
    remove_cookie_named(headers, name);
    let mut value =
        HeaderValue::try_from(cookie).expect("a checked Set-Cookie is visible ASCII and spaces");
    value.set_sensitive(true);
    headers.append(SET_COOKIE, value);
    if !directives(headers, &CACHE_CONTROL).any(|name| name.eq_ignore_ascii_case(b"no-store")) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Removes cookies of the name: browsers disagree on which of two cookies of one name in a response
/// wins.
fn remove_cookie_named(headers: &mut HeaderMap, name: &str) {
    let is_ours = |value: &HeaderValue| cookie_name(value.as_bytes()) == name.as_bytes();
    if !headers.get_all(SET_COOKIE).iter().any(is_ours) {
        return;
    }
    let others: Vec<_> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter(|value| !is_ours(value))
        .cloned()
        .collect();
    headers.remove(SET_COOKIE);
    for value in others {
        headers.append(SET_COOKIE, value);
    }
}

fn cookie_name(set_cookie: &[u8]) -> &[u8] {
    let end = set_cookie
        .iter()
        .position(|&byte| byte == b'=' || byte == b';');
    set_cookie[..end.unwrap_or(set_cookie.len())].trim_ascii()
}

/// Returns the comma-separated members of all fields of a name. A quoted argument with a comma is
/// split in two, which matters only if it quotes one of the directives searched for here.
fn directives<'h>(
    headers: &'h HeaderMap,
    name: &http::HeaderName,
) -> impl Iterator<Item = &'h [u8]> {
    headers.get_all(name).iter().flat_map(members)
}

fn members(field: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    field
        .as_bytes()
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const COOKIE: &str = "sid=1; Path=/";

    fn with(name: &http::HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn all(headers: &HeaderMap, name: http::HeaderName) -> Vec<&str> {
        headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }

    // COOK-6: docs/security-checklist.md
    #[test]
    fn vary_is_merged_and_never_repeated() {
        for (given, expected) in [
            (&[][..], &["Cookie"][..]),
            (&["accept-encoding"], &["accept-encoding", "Cookie"]),
            (&["Accept, COOKIE"], &["Accept, COOKIE"]),
            (&["accept", "\tCookie "], &["accept", "Cookie"]),
            (&["*"], &["*"]),
            (
                &["cookie-monster, x-cookie"],
                &["cookie-monster, x-cookie", "Cookie"],
            ),
        ] {
            let mut headers = with(&VARY, given);
            vary_by_cookie(&mut headers);
            vary_by_cookie(&mut headers);
            let trimmed: Vec<_> = all(&headers, VARY).into_iter().map(str::trim).collect();
            assert_eq!(trimmed, expected);
        }
    }

    // COOK-6: docs/security-checklist.md
    #[test]
    fn a_response_with_a_cookie_is_not_stored_by_caches() {
        for (given, expected) in [
            (&[][..], &["no-store"][..]),
            (&["public, max-age=60"], &["no-store"]),
            (&["private"], &["no-store"]),
            (&["public", "max-age=60"], &["no-store"]),
            (&["private, No-Store"], &["private, No-Store"]),
            (&["private", "no-store"], &["private", "no-store"]),
            (&["no-store-at-all"], &["no-store"]),
        ] {
            let mut headers = with(&CACHE_CONTROL, given);
            set_cookie(&mut headers, "sid", COOKIE.to_owned());
            assert_eq!(all(&headers, CACHE_CONTROL), expected);
        }
    }

    // COOK-3: docs/security-checklist.md
    #[test]
    fn one_cookie_per_name_and_all_others_in_order() {
        let mut headers = with(
            &SET_COOKIE,
            &[
                "a=1",
                "sid=old; Path=/",
                "sidecar=2",
                " sid =older",
                "b=sid=3",
            ],
        );
        set_cookie(&mut headers, "sid", COOKIE.to_owned());
        assert_eq!(
            all(&headers, SET_COOKIE),
            ["a=1", "sidecar=2", "b=sid=3", COOKIE]
        );
        let mut marks = headers
            .get_all(SET_COOKIE)
            .iter()
            .map(HeaderValue::is_sensitive);
        assert!(marks.next_back().unwrap());
        assert!(marks.all(|mark| !mark));
    }
}
