//! Commits a request: stores its changes and writes the response's headers.
//!
//! Owns the headers of a response. It does not know what was changed, nor how it is stored.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{self, HeaderName},
};
use sessile::Token;

use crate::{
    CommitError, Session, headers,
    persist::Phase,
    state::{Cookie, Live, Request, State, Stored},
};

/// Implements [`SessionManager::commit`](crate::SessionManager::commit).
pub(crate) fn commit(
    session: &Session,
    status: StatusCode,
    headers: &mut HeaderMap,
) -> Result<(), CommitError> {
    let mut first = None;
    let (start, stored, cookie) = session.store(|state, request| {
        // The closure runs again after the admission hook was called, so the start is kept.
        let start = *first.get_or_insert_with(|| state.begin_commit());
        let stored = match start {
            CommitStart::Used if status.as_u16() < 500 => state.store(request, Phase::Commit),
            CommitStart::Used => state.store_sign_out(request),
            CommitStart::Touched | CommitStart::Nothing => Ok(()),
        };
        let is_done = start != CommitStart::Nothing && !state.needs_admission();
        (
            start,
            stored,
            if is_done {
                state.set_cookie_value(request)
            } else {
                None
            },
        )
    });
    if let Err(error) = &stored {
        write_error_headers(error, headers);
    }
    if start == CommitStart::Used || cookie.is_some() {
        headers::vary_by_cookie(headers);
    }
    if let Some(cookie) = cookie {
        headers::set_cookie(headers, session.request().manager.cookie().name(), cookie);
    }
    stored
}

/// The work that a commit has to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CommitStart {
    /// None: it is not the first commit, or the request did not use the session.
    Nothing,
    /// Only a persistent cookie may have to be sent again: every request counts as a use, and no
    /// handler used the session.
    Touched,
    Used,
}

impl State {
    /// Marks the session as committed, so that later changes fail.
    fn begin_commit(&mut self) -> CommitStart {
        self.note_foreign_data();
        let is_first = !core::mem::replace(&mut self.committed, true);
        match self.stored {
            _ if !is_first => CommitStart::Nothing,
            _ if self.is_used => CommitStart::Used,
            Stored::Live(_) => CommitStart::Touched,
            _ => CommitStart::Nothing,
        }
    }

    /// Returns the value of the response's `Set-Cookie`, if it needs one.
    fn set_cookie_value(&mut self, request: &Request) -> Option<String> {
        let manager = &request.manager;
        let token = match self.cookie.take() {
            Some(Cookie::Remove) => return Some(manager.cookie().removal_header().to_owned()),
            // A concurrent sign-in may have ended the session since. Its cookie must not be
            // overwritten.
            Some(Cookie::Issue(_)) if self.is_cookie_early && !self.opens(request) => return None,
            Some(Cookie::Issue(token)) => token,
            None => self.resent_token(request)?,
        };
        let live = if let Stored::Live(live) = &self.stored {
            Some(live)
        } else {
            None
        };
        Some(manager.issue(&token, live.and_then(|live| live.max_age(request))))
    }

    fn opens(&self, request: &Request) -> bool {
        let Stored::Live(live) = &self.stored else {
            return false;
        };
        request.manager.cache().contains(&live.id)
    }

    /// Returns the token that the browser has if its `Max-Age` is to start again: this request
    /// moved the idle deadline. Returns `None` for a replaced id, because the browser's new cookie
    /// must not be overwritten.
    fn resent_token(&self, request: &Request) -> Option<Token> {
        let Stored::Live(live) = &self.stored else {
            return None;
        };
        let record = live.record.filter(|record| !record.is_alias())?;
        // The cookie of an id that was issued within this tick is as recent.
        let has_moved = || {
            let persistent = live
                .persistent(request)
                .filter(|_| !record.id_age().is_zero());
            persistent.is_some_and(|seconds| record.expires_in().as_secs() >= seconds)
        };
        let manager = &request.manager;
        // Another request may have replaced the id since it was read.
        if !(self.resend_cookie || has_moved()) || manager.cache().replaced(&live.id).is_some() {
            return None;
        }
        manager.token_of(&live.id, &request.incoming.cookies)
    }
}

impl Live {
    /// Returns the `Max-Age` in seconds, counted from now; `None` for the manager's setting.
    fn max_age(&self, request: &Request) -> Option<u64> {
        if self.is_remembered() {
            let mut buffer = bytes::BytesMut::new();
            let record = request.manager.cache().load(&self.id, &mut buffer)?;
            return Some(record.expires_in().as_secs());
        }
        self.persistent(request)
    }
}

/// Turns the headers into those of an error response: removes the headers that described the
/// handler's body or its result.
fn write_error_headers(error: &CommitError, headers: &mut HeaderMap) {
    tracing::warn!(error = %error.cause(), "session could not be stored");
    for name in HANDLER_HEADERS {
        headers.remove(name);
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(
            header::RETRY_AFTER,
            HeaderValue::from_static(RETRY_AFTER_SECONDS),
        );
    }
}

impl CommitError {
    /// For adapters: turns the headers of a response into those of the error response. Use it if
    /// the adapter itself finds that nothing can be stored;
    /// [`SessionManager::commit`](crate::SessionManager::commit) does it for its own errors.
    pub fn replace_headers(&self, headers: &mut HeaderMap) {
        write_error_headers(self, headers);
    }
}

const HANDLER_HEADERS: [HeaderName; 17] = [
    header::ACCEPT_RANGES,
    header::AGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::LINK,
    header::LOCATION,
    header::REFRESH,
    header::SET_COOKIE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

pub(crate) const RETRY_AFTER_SECONDS: &str = "5";
