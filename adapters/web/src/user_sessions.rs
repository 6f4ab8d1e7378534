//! The list of a user's sessions, and signing out on other devices.
//!
//! Thin over the engine's lists. It adds which session is the current one, and ends only sessions
//! of the same user.

use std::time::Duration;

use sessile::{Handle, Record, SessionId};

use crate::{
    Session, SessionError,
    state::{Request, State},
};

/// One of a user's sessions, as [`Session::user_sessions`] lists them.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    info: sessile::SessionInfo,
    is_current: bool,
}

impl SessionInfo {
    /// Returns true if it is the session of this request.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.is_current
    }

    /// Returns the handle, which identifies the session for [`Session::end_by_handle`] and does not
    /// open it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.info.handle
    }

    /// Returns the [label](crate::SignIn::label) of the sign-in; empty if there was none.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.info.label
    }

    /// Returns the [authentication assurance level](crate::SignIn::assurance_level) of the sign-in.
    #[must_use]
    pub fn assurance_level(&self) -> u8 {
        self.info.assurance_level
    }

    /// Returns the time since the session was created.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.info.age()
    }

    /// Returns the time since the sign-in.
    #[must_use]
    pub fn authenticated_for(&self) -> Duration {
        self.info.authenticated_for()
    }

    /// Returns the time since the last recorded use, which is up to a sixteenth of the idle timeout
    /// too long.
    #[must_use]
    pub fn last_seen(&self) -> Duration {
        self.info.last_seen()
    }
}

/// The entry as the engine lists it.
impl From<SessionInfo> for sessile::SessionInfo {
    fn from(session: SessionInfo) -> Self {
        session.info
    }
}

impl Session {
    /// Returns all sessions of the signed-in user, including this one, the most recently used
    /// first; none if no user is signed in. A sign-in of this request is included once it is
    /// stored. On a local cache the future is ready at the first poll.
    ///
    /// ```
    /// # use http::{HeaderMap, StatusCode, header};
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::{SessionManager, adapter::ready};
    /// use sessile_web::SignIn;
    ///
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let manager = SessionManager::new(cache);
    /// # let sign_in = |label| {
    /// #     let session = manager.begin(&HeaderMap::new());
    /// session.sign_in(SignIn::of("ada").label(label))?;
    /// #     ready(session.save())?;
    /// #     Ok::<_, sessile_web::SessionError>(session)
    /// # };
    /// # let (_phone, session) = (sign_in("phone")?, sign_in("laptop")?);
    /// # ready(async {
    /// // Later, on one of two devices:
    /// let sessions = session.user_sessions().await?;
    /// let phone = sessions.iter().find(|other| other.label() == "phone").expect("it is signed in");
    /// assert!(!phone.is_current());
    /// assert!(session.end_by_handle(&phone.handle()).await?);
    /// assert_eq!(session.user_sessions().await?.len(), 1);
    /// # Ok::<(), sessile_web::SessionError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Unreachable`](SessionError::Unreachable), only with a store.
    pub async fn user_sessions(&self) -> Result<Vec<SessionInfo>, SessionError> {
        self.load().await?;
        let (user, this) =
            self.read(|state, request| (state.user(request), state.handle(request)))?;
        let Some(user) = user else {
            return Ok(Vec::new());
        };
        let sessions = self.manager().cache().user_sessions(&user).await?;
        let info = |info: sessile::SessionInfo| SessionInfo {
            is_current: Some(info.handle) == this,
            info,
        };
        Ok(sessions.into_iter().map(info).collect())
    }

    /// Ends one of the signed-in user's sessions, at once, by its [handle](SessionInfo::handle).
    /// Returns true if it existed and is one of this user's. For the session of this request it
    /// does what [`sign_out`](Self::sign_out) does.
    ///
    /// # Errors
    /// [`Unreachable`](SessionError::Unreachable), only with a store. Then nothing is known about
    /// the session, unless it is that of this request.
    pub async fn end_by_handle(&self, handle: &Handle) -> Result<bool, SessionError> {
        self.load().await?;
        let this = self.read(State::handle)?;
        let Some(this) = this else {
            return Ok(false);
        };
        if *handle == this {
            return self.sign_out().await.map(|()| true);
        }
        let is_own = this.user().is_some() && handle.user() == this.user();
        Ok(is_own && self.manager().cache().end_by_handle(handle).await?)
    }

    /// Ends all other sessions of the signed-in user, at once, and returns their number: for a
    /// change of the password.
    ///
    /// # Errors
    /// [`Unreachable`](SessionError::Unreachable), only with a store. Then the sessions that the
    /// store had listed end as soon as it can be reached; others may not, so try again.
    pub async fn sign_out_others(&self) -> Result<usize, SessionError> {
        self.load().await?;
        let (user, this) = self.read(|state, request| {
            let user = state.user(request);
            (user, state.stored.live(request).map(|live| live.id))
        })?;
        let Some(user) = user else {
            return Ok(0);
        };
        let cache = self.manager().cache();
        Ok(cache.end_user_sessions(&user, this.as_ref()).await?)
    }

    /// Ends all sessions of the signed-in user, including this one, at once, and returns their
    /// number.
    ///
    /// # Errors
    /// Those of [`sign_out_others`](Self::sign_out_others). The session of this request is signed
    /// out in any case.
    pub async fn sign_out_everywhere(&self) -> Result<usize, SessionError> {
        let user = match self.load().await {
            Ok(()) => self.read(State::user),
            Err(error) => Err(error),
        };
        let ended = match user {
            Ok(Some(user)) => self.end_sessions_of(&user).await,
            Ok(None) => Ok(0),
            Err(error) => Err(error),
        };
        let signed_out = self.sign_out().await;
        let number = ended?;
        signed_out.map(|()| number)
    }

    async fn end_sessions_of(&self, user: &str) -> Result<usize, SessionError> {
        Ok(self.manager().cache().end_user_sessions(user, None).await?)
    }

    /// Ends the session in this process, and returns what the store has yet to end.
    pub(crate) async fn begin_sign_out(&self) -> Vec<SessionId> {
        let request = self.request();
        self.when_free(|state| {
            state.is_used = true;
            state.sign_out(request)
        })
        .await
    }
}

impl State {
    /// Returns the handle of the stored session.
    pub(crate) fn handle(&mut self, request: &Request) -> Option<Handle> {
        self.record(request).map(|record| record.handle())
    }

    /// Returns the record of the stored session. It is loaded again if this request gave the
    /// session a new id.
    pub(crate) fn record(&mut self, request: &Request) -> Option<Record> {
        let live = self.stored.live(request)?;
        if live.record.is_none() {
            live.record = request.manager.cache().record(&live.id);
        }
        live.record
    }
}
