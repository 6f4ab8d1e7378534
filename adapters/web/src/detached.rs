//! Sessions that no response goes with: of a websocket, or of what goes on when the headers have left.
//!
//! Owns what is still possible then, which is all that the browser need not be told of. It does not know when that is.

use crate::{CommitError, Session, SessionError, persist::Phase, state::State};

impl Session {
    /// For adapters: from now on no response tells the browser anything, because its headers have left or because there
    /// is none. The session may be read, and changed by [`save`](Self::save), if there is one: it gets no new
    /// id, and none is made.
    ///
    /// ```
    /// # use http::{HeaderMap, StatusCode, header};
    /// # use sessile::{Error, KeyRing, SessionCache};
    /// # use sessile_web::{SessionError, SessionManager};
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
    /// session.insert("state", "begun")?;
    /// SessionManager::commit(&session, StatusCode::OK, &mut HeaderMap::new())?;
    /// assert!(matches!(session.insert("state", "done"), Err(SessionError::AlreadyCommitted)));
    ///
    /// session.detach();
    /// session.insert("state", "done")?;
    /// session.save()?;
    /// assert!(matches!(session.rotate(), Err(SessionError::AlreadyCommitted)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detach(&self) {
        let mut state = self.state();
        (state.detached, state.committed) = (true, false);
    }

    /// Returns true if the session that this request holds is live now. For a websocket, a stream or a task, to end
    /// with the session. After the request's first read this is one lookup, which does not count as a use.
    ///
    /// Returns false after a sign-out here or elsewhere, after the user's sessions were ended, and after a timeout.
    /// Returns false too once the session has another id, because what was decided for the old one no longer holds:
    /// after a sign-in or a [`rotate`](Self::rotate) by another request, and after the
    /// [grace](crate::SessionManagerBuilder::grace) of a routine rotation. The client's next request brings its new cookie.
    ///
    /// ```
    /// # use http::HeaderMap;
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::{Session, SessionManager};
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let sessions = SessionManager::new(cache.clone());
    /// # let session = sessions.begin(&HeaderMap::new());
    /// # session.sign_in("ada")?;
    /// # session.save()?;
    /// assert!(session.is_alive());
    ///
    /// // Another device of the user, or an administrator:
    /// cache.end_user_sessions("ada", None);
    /// assert!(!session.is_alive());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.with(|state, request| {
            let live = state.stored.live(request);
            live.is_some_and(|live| request.sessions.cache().contains(&live.id))
        })
    }

    /// For adapters: the handler failed, and no response of its own is sent. Stores a sign-out that must hold even so:
    /// that a [key that names the user](crate::SessionManagerBuilder::identity_keys) was removed. Stores nothing else.
    ///
    /// # Errors
    /// If it could not be stored.
    pub fn store_sign_out(&self) -> Result<(), CommitError> {
        self.store(State::store_sign_out)
    }

    /// For adapters: whether the request has a session that is stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.with(|state, request| state.stored.live(request).is_some())
    }

    /// For adapters: whether [`commit`](crate::SessionManager::commit) has something to store, so that it may wait for a
    /// lock.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.with(|state, request| state.has_work(request, Phase::Commit))
    }
}

impl State {
    /// Whether the browser can be told of a new id, or for how long to keep the cookie.
    pub(crate) fn check_response(&self) -> Result<(), SessionError> {
        if self.detached { Err(SessionError::AlreadyCommitted) } else { Ok(()) }
    }
}
