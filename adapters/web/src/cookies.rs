//! The `Cookie` fields of one request, kept until its session is first looked at.
//!
//! Owns cheap clones of the fields' values, all of them in their order, and copies no text. It does not
//! know the name of the session's cookie.

use http::{HeaderMap, HeaderValue, header::COOKIE};

/// All `Cookie` fields of a request. Most requests have one or none, and then nothing is allocated.
#[derive(Debug)]
pub(crate) struct Cookies {
    first: Option<HeaderValue>,
    others: Vec<HeaderValue>,
}

impl Cookies {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut fields = headers.get_all(COOKIE).iter().cloned();
        Self { first: fields.next(), others: fields.collect() }
    }

    /// Each field's bytes, in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.first.iter().chain(&self.others).map(HeaderValue::as_bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parse_5_all_fields_are_kept_in_order_and_none_is_copied() {
        let mut headers = HeaderMap::new();
        for value in ["a=1", "b=2; c=3", "d=4"] {
            headers.append(COOKIE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers.insert("x-cookie", HeaderValue::from_static("e=5"));
        let cookies = Cookies::of(&headers);
        let places = |fields: &mut dyn Iterator<Item = &[u8]>| {
            fields.map(<[u8]>::as_ptr_range).collect::<Vec<_>>()
        };
        let given = places(&mut headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes));
        assert_eq!(places(&mut cookies.fields()), given);
        assert_eq!(given.len(), 3);
    }

    #[test]
    fn one_cookie_field_or_none_allocates_no_list() {
        for headers in
            [HeaderMap::new(), HeaderMap::from_iter([(COOKIE, HeaderValue::from_static("a=1"))])]
        {
            assert_eq!(Cookies::of(&headers).others.capacity(), 0);
        }
    }
}
