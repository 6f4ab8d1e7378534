//! The `Set-Cookie` response header.
//!
//! Owns its grammar and the rules between attributes. A browser that follows RFC 6265bis stores any
//! cookie that `build` accepts and sends it back unchanged. All but the token is formatted once, in
//! `build`. It does not know sessions, or whether a request used TLS.

use core::fmt::{self, Debug};
use std::time::Duration;

use super::token::Token;
use crate::error::CookieError;

/// A validated `Set-Cookie` header: a name and attributes, to be completed by a token.
///
/// The default attributes are `Secure`, `HttpOnly`, `SameSite=Lax` and `Path=/`, without `Domain`
/// and `Max-Age`: the browser removes the cookie when it closes.
///
/// ```
/// use sessile::{SameSite, SetCookie};
///
/// let cookie = SetCookie::builder("__Host-session").same_site(SameSite::Strict).build()?;
/// assert_eq!(
///     cookie.removal_header(),
///     "__Host-session=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; \
///      HttpOnly; Secure; SameSite=Strict",
/// );
///
/// let error = SetCookie::builder("__Host-session").path("/app").build().unwrap_err();
/// let text = "`path` must be \"/\" for the name prefix `__Host-`, got \"/app\"";
/// assert_eq!(error.to_string(), text);
/// # Ok::<(), sessile::CookieError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetCookie {
    /// `NAME=`
    head: String,
    /// The text after the token.
    tail: String,
    removal: String,
}

/// The settings of a [`SetCookie`], checked by [`build`](Self::build).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct SetCookieBuilder {
    name: String,
    path: String,
    domain: Option<String>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
    partitioned: bool,
    max_age: Option<Duration>,
}

/// The requests from other sites with which a browser sends the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// No requests from other sites.
    Strict,
    /// Top-level navigations, such as following a link.
    #[default]
    Lax,
    /// All requests. Requires `Secure`.
    None,
}

impl SameSite {
    /// Returns the value of the attribute in the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl SetCookie {
    /// Creates a builder for a cookie with this name.
    pub fn builder(name: impl Into<String>) -> SetCookieBuilder {
        SetCookieBuilder {
            name: name.into(),
            path: "/".to_owned(),
            domain: None,
            secure: true,
            http_only: true,
            same_site: SameSite::default(),
            partitioned: false,
            max_age: None,
        }
    }

    /// Returns the header value that sets the cookie to `token`. It is visible ASCII and spaces,
    /// and as secret as the token.
    #[must_use]
    pub fn header_for(&self, token: &Token) -> String {
        [&self.head, token.as_str(), &self.tail].concat()
    }

    /// Returns the header value that removes the cookie from the browser. It has an empty value, an
    /// expiry in the past, and the attributes that identify the cookie.
    #[must_use]
    pub fn removal_header(&self) -> &str {
        &self.removal
    }

    /// Returns the cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.head[..self.head.len() - 1]
    }
}

impl SetCookieBuilder {
    /// Sets `Path`: the browser sends the cookie only with requests to paths below it; `/` by
    /// default.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets `Domain`: the browser also sends the cookie to all subdomains; not set by default. A
    /// leading dot is accepted and sent as given; browsers ignore it (RFC 6265, section 5.2.3).
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sets `Secure` if `on`: the browser sends the cookie only over TLS; true by default.
    pub fn secure(mut self, on: bool) -> Self {
        self.secure = on;
        self
    }

    /// Sets `HttpOnly` if `on`: scripts cannot read the cookie; true by default.
    pub fn http_only(mut self, on: bool) -> Self {
        self.http_only = on;
        self
    }

    /// Sets `SameSite`: the requests from other sites that carry the cookie; [`SameSite::Lax`] by
    /// default.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Sets `Partitioned` if `on`: the browser keeps one cookie per embedding site; false by
    /// default.
    pub fn partitioned(mut self, on: bool) -> Self {
        self.partitioned = on;
        self
    }

    /// Sets `Max-Age`: whole seconds, at most 400 days. Not set by default: the browser removes the
    /// cookie when it closes.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Validates the settings and formats the header.
    ///
    /// # Errors
    /// [`CookieError`] if the name, path or domain is invalid or longer than browsers accept, or if
    /// browsers would reject the combination of settings.
    pub fn build(self) -> Result<SetCookie, CookieError> {
        check_name(&self.name)?;
        check_path(&self.path)?;
        self.domain.as_deref().map_or(Ok(()), check_domain)?;
        self.max_age.map_or(Ok(()), check_max_age)?;
        self.check_prefixes()?;
        self.check_secure()?;
        Ok(SetCookie {
            head: format!("{}=", self.name),
            tail: self.attributes(
                self.max_age
                    .map(|age| format!("; Max-Age={}", age.as_secs())),
            ),
            removal: format!(
                "{}={}",
                self.name,
                self.attributes(Some(REMOVED.to_owned()))
            ),
        })
    }

