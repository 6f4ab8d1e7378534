//! The session of the request that this thread is busy with: begun when somebody asks for it.
//!
//! Owns a slot of each thread, which holds the request's session while the services behind are at work on that
//! request, and no longer: they are entered each time that they are called or polled. It does not know what a
//! request is.

use std::{
    cell::Cell,
    mem::{self, ManuallyDrop},
};

use http::{HeaderMap, StatusCode};

use crate::{CommitError, Session, SessionManager, SessionRequest};

thread_local! {
    /// Empty whenever nobody is entered, so there is nothing to drop when the thread ends, and no need to look
    /// whether it has ended.
    static CURRENT: Cell<ManuallyDrop<Option<Begun>>> = const { Cell::new(ManuallyDrop::new(None)) };
}

/// A request's session, for the services behind: begun when one of them asks for it, so a request that nobody asks
/// about costs next to nothing.
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use sessile::{KeyRing, SessionCache};
/// use sessile_web::{Session, SessionManager};
///
/// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
/// let sessions = SessionManager::new(cache);
/// let mut pending = sessions.pend(None);
/// pending.enter(|| {
///     let session = Session::current().expect("it was entered");
///     session.insert("visits", 1)
/// })?;
/// assert!(Session::current().is_none());
/// pending.commit(StatusCode::OK, &mut HeaderMap::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pending(Option<Begun>);

/// What of it there is so far.
#[derive(Debug)]
enum Begun {
    Not(SessionManager),
    Yes(Session),
    /// The session of a layer further out, which commits it.
    Outer(Session),
}

impl Pending {
    #[inline]
    pub(crate) fn new(sessions: &SessionManager, incoming: Option<SessionRequest>) -> Self {
        check_outer(sessions);
        Self(Some(match incoming {
            None => Begun::Not(sessions.clone()),
            Some(incoming) => Begun::Yes(sessions.begin(incoming)),
        }))
    }

    /// The session of a layer further out, which commits it.
    pub(crate) fn outer(session: Session) -> Self {
        Self(Some(Begun::Outer(session)))
    }

    /// Runs what may ask for the session by [`Session::current`]. What it runs may enter others.
    #[inline(always)]
    pub fn enter<R>(&mut self, run: impl FnOnce() -> R) -> R {
        let entered = Entered { outer: swap(self.0.take()), own: &mut self.0 };
        let answer = run();
        drop(entered);
        answer
    }

    /// Returns true if there is a session to commit: a service asked for it, or it was begun with the request, and it is
    /// not the session of a layer further out.
    #[inline]
    #[must_use]
    pub fn is_begun(&self) -> bool {
        matches!(self.0, Some(Begun::Yes(_)))
    }

    /// [`SessionManager::commit`], if the session was begun.
    ///
    /// # Errors
    /// As there.
    pub fn commit(&self, status: StatusCode, headers: &mut HeaderMap) -> Result<(), CommitError> {
        match &self.0 {
            Some(Begun::Yes(session)) => SessionManager::commit(session, status, headers),
            _ => Ok(()),
        }
    }
}

/// Puts back what was there, also when what was run panics.
struct Entered<'p> {
    own: &'p mut Option<Begun>,
    outer: Option<Begun>,
}

impl Drop for Entered<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let own = swap(self.outer.take());
        // Nothing is there, and so there is nothing to drop.
        mem::forget(mem::replace(self.own, own));
    }
}

#[inline(always)]
fn swap(begun: Option<Begun>) -> Option<Begun> {
    CURRENT.with(|current| ManuallyDrop::into_inner(current.replace(ManuallyDrop::new(begun))))
}

/// The session that is current, begun if it was not.
pub(crate) fn current() -> Option<Session> {
    let begun = match swap(None)? {
        Begun::Not(sessions) => Begun::Yes(sessions.begin(SessionRequest::default())),
        begun => begun,
    };
    let session = begun.session().cloned();
    swap(Some(begun));
    session
}

/// Looks at the layer further out whose services call this one's, if there is one. It may be busy with another
/// request, so its session is not used.
#[inline]
fn check_outer(sessions: &SessionManager) {
    if let Some(outer) = swap(None) {
        let other = outer.sessions().clone();
        swap(Some(outer));
        sessions.warn_if_overwriting(&other);
    }
}

impl Begun {
    fn session(&self) -> Option<&Session> {
        match self {
            Self::Not(_) => None,
            Self::Yes(session) | Self::Outer(session) => Some(session),
        }
    }

    fn sessions(&self) -> &SessionManager {
        match self {
            Self::Not(sessions) => sessions,
            Self::Yes(session) | Self::Outer(session) => session.sessions(),
        }
    }
}
