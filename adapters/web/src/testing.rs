//! For the tests of an application: a visitor who keeps the cookie, signed in or not, and a clock that is moved by
//! hand.
//!
//! Nothing here stands in for anything: the sessions are real ones, and a visitor does what a browser would.
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

use crate::{CommitError, Session, SessionError, SessionManager, SignIn};

/// Sessions of a small cache of their own, with default settings, and the clock by which they expire. An
/// application that builds its cache itself gives its builder a [`ManualClock`] for the same.
///
/// # Panics
/// If the operating system has neither memory nor random bytes.
#[must_use]
pub fn sessions() -> (SessionManager, ManualClock) {
    let clock = ManualClock::new();
    let keys = KeyRing::generate().expect("there are random bytes");
    let settings = SessionCache::builder()
        .memory(4 << 20)
        .keys(keys)
        .clock(clock.clone());
    let cache = settings.build().expect("these settings are good");
    (SessionManager::new(cache), clock)
}

/// Somebody with a browser that keeps the session's cookie. Clones are one browser's tabs until one of them is given
/// another cookie.
#[derive(Clone, Debug)]
pub struct Visitor {
    manager: SessionManager,
    cookie: Option<HeaderValue>,
}

impl Visitor {
    /// Somebody new.
    #[must_use]
    pub fn new(manager: &SessionManager) -> Self {
        Self {
            manager: manager.clone(),
            cookie: None,
        }
    }

    /// Somebody who is signed in.
    ///
    /// # Errors
    /// What [`Session::sign_in`] says, and why it could not be stored.
    pub fn signed_in(
        manager: &SessionManager,
        who: impl Into<SignIn>,
    ) -> Result<Self, SessionError> {
        let mut visitor = Self::new(manager);
        visitor.visit(|session| session.sign_in(who))??;
        Ok(visitor)
    }

    /// A request whose handler does this, and whose response is 200: to set a session up, or to look into it.
    ///
    /// # Errors
    /// Why what the handler did could not be stored.
    pub fn visit<R>(&mut self, handler: impl FnOnce(&Session) -> R) -> Result<R, CommitError> {
        let session = self.manager.begin(&self.headers());
        let answer = handler(&session);
        let mut headers = HeaderMap::new();
        let stored = SessionManager::commit(&session, StatusCode::OK, &mut headers);
        self.receive(&headers);
        stored.map(|()| answer)
    }

    /// A `GET` request for the application that is tested, with the visitor's cookie.
    #[must_use]
    pub fn request(&self, uri: &str) -> request::Builder {
        let request = http::Request::builder().uri(uri);
        self.cookie.iter().fold(request, |request, cookie| {
            request.header(header::COOKIE, cookie)
        })
    }

    /// The headers of such a request.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        self.cookie
            .iter()
            .map(|cookie| (header::COOKIE, cookie.clone()))
            .collect()
    }

    /// The value of the header `Cookie`, if there is a cookie.
    #[must_use]
    pub fn cookie(&self) -> Option<&HeaderValue> {
        self.cookie.as_ref()
    }

    /// Keeps, or throws away, the session's cookie as a response says.
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
