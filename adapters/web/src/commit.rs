//! Commits a request: stores its changes and writes the response's headers.
//!
//! Owns the headers of a response. It does not know what was changed, nor how it is stored.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{self, HeaderName},
};
use sessile::{Error, Token};

use crate::{
    CommitError, Session,
    adapter::ready,
    headers,
    perform::{Operation, Outcome},
    persist::Phase,
    state::{Cookie, Live, Request, State, Stored},
};

/// Implements [`SessionManager::commit`](crate::SessionManager::commit).
pub(crate) async fn commit(
    session: &Session,
    status: StatusCode,
    headers: &mut HeaderMap,
) -> Result<(), CommitError> {
    let done = match try_commit(session, status) {
        Some(done) => done,
        None => {
            let commit = Operation::Commit {
                status,
                start: None,
            };
            session.perform(commit).await
        }
    };
    write_headers(session, done, headers)
}

/// Implements [`SessionExt::commit_now`](crate::adapter::SessionExt::commit_now).
pub(crate) fn commit_now(
    session: &Session,
    status: StatusCode,
    headers: &mut HeaderMap,
) -> Option<Result<(), CommitError>> {
    let done = try_commit(session, status)?;
    Some(write_headers(session, done, headers))
}

/// Commits if that needs no store: on a local cache, or if there is nothing to store.
fn try_commit(session: &Session, status: StatusCode) -> Option<Outcome> {
    let is_local = session.manager().cache().local().is_some();
    let mut commit = Operation::Commit {
        status,
        start: None,
    };
    session.store(|state, request| {
        if !is_local && state.must_wait(request, status) {
            return None;
        }
        let Some(begun) = state.begin_operation(request, commit) else {
            return Some(Outcome::of(Ok(())));
        };
        // The closure runs again after the admission hook was called, and begins once.
        commit = begun;
        Some(ready(state.perform(request, begun)))
    })
}

fn write_headers(
    session: &Session,
    done: Outcome,
    headers: &mut HeaderMap,
) -> Result<(), CommitError> {
    let Outcome {
        stored,
        cookie,
        start,
        ..
    } = done;
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
pub(crate) enum CommitStart {
    /// None: it is not the first commit, or the request did not use the session.
    Nothing,
    /// Only a persistent cookie may have to be sent again: every request counts as a use, and no
    /// handler used the session.
    Touched,
    Used,
}

impl State {
    /// Stores the changes that a status requires, and computes the cookie.
    pub(crate) async fn commit(
        &mut self,
        request: &Request,
        status: StatusCode,
        start: Option<CommitStart>,
    ) -> Outcome {
        let start = start.unwrap_or(CommitStart::Nothing);
        let stored = match start {
            CommitStart::Used if status.as_u16() >= 500 => self.store_sign_out(request).await,
            CommitStart::Used if self.is_blind => Err(Error::Unreachable.into()),
            CommitStart::Used => self.store(request, Phase::Commit).await,
            CommitStart::Touched | CommitStart::Nothing => Ok(()),
        };
        let is_done = start != CommitStart::Nothing && !self.needs_admission();
        let cookie = if is_done {
            self.set_cookie_value(request).await
        } else {
            None
        };
        Outcome {
            start,
            cookie,
            ..Outcome::of(stored)
        }
    }

    /// Returns true if a commit may have to wait for the store.
    fn must_wait(&self, request: &Request, status: StatusCode) -> bool {
        let has_work = if status.as_u16() < 500 {
            self.has_work(request, Phase::Commit)
        } else {
            !self.changes.is_empty()
        };
        let cookie_waits = match &self.cookie {
            Some(Cookie::Remove) => false,
            Some(Cookie::Issue(_)) => true,
            None => self.is_resend_due(request),
        };
        let is_unread = matches!(self.stored, Stored::Unread | Stored::Loaded(_));
        let has_to_touch = request.manager.touches_always() && is_unread;
        self.progress.is_busy || has_work || cookie_waits || has_to_touch
    }

    /// Marks the session as committed, so that later changes fail.
    pub(crate) fn begin_commit(&mut self) -> CommitStart {
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
    async fn set_cookie_value(&mut self, request: &Request) -> Option<String> {
        let manager = &request.manager;
        let token = match self.cookie.take() {
            Some(Cookie::Remove) => return Some(manager.cookie().removal_header().to_owned()),
            // A concurrent sign-in may have ended the session since. Its cookie must not be
            // overwritten.
            Some(Cookie::Issue(_)) if self.is_cookie_early && !self.opens(request).await => {
                return None;
            }
            Some(Cookie::Issue(token)) => token,
            None => self.resent_token(request).await?,
        };
        let max_age = match &self.stored {
            Stored::Live(live) => live.max_age(request).await,
            _ => None,
        };
        Some(manager.issue(&token, max_age))
    }

    /// Returns false if the session is known to have ended.
    async fn opens(&self, request: &Request) -> bool {
        let Stored::Live(live) = &self.stored else {
            return false;
        };
        let found = request.manager.cache().contains(&live.id).await;
        found.unwrap_or(true)
    }

    /// Returns true if the browser's `Max-Age` is to start again: this request moved the idle
    /// deadline. Returns false for a replaced id, because the browser's new cookie must not be
    /// overwritten.
    fn is_resend_due(&self, request: &Request) -> bool {
        let Stored::Live(live) = &self.stored else {
            return false;
        };
        let Some(record) = live.record.filter(|record| !record.is_alias()) else {
            return false;
        };
        // The cookie of an id that was issued within this tick is as recent.
        let has_moved = || {
            let persistent = live
                .persistent(request)
                .filter(|_| !record.id_age().is_zero());
            persistent.is_some_and(|seconds| record.expires_in().as_secs() >= seconds)
        };
        self.resend_cookie || has_moved()
    }

    /// Returns the token that the browser has, if it is to be sent again.
    async fn resent_token(&self, request: &Request) -> Option<Token> {
        let Stored::Live(live) = &self.stored else {
            return None;
        };
        let manager = &request.manager;
        if !self.is_resend_due(request) {
            return None;
        }
        // Another request may have replaced the id since it was read.
        match manager.cache().replaced(&live.id).await {
            Ok(None) => manager.token_of(&live.id, &request.incoming.cookies).await,
            _ => None,
        }
    }
}

impl Live {
    /// Returns the `Max-Age` in seconds, counted from now; `None` for the manager's setting.
    async fn max_age(&self, request: &Request) -> Option<u64> {
        if self.is_remembered() {
            let mut buffer = bytes::BytesMut::new();
            let loaded = request.manager.cache().load(&self.id, &mut buffer).await;
            return Some(loaded.ok()??.expires_in().as_secs());
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
