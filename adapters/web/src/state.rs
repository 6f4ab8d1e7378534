//! The state of one request's session: the stored data, the changes and the pending operations.
//!
//! Invariant: after `sign_out` the request has no stored session, whatever its cookies contain.
//!
//! The session is read here and stored in `persist`. Neither calls code of the application, because
//! the state is locked: log lines are collected in [`LogLines`], and the caller calls the admission
//! hook. The module does not know the lock.

use bytes::{Bytes, BytesMut};
use sessile::{Error, IssuedSession, Record, SessionId, Token, Version};

use crate::{
    CommitError, SessionError, SessionManager, SessionRequest, SignIn,
    changes::{ApplyError, Change, Changes},
    csrf::FormBinding,
    encoding::Pairs,
    identity,
    key::{FORM, PERSISTENT, REMEMBERED, USER, is_reserved},
    log_lines::LogLines,
    persist::Phase,
    taken::Progress,
};

/// The parts of a request that concern its session, and the manager.
pub(crate) struct Request {
    pub(crate) manager: SessionManager,
    pub(crate) incoming: SessionRequest,
}

impl Request {
    /// Returns the id of a cookie of the request if the id was replaced within the
    /// [`replaced_window`](SessionManager::replaced_window). The browser then has a newer cookie,
    /// or is about to receive it, and a cookie set now would overwrite it.
    ///
    /// Meant for requests whose cookies open no session.
    pub(crate) async fn replaced_id(&self) -> Result<Option<SessionId>, Error> {
        let (cache, window) = (self.manager.cache(), self.manager.replaced_window());
        for id in self.manager.ids_of(&self.incoming.cookies) {
            if cache.replaced(&id).await?.is_some_and(|age| age < window) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

/// The state of one request's session.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) is_used: bool,
    pub(crate) committed: bool,
    /// No response can set a cookie.
    pub(crate) detached: bool,
    pub(crate) stored: Stored,
    pub(crate) changes: Changes,
    pub(crate) pending: PendingOps,
    /// The cookie is sent again because its `Max-Age` changed.
    pub(crate) resend_cookie: bool,
    /// The change that the response makes to the browser's cookie.
    pub(crate) cookie: Option<Cookie>,
    /// The cookie belongs to a session that was stored while the handler ran, and that may have
    /// ended since.
    pub(crate) is_cookie_early: bool,
    /// A CSRF token of this response is bound to the id that the session had when the token was
    /// created.
    pub(crate) has_form: bool,
    pub(crate) admission: Admission,
    pub(crate) log_lines: LogLines,
    /// A verb without an error answered as for an empty session, because the session could not be
    /// read.
    pub(crate) is_blind: bool,
    /// The id of the session that the commit creates, to which CSRF tokens are bound. Only with a
    /// store.
    pub(crate) reserved: Option<IssuedSession>,
    /// The binding of CSRF tokens while the session is about to get another id. Only with a store.
    pub(crate) form: Option<FormBinding>,
    /// The id of a session whose creation is in progress, or was not awaited.
    pub(crate) creating: Option<SessionId>,
    pub(crate) progress: Progress,
}

/// The result of the admission hook. The hook is application code, so it is called while the state
/// is unlocked.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Admission {
    #[default]
    Unknown,
    /// A session is to be created. The operation runs again after the hook was called.
    Needed,
    Granted,
    Denied,
}

/// Operations that a handler requested, besides changes of the data.
#[derive(Default)]
pub(crate) struct PendingOps {
    pub(crate) sign_in: Option<Box<SignIn>>,
    pub(crate) rotate: bool,
    /// A change of the persistence of the cookie, and of the session's timeouts with it.
    pub(crate) keep: Option<CookiePersistence>,
}

/// The persistence of a session and its cookie.
#[derive(Clone, Copy)]
pub(crate) enum CookiePersistence {
    /// The manager's settings.
    Default,
    /// For the idle timeout after each use.
    WhileUsed,
    /// For a span from now.
    For(std::time::Duration),
}

/// A change of the browser's cookie.
pub(crate) enum Cookie {
    Issue(Token),
    Remove,
}

/// The stored session of this request.
#[derive(Default)]
pub(crate) enum Stored {
    #[default]
    Unread,
    /// Fetched ahead of the first access, which did not happen yet. Only with a store.
    Loaded(Box<Live>),
    /// The store could not be reached. Only with a store.
    Failed,
    /// The cookies open no session.
    Absent,
    Live(Live),
    /// The session has ended: changes from now on create a new session.
    Ended,
    /// The session has a new id that this request does not know. The browser has the new cookie or
    /// is about to receive it.
    Replaced(SessionId),
}

/// A session that was opened or created.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) id: SessionId,
    pub(crate) version: Version,
    pub(crate) authenticated: bool,
    /// The engine's record; `None` since this request gave the session its current id.
    pub(crate) record: Option<Record>,
    pub(crate) data: Pairs,
    /// The stored data is not in the format of this crate, so it reads as empty.
    pub(crate) is_foreign: bool,
}

impl State {
    /// Returns the raw value of a key with this request's changes applied.
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

    /// Returns the stored value of a key, without this request's changes.
    pub(crate) fn stored_json(&mut self, request: &Request, key: &str) -> Option<Bytes> {
        self.stored.live(request)?.data.find(key)
    }

    /// Returns all pairs of the application with this request's changes applied.
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

    /// Returns the name of the user who is signed in, or will be at commit.
    pub(crate) fn user(&mut self, request: &Request) -> Option<String> {
        if !self.is_authenticated(request) {
            return None;
        }
        let json = self.json(request, USER).ok()??;
        serde_json::from_slice(&json).ok()
    }

