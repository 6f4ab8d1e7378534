//! From what was stored to what the response says.
//!
//! Owns what a response's headers become. It does not know what was changed, nor how it is stored.

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

/// See [`SessionManager::commit`](crate::SessionManager::commit).
pub(crate) fn commit(
    session: &Session,
    status: StatusCode,
    headers: &mut HeaderMap,
) -> Result<(), CommitError> {
    let mut first = None;
    let (begun, stored, cookie) = session.store(|state, request| {
        // This runs again once the admission hook was asked.
        let begun = *first.get_or_insert_with(|| state.begin_commit());
        let stored = match begun {
            Begun::LookedAt if status.as_u16() < 500 => state.store(request, Phase::Commit),
            Begun::LookedAt => state.store_sign_out(request),
            Begun::Touched | Begun::Nothing => Ok(()),
        };
        let is_done = begun != Begun::Nothing && !state.wants_admission();
        (
            begun,
            stored,
            if is_done {
                state.set_cookie(request)
            } else {
                None
            },
        )
    });
    if let Err(error) = &stored {
        refuse(error, headers);
    }
    if begun == Begun::LookedAt || cookie.is_some() {
        headers::vary_by_cookie(headers);
    }
    if let Some(cookie) = cookie {
        headers::set_cookie(headers, session.request().sessions.cookie().name(), cookie);
    }
    stored
}

/// Work of a commit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    /// Nothing: it is not the first, or the request is no use of the session.
    Nothing,
    /// Only to send a cookie again that is kept for longer: each request counts as a use, and no handler looked at
    /// the session.
    Touched,
    LookedAt,
}

impl State {
    /// No change is accepted any more.
    fn begin_commit(&mut self) -> Begun {
        let is_first = !core::mem::replace(&mut self.committed, true);
        match self.stored {
            _ if !is_first => Begun::Nothing,
            _ if self.looked_at => Begun::LookedAt,
            Stored::Live(_) => Begun::Touched,
            _ => Begun::Nothing,
        }
    }

    /// What the browser is told of its cookie, if anything.
    fn set_cookie(&mut self, request: &Request) -> Option<String> {
        let sessions = &request.sessions;
        let token = match self.cookie.take() {
            Some(Cookie::Remove) => return Some(sessions.cookie().removal_header().to_owned()),
            // Another request, which signed in, ended it since: its cookie must not be overwritten.
            Some(Cookie::Issue(_)) if self.is_early_cookie && !self.opens(request) => return None,
            Some(Cookie::Issue(token)) => token,
            None => self.token_again(request)?,
        };
        let live = if let Stored::Live(live) = &self.stored {
            Some(live)
        } else {
            None
        };
        Some(sessions.issue(&token, live.and_then(|live| live.max_age(request))))
    }

    fn opens(&self, request: &Request) -> bool {
        let Stored::Live(live) = &self.stored else {
            return false;
        };
        request.sessions.cache().contains(&live.id)
    }

    /// The token that the browser has, if it is to keep it longer: this request moved the idle deadline, so that
    /// the whole of the timeout is left. Never for an id that was replaced, whose new cookie it must not overwrite.
    fn token_again(&self, request: &Request) -> Option<Token> {
        let Stored::Live(live) = &self.stored else {
            return None;
        };
        let record = live.record.filter(|record| !record.is_alias())?;
        // An id that was issued within this tick has a cookie that is as young.
        let has_moved = || {
            let persistent = live
                .persistent(request)
                .filter(|_| !record.id_age().is_zero());
            persistent.is_some_and(|seconds| record.expires_in().as_secs() >= seconds)
        };
        let sessions = &request.sessions;
        // It may have been replaced since it was read.
        if !(self.is_kept_anew || has_moved()) || sessions.cache().replaced(&live.id).is_some() {
            return None;
        }
        sessions.token_of(&live.id, &request.incoming.cookies)
    }
}

impl Live {
    /// For how many seconds from now the browser is to keep the cookie; `None` is the layer's setting.
    fn max_age(&self, request: &Request) -> Option<u64> {
        if self.is_remembered() {
            let mut buffer = bytes::BytesMut::new();
            let record = request.sessions.cache().load(&self.id, &mut buffer)?;
            return Some(record.expires_in().as_secs());
        }
        self.persistent(request)
    }
}

/// Turns the headers into those of the response that says that nothing was stored: what told of the handler's
/// body, or of what it had done, goes.
fn refuse(error: &CommitError, headers: &mut HeaderMap) {
    tracing::warn!(error = %error.cause(), "a session could not be stored");
    for name in OF_THE_HANDLER {
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
    /// For adapters: turns a response's headers into those of the response that says that nothing was stored, where
    /// the adapter itself found that nothing can be. [`SessionManager::commit`](crate::SessionManager::commit) does it for its own
    /// errors.
    pub fn replace_headers(&self, headers: &mut HeaderMap) {
        refuse(self, headers);
    }
}

const OF_THE_HANDLER: [HeaderName; 17] = [
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
