//! The layer: what an application adds to its router, and the attributes of its cookie.

use core::fmt;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, Method, Request, header::COOKIE, request::Parts, uri::InvalidUri};
use sessile::{CookieError, SameSite, SessionCache, Timeouts};
use sessile_web::{Pending, Session, SessionManager, SessionRequest};
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
///     .keys(KeyRing::generate()?)
///     .build()?;
/// let layer = SessionLayer::new(cache)
///     .with_same_site(SameSite::Strict)?
///     .with_domain("shop.example")?;
/// # let _: SessionLayer = layer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionLayer {
    sessions: SessionManager,
    admission_key: Option<AdmissionKey>,
    in_extensions: bool,
}

impl SessionLayer {
    /// With the safe defaults.
    #[must_use]
    pub fn new(cache: SessionCache) -> Self {
        SessionManager::new(cache).into()
    }

    /// What the layer makes sessions with: for whatever else of an application meets them, and for its tests.
    #[must_use]
    pub fn sessions(&self) -> &SessionManager {
        &self.sessions
    }

    /// The session of a request, not begun where the request says nothing of it and nobody wants to know anything.
    #[inline]
    pub(crate) fn pend<B>(
        &self,
        request: &mut Request<B>,
        admission_key: Option<Vec<u8>>,
    ) -> Pending {
        if let Some(outer) = take_outer(request)
            && let Some(pending) = self.sessions.pend_behind(&outer)
            && admission_key.is_none()
        {
            request.extensions_mut().insert(outer);
            return pending;
        }
        let is_asked = self.in_extensions
            || self.sessions.sign_in_page().is_some()
            || admission_key.is_some()
            || has_cookie(request.headers());
        if !is_asked {
            return self.sessions.pend(None);
        }
        let incoming = SessionRequest::from(request.headers());
        let mut incoming = incoming.admission_key(admission_key.unwrap_or_default());
        let is_repeatable = [Method::GET, Method::HEAD].contains(request.method());
        if is_repeatable
            && self.sessions.sign_in_page().is_some()
            && let Some(path) = request.uri().path_and_query()
        {
            incoming = incoming.path(path.clone());
        }
        let mut pending = self.sessions.pend(incoming);
        if self.in_extensions
            && let Some(session) = pending.enter(Session::current)
        {
            request.extensions_mut().insert(session);
        }
        pending
    }

    /// On whose behalf a request may make a session, if that is asked of it.
    #[inline]
    pub(crate) fn admission_key<B>(&self, request: Request<B>) -> (Request<B>, Option<Vec<u8>>) {
        let Some(AdmissionKey(key)) = &self.admission_key else {
            return (request, None);
        };
        let (parts, body) = request.into_parts();
        let key = key(&parts);
        (Request::from_parts(parts, body), Some(key))
    }

    /// `SameSite`: which requests from other sites bring the cookie along. `Lax` unless set.
    ///
    /// # Errors
    /// If it contradicts the rest.
    pub fn with_same_site(self, same_site: SameSite) -> Result<Self, CookieError> {
        self.try_map(|sessions| sessions.with_same_site(same_site))
    }

    /// `Path`: below which path the browser brings the cookie along. `/` unless set.
    ///
    /// # Errors
    /// If it is no path, or the cookie's name begins with `__Host-` as the default name does.
    pub fn with_path(self, path: impl Into<String>) -> Result<Self, CookieError> {
        self.try_map(|sessions| sessions.with_path(path))
    }

    /// `Domain`: shares the cookie with all hosts below it. Only the host that set it, unless set. A leading dot is sent
    /// as given; browsers ignore it.
    ///
    /// # Errors
    /// If it is no domain, or the cookie's name begins with `__Host-` as the default name does.
    pub fn with_domain(self, domain: impl Into<String>) -> Result<Self, CookieError> {
        self.try_map(|sessions| sessions.with_domain(domain))
    }

    /// `Max-Age`: how long the browser keeps the cookie, counted from when it was set. Until the browser
    /// is closed, unless set. The cache's timeouts hold in either case.
    ///
    /// # Errors
    /// If it is more than 400 days.
    pub fn with_max_age(self, max_age: Duration) -> Result<Self, CookieError> {
        self.try_map(|sessions| sessions.with_max_age(max_age))
    }

    /// `Partitioned`: inside a frame of another site, a jar of its own for each such site. Off unless set.
    ///
    /// # Errors
    /// If it contradicts the rest.
    pub fn with_partitioned(self, partitioned: bool) -> Result<Self, CookieError> {
        self.try_map(|sessions| sessions.with_partitioned(partitioned))
    }

