//! Sessions without a response: of a websocket, or after the response's headers were sent.
//!
//! Owns which verbs are possible then: those that need no cookie. It does not know when a session
//! is detached.

use sessile::SessionId;

use crate::{Session, SessionError, state::State};

impl Session {
    /// Returns true if the session that this request holds is live now. For a websocket, a stream
    /// or a task, to end with the session. After the request's first read this is one lookup, which
    /// does not count as a use.
    ///
    /// Returns false after a sign-out here or elsewhere, after the user's sessions were ended, and
    /// after a timeout. Returns false too once the session has another id, because what was decided
    /// for the old one no longer holds: after a sign-in or a [`rotate`](Self::rotate) by another
    /// request, and after the [grace period](crate::SessionManagerBuilder::grace) of a routine
    /// rotation. The client's next request brings its new cookie.
    ///
    /// On a local cache the future is ready at the first poll. With a store, it returns false too
    /// if the session is not in memory and the store cannot be reached.
    ///
    /// ```
    /// # use http::HeaderMap;
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::{Session, SessionManager};
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let sessions = SessionManager::new(cache.clone());
    /// # let session = sessions.begin(&HeaderMap::new());
    /// # session.sign_in("ada")?;
    /// # sessile_web::adapter::ready(session.save())?;
    /// # sessile_web::adapter::ready(async {
    /// assert!(session.is_alive().await);
    ///
    /// // Another device of the user, or an administrator:
    /// cache.end_user_sessions("ada", None);
    /// assert!(!session.is_alive().await);
    /// # });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn is_alive(&self) -> bool {
        if self.load().await.is_err() {
            return false;
        }
        let mut id = self.current_id();
        while let Some(current) = id {
            if self.manager().cache().contains(&current).await == Ok(true) {
                return true;
            }
            // Another thread of this request may have replaced the id.
            id = self.current_id().filter(|later| *later != current);
        }
        false
    }

    fn current_id(&self) -> Option<SessionId> {
        self.with(|state, request| state.stored.live(request).map(|live| live.id))
    }
}

impl State {
    /// Rejects verbs that need the response's cookie after the headers were sent.
    pub(crate) fn check_response(&self) -> Result<(), SessionError> {
        if self.detached {
            Err(SessionError::AlreadyCommitted)
        } else {
            Ok(())
        }
    }
}