    /// Ends the stored session at once and discards everything that is pending. With a store, the
    /// caller ends the ids that are returned.
    pub(crate) fn sign_out(&mut self, request: &Request) -> Vec<SessionId> {
        let (manager, cookies) = (&request.manager, &request.incoming.cookies);
        let live = match &self.stored {
            Stored::Live(live) => Some(&live.id),
            Stored::Loaded(live) => Some(&live.id),
            _ => None,
        };
        let ids = manager.end(live, cookies);
        self.cookie = manager.has_cookie(cookies).then_some(Cookie::Remove);
        self.stored = Stored::Ended;
        self.discard();
        ids
    }

    /// Discards all changes and operations that were not performed.
    #[inline]
    pub(crate) fn discard(&mut self) {
        (self.changes, self.pending) = (Changes::default(), PendingOps::default());
        self.forget_forms();
    }

    /// Forgets the ids to which CSRF tokens of this request are bound and which no session has yet.
    #[inline]
    pub(crate) fn forget_forms(&mut self) {
        (self.reserved, self.form) = (None, None);
    }

    /// Ends a session whose new id was never sent to the client.
    pub(crate) fn abandon(&self, request: &Request) {
        let cache = request.manager.cache();
        if let (Some(Cookie::Issue(_)), Stored::Live(live)) = (&self.cookie, &self.stored) {
            cache.end_later(&live.id);
        }
        if let Some(id) = &self.creating {
            cache.end_later(id);
        }
    }

    /// Stores the changes while the handler runs.
    pub(crate) async fn store_now(&mut self, request: &Request) -> Result<(), CommitError> {
        let stored = self.store(request, Phase::Early).await;
        if let Err(error) = &stored
            && !self.needs_admission()
        {
            self.reset(request, error).await;
        }
        self.is_cookie_early = matches!(self.cookie, Some(Cookie::Issue(_)));
        stored
    }

    /// Records a log line if the stored data was written by another program.
    pub(crate) fn note_foreign_data(&mut self) {
        if let Stored::Live(live) = &self.stored {
            self.log_lines.is_foreign |= live.is_foreign;
        }
    }

    /// Returns true if the failed operation must run again after the admission hook was called.
    pub(crate) fn needs_admission(&self) -> bool {
        self.admission == Admission::Needed
    }

    /// Discards the changes after an error that the handler sees, and loads the session again.
    /// Operations that were not performed remain pending with their watched keys, so that no
    /// response ignores one.
    async fn reset(&mut self, request: &Request, error: &CommitError) {
        if error.cause() == Error::Gone {
            self.discard();
        } else if self.pending.is_none() && !self.changes.is_clearing() {
            self.changes = Changes::default();
        } else {
            self.changes.forget_data();
        }
        self.forget_forms();
        if let Stored::Live(live) = &mut self.stored {
            match live.reload(&request.manager).await {
                // What was read before is all that is known.
                Ok(()) | Err(Error::Unreachable) if live.data.find(FORM).is_some() => return,
                Ok(()) | Err(Error::Unreachable) => {}
                Err(_) => self.stored = Stored::Ended,
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

    /// Rejects a change of the user if the headers were sent: it needs a new id, whose cookie no
    /// response can carry.
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
    /// Returns the stored session. The first call opens it.
    pub(crate) fn live(&mut self, request: &Request) -> Option<&mut Live> {
        if matches!(self, Self::Unread | Self::Loaded(_)) {
            // The verbs of a session report that it is not loaded.
            let _ = self.open(request);
        }
        match self {
            Self::Live(live) => Some(live),
            _ => None,
        }
    }
}

impl Live {
    /// Creates it from what the cache returned.
    pub(crate) fn new(record: Record, buffer: BytesMut) -> Self {
        let (data, is_foreign) = read_data(buffer);
        Self {
            id: record.id,
            version: record.version,
            authenticated: record.is_authenticated(),
            record: Some(record),
            data,
            is_foreign,
        }
    }

    /// Loads the session again after another request changed it.
    pub(crate) async fn reload(&mut self, manager: &SessionManager) -> Result<(), Error> {
        let mut buffer = BytesMut::new();
        let loaded = manager.cache().load(&self.id, &mut buffer).await?;
        let record = loaded.ok_or(Error::Gone)?;
        (self.version, self.authenticated) = (record.version, record.is_authenticated());
        (self.data, self.is_foreign) = read_data(buffer);
        Ok(())
    }

    /// Returns the number of seconds for which the browser keeps the cookie after each use; `None`
    /// if the cookie is not persistent.
    pub(crate) fn persistent(&self, request: &Request) -> Option<u64> {
        if let Some(json) = self.data.find(PERSISTENT) {
            return serde_json::from_slice(&json).ok();
        }
        let manager = &request.manager;
        let is_used = manager.has_persistent_cookies() && !self.is_remembered();
        is_used.then(|| manager.idle_timeout().as_secs())
    }

    /// Returns true if the browser keeps the cookie until the session expires.
    pub(crate) fn is_remembered(&self) -> bool {
        self.data.find(REMEMBERED).is_some()
    }
}

/// Returns the decoded data, and true if the bytes are not in the format of this crate.
fn read_data(buffer: BytesMut) -> (Pairs, bool) {
    let len = buffer.len();
    let data = Pairs::read(buffer.freeze());
    let is_foreign = data.as_bytes().len() != len;
    (data, is_foreign)
}
