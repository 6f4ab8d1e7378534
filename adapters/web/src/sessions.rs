//! The session engine as a web framework sees it: a session for each request, headers for each response.
//!
//! Owns the cache, and the cookie as it is on the wire. It does not know what a handler does with a
//! session, nor what a response's body is.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use sessile::{CookieError, Record, SameSite, SessionCache, SetCookie, cookie::candidates};

use crate::{CommitError, Session, commit, cookies::Cookies};

/// Sessions for a web framework: what an adapter holds. Cheap to clone.
///
/// The cookie has the name that the cache was built with, and the attributes `Secure`, `HttpOnly`,
/// `SameSite=Lax` and `Path=/`, unless a setter says otherwise. Setters refuse what browsers would:
///
/// ```
/// use std::time::Duration;
/// use sessile::{KeyRing, SameSite, SessionCache};
/// use sessile_web::Sessions;
///
/// let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::random()?).build()?;
/// let sessions = Sessions::new(cache)
///     .with_same_site(SameSite::Strict)?
///     .with_max_age(Duration::from_secs(7 * 24 * 60 * 60))?;
/// // The default name begins with `__Host-`, which ties the cookie to one host.
/// assert!(sessions.with_domain("example.org").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sessions(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    cache: SessionCache,
    attributes: Attributes,
    insecure: bool,
    cookie: SetCookie,
}

/// What the setters were told; `None` is the default of [`SetCookie`].
#[derive(Clone, Debug, Default)]
struct Attributes {
    same_site: Option<SameSite>,
    path: Option<String>,
    domain: Option<String>,
    max_age: Option<Duration>,
    partitioned: bool,
}

impl Sessions {
    /// With the safe defaults.
    #[must_use]
    pub fn new(cache: SessionCache) -> Self {
        let attributes = Attributes::default();
        let cookie =
            attributes.secure(cache.cookie_name()).expect("a cache has a good name for its cookie");
        Self(Arc::new(Settings { cache, attributes, insecure: false, cookie }))
    }

    /// `SameSite`: which requests from other sites bring the cookie along. `Lax` unless set.
    ///
    /// # Errors
    /// If it contradicts the rest.
    pub fn with_same_site(self, same_site: SameSite) -> Result<Self, CookieError> {
        self.with(|attributes| attributes.same_site = Some(same_site))
    }

    /// `Path`: below which path the browser brings the cookie along. `/` unless set.
    ///
    /// # Errors
    /// If it is no path, or the cookie's name begins with `__Host-`.
    pub fn with_path(self, path: impl Into<String>) -> Result<Self, CookieError> {
        self.with(|attributes| attributes.path = Some(path.into()))
    }

    /// `Domain`: shares the cookie with all hosts below it. Only the host that set it, unless set.
    ///
    /// # Errors
    /// If it is no domain, or the cookie's name begins with `__Host-`.
    pub fn with_domain(self, domain: impl Into<String>) -> Result<Self, CookieError> {
        self.with(|attributes| attributes.domain = Some(domain.into()))
    }

    /// `Max-Age`: how long the browser keeps the cookie, counted from when it was set. Until the browser
    /// is closed, unless set. The cache's timeouts hold in either case.
    ///
    /// # Errors
    /// If it is more than 400 days.
    pub fn with_max_age(self, max_age: Duration) -> Result<Self, CookieError> {
        self.with(|attributes| attributes.max_age = Some(max_age))
    }

    /// `Partitioned`: inside a frame of another site, a jar of its own for each such site. Off unless set.
    ///
    /// # Errors
    /// If it contradicts the rest.
    pub fn with_partitioned(self, partitioned: bool) -> Result<Self, CookieError> {
        self.with(|attributes| attributes.partitioned = partitioned)
    }

    /// For development on plain HTTP: the cookie goes without `Secure`, and its name without `__Host-`
    /// or `__Secure-`, because a browser would not keep it otherwise. What needs `Secure` goes too:
    /// `SameSite=None` becomes `Lax`, and `Partitioned` is left out. Says so in a warning.
    #[must_use]
    pub fn insecure_http(self) -> Self {
        tracing::warn!("session cookies go over plain HTTP: for development only");
        let cookie = self.0.attributes.insecure(self.0.cache.cookie_name());
        // Without a prefix to obey, attributes that were good with `Secure` are good without.
        let cookie = cookie.unwrap_or_else(|_| self.0.cookie.clone());
        Self(Arc::new(Settings {
            cache: self.0.cache.clone(),
            attributes: self.0.attributes.clone(),
            insecure: true,
            cookie,
        }))
    }

