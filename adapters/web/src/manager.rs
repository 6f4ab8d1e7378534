//! The session engine as a web framework sees it: a session for each request, headers for each
//! response.
//!
//! Owns the cache and the cookie's form on the wire. It does not know what a handler does with a
//! session, nor what a response's body is. Its settings are collected in `builder`.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use http::{HeaderMap, StatusCode, Uri};
use sessile::{
    CookieError, SessionCache, SessionId, SetCookie, Timeouts, Token,
    cookie::{MAX_CANDIDATES, candidates},
};
use sessile_store::{LookUp, TieredCache};

use crate::{
    Cache, CommitError, Session, SessionManagerBuilder, SessionRequest,
    attributes::{Attributes, MAX_AGE},
    commit,
    request::Cookies,
    state::CookiePersistence,
};

/// Creates the session of each request, and writes the headers of each response. Cheap to clone.
///
/// [`new`](Self::new) takes the default settings, [`builder`](Self::builder) others. A cache
/// converts into a manager with the default settings.
///
/// ```
/// use std::time::Duration;
/// use sessile::{KeyRing, SameSite, SessionCache};
/// use sessile_web::SessionManager;
///
/// let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
/// let manager = SessionManager::builder(cache)
///     .same_site(SameSite::Strict)
///     .max_age(Duration::from_secs(7 * 24 * 60 * 60))
///     .build()?;
/// # let _ = manager;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Two managers are equal if they share one cache and have equal settings.
#[derive(Clone, Debug)]
pub struct SessionManager(Arc<Settings>);

/// The settings of a manager, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) cache: Cache,
    pub(crate) attributes: Attributes,
    pub(crate) insecure: bool,
    pub(crate) cookie: SetCookie,
    pub(crate) timeouts: Timeouts,
    pub(crate) persistent: bool,
    pub(crate) touch_always: bool,
    pub(crate) rotate_every: Option<Duration>,
    pub(crate) grace: Option<Duration>,
    pub(crate) replaced_window: Duration,
    pub(crate) identity_keys: Box<[String]>,
    pub(crate) sign_in_page: Option<Uri>,
}

impl SessionManager {
    /// Creates a manager with the default settings: the cookie has the name that the cache was
    /// built with, and the attributes `Secure`, `HttpOnly`, `SameSite=Lax` and `Path=/`. The cache
    /// is a local or a tiered one.
    #[must_use]
    pub fn new(cache: impl Into<Cache>) -> Self {
        Self::builder(cache)
            .build()
            .expect("the default settings suit every cookie name of a cache")
    }

    /// Returns a builder with the default settings.
    pub fn builder(cache: impl Into<Cache>) -> SessionManagerBuilder {
        SessionManagerBuilder::new(cache.into())
    }

    /// Returns a builder with this manager's settings, for another layer over the same cache.
    pub fn to_builder(&self) -> SessionManagerBuilder {
        SessionManagerBuilder::of(&self.0)
    }

    pub(crate) fn with_settings(settings: Settings) -> Self {
        Self(Arc::new(settings))
    }

    /// Creates the session of a request from its headers, or from a [`SessionRequest`]. It keeps
    /// the `Cookie` fields; the cache is read at the first use, or at once with
    /// [`touch_always`](SessionManagerBuilder::touch_always). With a store, await
    /// [`Session::load`] before the first use.
    #[inline]
    #[must_use]
    pub fn begin(&self, request: impl Into<SessionRequest>) -> Session {
        let session = Session::new(self.clone(), request.into());
        if self.0.touch_always {
            session.touch();
        }
        session
    }

    /// Stores the changes of a request, and writes the response's headers before they are sent. A
    /// second call does nothing. A status of 500 or above stores only the removal of an [identity
    /// key](SessionManagerBuilder::identity_keys).
    ///
    /// On a local cache the future is ready at the first poll. With a store it waits for at most
    /// twice the store's timeout.
    ///
    /// # Errors
    /// If the changes cannot be stored. `headers` are then those of the response that must replace
    /// the handler's: its status is [`CommitError::status`], its body is empty or the error's text.
    pub async fn commit(
        session: &Session,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Result<(), CommitError> {
        commit::commit(session, status, headers).await
    }

    /// Returns the cache.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.0.cache
    }

    pub(crate) fn cookie(&self) -> &SetCookie {
        &self.0.cookie
    }

    /// Opens the session of the request's cookies and copies its data into the buffer, if that
    /// needs no store.
    pub(crate) fn try_open(&self, cookies: &Cookies, buffer: &mut BytesMut) -> LookUp {
        if self.has_plain_name() {
            return self.0.cache.try_open(cookies.fields(), buffer);
        }
        let values = self.values(cookies).take(MAX_CANDIDATES);
        self.0.cache.try_open_tokens(values, buffer)
    }

    /// Finds the session of the request's cookies in memory. It counts as no use.
    pub(crate) fn peek(
        &self,
        cache: &TieredCache,
        cookies: &Cookies,
        buffer: &mut BytesMut,
    ) -> LookUp {
        if self.has_plain_name() {
            return cache.try_peek(cookies.fields(), buffer);
        }
        cache.try_peek_tokens(self.values(cookies), buffer)
    }

