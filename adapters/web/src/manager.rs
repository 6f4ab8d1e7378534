//! The session engine as a web framework sees it: a session for each request, headers for each response.
//!
//! Owns the cache, and the cookie as it is on the wire. It does not know what a handler does with a
//! session, nor what a response's body is.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use http::{HeaderMap, StatusCode, Uri, uri::InvalidUri};
use sessile::{
    CookieError, Record, SameSite, SessionCache, SessionId, SetCookie, Timeouts, Token,
    cookie::candidates,
};

use crate::{
    CommitError, Pending, Session, SessionRequest,
    attributes::{Attributes, MAX_AGE},
    commit,
    request::Cookies,
    state::CookiePersistence,
};

/// Sessions for a web framework: what an adapter holds. Cheap to clone.
///
/// The cookie has the name that the cache was built with, and the attributes `Secure`, `HttpOnly`,
/// `SameSite=Lax` and `Path=/`, unless a setter says otherwise. Setters refuse what browsers would:
///
/// ```
/// use std::time::Duration;
/// use sessile::{KeyRing, SameSite, SessionCache};
/// use sessile_web::SessionManager;
///
/// let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
/// let sessions = SessionManager::new(cache)
///     .with_same_site(SameSite::Strict)?
///     .with_max_age(Duration::from_secs(7 * 24 * 60 * 60))?;
/// // The default name begins with `__Host-`, which ties the cookie to one host.
/// assert!(sessions.with_domain("example.org").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Two are equal if they have the same cache, not only an equal one, and equal settings.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionManager(Arc<Settings>);

#[derive(Clone, Debug, PartialEq)]
struct Settings {
    cache: SessionCache,
    attributes: Attributes,
    insecure: bool,
    cookie: SetCookie,
    timeouts: Timeouts,
    persistent: bool,
    touch_always: bool,
    rotate_every: Option<Duration>,
    grace: Option<Duration>,
    replaced_window: Duration,
    identity_keys: Box<[String]>,
    sign_in_page: Option<Uri>,
}

impl SessionManager {
    /// With the safe defaults.
    #[must_use]
    pub fn new(cache: SessionCache) -> Self {
        let attributes = Attributes::default();
        let cookie =
            attributes.secure(cache.cookie_name()).expect("a cache has a good name for its cookie");
        Self(Arc::new(Settings {
            cache,
            attributes,
            insecure: false,
            cookie,
            timeouts: Timeouts::new(),
            persistent: false,
            touch_always: false,
            rotate_every: None,
            grace: None,
            replaced_window: REPLACED_WINDOW,
            identity_keys: Box::default(),
            sign_in_page: None,
        }))
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

    /// `Domain`: shares the cookie with all hosts below it. Only the host that set it, unless set. A leading dot is sent
    /// as given; browsers ignore it.
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

    /// Has browsers keep the cookie of each session when they are closed, as
    /// [`Session::make_persistent`] does for one: for the idle timeout after each use. Off unless set.
    #[must_use]
    pub fn with_persistent_cookies(self) -> Self {
        self.set(|settings| settings.persistent = true)
    }

    /// Counts every request with a valid session cookie as a use of its session. Off unless set: then
    /// a request is a use only if a handler or a middleware reads or writes the session, so that
    /// requests for static files neither keep a session alive nor get headers of it.
    ///
    /// A response to a request that did neither still has no `Vary` and no `Cache-Control`, unless
    /// it sends a [kept](Session::make_persistent) cookie again.
    #[must_use]
    pub fn with_touch_always(self, on: bool) -> Self {
        self.set(|settings| settings.touch_always = on)
    }

    /// `Partitioned`: inside a frame of another site, a jar of its own for each such site. Off unless set.
    ///
    /// # Errors
    /// If it contradicts the rest.
    pub fn with_partitioned(self, partitioned: bool) -> Result<Self, CookieError> {
        self.with(|attributes| attributes.partitioned = partitioned)
    }

    /// The timeouts of sessions that are not remembered: for a cache whose own, which cap all others, are as
    /// long as the longest [`remember`](Session::remember). The cache's own, unless set.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessile::{Timeouts, KeyRing, SessionCache};
    /// use sessile_web::SessionManager;
    ///
    /// let month = Duration::from_secs(30 * 24 * 60 * 60);
    /// let settings = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?);
    /// let cache = settings.idle_timeout(month).lifetime(month).build()?;
    /// let half_an_hour = Timeouts::new().idle_timeout(Duration::from_secs(30 * 60));
    /// let sessions = SessionManager::new(cache).with_timeouts(half_an_hour);
    /// # let _ = sessions;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        self.set(|settings| settings.timeouts = timeouts)
    }

