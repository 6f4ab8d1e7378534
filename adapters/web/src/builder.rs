//! The settings of a [`SessionManager`], and the checks before one is built.
//!
//! Owns the defaults. It does not know how the settings are used.

use core::fmt;
use std::{error::Error, time::Duration};

use http::{Uri, uri::InvalidUri};
use sessile::{CookieError, SameSite, Timeouts};

use crate::{Cache, SessionManager, attributes::Attributes, manager::Settings};

/// Collects the settings of a [`SessionManager`].
///
/// Attributes that contradict each other or the cookie's name are rejected by
/// [`build`](Self::build), also those that matter only without
/// [`insecure_http`](Self::insecure_http), so that a mistake shows during development:
///
/// ```
/// use sessile::{KeyRing, SessionCache};
/// use sessile_web::SessionManager;
///
/// let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
/// // The default name begins with `__Host-`, which ties the cookie to one host.
/// assert!(SessionManager::builder(cache).domain("example.org").build().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SessionManagerBuilder {
    cache: Cache,
    attributes: Attributes,
    insecure: bool,
    timeouts: Timeouts,
    persistent: bool,
    touch_always: bool,
    rotate_every: Option<Duration>,
    grace: Option<Duration>,
    replaced_window: Duration,
    identity_keys: Box<[String]>,
    sign_in_page: Option<String>,
}

impl SessionManagerBuilder {
    pub(crate) fn new(cache: Cache) -> Self {
        Self {
            cache,
            attributes: Attributes::default(),
            insecure: false,
            timeouts: Timeouts::new(),
            persistent: false,
            touch_always: false,
            rotate_every: None,
            grace: None,
            replaced_window: REPLACED_WINDOW,
            identity_keys: Box::default(),
            sign_in_page: None,
        }
    }