    /// Returns true if the cookie has the name that the cache was built with.
    fn has_plain_name(&self) -> bool {
        self.0.cookie.name() == self.0.cache.cookie_name()
    }

    /// Ends the session of an id and those of the request's cookies, also of cookies that were
    /// replaced: a sign-out that crosses a rotation is not lost. With a store it returns the ids,
    /// for [`Cache::end_each`].
    pub(crate) fn end(&self, id: Option<&SessionId>, cookies: &Cookies) -> Vec<SessionId> {
        let Cache::Local(cache) = &self.0.cache else {
            let mut ids = Vec::from_iter(id.copied());
            for id in self.ids_of(cookies) {
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            return ids;
        };
        if let Some(id) = id {
            cache.end(id);
        }
        for value in self.values(cookies).take(MAX_CANDIDATES) {
            cache.end_by_token(value);
        }
        Vec::new()
    }

    /// Returns true if the request has a session cookie, valid or not.
    pub(crate) fn has_cookie(&self, cookies: &Cookies) -> bool {
        self.values(cookies).next().is_some()
    }

    fn values<'c>(&'c self, cookies: &'c Cookies) -> impl Iterator<Item = &'c [u8]> {
        let name = self.0.cookie.name().as_bytes();
        cookies
            .fields()
            .flat_map(move |field| candidates(field, name))
    }

    /// Returns the ids in the request's cookies whose MACs verify.
    pub(crate) fn ids_of<'c>(&'c self, cookies: &'c Cookies) -> impl Iterator<Item = SessionId> {
        let values = self.values(cookies).take(MAX_CANDIDATES);
        values.filter_map(|value| self.0.cache.id_of_token(value))
    }

    /// Returns the token of the request's cookies that opens a session.
    pub(crate) async fn token_of(&self, id: &SessionId, cookies: &Cookies) -> Option<Token> {
        let mut buffer = BytesMut::new();
        for value in self.values(cookies).take(MAX_CANDIDATES) {
            let record = self.0.cache.open_token(value, &mut buffer).await.ok()?;
            if record.is_some_and(|record| record.id == *id) {
                return Token::parse(value);
            }
        }
        None
    }

    /// Returns the `Set-Cookie` value of a token, with `max_age` in seconds if it is given.
    pub(crate) fn issue(&self, token: &Token, max_age: Option<u64>) -> String {
        let template = max_age.and_then(|seconds| self.0.template(Some(seconds)).ok());
        template
            .as_ref()
            .unwrap_or(&self.0.cookie)
            .header_for(token)
    }

    /// Returns the timeouts of a session that is created, or whose persistence changes.
    pub(crate) fn timeouts(&self, keep: Option<CookiePersistence>) -> Timeouts {
        let kept = |idle_timeout, lifetime| {
            Timeouts::new()
                .idle_timeout(idle_timeout)
                .lifetime_from_now(lifetime)
        };
        match keep {
            Some(CookiePersistence::For(span)) => kept(span, span),
            Some(CookiePersistence::WhileUsed | CookiePersistence::Default) => {
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

    /// Returns the idle timeout of sessions that are not remembered.
    pub(crate) fn idle_timeout(&self) -> Duration {
        let most = self.0.cache.idle_timeout();
        self.0.timeouts.idle_timeout_or(most).min(most)
    }

    pub(crate) fn touches_always(&self) -> bool {
        self.0.touch_always
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

    pub(crate) fn explicit_grace(&self) -> Duration {
        self.0
            .grace
            .map_or(Duration::ZERO, |grace| grace.min(self.0.cache.lifetime()))
    }

    /// Returns the page on which visitors sign in, if it is set.
    #[must_use]
    pub fn sign_in_page(&self) -> Option<&Uri> {
        self.0.sign_in_page.as_ref()
    }
}

/// The settings are compared only where the pointers differ.
impl PartialEq for SessionManager {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl From<SessionCache> for SessionManager {
    fn from(cache: SessionCache) -> Self {
        Self::new(cache)
    }
}

impl From<TieredCache> for SessionManager {
    fn from(cache: TieredCache) -> Self {
        Self::new(cache)
    }
}

impl From<Cache> for SessionManager {
    fn from(cache: Cache) -> Self {
        Self::new(cache)
    }
}

impl Settings {
    /// Returns the cookie, with another `Max-Age` if one is given.
    fn template(&self, max_age: Option<u64>) -> Result<SetCookie, CookieError> {
        let mut attributes = self.attributes.clone();
        if let Some(seconds) = max_age {
            attributes.max_age = Some(Duration::from_secs(seconds.min(MAX_AGE)));
        }
        let name = self.cache.cookie_name();
        if self.insecure {
            attributes.insecure(name)
        } else {
            attributes.secure(name)
        }
    }
}

/// Long enough for the requests of a page that is being loaded.
const GRACE: Duration = Duration::from_secs(10);
