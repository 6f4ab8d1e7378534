//! What one request knows of its session: what is stored, what it changed, what it asked for.
//!
//! Invariant: after `sign_out` there is no stored session to this request, whatever its cookies say. It is
//! read here and stored in `store`; it does not know who locks it. Nothing here and in `store` calls code of the
//! application: log lines are kept as [`LogLines`], and the admission hook is asked by the caller.

use bytes::{Bytes, BytesMut};
use sessile::{Error, Record, SessionId, Token, Version};

use crate::{
    CommitError, SessionError, SessionManager, SessionRequest, SignIn,
    changes::{ApplyError, Change, Changes},
    encoding::Pairs,
    identity,
    key::{FORM, PERSISTENT, REMEMBERED, USER, is_reserved},
    log_lines::LogLines,
    persist::Phase,
};

/// What a request brought.
pub(crate) struct Request {
    pub(crate) manager: SessionManager,
    pub(crate) incoming: SessionRequest,
}

impl Request {
    /// The id that a cookie of the request carries, if it was replaced so recently that the browser has another
    /// cookie, or is about to get one: a cookie set now would overwrite that. For requests that open no session.
    pub(crate) fn replaced_id(&self) -> Option<SessionId> {
        let window = self.manager.replaced_window();
        self.manager.ids_of(&self.incoming.cookies).find(|id| {
            self.manager
                .cache()
                .replaced(id)
                .is_some_and(|age| age < window)
        })
    }
}

/// The state of one request's session.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) is_used: bool,
    pub(crate) committed: bool,
    /// No response can tell the browser anything.
    pub(crate) detached: bool,
    pub(crate) stored: Stored,
    pub(crate) changes: Changes,
    pub(crate) pending: PendingOps,
    /// The browser is to be told for how long to keep the cookie, though it has it.
    pub(crate) resend_cookie: bool,
    /// What the response will do to the browser's cookie.
    pub(crate) cookie: Option<Cookie>,
    /// The cookie is of a session that was stored while the handler ran, and may have ended since.
    pub(crate) is_cookie_early: bool,
    /// A form of this request's response names the id that the session had when it was asked for.
    pub(crate) has_form: bool,
    pub(crate) admission: Admission,
    pub(crate) log_lines: LogLines,
}

/// The answer of the admission hook, which is the application's code: it is asked while nothing is locked.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Admission {
    #[default]
    Unknown,
    /// A session is to be created: what was tried is tried again once the hook was asked.
    Needed,
    Granted,
    Denied,
}

/// What a handler asked for beside changes of the data.
#[derive(Default)]
pub(crate) struct PendingOps {
    pub(crate) sign_in: Option<Box<SignIn>>,
    pub(crate) rotate: bool,
    /// The browser is to keep the cookie, or the session is to live, longer or no longer than before.
    pub(crate) keep: Option<CookiePersistence>,
}

/// For how long a session and its cookie are kept.
#[derive(Clone, Copy)]
pub(crate) enum CookiePersistence {
    /// As the layer says, both of them.
    Default,
    /// As long as it is used now and then.
    WhileUsed,
    /// For so long.
    For(std::time::Duration),
}

/// What is done to a browser's cookie.
pub(crate) enum Cookie {
    Issue(Token),
    Remove,
}

/// What the engine has for this request.
#[derive(Default)]
pub(crate) enum Stored {
    #[default]
    Unread,
    /// The cookies open no session.
    Absent,
    Live(Live),
    /// It has ended: what is stored from now on is a new session.
    Ended,
    /// It has a new id that this request does not know, and the browser the cookie with that.
    Replaced(SessionId),
}

/// A session that was found, or made.
pub(crate) struct Live {
    pub(crate) id: SessionId,
    pub(crate) version: Version,
    pub(crate) authenticated: bool,
    /// What the engine said of it; nothing since this request gave it the id that it has.
    pub(crate) record: Option<Record>,
    pub(crate) data: Pairs,
}

impl State {
    /// The raw value of a key, as this request sees it.
    pub(crate) fn json(
        &mut self,
        request: &Request,
        key: &str,
    ) -> Result<Option<Bytes>, ApplyError> {
        let Self {
            stored, changes, ..
        } = self;
        changes.value(key, || stored.live(request)?.data.find(key))
    }

    /// What is stored under a key, whatever this request has made of it.
    pub(crate) fn stored_json(&mut self, request: &Request, key: &str) -> Option<Bytes> {
        self.stored.live(request)?.data.find(key)
    }

    /// All pairs that are the application's, as this request sees them.
    pub(crate) fn pairs(&mut self, request: &Request) -> Vec<(String, Bytes)> {
        let stored = self
            .stored
            .live(request)
            .map(|live| live.data.clone())
            .unwrap_or_default();
        let pairs = self.changes.applied_to(&stored).unwrap_or_default();
        let own = pairs.iter().filter(|(key, _)| !is_reserved(key));
        own.map(|(key, json)| (String::from_utf8_lossy(key).into_owned(), pairs.part(json)))
            .collect()
    }

    pub(crate) fn is_authenticated(&mut self, request: &Request) -> bool {
        self.pending.sign_in.is_some()
            || self
                .stored
                .live(request)
                .is_some_and(|live| live.authenticated)
    }

    /// The name of who is signed in, or will be.
    pub(crate) fn user(&mut self, request: &Request) -> Option<String> {
        if !self.is_authenticated(request) {
            return None;
        }
        let json = self.json(request, USER).ok()??;
        serde_json::from_slice(&json).ok()
    }

