//! From what a request asked for to what the engine holds and the response says.
//!
//! The order is what makes it safe: a new id is issued before data is saved, so that nothing of a
//! sign-in is ever readable under the old one; what cannot fit is refused before a new id is issued.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use sessile::{Error, Grace, Issued, NewSession, SessionCache, SignIn, Token};

use crate::{
    CommitError, Session,
    changes::Changes,
    headers,
    pairs::Pairs,
    state::{Live, Request, State, Stored},
};

/// See [`Sessions::commit`](crate::Sessions::commit).
pub(crate) fn commit(
    session: &Session,
    status: StatusCode,
    headers: &mut HeaderMap,
) -> Result<(), CommitError> {
    let (request, state) = session.shared();
    let mut state = state.lock();
    let is_first = !core::mem::replace(&mut state.committed, true);
    if !(is_first && state.looked_at) {
        return Ok(());
    }
    let mut cookie = state.ended.then_some(Cookie::Remove);
    let result =
        if status.as_u16() < 500 { store(&mut state, request, &mut cookie) } else { Ok(()) };
    drop(state);
    if let Err(error) = result {
        refuse(CommitError(error), headers);
    }
    write(request, cookie.as_ref(), headers);
    result.map_err(CommitError)
}

/// What the response does to the browser's cookie.
enum Cookie {
    Issue(Token),
    Remove,
}

fn store(state: &mut State, request: &Request, cookie: &mut Option<Cookie>) -> Result<(), Error> {
    if state.changes.is_empty() && state.user.is_none() && !state.rotate {
        return Ok(());
    }
    let stored = match state.live(request) {
        Some(_) => update(state, request, cookie),
        None => create(state, request.sessions.cache(), cookie),
    };
    match stored {
        // It ended or expired while the handler ran, and nothing brings it back.
        Err(Error::Gone) => {
            state.stored = Stored::Absent;
            *cookie = Some(Cookie::Remove);
            Ok(())
        }
        other => other,
    }
}

/// A session for a visitor who had none and now has something to store.
fn create(
    state: &mut State,
    cache: &SessionCache,
    cookie: &mut Option<Cookie>,
) -> Result<(), Error> {
    let data = state.changes.applied_to(&Pairs::default());
    if data.is_empty() && state.user.is_none() {
        return Ok(());
    }
    let mut issued = cache.create(data.as_bytes(), NewSession::default())?;
    if let Some(user) = &state.user {
        issued = sign_in_new(cache, &issued, user)?;
    }
    *cookie = Some(Cookie::Issue(issued.token));
    let authenticated = state.user.is_some();
    state.stored =
        Stored::Live(Live { id: issued.id, version: issued.version, authenticated, data });
    Ok(())
}

/// A newcomer whose sign-in is refused is not left behind. If it is gone already, it had to make room.
fn sign_in_new(cache: &SessionCache, made: &Issued, user: &str) -> Result<Issued, Error> {
    cache.sign_in(&made.id, user, SignIn::default()).map_err(|error| {
        cache.end(&made.id);
        if error == Error::Gone { Error::Full } else { error }
    })
}

/// A session that is there: ended if it was emptied, otherwise given a new id if that was asked for, then
/// saved.
fn update(state: &mut State, request: &Request, cookie: &mut Option<Cookie>) -> Result<(), Error> {
    let cache = request.sessions.cache();
    let State { stored: Stored::Live(live), changes, user, rotate, .. } = state else {
        return Err(Error::Gone);
    };
    if user.is_none() && end_emptied(live, changes, request)? {
        return Err(Error::Gone);
    }
    let data = changes.applied_to(&live.data);
    check_size(&data, cache.max_session_size())?;
    let issued = match user {
        Some(user) => Some(cache.sign_in(&live.id, user, SignIn::default())),
        None if *rotate => Some(cache.rotate(&live.id, Grace::NONE)),
        None => None,
    };
    match issued {
        // Whoever just proved who they are is not turned away because their old session went.
        Some(Err(Error::Gone)) if user.is_some() => return create(state, cache, cookie),
        Some(issued) => {
            let issued = issued?;
            live.id = issued.id;
            *cookie = Some(Cookie::Issue(issued.token));
        }
        None => {}
    }
    save(live, changes, data, request)
}

/// Ends a session without a user that this request leaves empty, unless somebody else is filling it or
/// signing in to it at the same time.
fn end_emptied(live: &mut Live, changes: &Changes, request: &Request) -> Result<bool, Error> {
    for _ in 0..TRIES {
        if live.authenticated || !changes.applied_to(&live.data).is_empty() {
            return Ok(false);
        }
        match request.sessions.cache().end_if(&live.id, live.version) {
            Err(Error::Conflict) => live.reload(&request.sessions)?,
            ended => return ended.map(|()| true),
        }
    }
    Err(Error::Conflict)
}

/// Saves what differs. When somebody else saved first, this request's own changes are made to what they
/// left. The version is the one that was read, also after a new id was issued: what was saved in between
/// must show as a conflict.
fn save(
    live: &mut Live,
    changes: &Changes,
    mut data: Pairs,
    request: &Request,
) -> Result<(), Error> {
    for _ in 0..TRIES {
        if data == live.data {
            return Ok(());
        }
        match request.sessions.cache().save(&live.id, live.version, data.as_bytes()) {
            Ok(version) => {
                (live.version, live.data) = (version, data);
                return Ok(());
            }
            Err(Error::Conflict) => live.reload(&request.sessions)?,
            Err(error) => return Err(error),
        }
        data = changes.applied_to(&live.data);
    }
    Err(Error::Conflict)
}

fn check_size(data: &Pairs, limit: usize) -> Result<(), Error> {
    let len = data.as_bytes().len();
    if len > limit { Err(Error::TooLarge { len, limit }) } else { Ok(()) }
}

/// Turns the headers into those of the response that says that nothing was stored.
fn refuse(error: CommitError, headers: &mut HeaderMap) {
    tracing::warn!(error = %error.cause(), "a session could not be stored");
    headers.clear();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
}

fn write(request: &Request, cookie: Option<&Cookie>, headers: &mut HeaderMap) {
    headers::vary_by_cookie(headers);
    let template = request.sessions.cookie();
    let value = match cookie {
        Some(Cookie::Issue(token)) => template.issue(token),
        Some(Cookie::Remove) => template.remove(),
        None => return,
    };
    headers::set_cookie(headers, template.name(), value);
}

/// Of n requests that save one session at once, at least one gets through in each round.
const TRIES: usize = 32;

const RETRY_AFTER_SECONDS: &str = "5";
