//! The path to which a visitor returns after signing in.
//!
//! The client carries the path, so it must be checked: an attacker may have set it to another site.

use http::{HeaderValue, Uri, uri::PathAndQuery};

use crate::state::Request;

/// Returns the path if a redirect to it stays on this site, after signing in for instance; `None`
/// for text that a browser could interpret as the address of another site.
///
/// ```
/// use sessile_web::safe_redirect_path;
///
/// assert_eq!(safe_redirect_path("/orders?page=2"), Some("/orders?page=2"));
/// for elsewhere in ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:1", ""] {
///     assert_eq!(safe_redirect_path(elsewhere), None);
/// }
/// ```
#[must_use]
pub fn safe_redirect_path(path: &str) -> Option<&str> {
    let is_path = path.starts_with('/') && !path.starts_with("//");
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (is_path && is_plain).then_some(path)
}

/// Returns the `Location` of the sign-in page, with the path of the request.
pub(crate) fn sign_in_address(request: &Request) -> Option<HeaderValue> {
    let path = request.incoming.path.as_ref().map(PathAndQuery::as_str);
    with_next(request.manager.sign_in_page()?, path)
}

/// Returns the address of a page with the path as its parameter `next`; `None` if it is not a valid
/// header value.
fn with_next(page: &Uri, path: Option<&str>) -> Option<HeaderValue> {
    let mut address = page.to_string();
    if let Some(path) = path.and_then(safe_redirect_path) {
        address.push_str(if page.query().is_some() {
            "&next="
        } else {
            "?next="
        });
        for byte in path.bytes() {
            if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
                address.push(char::from(byte));
            } else {
                address.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    HeaderValue::try_from(address).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_sites_are_rejected() {
        for path in ["/", "/a/b?c=d&e=%2F", "/a//b", "/:1"] {
            assert_eq!(safe_redirect_path(path), Some(path));
        }
        for path in [
            "", "a", "//a", "/\\a", "/a\\b", "\\/a", "/\t/a", "/a\r\nb", " /a", "/ä", "http:/a",
        ] {
            assert_eq!(safe_redirect_path(path), None, "{path:?}");
        }
    }

    #[test]
    fn the_path_is_one_parameter() {
        for (page, path, address) in [
            (
                "/in",
                Some("/a?b=c&d=%20#e"),
                "/in?next=/a%3Fb%3Dc%26d%3D%2520%23e",
            ),
            ("/in?x=1", Some("/"), "/in?x=1&next=/"),
            (
                "https://sso.example/in",
                Some("/a"),
                "https://sso.example/in?next=/a",
            ),
            ("/in", Some("//evil.example"), "/in"),
            ("/in", None, "/in"),
        ] {
            assert_eq!(with_next(&page.parse().unwrap(), path).unwrap(), address);
        }
    }
}
