//! The verbs of a session that are about its visitor: who is signed in, for how long, by which id, and
//! whether a form is theirs.

use std::time::Duration;

use bytes::Bytes;
use sessile::{Error, SessionId};

use crate::{
    CommitError, Session, SessionError, SignIn,
    changes::Change,
    csrf::Mark,
    key::{FORM, PERSISTENT, REMEMBERED, USER},
    session::check_size,
    state::{Keep, Request, State},
    store::NO_MARK,
};

impl Session {
    /// Signs a user in: at commit the session is bound to the user and gets a new id, so that whoever
    /// knew the old one has nothing. The data stays. A visitor without a session gets one.
    ///
    /// On a session that another user left behind, call [`clear`](Self::clear) first. That it was
    /// [remembered](Self::remember), or its cookie [kept](Self::make_persistent), for that user ends in any case. A
    /// sign-in that changes for how long the session is kept begins its lifetime again.
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
    /// // Or with more to say:
    /// session.sign_in(SignIn::of("ada").label("Firefox on Linux").assurance_level(2))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`EmptyUser`](SessionError::EmptyUser), [`TooLarge`](SessionError::TooLarge) for a name that no session
    /// holds, [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn sign_in(&self, who: impl Into<SignIn>) -> Result<(), SessionError> {
        let sign_in: SignIn = who.into();
        if sign_in.user.is_empty() {
            return Err(SessionError::EmptyUser);
        }
        let name = serde_json::to_vec(&sign_in.user).map_err(SessionError::Encode)?;
        self.change(|state, request| {
            state.check_response()?;
            check_size(request, USER, name.len())?;
            let is_anothers = state.user(request).is_some_and(|user| user != sign_in.user);
            state.changes.push(USER, Change::Set(name.into()));
            match sign_in.remember {
                Some(span) => state.keep(request, Keep::For(span)),
                None if is_anothers && state.wishes.keep.is_none() => {
                    state.keep(request, Keep::Usual);
                }
                None => {}
            }
            state.wishes.sign_in = Some(Box::new(sign_in));
            Ok(())
        })
    }

    /// Signs out: destroys the session on the server, at once and whatever the response will be, and
    /// has the response remove the cookie. The session is empty then, and what this request changed
    /// before is forgotten; an insert after it starts a new session.
    pub fn sign_out(&self) {
        self.with(State::sign_out);
    }

    /// The name of the user who is signed in, counting a [`sign_in`](Self::sign_in) of this request; `None` if
    /// nobody is.
    #[must_use]
    pub fn user(&self) -> Option<String> {
        self.with(State::user)
    }

    /// Whether a user is signed in, counting a [`sign_in`](Self::sign_in) of this request.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.with(State::is_authenticated)
    }

    /// How long ago the user signed in, by what was stored before this request; `None` if nobody had. For asking
    /// again before something that matters.
    #[must_use]
    pub fn authenticated_for(&self) -> Option<Duration> {
        self.with(|state, request| state.stored.live(request)?.record?.authenticated_for())
    }

    /// How sure the application was of the user, by what was stored before this request; 0 if nobody had signed
    /// in. See [`SignIn::assurance_level`].
    #[must_use]
    pub fn assurance_level(&self) -> u8 {
        let level = |record: sessile::Record| record.assurance_level;
        self.with(|state, request| state.stored.live(request)?.record.map(level)).unwrap_or(0)
    }

    /// Gives the session a new id at commit: for any change of privilege. The old cookie opens nothing
    /// from then on, unless the layer has a [grace](crate::SessionManager::with_grace). A visitor without a session
    /// does not get one by this.
    ///
    /// # Errors
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn rotate(&self) -> Result<(), SessionError> {
        self.change(|state, _| {
            state.check_response()?;
            state.wishes.rotate = true;
            Ok(())
        })
    }

    /// Keeps the session for a span from now, whether it is used or not, and has the browser keep the cookie as long. No
    /// longer than the cache permits: its idle timeout and lifetime cap the span. A visitor without a session does
    /// not get one by this.
    ///
    /// # Errors
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn remember(&self, span: Duration) -> Result<(), SessionError> {
        self.change(|state, request| {
            state.check_response()?;
            state.keep(request, Keep::For(span));
            Ok(())
        })
    }

    /// Has the browser keep the cookie when it is closed, for the session's idle timeout after each use. It is sent
    /// again by a response whose request moved the deadline, which it does once it is a sixteenth of the timeout
    /// further. A visitor without a session does not get one by this.
    ///
    /// # Errors
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn make_persistent(&self) -> Result<(), SessionError> {
        self.change(|state, request| {
            state.check_response()?;
            state.keep(request, Keep::Used);
            Ok(())
        })
    }

    /// A text for a hidden field of a form, by which [`check_csrf`](Self::check_csrf) knows it when it comes back.
    /// It is another one each time, all of them count, and they count as long as the session has its id: not after
    /// a sign-in or [`rotate`](Self::rotate), so ask for it last. Those that were out when the layer
    /// [rotated](crate::SessionManager::rotate_every) the session count until it does so again.
    ///
    /// A visitor without a session gets one, at once: ask only where there is a form. What was changed and asked
    /// for so far is stored at once as well if it changes the id. A rotation by the layer waits for the response. It is
    /// an error, with the status 409, if the request brings only a cookie that was
    /// [just replaced](crate::SessionManager::with_replaced_window).
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    pub fn csrf_token(&self) -> Result<String, SessionError> {
        self.store(|state, request| {
            state.looked_at = true;
            let id = state.settle(request)?;
            let token = Mark::of(&id).and_then(|mark| mark.mask());
            token.map_err(|error| SessionError::Store(error.into()))
        })
    }

    /// Whether a form is this visitor's: that what came with it is what [`csrf_token`](Self::csrf_token) gave.
    /// Takes the same time whatever is wrong in it. Call it before anything else is done.
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
    /// [`InvalidCsrfToken`](SessionError::InvalidCsrfToken), also where there is no session.
    pub fn check_csrf(&self, token: &str) -> Result<(), SessionError> {
        let is_right = self.with(|state, request| {
            let live = state.stored.live(request)?;
            let given = Mark::unmask(token)?;
            let current = Mark::of(&live.id).ok()?.equals(&given);
            let before = live.data.find(FORM).and_then(|json| Mark::from_json(&json));
            Some(current | before.is_some_and(|before| before.equals(&given)))
        });
        if is_right == Some(true) { Ok(()) } else { Err(SessionError::InvalidCsrfToken) }
    }
}

