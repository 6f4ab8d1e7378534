//! The layer: what an application adds to its router, and the attributes of its cookie.

use std::time::Duration;

use sessile::{CookieError, SameSite, SessionCache};
use sessile_web::Sessions;
use tower_layer::Layer;

use crate::SessionService;

/// Gives each request a [`Session`](crate::Session), and each response the headers that go with it.
///
/// The cookie is `Secure`, `HttpOnly`, `SameSite=Lax`, with `Path=/` and no `Max-Age`, unless a setter
/// says otherwise. A setter that contradicts the cookie's name, or names what no browser takes, is
/// refused there and then:
///
/// ```
/// use sessile::{KeyRing, SessionCache};
/// use sessile_tower::{SameSite, SessionLayer};
///
/// let cache = SessionCache::builder()
///     .memory(4 << 20)
///     .cookie_name("__Secure-shop")
///     .keys(KeyRing::random()?)
///     .build()?;
/// let layer = SessionLayer::new(cache)
///     .with_same_site(SameSite::Strict)?
///     .with_domain("shop.example")?;
/// # let _: SessionLayer = layer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionLayer {
    sessions: Sessions,
}

impl SessionLayer {
    /// With the safe defaults.
    #[must_use]
    pub fn new(cache: SessionCache) -> Self {
        Self { sessions: Sessions::new(cache) }
    }

    /// `SameSite`: which requests from other sites bring the cookie along. `Lax` unless set.
    ///
    /// # Errors
    /// If it contradicts the rest.
    pub fn with_same_site(self, same_site: SameSite) -> Result<Self, CookieError> {
        self.sessions.with_same_site(same_site).map(Self::from)
    }

    /// `Path`: below which path the browser brings the cookie along. `/` unless set.
    ///
    /// # Errors
    /// If it is no path, or the cookie's name begins with `__Host-` as the default name does.
    pub fn with_path(self, path: impl Into<String>) -> Result<Self, CookieError> {
        self.sessions.with_path(path).map(Self::from)
    }

    /// `Domain`: shares the cookie with all hosts below it. Only the host that set it, unless set.
    ///
    /// # Errors
    /// If it is no domain, or the cookie's name begins with `__Host-` as the default name does.
    pub fn with_domain(self, domain: impl Into<String>) -> Result<Self, CookieError> {
        self.sessions.with_domain(domain).map(Self::from)
    }

    /// `Max-Age`: how long the browser keeps the cookie, counted from when it was set. Until the browser
    /// is closed, unless set. The cache's timeouts hold in either case.
    ///
    /// # Errors
    /// If it is more than 400 days.
    pub fn with_max_age(self, max_age: Duration) -> Result<Self, CookieError> {
        self.sessions.with_max_age(max_age).map(Self::from)
    }

    /// `Partitioned`: inside a frame of another site, a jar of its own for each such site. Off unless set.
    ///
    /// # Errors
    /// If it contradicts the rest.
    pub fn with_partitioned(self, partitioned: bool) -> Result<Self, CookieError> {
        self.sessions.with_partitioned(partitioned).map(Self::from)
    }

    /// For development on plain HTTP: the cookie goes without `Secure`, and its name without `__Host-`
    /// or `__Secure-`, because a browser would not keep it otherwise. Says so in a warning, once.
    #[must_use]
    pub fn insecure_http(self) -> Self {
        self.sessions.insecure_http().into()
    }
}

impl From<Sessions> for SessionLayer {
    fn from(sessions: Sessions) -> Self {
        Self { sessions }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService::new(inner, self.sessions.clone())
    }
}
