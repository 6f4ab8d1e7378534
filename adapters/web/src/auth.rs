//! The verbs of a session for authentication: signing in and out, rotation, persistence, and CSRF
//! tokens.

use std::time::Duration;

use bytes::Bytes;
use sessile::{Error, Handle, SessionId};

use crate::{
    Cache, CommitError, Session, SessionError, SignIn,
    adapter::ready,
    changes::Change,
    csrf::{CsrfMac, FormBinding},
    key::{FORM, PERSISTENT, REMEMBERED, USER},
    persist::NO_BINDING,
    session::check_size,
    state::{CookiePersistence, Request, State},
};

impl Session {
    /// Signs a user in: at commit the session is bound to the user and gets a new id, so that the
    /// old cookie is rejected. The data is kept. A visitor without a session gets one.
    ///
    /// On a session of another user, call [`clear`](Self::clear) first. Its
    /// [`remember`](Self::remember) and [`make_persistent`](Self::make_persistent) are reset in any
    /// case. A sign-in that changes the session's persistence restarts its lifetime.
    ///
    /// ```
    /// # use http::HeaderMap;
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::SessionManager;
    /// use sessile_web::SignIn;
    ///
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
    /// session.sign_in("ada")?;
    /// assert_eq!(session.user().as_deref(), Some("ada"));
    /// // Or with options:
    /// session.sign_in(SignIn::of("ada").label("Firefox on Linux").assurance_level(2))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`EmptyUser`](SessionError::EmptyUser), [`TooLarge`](SessionError::TooLarge) for a name that
    /// does not fit a session, [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn sign_in(&self, who: impl Into<SignIn>) -> Result<(), SessionError> {
        let sign_in: SignIn = who.into();
        if sign_in.user.is_empty() {
            return Err(SessionError::EmptyUser);
        }
        let name = serde_json::to_vec(&sign_in.user).map_err(SessionError::Encode)?;
        self.change(|state, request| {
            state.check_response()?;
            state.check_readable(request)?;
            check_size(request, USER, name.len())?;
            state.forget_forms();
            let is_anothers = state.user(request).is_some_and(|user| user != sign_in.user);
            state.changes.push(USER, Change::Set(name.into()));
            match sign_in.remember {
                Some(span) => state.keep(request, CookiePersistence::For(span)),
                None if is_anothers && state.pending.keep.is_none() => {
                    state.keep(request, CookiePersistence::Default);
                }
                None => {}
            }
            state.pending.sign_in = Some(Box::new(sign_in));
            Ok(())
        })
    }

    /// Signs out: ends the session at once, for any status of the response, and removes the cookie
    /// with the response. The session is empty then, and the pending changes are discarded; a later
    /// insert creates a new session. On a local cache the future is ready at the first poll, and
    /// there is no error.
    ///
    /// With a store, no request of this process opens the session from the first poll on, and no
    /// request of another process 100 ms after the store has confirmed it.
    ///
    /// # Errors
    /// [`Unreachable`](SessionError::Unreachable) if the store did not confirm the end. Then it is
    /// queued until the store does, and the response still removes the cookie.
    pub async fn sign_out(&self) -> Result<(), SessionError> {
        let ids = self.begin_sign_out().await;
        let ended = self.manager().cache().end_each(&ids).await;
        ended.map_err(|error| {
            tracing::warn!(%error, "end of a session was not confirmed; it is queued");
            SessionError::from(error)
        })
    }

    /// Returns the name of the signed-in user, including a [`sign_in`](Self::sign_in) of this
    /// request; `None` if no user is signed in.
    #[must_use]
    pub fn user(&self) -> Option<String> {
        self.with(State::user)
    }

    /// Returns true if a user is signed in, including a [`sign_in`](Self::sign_in) of this request.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.with(State::is_authenticated)
    }

    /// Returns the handle of the stored session, for audit logs and user interfaces; `None` if the
    /// request has no stored session. It identifies the session and does not open it.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        self.with(State::handle)
    }

    /// Returns the time until the stored session expires unless it is used again; `None` if the
    /// request has no stored session.
    #[must_use]
    pub fn expires_in(&self) -> Option<Duration> {
        self.with(|state, request| Some(state.record(request)?.expires_in()))
    }

    /// Returns the time since the user signed in, as stored before this request; `None` if no user
    /// had. Use it to authenticate again before a sensitive operation.
    #[must_use]
    pub fn authenticated_for(&self) -> Option<Duration> {
        self.with(|state, request| state.stored.live(request)?.record?.authenticated_for())
    }

    /// Returns the authentication assurance level (NIST SP 800-63B AAL, OIDC `acr`), as stored
    /// before this request; 0 if no user had signed in. See [`SignIn::assurance_level`].
    #[must_use]
    pub fn assurance_level(&self) -> u8 {
        let level = |record: sessile::Record| record.assurance_level;
        self.with(|state, request| state.stored.live(request)?.record.map(level))
            .unwrap_or(0)
    }

    /// Gives the session a new id at commit: for any change of privilege. The old cookie is
    /// rejected from then on, unless the manager has a [grace
    /// period](crate::SessionManagerBuilder::grace). It creates no session.
    ///
    /// # Errors
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn rotate(&self) -> Result<(), SessionError> {
        self.change(|state, _| {
            state.check_response()?;
            state.forget_forms();
            state.pending.rotate = true;
            Ok(())
        })
    }

    /// Keeps the session for a span from now, used or not, and makes the cookie persistent for the
    /// same time. The cache's idle timeout and lifetime cap the span. It creates no session.
    ///
    /// # Errors
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn remember(&self, span: Duration) -> Result<(), SessionError> {
        self.change(|state, request| {
            state.check_response()?;
            state.keep(request, CookiePersistence::For(span));
            Ok(())
        })
    }

    /// Makes the cookie persistent: the browser keeps it for the session's idle timeout after each
    /// use, also when it is closed. A response sends the cookie again when its request moved the
    /// idle deadline, which happens in steps of a sixteenth of the timeout. It creates no session.
    ///
    /// # Errors
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn make_persistent(&self) -> Result<(), SessionError> {
        self.change(|state, request| {
            state.check_response()?;
            state.keep(request, CookiePersistence::WhileUsed);
            Ok(())
        })
    }

    /// Returns a CSRF token for a hidden field of a form, which [`check_csrf`](Self::check_csrf)
    /// verifies.
    ///
    /// Each call returns another text; all are valid as long as the session has its id. A sign-in
    /// or [`rotate`](Self::rotate) invalidates them, so call it last. Tokens that were sent before
    /// a rotation [by age](crate::SessionManagerBuilder::rotate_every) are valid until the next
    /// one. The keys are derived from the cache's [`KeyRing`](sessile::KeyRing): tokens are valid
    /// under every key of the ring.
    ///
    /// A visitor without a session gets one, so call it only for pages with a form. Pending changes
    /// that give the session a new id are stored at once. If the request brings only a cookie that
    /// was [just replaced](crate::SessionManagerBuilder::replaced_window), it fails with the status
    /// 409.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    pub fn csrf_token(&self) -> Result<String, SessionError> {
        self.store(|state, request| {
            state.is_used = true;
            let cache = request.manager.cache();
            let form = match cache {
                Cache::Local(_) => FormBinding::of(cache, &state.settle_id(request)?),
                Cache::Tiered(_) => state.settle_form(request)?,
            };
            let token = form.mac(cache).mask();
            token.map_err(|error| SessionError::Store(error.into()))
        })
    }

    /// Verifies the CSRF token of a form, which [`csrf_token`](Self::csrf_token) returned for this
    /// session. It runs in constant time. Call it before the request has any effect.
    ///
    /// ```
    /// # use http::{HeaderMap, StatusCode, header};
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::{SessionError, SessionManager};
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
    /// let hidden_field = session.csrf_token()?;
    /// // When the form comes back:
    /// session.check_csrf(&hidden_field)?;
    /// assert!(matches!(session.check_csrf("made up"), Err(SessionError::InvalidCsrfToken)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidCsrfToken`](SessionError::InvalidCsrfToken), also without a session.
    pub fn check_csrf(&self, token: &str) -> Result<(), SessionError> {
        let is_right = self.read(|state, request| {
            let cache = request.manager.cache();
            let given = CsrfMac::unmask(token)?;
            let is_reserved = state.verifies_reserved(cache, &given);
            let Some(live) = state.stored.live(request) else {
                return Some(is_reserved);
            };
            let current = FormBinding::of(cache, &live.id).verify(cache, &given);
            let before = live
                .data
                .find(FORM)
                .and_then(|json| FormBinding::from_json(&json));
            let before = before.is_some_and(|before| before.verify(cache, &given));
            Some(is_reserved | current | before)
        })?;
        if is_right == Some(true) {
            Ok(())
        } else {
            Err(SessionError::InvalidCsrfToken)
        }
    }
}

