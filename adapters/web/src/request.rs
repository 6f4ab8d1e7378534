//! The parts of a request that concern its session: the `Cookie` fields, the path, and the key for
//! the admission hook.
//!
//! Owns cheap clones of all `Cookie` fields in their order; no text is copied. It does not know the
//! name of the session cookie.

use core::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::COOKIE, uri::PathAndQuery};

/// The input of [`SessionManager::begin`](crate::SessionManager::begin).
///
/// It is created from a header map, or from the bytes of each `Cookie` field in order:
///
/// ```
/// # use sessile::{KeyRing, SessionCache};
/// # use sessile_web::SessionManager;
/// use bytes::Bytes;
/// use sessile_web::SessionRequest;
///
/// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
/// let fields = ["theme=dark", "lang=en"].map(Bytes::from);
/// let incoming = SessionRequest::from_iter(fields).admission_key("192.0.2.1");
/// let session = SessionManager::new(cache).begin(incoming);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct SessionRequest {
    pub(crate) cookies: Cookies,
    pub(crate) admission_key: Bytes,
    pub(crate) path: Option<PathAndQuery>,
}

impl SessionRequest {
    /// Sets the key that the [`admission`](sessile::SessionCacheBuilder::admission) hook receives
    /// if the request creates a session, such as the client's address. The default is empty.
    #[must_use]
    pub fn admission_key(self, key: impl Into<Bytes>) -> Self {
        Self {
            admission_key: key.into(),
            ..self
        }
    }

    /// Sets the path to which the client returns after signing in. Set it only for requests that
    /// can be repeated: `GET` and `HEAD`.
    #[must_use]
    pub fn path(self, path: PathAndQuery) -> Self {
        Self {
            path: Some(path),
            ..self
        }
    }
}

/// Prints no fields: a path may contain a token, and an admission key may be a client's address.
impl fmt::Debug for SessionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionRequest(..)")
    }
}

impl From<&HeaderMap> for SessionRequest {
    fn from(headers: &HeaderMap) -> Self {
        let fields = headers.get_all(COOKIE).iter().cloned();
        Self {
            cookies: Cookies::new(fields.map(Field::Value)),
            ..Self::default()
        }
    }
}

impl FromIterator<Bytes> for SessionRequest {
    fn from_iter<I: IntoIterator<Item = Bytes>>(fields: I) -> Self {
        let fields = fields.into_iter().map(Field::Bytes);
        Self {
            cookies: Cookies::new(fields),
            ..Self::default()
        }
    }
}

/// All `Cookie` fields of a request. The first one is stored inline, so that requests with at most
/// one field allocate nothing.
#[derive(Debug, Default)]
pub(crate) struct Cookies {
    first: Option<Field>,
    others: Vec<Field>,
}

enum Field {
    Value(HeaderValue),
    Bytes(Bytes),
}

impl Cookies {
    fn new(mut fields: impl Iterator<Item = Field>) -> Self {
        Self {
            first: fields.next(),
            others: fields.collect(),
        }
    }

    /// Returns the bytes of each field, in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.first.iter().chain(&self.others).map(Field::as_bytes)
    }
}

impl Field {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Value(value) => value.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl core::fmt::Debug for Field {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Field(..)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // PARSE-5: docs/security-checklist.md
    #[test]
    fn all_fields_are_kept_in_order_and_none_is_copied() {
        let mut headers = HeaderMap::new();
        for value in ["a=1", "b=2; c=3", "d=4"] {
            headers.append(COOKIE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers.insert("x-cookie", HeaderValue::from_static("e=5"));
        let cookies = SessionRequest::from(&headers).cookies;
        let places = |fields: &mut dyn Iterator<Item = &[u8]>| {
            fields.map(<[u8]>::as_ptr_range).collect::<Vec<_>>()
        };
        let given = places(&mut headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes));
        assert_eq!(places(&mut cookies.fields()), given);
        assert_eq!(given.len(), 3);
    }

    #[test]
    fn one_cookie_field_or_none_allocates_no_list() {
        for headers in [
            HeaderMap::new(),
            HeaderMap::from_iter([(COOKIE, HeaderValue::from_static("a=1"))]),
        ] {
            assert_eq!(SessionRequest::from(&headers).cookies.others.capacity(), 0);
        }
    }
}
