//! The list of a user's sessions, and signing out on other devices.
//!
//! Thin over the engine's lists. It adds which session is the current one, and ends only sessions
//! of the same user.

use std::time::Duration;

use bytes::BytesMut;
use sessile::{Handle, Record};

use crate::{
    Session,
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
    /// let sessions = session.user_sessions().await;
    /// let phone = sessions.iter().find(|other| other.label() == "phone").expect("it is signed in");
    /// assert!(!phone.is_current());
    /// assert!(session.end_by_handle(&phone.handle()).await);
    /// assert_eq!(session.user_sessions().await.len(), 1);
    /// # });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn user_sessions(&self) -> Vec<SessionInfo> {
        self.with(|state, request| {
            let Some(user) = state.user(request) else {
                return Vec::new();
            };
            let this = state.handle(request);
            let sessions = request.manager.cache().user_sessions(&user).into_iter();
            sessions
                .map(|info| SessionInfo {
                    is_current: Some(info.handle) == this,
                    info,
                })
                .collect()
        })
    }

    /// Ends one of the signed-in user's sessions, at once, by its [handle](SessionInfo::handle).
    /// Returns true if it existed and is one of this user's. For the session of this request it
    /// does what [`sign_out`](Self::sign_out) does.
    pub async fn end_by_handle(&self, handle: &Handle) -> bool {
        self.with(|state, request| {
            let Some(this) = state.handle(request) else {
                return false;
            };
            if *handle == this {
                state.sign_out(request);
                return true;
            }
            let is_own = this.user().is_some() && handle.user() == this.user();
            is_own && request.manager.cache().end_by_handle(handle)
        })
    }

    /// Ends all other sessions of the signed-in user, at once, and returns their number: for a
    /// change of the password.
    pub async fn sign_out_others(&self) -> usize {
        self.with(|state, request| {
            let user = state.user(request);
            let this = state.stored.live(request).map(|live| live.id);
            user.map_or(0, |user| {
                request
                    .manager
                    .cache()
                    .end_user_sessions(&user, this.as_ref())
            })
        })
    }

    /// Ends all sessions of the signed-in user, including this one, at once, and returns their
    /// number.
    pub async fn sign_out_everywhere(&self) -> usize {
        self.with(|state, request| {
            let user = state.user(request);
            let ended = user.map_or(0, |user| {
                request.manager.cache().end_user_sessions(&user, None)
            });
            state.sign_out(request);
            ended
        })
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
            let mut buffer = BytesMut::new();
            live.record = request.manager.cache().load(&live.id, &mut buffer);
        }
        live.record
    }
}