    fn attributes(&self, age: Option<String>) -> String {
        let on = |set: bool, text: &str| if set { text.to_owned() } else { String::new() };
        [
            format!("; Path={}", self.path),
            age.unwrap_or_default(),
            self.domain
                .as_ref()
                .map(|domain| format!("; Domain={domain}"))
                .unwrap_or_default(),
            on(self.http_only, "; HttpOnly"),
            on(self.secure, "; Secure"),
            format!("; SameSite={}", self.same_site.as_str()),
            on(self.partitioned, "; Partitioned"),
        ]
        .concat()
    }

    /// Checks the requirements of the name's prefix, which browsers enforce. They ignore the case
    /// of the prefix, so this check does too.
    fn check_prefixes(&self) -> Result<(), CookieError> {
        let starts = |prefix: &&Prefix| {
            self.name
                .get(..prefix.text.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.text))
        };
        let (secure, http_only) = (self.secure, self.http_only);
        let domain = self.domain.as_deref().unwrap_or_default();
        for prefix in PREFIXES.iter().filter(starts) {
            let cause = prefix.because;
            require(secure, "secure", secure, "true", cause)?;
            require(
                http_only || !prefix.http_only,
                "http_only",
                http_only,
                "true",
                cause,
            )?;
            if prefix.host {
                require(self.path == "/", "path", &self.path, "\"/\"", cause)?;
                require(self.domain.is_none(), "domain", domain, "left out", cause)?;
            }
        }
        Ok(())
    }

    fn check_secure(&self) -> Result<(), CookieError> {
        let cross_site = self.same_site == SameSite::None;
        require(
            self.secure || !cross_site,
            "secure",
            self.secure,
            "true",
            "`SameSite=None`",
        )?;
        require(
            self.secure || !self.partitioned,
            "secure",
            self.secure,
            "true",
            "`Partitioned`",
        )
    }
}

/// Checks that `name` is a cookie name that leaves space for a token: an RFC 9110 token of at most
/// 4048 characters.
pub(crate) fn check_name(name: &str) -> Result<(), CookieError> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(CookieError::Name {
            given: name.to_owned(),
        });
    }
    check_len("name", name, MAX_PAIR - Token::LEN)
}

/// A browser would store a path with a blank in it, but match it with no request.
fn check_path(path: &str) -> Result<(), CookieError> {
    if !path.starts_with('/')
        || !path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b';')
    {
        return Err(CookieError::Path {
            given: path.to_owned(),
        });
    }
    check_len("path", path, MAX_ATTRIBUTE)
}

fn check_domain(domain: &str) -> Result<(), CookieError> {
    let host = domain.strip_prefix('.').unwrap_or(domain);
    if host.len() > MAX_DOMAIN || !host.split('.').all(is_label) {
        return Err(CookieError::Domain {
            given: domain.to_owned(),
        });
    }
    Ok(())
}

fn check_max_age(age: Duration) -> Result<(), CookieError> {
    if age.is_zero() || age.subsec_nanos() != 0 || age > MAX_AGE {
        return Err(CookieError::MaxAge { given: age });
    }
    Ok(())
}

fn check_len(setting: &'static str, text: &str, max: usize) -> Result<(), CookieError> {
    let given = text.len();
    if given > max {
        return Err(CookieError::TooLong {
            setting,
            given,
            max,
        });
    }
    Ok(())
}

fn require(
    holds: bool,
    setting: &'static str,
    given: impl Debug,
    must: &'static str,
    because: &'static str,
) -> Result<(), CookieError> {
    if holds {
        return Ok(());
    }
    Err(CookieError::Contradiction {
        setting,
        given: format!("{given:?}"),
        must,
        because,
    })
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 1123, section 2.1: letters, digits, and hyphens except at either end.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// The requirements of a name's prefix beyond `Secure`, which all prefixes require.
struct Prefix {
    text: &'static str,
    because: &'static str,
    http_only: bool,
    /// Requires `Path=/` and no `Domain`.
    host: bool,
}

const PREFIXES: [Prefix; 4] = [
    Prefix {
        text: "__Secure-",
        because: "the name prefix `__Secure-`",
        http_only: false,
        host: false,
    },
    Prefix {
        text: "__Host-",
        because: "the name prefix `__Host-`",
        http_only: false,
        host: true,
    },
    Prefix {
        text: "__Http-",
        because: "the name prefix `__Http-`",
        http_only: true,
        host: false,
    },
    Prefix {
        text: "__Host-Http-",
        because: "the name prefix `__Host-Http-`",
        http_only: true,
        host: true,
    },
];

/// Replaces `Max-Age`. The date is for clients that do not know `Max-Age`.
const REMOVED: &str = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";

/// RFC 6265bis: the maximum lengths of name and value together and of an attribute's value, in
/// bytes, and the maximum age of a cookie.
const MAX_PAIR: usize = 4096;
const MAX_ATTRIBUTE: usize = 1024;
const MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// RFC 1035, section 2.3.4, in text form.
const MAX_DOMAIN: usize = 253;