impl State {
    fn keep(&mut self, request: &Request, keep: Keep) {
        let seconds = || request.sessions.idle_timeout().as_secs().to_string();
        let (persistent, remembered) = match keep {
            Keep::Usual => (None, None),
            Keep::Used => (Some(seconds().into()), None),
            Keep::For(_) => (None, Some(Bytes::from_static(b"true"))),
        };
        for (key, json) in [(PERSISTENT, persistent), (REMEMBERED, remembered)] {
            self.changes.push(key, json.map_or(Change::Remove, Change::Set));
        }
        self.wishes.keep = Some(keep);
    }

    /// The id by which the response's forms are known: one is made, or changed, now, if the handler asked for that. A
    /// rotation that is due waits for the response: if that is dropped, the browser still has the cookie that opens
    /// the session, and forms survive such a rotation.
    fn settle(&mut self, request: &Request) -> Result<SessionId, SessionError> {
        if !self.committed {
            self.open_forms(request);
            let is_settled = self.stored.live(request).is_some() && !self.changes_id(request);
            if !is_settled {
                self.store_now(request)?;
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

    /// Notes that a session without a user is kept for its forms, though it may hold nothing else.
    fn open_forms(&mut self, request: &Request) {
        let live = self.stored.live(request);
        let is_noted =
            live.is_some_and(|live| live.authenticated || live.data.find(FORM).is_some());
        if !is_noted {
            self.changes.push(FORM, Change::Set(Bytes::from_static(NO_MARK)));
        }
    }
}
