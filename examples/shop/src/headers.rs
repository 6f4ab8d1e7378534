//! The security headers of all responses, and the check of a request's origin.
//!
//! The content security policy allows the one stylesheet and the one script by their hashes, and no
//! external resources. The module does not know sessions: the session layer sets their headers.

use std::sync::LazyLock;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use crate::pages::{SCRIPT, STYLE};

/// Adds the security headers to a response.
pub(crate) async fn add_security_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in FIXED {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Rejects `POST` requests that another site caused. Browsers send `Sec-Fetch-Site`, and older ones
/// `Origin`. A client that sends neither is not a browser, so it has no user's cookie.
pub(crate) async fn own_site_only(request: Request, next: Next) -> Response {
    let is_silent = [&SITE, &header::ORIGIN]
        .iter()
        .all(|name| !request.headers().contains_key(*name));
    if request.method() == Method::POST && !is_silent && !is_same_origin(request.headers()) {
        return (
            StatusCode::FORBIDDEN,
            "This request did not come from a page of this shop.\n",
        )
            .into_response();
    }
    next.run(request).await
}

/// Returns true if the browser reports that the request comes from a page of this shop.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SITE) {
        return site == "same-origin" || site == "none";
    }
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    headers
        .get(header::ORIGIN)
        .is_some_and(|origin| origin.as_bytes().strip_prefix(b"http://") == host)
}

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const FIXED: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let policy = format!(
        "default-src 'none'; style-src '{style}'; script-src '{script}'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("base64 and plain words are visible ASCII")
});

fn hash(text: &str) -> String {
    format!(
        "sha256-{}",
        base64_simd::STANDARD.encode_to_string(Sha256::digest(text))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_as_the_standard_writes_it() {
        assert_eq!(
            hash("abc"),
            "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        );
        assert!(!POLICY.to_str().expect("it is ASCII").contains("unsafe"));
    }
}
