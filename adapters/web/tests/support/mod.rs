//! A visitor without a network: requests and responses are header maps, and the cookie is kept
//! between requests.

// Each test binary uses a part of this module.
#![allow(dead_code, clippy::unwrap_used)]

use http::{HeaderMap, HeaderValue, StatusCode, header};
use sessile::{KeyRing, SessionCache, SessionCacheBuilder};
use sessile_web::{CommitError, Session, SessionManager, adapter::ready};

pub(crate) const KEY: &[u8] = b"0f1e2d3c4b5a69788796a5b4c3d2e1f0-a key of the tests";

pub(crate) fn builder() -> SessionCacheBuilder {
    SessionCache::builder()
        .memory(4 << 20)
        .keys(KeyRing::from_bytes(&[KEY]).unwrap())
}

pub(crate) fn cache() -> SessionCache {
    builder().build().unwrap()
}

/// A client that keeps the session cookie.
#[derive(Clone)]
pub(crate) struct Visitor {
    sessions: SessionManager,
    pub(crate) cookie: Option<String>,
}

/// The headers of a response, and the result of the commit.
pub(crate) struct Reply {
    pub(crate) headers: HeaderMap,
    pub(crate) result: Result<(), CommitError>,
}

impl Visitor {
    pub(crate) fn new(sessions: &SessionManager) -> Self {
        Self {
            sessions: sessions.clone(),
            cookie: None,
        }
    }

    pub(crate) fn of(cache: &SessionCache) -> Self {
        Self::new(&SessionManager::new(cache.clone()))
    }

    /// Begins a request.
    pub(crate) fn begin(&self) -> Session {
        let mut headers = HeaderMap::new();
        if let Some(cookie) = &self.cookie {
            headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        self.sessions.begin(&headers)
    }

    /// Commits a request and keeps its cookie.
    pub(crate) fn finish(&mut self, session: &Session, status: StatusCode) -> Reply {
        let mut headers = HeaderMap::new();
        let result = ready(SessionManager::commit(session, status, &mut headers));
        let reply = Reply { headers, result };
        if let Some(set) = reply.set_cookie() {
            let pair = set.split(';').next().unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        reply
    }

    /// Performs a whole request with the status 200.
    pub(crate) fn visit<R>(&mut self, act: impl FnOnce(&Session) -> R) -> (R, Reply) {
        let session = self.begin();
        let result = act(&session);
        (result, self.finish(&session, StatusCode::OK))
    }

    /// Returns a value as the next request reads it.
    pub(crate) fn value(&self, key: &str) -> Option<String> {
        self.begin().get(key).unwrap()
    }
}

impl Reply {
    /// Returns the only `Set-Cookie`. Fails if there are several.
    pub(crate) fn set_cookie(&self) -> Option<&str> {
        let mut all = self.headers.get_all(header::SET_COOKIE).iter();
        let first = all.next();
        assert!(all.next().is_none(), "two cookies of one name");
        first.map(|value| value.to_str().unwrap())
    }

    pub(crate) fn is_removal(&self) -> bool {
        self.set_cookie()
            .is_some_and(|cookie| cookie.contains("=; ") && cookie.contains("Max-Age=0"))
    }
}