    /// Returns the settings of a manager.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            cache: settings.cache.clone(),
            attributes: settings.attributes.clone(),
            insecure: settings.insecure,
            timeouts: settings.timeouts,
            persistent: settings.persistent,
            touch_always: settings.touch_always,
            rotate_every: settings.rotate_every,
            grace: settings.grace,
            replaced_window: settings.replaced_window,
            identity_keys: settings.identity_keys.clone(),
            sign_in_page: settings.sign_in_page.as_ref().map(Uri::to_string),
        }
    }

    /// Sets `SameSite`, which limits the cross-site requests that carry the cookie. The default is
    /// `Lax`.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.attributes.same_site = Some(same_site);
        self
    }

    /// Sets `Path`: the browser sends the cookie only with requests below it. The default is `/`,
    /// which a cookie name with the prefix `__Host-` requires.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.attributes.path = Some(path.into());
        self
    }

    /// Sets `Domain`, which shares the cookie with all hosts below it. By default only the host
    /// that set the cookie receives it, which a cookie name with the prefix `__Host-` requires. A
    /// leading dot is sent as given; browsers ignore it.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.attributes.domain = Some(domain.into());
        self
    }

    /// Sets `Max-Age`: how long the browser keeps the cookie after it was set, at most 400 days. By
    /// default the browser discards the cookie when it is closed. The cache's timeouts apply in
    /// either case.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.attributes.max_age = Some(max_age);
        self
    }

    /// Sets `Partitioned`: in a frame of another site the browser keeps a separate cookie for each
    /// such site. Off by default.
    pub fn partitioned(mut self, on: bool) -> Self {
        self.attributes.partitioned = on;
        self
    }

    /// Makes the cookie of every session persistent, as
    /// [`Session::make_persistent`](crate::Session::make_persistent)
    /// does for one: the browser keeps it for the idle timeout after each use. Off by default.
    pub fn persistent_cookies(mut self, on: bool) -> Self {
        self.persistent = on;
        self
    }

    /// Counts every request with a valid session cookie as a use of its session. Off by default: a
    /// request is a use only if a handler or a middleware reads or writes the session, so that
    /// requests for static files neither keep a session alive nor get its headers.
    ///
    /// A response to a request that did neither still has no `Vary` and no `Cache-Control`, unless
    /// it sends a [persistent](crate::Session::make_persistent) cookie again.
    pub fn touch_always(mut self, on: bool) -> Self {
        self.touch_always = on;
        self
    }

    /// Sets the timeouts of sessions that are not remembered. The default is those of the cache,
    /// which cap all others. Use it where the cache's timeouts are as long as the longest
    /// [`remember`](crate::Session::remember).
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessile::{KeyRing, SessionCache, Timeouts};
    /// use sessile_web::SessionManager;
    ///
    /// let month = Duration::from_secs(30 * 24 * 60 * 60);
    /// let settings = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?);
    /// let cache = settings.idle_timeout(month).lifetime(month).build()?;
    /// let half_an_hour = Timeouts::new().idle_timeout(Duration::from_secs(30 * 60));
    /// let manager = SessionManager::builder(cache).timeouts(half_an_hour).build()?;
    /// # let _ = manager;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets the age at which an id is replaced: the response to a request that used the session
    /// then carries a new cookie. Requests with the old cookie succeed during the [grace
    /// period](Self::grace), and forms that were sent before remain valid. Ids are not replaced by
    /// age unless this is set.
    pub fn rotate_every(mut self, age: Duration) -> Self {
        self.rotate_every = Some(age);
        self
    }

    /// Sets the grace period: how long an old cookie opens the session after its id was replaced,
    /// for requests in progress. The default is 10 seconds after
    /// [`rotate_every`](Self::rotate_every), and none after
    /// [`Session::rotate`](crate::Session::rotate). After a sign-in there is none in any case.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Sets how long after a session's id was replaced a request that brings only the old cookie
    /// gets no session. The default is 60 seconds; [`Duration::ZERO`] disables it.
    ///
    /// Such a request was sent before its browser had the new cookie, or the response with that
    /// cookie was lost. It is handled as one without a session, except that it creates none: a
    /// cookie set now would overwrite the new one. Its changes are answered with 409. A request
    /// that signs in is not affected.
    pub fn replaced_window(mut self, window: Duration) -> Self {
        self.replaced_window = window;
        self
    }

    /// Sets the keys whose values name the user, for applications that store the signed-in user
    /// under a key instead of calling [`Session::sign_in`](crate::Session::sign_in). None by
    /// default.
    ///
    /// A change of the value of such a key gives the session a new id, as by
    /// [`Session::rotate`](crate::Session::rotate) without a grace period, so that a cookie planted
    /// by an attacker is rejected. Of an object only the members `sub`, `id`, `user_id`, `username`
    /// and `email` count. An equal value, a removal, and keys of the same name inside other values
    /// change nothing. The removal of such a key is stored for any status of the response, so that
    /// an error page does not undo a sign-out. Once the headers are sent, naming another user fails
    /// with [`AlreadyCommitted`](crate::SessionError::AlreadyCommitted).
    ///
    /// ```
    /// # use http::HeaderMap;
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::SessionManager;
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// let manager = SessionManager::builder(cache).identity_keys(["user_id"]).build()?;
    /// # let session = manager.begin(&HeaderMap::new());
    /// // At the sign-in, this changes the session's id.
    /// session.insert("user_id", 17)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn identity_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.identity_keys = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the page, a path or a URI, to which visitors are sent who request a protected route
    /// without being signed in. The requested path is its parameter `next`: see
    /// [`safe_redirect_path`](crate::safe_redirect_path). By default they are answered with 401.
    pub fn sign_in_page(mut self, page: impl Into<String>) -> Self {
        self.sign_in_page = Some(page.into());
        self
    }

    /// Allows plain HTTP, for development: the cookie has no `Secure`, and its name no `__Host-` or
    /// `__Secure-`, because a browser would reject it otherwise. `SameSite=None` becomes `Lax`, and
    /// `Partitioned` is omitted. [`build`](Self::build) logs a warning.
    pub fn insecure_http(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// Checks the settings and creates the manager.
    ///
    /// # Errors
    /// [`ManagerError`] names the first setting that is not valid.
    pub fn build(self) -> Result<SessionManager, ManagerError> {
        let name = self.cache.cookie_name();
        let secure = self.attributes.secure(name).map_err(ManagerError::Cookie)?;
        let cookie = if self.insecure {
            tracing::warn!(
                "session cookies are sent over plain HTTP (`insecure_http`); use it for development only"
            );
            self.attributes
                .insecure(name)
                .map_err(ManagerError::Cookie)?
        } else {
            secure
        };
        Ok(SessionManager::with_settings(Settings {
            sign_in_page: self.sign_in_page.map(sign_in_page).transpose()?,
            cookie,
            cache: self.cache,
            attributes: self.attributes,
            insecure: self.insecure,
            timeouts: self.timeouts,
            persistent: self.persistent,
            touch_always: self.touch_always,
            rotate_every: self.rotate_every,
            grace: self.grace,
            replaced_window: self.replaced_window,
            identity_keys: self.identity_keys,
        }))
    }
}

fn sign_in_page(page: String) -> Result<Uri, ManagerError> {
    page.parse().map_err(|source| ManagerError::SignInPage {
        given: page,
        source,
    })
}

/// A setting of a [`SessionManagerBuilder`] that is not valid.
#[derive(Debug)]
#[non_exhaustive]
pub enum ManagerError {
    /// An attribute of the cookie that browsers reject, or that contradicts another or the cookie's
    /// name.
    Cookie(CookieError),
    /// The sign-in page is neither a path nor a URI.
    SignInPage {
        /// The page.
        given: String,
        /// The reason.
        source: InvalidUri,
    },
}

impl fmt::Display for ManagerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(error) => error.fmt(f),
            Self::SignInPage { given, .. } => {
                write!(f, "`sign_in_page` must be a path or a URI, got {given:?}")
            }
        }
    }
}

/// `Cookie` is transparent: its text and source are those of the inner error.
impl Error for ManagerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Cookie(error) => error.source(),
            Self::SignInPage { source, .. } => Some(source),
        }
    }
}

/// Long enough for a request that was sent before the response with the new cookie arrived.
const REPLACED_WINDOW: Duration = Duration::from_secs(60);
