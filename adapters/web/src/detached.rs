//! Sessions that no response goes with: of a websocket, or of what goes on when the headers have left.
//!
//! Owns what is still possible then, which is all that the browser need not be told of. It does not know when that is.

use crate::{Session, SessionError, state::State, store::Phase};

impl Session {
    /// For adapters: from now on no response tells the browser anything, because its headers have left or because there
    /// is none. The session may be read, and changed by [`save`](Self::save), if there is one: it gets no new
    /// id, and none is made.
    ///
    /// ```
    /// # use http::{HeaderMap, StatusCode, header};
    /// # use sessile::{Error, KeyRing, SessionCache};
    /// # use sessile_web::{SessionError, Sessions};
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::random()?).build()?;
    /// # let session = Sessions::new(cache).begin(&HeaderMap::new());
    /// session.insert("state", "begun")?;
    /// Sessions::commit(&session, StatusCode::OK, &mut HeaderMap::new())?;
    /// assert!(matches!(session.insert("state", "done"), Err(SessionError::TooLate)));
    ///
    /// session.detach();
    /// session.insert("state", "done")?;
    /// session.save()?;
    /// assert!(matches!(session.rotate(), Err(SessionError::TooLate)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detach(&self) {
        let mut state = self.state();
        (state.detached, state.committed) = (true, false);
    }

    /// For adapters: whether the request has a session that is stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.with(|state, request| state.stored.live(request).is_some())
    }

    /// For adapters: whether [`commit`](crate::Sessions::commit) has something to store, so that it may wait for a
    /// lock.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.with(|state, request| state.has_work(request, Phase::Commit))
    }
}

impl State {
    /// Whether the browser can be told of a new id, or for how long to keep the cookie.
    pub(crate) fn check_response(&self) -> Result<(), SessionError> {
        if self.detached { Err(SessionError::TooLate) } else { Ok(()) }
    }
}
