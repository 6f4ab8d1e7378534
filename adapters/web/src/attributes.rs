//! The attributes of the session cookie, as set by
//! [`SessionManagerBuilder`](crate::SessionManagerBuilder).
//!
//! Owns the changes for plain HTTP. It does not validate values: the engine's [`SetCookie`] does.

use std::time::Duration;

use sessile::{CookieError, SameSite, SetCookie};

/// The attributes that were set; `None` is the default of [`SetCookie`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attributes {
    pub(crate) same_site: Option<SameSite>,
    pub(crate) path: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) partitioned: bool,
}

impl Attributes {
    pub(crate) fn secure(&self, name: &str) -> Result<SetCookie, CookieError> {
        self.write(name, true)
    }

    pub(crate) fn insecure(&self, name: &str) -> Result<SetCookie, CookieError> {
        let mut fit = self.clone();
        fit.partitioned = false;
        fit.same_site = self.same_site.map(|given| {
            if given == SameSite::None {
                SameSite::Lax
            } else {
                given
            }
        });
        fit.write(without_prefix(name), false)
    }

    fn write(&self, name: &str, secure: bool) -> Result<SetCookie, CookieError> {
        let mut cookie = SetCookie::builder(name)
            .secure(secure)
            .partitioned(self.partitioned);
        if let Some(same_site) = self.same_site {
            cookie = cookie.same_site(same_site);
        }
        if let Some(path) = &self.path {
            cookie = cookie.path(path);
        }
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(domain);
        }
        if let Some(max_age) = self.max_age {
            cookie = cookie.max_age(max_age);
        }
        cookie.build()
    }
}

/// Returns the name without the prefixes that require `Secure`. Browsers compare them
/// case-insensitively.
fn without_prefix(name: &str) -> &str {
    let stripped = PREFIXES.iter().find_map(|prefix| {
        let (head, rest) = name.split_at_checked(prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then_some(rest)
    });
    match stripped {
        Some("") => "session",
        Some(rest) => without_prefix(rest),
        None => name,
    }
}

/// `__Host-Http-` must come before `__Host-`, which is a prefix of it.
const PREFIXES: [&str; 4] = ["__Host-Http-", "__Host-", "__Secure-", "__Http-"];

/// 400 days in seconds. Browsers cap `Max-Age` at this value.
pub(crate) const MAX_AGE: u64 = 400 * 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::without_prefix;

    #[test]
    fn plain_http_names_have_no_prefix_that_requires_secure() {
        for (name, expected) in [
            ("__Host-session", "session"),
            ("__Secure-session", "session"),
            ("__Host-Http-session", "session"),
            ("__http-session", "session"),
            ("__hOST-session", "session"),
            ("__Host-__Secure-session", "session"),
            ("__Host-", "session"),
            ("session", "session"),
            ("__Hostsession", "__Hostsession"),
        ] {
            assert_eq!(without_prefix(name), expected, "{name}");
        }
    }
}