    /// The timeouts of sessions that are not remembered: for a cache whose own, which cap all others, are as
    /// long as the longest [`remember`](crate::Session::remember). The cache's own, unless set.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        self.map(|sessions| sessions.with_timeouts(timeouts))
    }

    /// Counts every request with a valid session cookie as a use of its session. Off unless set: then
    /// a request is a use only if a handler or a middleware reads or writes the session.
    ///
    /// A response to a request that did neither still has no `Vary` and no `Cache-Control`, unless
    /// it sends a [kept](crate::Session::make_persistent) cookie again.
    #[must_use]
    pub fn with_touch_always(self, on: bool) -> Self {
        self.map(|sessions| sessions.with_touch_always(on))
    }

    /// Gives a session a new id when a request has looked at it whose id is as old as that. Requests with the
    /// old cookie go on for the [grace](Self::with_grace), and forms that were sent before still count. Never,
    /// unless set.
    #[must_use]
    pub fn rotate_every(self, span: Duration) -> Self {
        self.map(|sessions| sessions.rotate_every(span))
    }

    /// How long the old cookie still opens a session that got a new id, for requests that are under way then.
    /// 10 seconds for [`rotate_every`](Self::rotate_every), and no time at all for
    /// [`Session::rotate`](crate::Session::rotate), unless set. After a sign-in there is none in any case.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        self.map(|sessions| sessions.with_grace(grace))
    }

    /// For how long after its id was replaced a request with the old cookie sets no cookie, so that a slow request
    /// cannot overwrite the cookie of a sign-in: its changes are answered with 409, unless it signs in itself. 60
    /// seconds unless set.
    #[must_use]
    pub fn with_replaced_window(self, window: Duration) -> Self {
        self.map(|sessions| sessions.with_replaced_window(window))
    }

    /// Keys that name the user, for an application that signs users in by a key of its own instead of
    /// [`Session::sign_in`](crate::Session::sign_in): the session gets a new id when the value of one changes. None
    /// unless set. See [`SessionManager::with_identity_keys`].
    #[must_use]
    pub fn with_identity_keys<K: Into<String>>(self, keys: impl IntoIterator<Item = K>) -> Self {
        self.map(|sessions| sessions.with_identity_keys(keys))
    }

    /// Where visitors are sent who ask for what is only for those who are signed in, with what they asked for as
    /// the parameter `next`: see [`safe_redirect_path`](crate::safe_redirect_path). They are answered with 401, unless set.
    ///
    /// # Errors
    /// If it is neither a path nor an address.
    pub fn with_sign_in_page(self, page: &str) -> Result<Self, InvalidUri> {
        let sessions = self.sessions.with_sign_in_page(page)?;
        Ok(Self { sessions, ..self })
    }

    /// What the cache's hook of [`admission`](sessile::SessionCacheBuilder::admission) decides by when a request makes a session, such
    /// as the client's address. It is asked of each request. An empty key, unless set.
    ///
    /// ```
    /// use sessile::{KeyRing, SessionCache};
    /// use sessile_tower::SessionLayer;
    ///
    /// let cache = SessionCache::builder()
    ///     .memory(4 << 20)
    ///     .keys(KeyRing::generate()?)
    ///     .admission(|address| address != b"203.0.113.9")
    ///     .build()?;
    /// // Behind a proxy of ours that says who asks.
    /// let layer = SessionLayer::new(cache).with_admission_key(|request| {
    ///     request.headers.get("x-real-ip").map(|address| address.as_bytes().to_vec()).unwrap_or_default()
    /// });
    /// # let _: SessionLayer = layer;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_admission_key(
        self,
        key: impl Fn(&Parts) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self { admission_key: Some(AdmissionKey(Arc::new(key))), ..self }
    }

    /// Puts the session into the request's extensions too: for services behind that look there, or that are called on
    /// a task of their own, as they are behind tower's `Buffer`, where [`Session::current`](crate::Session::current)
    /// is none.
    #[must_use]
    pub fn in_extensions(self) -> Self {
        IN_EXTENSIONS.store(true, Ordering::Relaxed);
        Self { in_extensions: true, ..self }
    }

    /// For development on plain HTTP: the cookie goes without `Secure`, and its name without `__Host-`
    /// or `__Secure-`, because a browser would not keep it otherwise. Says so in a warning, once.
    #[must_use]
    pub fn insecure_http(self) -> Self {
        self.map(SessionManager::insecure_http)
    }

    fn map(self, set: impl FnOnce(SessionManager) -> SessionManager) -> Self {
        Self { sessions: set(self.sessions), ..self }
    }

    fn try_map(
        self,
        set: impl FnOnce(SessionManager) -> Result<SessionManager, CookieError>,
    ) -> Result<Self, CookieError> {
        Ok(Self { sessions: set(self.sessions)?, ..self })
    }
}

impl From<SessionManager> for SessionLayer {
    fn from(sessions: SessionManager) -> Self {
        Self { sessions, admission_key: None, in_extensions: false }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService::new(inner, self.clone())
    }
}

/// The session that came along from a layer further out, which is not this layer's.
#[inline]
fn take_outer<B>(request: &mut Request<B>) -> Option<Session> {
    let is_possible = IN_EXTENSIONS.load(Ordering::Relaxed);
    if is_possible { request.extensions_mut().remove() } else { None }
}

/// Looks at each name: hashing one takes as long as comparing several, and requests seldom have many.
#[inline]
fn has_cookie(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == COOKIE)
}

/// Whether any layer of this program puts sessions into extensions. Most programs have none, and nothing to hide there;
/// whatever brings a request from one layer to the next brings this along.
static IN_EXTENSIONS: AtomicBool = AtomicBool::new(false);

/// Makes a key of a request.
#[derive(Clone)]
struct AdmissionKey(Arc<KeyOf>);

type KeyOf = dyn Fn(&Parts) -> Vec<u8> + Send + Sync;

impl fmt::Debug for AdmissionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdmissionKey(..)")
    }
}