impl State {
    fn keep(&mut self, request: &Request, keep: CookiePersistence) {
        let seconds = || request.manager.idle_timeout().as_secs().to_string();
        let (persistent, remembered) = match keep {
            CookiePersistence::Default => (None, None),
            CookiePersistence::WhileUsed => (Some(seconds().into()), None),
            CookiePersistence::For(_) => (None, Some(Bytes::from_static(b"true"))),
        };
        for (key, json) in [(PERSISTENT, persistent), (REMEMBERED, remembered)] {
            self.changes
                .push(key, json.map_or(Change::Remove, Change::Set));
        }
        self.pending.keep = Some(keep);
    }

    /// Returns the id to which the response's CSRF tokens are bound. It is created or replaced now
    /// if the handler's verbs require that. A rotation by age waits for the response, because
    /// tokens remain valid across it.
    fn settle_id(&mut self, request: &Request) -> Result<SessionId, SessionError> {
        if !self.committed {
            self.keep_for_forms(request);
            let is_settled = self.stored.live(request).is_some() && !self.changes_id(request);
            if !is_settled {
                // Only on a local cache, where nothing waits.
                ready(self.store_now(request))?;
            }
        }
        match self.stored.live(request) {
            Some(live) => {
                self.has_form = true;
                Ok(live.id)
            }
            None if self.committed => Err(SessionError::AlreadyCommitted),
            None => Err(CommitError::from(Error::Gone).into()),
        }
    }

    /// Records that a session without a user is kept for its forms even if it has no other data.
    pub(crate) fn keep_for_forms(&mut self, request: &Request) {
        let live = self.stored.live(request);
        let is_noted =
            live.is_some_and(|live| live.authenticated || live.data.find(FORM).is_some());
        if !is_noted {
            self.changes
                .push(FORM, Change::Set(Bytes::from_static(NO_BINDING)));
        }
    }
}