    /// Gives a session a new id when a request has looked at it whose id is as old as that. Requests with the
    /// old cookie go on for the [grace](Self::with_grace), and forms that were sent before still count. Never,
    /// unless set.
    #[must_use]
    pub fn rotate_every(self, span: Duration) -> Self {
        self.set(|settings| settings.rotate_every = Some(span))
    }

    /// How long the old cookie still opens a session that got a new id, for requests that are under way then.
    /// 10 seconds for [`rotate_every`](Self::rotate_every), and no time at all for
    /// [`Session::rotate`], unless set. After a sign-in there is none in any case.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        self.set(|settings| settings.grace = Some(grace))
    }

    /// Sets how long after a session's id was replaced a request that brings only the old cookie gets no session. 60
    /// seconds unless set; [`Duration::ZERO`] turns it off.
    ///
    /// Such a request was sent before its browser had the new cookie, or the response with that was lost. It is
    /// answered as one without a session, except that it starts none: a cookie set now would overwrite the new one.
    /// What it changes is answered with 409. A request that signs in is not affected.
    #[must_use]
    pub fn with_replaced_window(self, window: Duration) -> Self {
        self.set(|settings| settings.replaced_window = window)
    }

    /// Sets the keys whose values name the user, for applications that store who is signed in under a key of their
    /// own instead of calling [`Session::sign_in`]. None unless set.
    ///
    /// When such a key gets a value, or another one, the session gets a new id, as by [`Session::rotate`] without a
    /// grace: a cookie that an attacker planted before opens nothing. Of an object only the members `sub`, `id`,
    /// `user_id`, `username` and `email` count. An equal value, a removal, and keys of the same name inside other
    /// values change nothing. Removing such a key is stored whatever the response's status is, so that an error page
    /// does not undo a sign-out. Once the headers have left, naming another user is
    /// [`AlreadyCommitted`](crate::SessionError::AlreadyCommitted).
    ///
    /// ```
    /// # use http::{HeaderMap, StatusCode, header};
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::SessionManager;
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// let sessions = SessionManager::new(cache).with_identity_keys(["user_id"]);
    /// # let session = sessions.begin(&HeaderMap::new());
    /// // At the sign-in, this changes the session's id.
    /// session.insert("user_id", 17)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_identity_keys<K: Into<String>>(self, keys: impl IntoIterator<Item = K>) -> Self {
        let keys = keys.into_iter().map(Into::into).collect();
        self.set(|settings| settings.identity_keys = keys)
    }

    /// Where visitors are sent who ask for what is only for those who are signed in, with what they asked for as
    /// the parameter `next`: see [`safe_redirect_path`](crate::safe_redirect_path). They are answered with 401, unless set.
    ///
    /// # Errors
    /// If it is neither a path nor an address.
    pub fn with_sign_in_page(self, page: &str) -> Result<Self, InvalidUri> {
        let page = page.parse()?;
        Ok(self.set(|settings| settings.sign_in_page = Some(page)))
    }

    /// For development on plain HTTP: the cookie goes without `Secure`, and its name without `__Host-`
    /// or `__Secure-`, because a browser would not keep it otherwise. What needs `Secure` goes too:
    /// `SameSite=None` becomes `Lax`, and `Partitioned` is left out. Says so in a warning.
    #[must_use]
    pub fn insecure_http(self) -> Self {
        tracing::warn!("session cookies go over plain HTTP: for development only");
        self.set(|settings| {
            settings.insecure = true;
            // Without a prefix to obey, attributes that were good with `Secure` are good without.
            if let Ok(cookie) = settings.template(None) {
                settings.cookie = cookie;
            }
        })
    }

    /// The session of a request: of its headers, or of what an [`SessionRequest`] says. Keeps its `Cookie` fields and
    /// does nothing else, unless each request [counts as a use](Self::with_touch_always).
    #[must_use]
    pub fn begin(&self, incoming: impl Into<SessionRequest>) -> Session {
        let session = Session::new(self.clone(), incoming.into());
        if self.0.touch_always {
            session.touch();
        }
        session
    }

    /// The session of a request, begun when somebody asks for it: of what an [`SessionRequest`] says, or of a request that
    /// says nothing.
    #[inline]
    #[must_use]
    pub fn pend(&self, incoming: impl Into<Option<SessionRequest>>) -> Pending {
        Pending::new(self, incoming.into())
    }

    /// Stores what the request changed, and writes the response's headers, before they leave; a second call
    /// does nothing. A status of 500 or above stores only the removal of an
    /// [identity key](Self::with_identity_keys).
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
        let is_plain = self.0.cookie.name() == self.0.cache.cookie_name();
        if is_plain {
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
            self.0.cache.end_by_token(value);
            is_offered = true;
        }
        is_offered
    }

    fn values<'c>(&'c self, cookies: &'c Cookies) -> impl Iterator<Item = &'c [u8]> {
        let name = self.0.cookie.name().as_bytes();
        cookies.fields().flat_map(move |field| candidates(field, name))
    }

    /// The ids that the request's cookies carry, under a MAC that verifies.
    pub(crate) fn ids_of<'c>(&'c self, cookies: &'c Cookies) -> impl Iterator<Item = SessionId> {
        let values = self.values(cookies).take(CANDIDATES);
        values.filter_map(|value| self.0.cache.id_of_token(value))
    }

    /// The token by which the request's cookies name a session.
    pub(crate) fn token_of(&self, id: &SessionId, cookies: &Cookies) -> Option<Token> {
        let mut buffer = BytesMut::new();
        let mut values = self.values(cookies).take(CANDIDATES);
        let value = values.find(|value| {
            let record = self.0.cache.open_token(value, &mut buffer);
            record.is_some_and(|record| record.id == *id)
        });
        Token::parse(value?)
    }

    /// The header's value that gives a token to the browser, to be kept for so many seconds if that is said.
    pub(crate) fn issue(&self, token: &Token, max_age: Option<u64>) -> String {
        let template = max_age.and_then(|seconds| self.0.template(Some(seconds)).ok());
        template.as_ref().unwrap_or(&self.0.cookie).header_for(token)
    }

    /// The timeouts of a session that is created, or kept in another way from now on.
    pub(crate) fn timeouts(&self, keep: Option<CookiePersistence>) -> Timeouts {
        let kept = |idle_timeout, lifetime| {
            Timeouts::new().idle_timeout(idle_timeout).lifetime_from_now(lifetime)
        };
        match keep {
            Some(CookiePersistence::For(span)) => kept(span, span),
            Some(CookiePersistence::Used | CookiePersistence::Usual) => {
                let lifetime = self.0.timeouts.lifetime_or(self.0.cache.lifetime());
                kept(self.idle_timeout(), lifetime)
            }
            None => self.0.timeouts,
        }
    }

    pub(crate) fn replaced_window(&self) -> Duration {
        self.0.replaced_window
    }

    pub(crate) fn identity_keys(&self) -> &[String] {
        &self.0.identity_keys
    }

    pub(crate) fn is_identity_key(&self, key: &str) -> bool {
        self.0.identity_keys.iter().any(|name| name == key)
    }

    /// How long after its last use a session is refused that is not remembered.
    pub(crate) fn idle_timeout(&self) -> Duration {
        let most = self.0.cache.idle_timeout();
        self.0.timeouts.idle_timeout_or(most).min(most)
    }

    pub(crate) fn has_persistent_cookies(&self) -> bool {
        self.0.persistent
    }

    pub(crate) fn rotates_every(&self) -> Option<Duration> {
        self.0.rotate_every
    }

    pub(crate) fn grace(&self) -> Duration {
        self.0.grace.unwrap_or(GRACE).min(self.0.cache.lifetime())
    }

    pub(crate) fn grace_when_asked(&self) -> Duration {
        self.0.grace.map_or(Duration::ZERO, |grace| grace.min(self.0.cache.lifetime()))
    }

    /// The page on which visitors sign in, if they are to be sent there.
    #[must_use]
    pub fn sign_in_page(&self) -> Option<&Uri> {
        self.0.sign_in_page.as_ref()
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.0));
        self
    }

    /// The secure cookie is built in either case, so that a contradiction shows in development already.
    fn with(self, set: impl FnOnce(&mut Attributes)) -> Result<Self, CookieError> {
        let mut attributes = self.0.attributes.clone();
        set(&mut attributes);
        attributes.secure(self.0.cache.cookie_name())?;
        let mut settings = Settings { attributes, ..(*self.0).clone() };
        settings.cookie = settings.template(None)?;
        Ok(Self(Arc::new(settings)))
    }
}

impl Settings {
    /// The cookie, with another `Max-Age` if that is said.
    fn template(&self, max_age: Option<u64>) -> Result<SetCookie, CookieError> {
        let mut attributes = self.attributes.clone();
        if let Some(seconds) = max_age {
            attributes.max_age = Some(Duration::from_secs(seconds.min(MAX_AGE)));
        }
        let name = self.cache.cookie_name();
        if self.insecure { attributes.insecure(name) } else { attributes.secure(name) }
    }
}

/// Long enough for what a page asks for when it was loaded.
const GRACE: Duration = Duration::from_secs(10);

/// Long enough for a request that was sent before the response with the new cookie arrived.
const REPLACED_WINDOW: Duration = Duration::from_secs(60);

/// The most values of one name that are tried in a request, as the engine does.
const CANDIDATES: usize = 4;
