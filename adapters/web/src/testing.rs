//! Utilities for the tests of an application: a [`Visitor`] that keeps the cookie, signed in or
//! not, and a manual clock.
//!
//! Sessions are real ones in a small cache; nothing is mocked.
//!
//! ```
//! use std::time::Duration;
//! use sessile_web::testing::{self, Visitor};
//!
//! let (sessions, clock) = testing::sessions();
//! let mut ada = Visitor::signed_in(&sessions, "ada")?;
//! ada.visit(|session| session.insert("cart", ["tea"]))??;
//!
//! // A request with her cookie, for the application that is tested.
//! let request = ada.request("/cart").body(())?;
//! assert_eq!(sessions.begin(request.headers()).user().as_deref(), Some("ada"));
//!
//! clock.advance(Duration::from_secs(30 * 60));
//! assert_eq!(ada.visit(|session| session.user())?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use http::{HeaderMap, HeaderValue, StatusCode, header, request};
use sessile::{KeyRing, ManualClock, SessionCache};

use crate::{CommitError, Session, SessionError, SessionManager, SignIn, adapter::ready};

/// Creates a manager with default settings over a small cache, and the clock by which its sessions
/// expire. An application that builds its own cache passes a [`ManualClock`] to the builder
/// instead.
///
/// # Panics
/// If the operating system provides no memory or no random bytes.
#[must_use]
pub fn sessions() -> (SessionManager, ManualClock) {
    let clock = ManualClock::new();
    let keys = KeyRing::generate().expect("there are random bytes");
    let settings = SessionCache::builder()
        .memory(4 << 20)
        .keys(keys)
        .clock(clock.clone());
    let cache = settings.build().expect("these settings are valid");
    (SessionManager::new(cache), clock)
}

/// Creates a cache of 1 MiB that is full: it contains sessions of signed-in users, and a session of
/// [`max_session_size`](SessionCache::max_session_size) bytes fails with
/// [`Full`](sessile::Error::Full). Use it to test the response with the status 503.
///
/// # Panics
/// If the operating system provides no memory or no random bytes.
#[must_use]
pub fn full_cache() -> SessionCache {
    let keys = KeyRing::generate().expect("there are random bytes");
    let settings = SessionCache::builder().memory(1 << 20).keys(keys);
    let cache = settings.build().expect("these settings are valid");
    let mut users = 0..;
    let mut sign_in = || {
        let user = format!("user {}", users.next().unwrap_or(0));
        let session = cache.create(&[0; 512]).expect("small sessions fit");
        cache.sign_in(&session.id, &user).expect("it evicts others");
    };
    while cache.stats().evicted.aliases == 0 {
        sign_in();
    }
    let largest = vec![0; cache.max_session_size()];
    while let Ok(probe) = cache.create(&largest) {
        cache.end(&probe.id);
        sign_in();
    }
    cache
}

/// A client that keeps the session cookie as a browser does. Clones share the cookie until one of
/// them receives another.
#[derive(Clone, Debug)]
pub struct Visitor {
    manager: SessionManager,
    cookie: Option<HeaderValue>,
}

impl Visitor {
    /// Creates a visitor without a cookie.
    #[must_use]
    pub fn new(manager: &SessionManager) -> Self {
        Self {
            manager: manager.clone(),
            cookie: None,
        }
    }

    /// Creates a visitor who is signed in.
    ///
    /// # Errors
    /// Those of [`Session::sign_in`], or [`Store`](SessionError::Store) if it cannot be stored.
    pub fn signed_in(
        manager: &SessionManager,
        who: impl Into<SignIn>,
    ) -> Result<Self, SessionError> {
        let mut visitor = Self::new(manager);
        visitor.visit(|session| session.sign_in(who))??;
        Ok(visitor)
    }

    /// Performs a request whose handler is `handler` and whose response is 200. Use it to set a
    /// session up, or to inspect it.
    ///
    /// # Errors
    /// If the handler's changes cannot be stored.
    pub fn visit<R>(&mut self, handler: impl FnOnce(&Session) -> R) -> Result<R, CommitError> {
        let session = self.manager.begin(&self.headers());
        let answer = handler(&session);
        let mut headers = HeaderMap::new();
        let stored = ready(SessionManager::commit(
            &session,
            StatusCode::OK,
            &mut headers,
        ));
        self.receive(&headers);
        stored.map(|()| answer)
    }

    /// Returns a `GET` request with the visitor's cookie, for the application under test.
    #[must_use]
    pub fn request(&self, uri: &str) -> request::Builder {
        let request = http::Request::builder().uri(uri);
        self.cookie.iter().fold(request, |request, cookie| {
            request.header(header::COOKIE, cookie)
        })
    }

    /// Returns the headers of a request of this visitor.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        self.cookie
            .iter()
            .map(|cookie| (header::COOKIE, cookie.clone()))
            .collect()
    }

    /// Returns the value of the `Cookie` header; `None` without a cookie.
    #[must_use]
    pub fn cookie(&self) -> Option<&HeaderValue> {
        self.cookie.as_ref()
    }

    /// Sets or removes the cookie as a response's headers require.
    pub fn receive(&mut self, response: &HeaderMap) {
        let name = self.manager.cookie().name();
        for cookie in response.get_all(header::SET_COOKIE) {
            let pair = cookie
                .as_bytes()
                .split(|&byte| byte == b';')
                .next()
                .unwrap_or_default();
            let value = pair
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="));
            match value {
                Some(b"") => self.cookie = None,
                Some(_) => self.cookie = HeaderValue::from_bytes(pair).ok(),
                None => {}
            }
        }
    }
}
