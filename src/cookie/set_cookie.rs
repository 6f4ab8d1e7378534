//! The `Set-Cookie` header that we send.
//!
//! Owns its grammar and its contradictions: what `build` accepts, a browser that follows RFC 6265bis
//! stores and sends back unchanged. Everything but the token is written once, at `build`. Knows no
//! session, and not whether the request came over TLS.

use core::fmt::{self, Debug};
use std::time::Duration;

use super::token::Token;
use crate::error::CookieError;

/// A checked `Set-Cookie` header: a name and attributes, for which only the token is missing.
///
/// Unless the builder says otherwise it is `Secure`, `HttpOnly`, `SameSite=Lax` and `Path=/`, without
/// a domain, and gone when the browser closes.
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
/// let refused = SetCookie::builder("__Host-session").path("/app").build().unwrap_err();
/// assert_eq!(refused.to_string(), "`path` must be \"/\" for the name prefix `__Host-`, got \"/app\"");
/// # Ok::<(), sessile::CookieError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetCookie {
    /// `NAME=`
    head: String,
    /// What follows the token.
    tail: String,
    removal: String,
}

/// What [`SetCookie::builder`] gives: settings that [`build`](Self::build) checks.
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

/// When a browser sends the cookie with requests that another site caused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a link or the like was followed to our pages.
    #[default]
    Lax,
    /// Always. Needs `Secure`.
    None,
}

impl SameSite {
    /// Returns the value of the attribute as it is sent.
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
    /// Settings for a cookie of that name.
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

    /// The header's value that gives the token to the browser. It is visible ASCII and spaces, and as
    /// secret as the token.
    #[must_use]
    pub fn header_for(&self, token: &Token) -> String {
        [&self.head, token.as_str(), &self.tail].concat()
    }

    /// Returns the header value that removes the cookie from the browser: an empty value, an expiry in the past, and
    /// the attributes of the issued cookie, by which the browser identifies it.
    #[must_use]
    pub fn removal_header(&self) -> &str {
        &self.removal
    }

    /// The cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.head[..self.head.len() - 1]
    }
}

impl SetCookieBuilder {
    /// The `Path`: which requests of the host carry the cookie. `/` unless set.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The `Domain`: gives the cookie to all hosts below it too. None unless set. A leading dot is
    /// accepted and sent as given; browsers ignore it (RFC 6265, section 5.2.3).
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Whether the cookie travels over TLS alone. On unless set.
    pub fn secure(mut self, on: bool) -> Self {
        self.secure = on;
        self
    }

    /// Whether the cookie is hidden from scripts. On unless set.
    pub fn http_only(mut self, on: bool) -> Self {
        self.http_only = on;
        self
    }

    /// When requests from other sites carry the cookie. [`SameSite::Lax`] unless set.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Whether the browser keeps one cookie for each site that embeds ours. Off unless set.
    pub fn partitioned(mut self, on: bool) -> Self {
        self.partitioned = on;
        self
    }

    /// How long the browser keeps the cookie: whole seconds, at most 400 days. Until it closes unless
    /// set.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Checks the settings and writes the header down but for the token.
    ///
    /// # Errors
    /// [`CookieError`] where a name, path or domain is not one, where something is longer than browsers
    /// keep, and where settings contradict each other so that browsers would refuse the cookie.
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

    /// What a name's prefix promises to the server, a browser holds the cookie to. It ignores the
    /// prefix's case, and so must we.
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

/// Whether it is a cookie's name that leaves room for a token: an RFC 9110 token of at most 4048
/// characters.
pub(crate) fn check_name(name: &str) -> Result<(), CookieError> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(CookieError::Name {
            given: name.to_owned(),
        });
    }
    check_len("name", name, MAX_PAIR - Token::LEN)
}

/// A path with a blank in it would be stored, and then match no request.
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

/// RFC 1123, section 2.1: letters, digits, and hyphens that stand at no end.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// What a name's prefix promises beyond `Secure`, which all promise.
struct Prefix {
    text: &'static str,
    because: &'static str,
    http_only: bool,
    /// No `Domain`, and `Path=/`.
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

/// In place of a `Max-Age`; the date is for whoever reads only that.
const REMOVED: &str = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";

/// RFC 6265bis: the most bytes that a browser takes of name and value together, of an attribute's
/// value, and the longest that it keeps a cookie.
const MAX_PAIR: usize = 4096;
const MAX_ATTRIBUTE: usize = 1024;
const MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// RFC 1035, section 2.3.4, as text.
const MAX_DOMAIN: usize = 253;
