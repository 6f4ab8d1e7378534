//! The layer: creates a session for each request and puts it into the request's extensions.
//!
//! Owns the admission key of a request. The settings of sessions and cookies belong to the
//! [`SessionManager`].

use core::fmt;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, header::COOKIE, request::Parts};
use sessile_web::{Session, SessionManager, SessionRequest};
use tower_layer::Layer;

use crate::SessionService;

/// Puts a [`Session`](crate::Session) into the extensions of each request, and writes the headers
/// of each response.
///
/// It is made of a [`SessionManager`], or of a cache for the default settings:
///
/// ```
/// use sessile::{KeyRing, SessionCache};
/// use sessile_tower::{SameSite, SessionLayer, SessionManager};
///
/// let cache = SessionCache::builder()
///     .memory(4 << 20)
///     .cookie_name("__Secure-shop")
///     .keys(KeyRing::generate()?)
///     .build()?;
/// let manager = SessionManager::builder(cache)
///     .same_site(SameSite::Strict)
///     .domain("shop.example")
///     .build()?;
/// let layer = SessionLayer::new(manager);
/// # let _: SessionLayer = layer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionLayer {
    manager: SessionManager,
    admission_key: Option<AdmissionKey>,
}

impl SessionLayer {
    /// Creates a layer of a manager, or of a cache with the default settings.
    #[must_use]
    pub fn new(manager: impl Into<SessionManager>) -> Self {
        Self {
            manager: manager.into(),
            admission_key: None,
        }
    }

    /// Returns the manager.
    #[must_use]
    pub fn manager(&self) -> &SessionManager {
        &self.manager
    }

    /// Sets the function that computes the admission key of a request, such as the client's
    /// address, for the cache's [admission hook](sessile::SessionCacheBuilder::admission). It is
    /// called for each request. The default is an empty key.
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
    /// // Behind a trusted proxy that sets this header.
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
        Self {
            admission_key: Some(AdmissionKey(Arc::new(key))),
            ..self
        }
    }

    /// Puts a session into the request's extensions, and returns it for the commit. Returns `None`
    /// if the request has the session of an outer layer with the same cache and settings, which
    /// commits it.
    #[inline]
    pub(crate) fn begin<B>(&self, request: Request<B>) -> (Request<B>, Option<Session>) {
        let (mut request, admission_key) = self.admission_key(request);
        let is_shared = admission_key.is_none()
            && request
                .extensions()
                .get()
                .is_some_and(|outer| self.manager.shares(outer));
        if is_shared {
            return (request, None);
        }
        let session = self
            .manager
            .begin(self.session_request(&request, admission_key));
        request.extensions_mut().insert(session.clone());
        (request, Some(session))
    }

    #[inline]
    fn session_request<B>(
        &self,
        request: &Request<B>,
        admission_key: Option<Vec<u8>>,
    ) -> SessionRequest {
        let mut session = match has_cookie(request.headers()) {
            true => SessionRequest::from(request.headers()),
            false => SessionRequest::default(),
        };
        if let Some(key) = admission_key {
            session = session.admission_key(key);
        }
        let is_repeatable = [Method::GET, Method::HEAD].contains(request.method());
        if self.manager.sign_in_page().is_some()
            && is_repeatable
            && let Some(path) = request.uri().path_and_query()
        {
            session = session.path(path.clone());
        }
        session
    }

    /// Computes the admission key, if the layer has a function for it.
    #[inline]
    fn admission_key<B>(&self, request: Request<B>) -> (Request<B>, Option<Vec<u8>>) {
        let Some(AdmissionKey(key)) = &self.admission_key else {
            return (request, None);
        };
        let (parts, body) = request.into_parts();
        let key = key(&parts);
        (Request::from_parts(parts, body), Some(key))
    }
}

impl From<SessionManager> for SessionLayer {
    fn from(manager: SessionManager) -> Self {
        Self::new(manager)
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService::new(inner, self.clone())
    }
}

/// Compares each name: hashing one takes as long as several comparisons, and few requests have many
/// headers.
#[inline]
fn has_cookie(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == COOKIE)
}

/// Computes a key of a request.
#[derive(Clone)]
struct AdmissionKey(Arc<KeyOf>);

type KeyOf = dyn Fn(&Parts) -> Vec<u8> + Send + Sync;

impl fmt::Debug for AdmissionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdmissionKey(..)")
    }
}