    /// The session of a request with those headers. Keeps its `Cookie` fields and does nothing else.
    #[must_use]
    pub fn begin(&self, headers: &HeaderMap) -> Session {
        Session::new(self.clone(), Cookies::of(headers))
    }

    /// Stores what the request changed, and writes the response's headers, before they leave; a second call
    /// does nothing. A status of 500 or above stores nothing.
    ///
    /// # Errors
    /// If the changes could not be stored. `headers` are then those of the response that must replace the
    /// handler's: its status is [`CommitError::status`], its body the error's text.
    pub fn commit(
        session: &Session,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Result<(), CommitError> {
        commit::commit(session, status, headers)
    }

    /// The cache behind it.
    #[must_use]
    pub fn cache(&self) -> &SessionCache {
        &self.0.cache
    }

    pub(crate) fn cookie(&self) -> &SetCookie {
        &self.0.cookie
    }

    /// The record that the request's cookies open, with its data in the buffer.
    pub(crate) fn open(&self, cookies: &Cookies, buffer: &mut BytesMut) -> Option<Record> {
        if !self.0.insecure {
            return self.0.cache.open(cookies.fields(), buffer);
        }
        let mut values = self.values(cookies).take(CANDIDATES);
        values.find_map(|value| self.0.cache.open_token(value, buffer))
    }

    /// Ends what the request's cookies open, or opened before they were rotated away: a sign-out that
    /// crosses a rotation is not lost. Says whether there was a cookie at all, good or bad.
    pub(crate) fn end(&self, cookies: &Cookies) -> bool {
        let mut is_offered = false;
        for value in self.values(cookies).take(CANDIDATES) {
            self.0.cache.end_token(value);
            is_offered = true;
        }
        is_offered
    }

    fn values<'c>(&'c self, cookies: &'c Cookies) -> impl Iterator<Item = &'c [u8]> {
        let name = self.0.cookie.name().as_bytes();
        cookies.fields().flat_map(move |field| candidates(field, name))
    }

    /// The secure cookie is built in either case, so that a contradiction shows in development already.
    fn with(self, set: impl FnOnce(&mut Attributes)) -> Result<Self, CookieError> {
        let Settings { cache, attributes, insecure, .. } = &*self.0;
        let mut attributes = attributes.clone();
        set(&mut attributes);
        let mut cookie = attributes.secure(cache.cookie_name())?;
        if *insecure {
            cookie = attributes.insecure(cache.cookie_name())?;
        }
        Ok(Self(Arc::new(Settings {
            cache: cache.clone(),
            attributes,
            insecure: *insecure,
            cookie,
        })))
    }
}

impl Attributes {
    fn secure(&self, name: &str) -> Result<SetCookie, CookieError> {
        self.write(name, true)
    }

    fn insecure(&self, name: &str) -> Result<SetCookie, CookieError> {
        let mut fit = self.clone();
        fit.partitioned = false;
        fit.same_site =
            self.same_site.map(|given| if given == SameSite::None { SameSite::Lax } else { given });
        fit.write(without_prefix(name), false)
    }

    fn write(&self, name: &str, secure: bool) -> Result<SetCookie, CookieError> {
        let mut cookie = SetCookie::builder(name).secure(secure).partitioned(self.partitioned);
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

/// The name as it may go over plain HTTP: without the prefixes that ask for `Secure`, in any case of
/// letters, as browsers see them.
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

/// `__Host-Http-` must come before `__Host-`.
const PREFIXES: [&str; 4] = ["__Host-Http-", "__Host-", "__Secure-", "__Http-"];

/// The most values of one name that are tried in a request, as the engine does.
const CANDIDATES: usize = 4;

#[cfg(test)]
mod tests {
    use super::without_prefix;

    #[test]
    fn plain_http_has_no_name_that_asks_for_secure() {
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