    /// Ends the stored session at once and forgets all that was asked for.
    pub(crate) fn sign_out(&mut self, request: &Request) {
        if let Stored::Live(live) = &self.stored {
            request.manager.cache().end(&live.id);
        }
        let has_cookie = request.manager.end(&request.incoming.cookies);
        self.cookie = has_cookie.then_some(Cookie::Remove);
        self.stored = Stored::Ended;
        self.discard();
    }

    /// Forgets all that was asked for and not done.
    #[inline]
    pub(crate) fn discard(&mut self) {
        (self.changes, self.pending) = (Changes::default(), PendingOps::default());
    }

    /// Ends a session whose new id was in a cookie that no response took along.
    pub(crate) fn abandon(&self, request: &Request) {
        if let (Some(Cookie::Issue(_)), Stored::Live(live)) = (&self.cookie, &self.stored) {
            request.manager.cache().end(&live.id);
        }
    }

    /// Stores while the handler runs.
    pub(crate) fn store_now(&mut self, request: &Request) -> Result<(), CommitError> {
        let stored = self.store(request, Phase::Early);
        if let Err(error) = &stored
            && !self.needs_admission()
        {
            self.reset(request, error);
        }
        self.is_cookie_early = matches!(self.cookie, Some(Cookie::Issue(_)));
        stored
    }

    /// Returns true if what failed is to be tried again once the admission hook was asked.
    pub(crate) fn needs_admission(&self) -> bool {
        self.admission == Admission::Needed
    }

    /// After an error that the handler sees: forgets what it changed, and reads again. The verbs that were not
    /// performed stay pending, with the guards that they were held to, so that no response passes over one.
    fn reset(&mut self, request: &Request, error: &CommitError) {
        if error.cause() == Error::Gone {
            self.discard();
        } else if self.pending.is_none() && !self.changes.is_clearing() {
            self.changes = Changes::default();
        } else {
            self.changes.forget_data();
        }
        if let Stored::Live(live) = &mut self.stored {
            if live.reload(&request.manager).is_err() {
                self.stored = Stored::Ended;
            } else if live.data.find(FORM).is_some() {
                return;
            }
        }
        self.changes.forget(FORM);
    }

    /// Records a change of one of the application's keys.
    #[inline]
    pub(crate) fn push(
        &mut self,
        request: &Request,
        key: &str,
        change: Change,
    ) -> Result<(), SessionError> {
        self.check_identity(request, key, &change)?;
        self.changes.push(key, change);
        Ok(())
    }

    /// A change of the user needs a new id, which no response tells the browser any more once its headers have left.
    #[inline]
    pub(crate) fn check_identity(
        &mut self,
        request: &Request,
        key: &str,
        change: &Change,
    ) -> Result<(), SessionError> {
        let is_late = self.detached && self.names_user(request, key, change);
        if is_late {
            Err(SessionError::AlreadyCommitted)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn names_user(&mut self, request: &Request, key: &str, change: &Change) -> bool {
        if !request.manager.is_identity_key(key) {
            return false;
        }
        let stored = self.stored_json(request, key);
        let seen = self.json(request, key).unwrap_or_default();
        let new = change.apply(seen).unwrap_or_default();
        identity::is_changed(stored.as_deref(), new.as_deref())
    }
}

impl PendingOps {
    pub(crate) fn is_none(&self) -> bool {
        self.sign_in.is_none() && !self.rotate && self.keep.is_none()
    }
}

impl Stored {
    /// The stored session; the first call asks the engine for it.
    pub(crate) fn live(&mut self, request: &Request) -> Option<&mut Live> {
        if matches!(self, Self::Unread) {
            *self = Self::read(request);
        }
        match self {
            Self::Live(live) => Some(live),
            _ => None,
        }
    }

    fn read(request: &Request) -> Self {
        let mut buffer = BytesMut::new();
        match request.manager.open(&request.incoming.cookies, &mut buffer) {
            Some(record) => Self::Live(Live {
                id: record.id,
                version: record.version,
                authenticated: record.is_authenticated(),
                record: Some(record),
                data: Pairs::read(buffer.freeze()),
            }),
            None => Self::Absent,
        }
    }
}

impl Live {
    /// Reads it again, after somebody else changed it.
    pub(crate) fn reload(&mut self, manager: &SessionManager) -> Result<(), Error> {
        let mut buffer = BytesMut::new();
        let record = manager
            .cache()
            .load(&self.id, &mut buffer)
            .ok_or(Error::Gone)?;
        (self.version, self.authenticated) = (record.version, record.is_authenticated());
        self.data = Pairs::read(buffer.freeze());
        Ok(())
    }

    /// For how many seconds after each use the browser is to keep the cookie, if so.
    pub(crate) fn persistent(&self, request: &Request) -> Option<u64> {
        if let Some(json) = self.data.find(PERSISTENT) {
            return serde_json::from_slice(&json).ok();
        }
        let manager = &request.manager;
        let is_used = manager.has_persistent_cookies() && !self.is_remembered();
        is_used.then(|| manager.idle_timeout().as_secs())
    }

    /// Whether the browser is to keep the cookie until the session's own end.
    pub(crate) fn is_remembered(&self) -> bool {
        self.data.find(REMEMBERED).is_some()
    }
}
