//! From what a request asked for to what the engine holds.
//!
//! The order is what makes it safe: a new id is issued before data is saved, or in one with it, so that
//! nothing of a sign-in is ever readable under the old one; what cannot fit is refused before a new id is issued.
//! It knows of no response.

use bytes::Bytes;
use sessile::{Error, Grace, Issued, NewSession, SessionId, Token};

use crate::{
    CommitError, SignIn,
    changes::{Change, Changes},
    csrf::Mark,
    key::FORM,
    pairs::{Pairs, len_with_one},
    state::{Cookie, Keep, Live, Request, State, Stored, Wishes},
};

impl State {
    /// Does what was asked for until now. On an error nothing of it was done, a new id apart, and it is still
    /// asked for.
    pub(crate) fn store(&mut self, request: &Request) -> Result<(), CommitError> {
        if !self.has_work(request) {
            return Ok(());
        }
        let stored = match self.stored.live(request) {
            Some(_) => self.update(request),
            None if self.detached => Err(Error::Gone.into()),
            None => self.create(request, &Pairs::default()),
        };
        match &stored {
            Ok(()) => {
                self.is_kept_anew |= self.wishes.keep.is_some();
                (self.changes, self.wishes) = (Changes::default(), Wishes::default());
            }
            Err(error) if error.cause() == Error::Gone => self.lose(request),
            Err(_) => {}
        }
        stored
    }

    /// The session ended or expired while the handler ran, and nothing brings it back: the browser need not keep
    /// its cookie. If it has a new id instead, whoever gave it that has sent the cookie which this browser has now.
    fn lose(&mut self, request: &Request) {
        if let Stored::Live(Live { id, version, .. }) = self.stored
            && request.sessions.cache().end_if(&id, version) != Err(Error::Rotated)
        {
            self.cookie = Some(Cookie::Remove);
        }
        self.stored = Stored::Absent;
    }

    /// Whether a form of this request would be out of date when the response leaves.
    pub(crate) fn will_rotate(&self, request: &Request) -> bool {
        self.wishes.sign_in.is_some() || self.wishes.rotate || self.is_due(request)
    }

    pub(crate) fn has_work(&self, request: &Request) -> bool {
        !self.changes.is_empty() || self.wishes.keep.is_some() || self.will_rotate(request)
    }

    /// Whether a session that was read has had its id for as long as it may.
    fn is_due(&self, request: &Request) -> bool {
        let every = request.sessions.rotates_every().filter(|_| !self.detached);
        let record = if let Stored::Live(live) = &self.stored { live.record } else { None };
        every.zip(record).is_some_and(|(every, record)| record.id_age() >= every)
    }

    /// A session for a visitor who had none and now has something to store.
    fn create(&mut self, request: &Request, base: &Pairs) -> Result<(), CommitError> {
        let data = self.changes.applied_to(base).map_err(CommitError::conflict)?;
        if data.is_vacant() && self.wishes.sign_in.is_none() {
            return Ok(());
        }
        let deadlines = request.sessions.deadlines(self.wishes.keep);
        let key = &request.incoming.admit_key;
        let mut new = NewSession::default().key(key).deadlines(deadlines);
        if let Some(sign_in) = &self.wishes.sign_in {
            new = new.user(&sign_in.user, sign_in.to_engine());
        }
        let issued = request.sessions.cache().create(data.as_bytes(), new)?;
        self.cookie = Some(Cookie::Issue(issued.token));
        let authenticated = self.wishes.sign_in.is_some();
        let Issued { id, version, .. } = issued;
        self.stored = Stored::Live(Live { id, version, authenticated, record: None, data });
        Ok(())
    }

    /// A session that is there: ended if it was emptied, otherwise given a new id if that was asked for, then
    /// saved.
    fn update(&mut self, request: &Request) -> Result<(), CommitError> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        let mut data = live.changed(&self.changes)?;
        if self.wishes.sign_in.is_none() && data.is_vacant() {
            if live.end_emptied(&self.changes, request)? {
                (self.stored, self.cookie) = (Stored::Absent, Some(Cookie::Remove));
                return Ok(());
            }
            // Somebody else may have filled it.
            data = live.changed(&self.changes)?;
        }
        // What cannot be stored is refused before anything is done.
        let (len, limit) = (data.as_bytes().len(), request.sessions.cache().max_session_size());
        if len > limit {
            return Err(Error::TooLarge { len, limit }.into());
        }
        if self.wishes.sign_in.is_some() {
            return self.sign_in(request);
        }
        let is_changed = self.rotate(request, len)?;
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        if let Some(keep) = self.wishes.keep {
            let deadlines = request.sessions.deadlines(Some(keep));
            request.sessions.cache().set_deadlines(&live.id, deadlines)?;
        }
        if is_changed {
            data = live.changed(&self.changes)?;
        }
        live.save(data, &self.changes, request)
    }

    /// Binds the session to its user under a new id and saves it, in one.
    fn sign_in(&mut self, request: &Request) -> Result<(), CommitError> {
        let (Some(sign_in), Some(live)) = (&self.wishes.sign_in, self.stored.live(request)) else {
            return Err(Error::Gone.into());
        };
        let old = live.id;
        close_forms(live, &mut self.changes);
        match live.sign_in(sign_in, self.wishes.keep, &self.changes, request) {
            Ok(token) => self.cookie = Some(Cookie::Issue(token)),
            // Whoever just proved who they are is not turned away because their old session went.
            Err(error) if error.cause() == Error::Gone => {
                self.create(request, &Pairs::default())?;
            }
            // It has a new id that this request does not know.
            Err(error) if error.cause() == Error::Rotated => {
                let base = core::mem::take(&mut live.data);
                self.create(request, &base)?;
                request.sessions.cache().end(&old);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Gives the session a new id if that was asked for, or if it is time. `len` is what its data will take. Says
    /// whether there are more changes now.
    fn rotate(&mut self, request: &Request, len: usize) -> Result<bool, CommitError> {
        let is_asked = self.wishes.rotate;
        if !is_asked && !self.is_due(request) {
            return Ok(false);
        }
        let (sessions, cache) = (&request.sessions, request.sessions.cache());
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        let old = live.id;
        let grace = if is_asked { sessions.grace_when_asked() } else { sessions.grace() };
        match cache.rotate(&old, Grace::of(grace)) {
            Ok(issued) => {
                (live.id, live.record) = (issued.id, None);
                self.cookie = Some(Cookie::Issue(issued.token));
            }
            // Another request was first, and its response has the cookie.
            Err(Error::Rotated) => return Ok(false),
            Err(error) if is_asked || error == Error::Gone => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, "a session keeps its id for now");
                return Ok(false);
            }
        }
        tracing::debug!("a session has a new id");
        if is_asked {
            close_forms(live, &mut self.changes);
        } else {
            keep_forms(&old, len, cache.max_session_size(), &mut self.changes)?;
        }
        Ok(true)
    }
}

impl Live {
    /// Signs in with this request's changes made. When somebody else saved first, they are made to what they left.
    fn sign_in(
        &mut self,
        sign_in: &SignIn,
        keep: Option<Keep>,
        changes: &Changes,
        request: &Request,
    ) -> Result<Token, CommitError> {
        let sessions = &request.sessions;
        let deadlines = keep.map(|keep| sessions.deadlines(Some(keep))).unwrap_or_default();
        let with = sign_in.to_engine().deadlines(deadlines);
        for _ in 0..TRIES {
            let data = self.changed(changes)?;
            let with = with.data(self.version, data.as_bytes());
            match sessions.cache().sign_in(&self.id, &sign_in.user, with) {
                Ok(Issued { id, token, version, .. }) => {
                    let (authenticated, record) = (true, None);
                    *self = Self { id, version, authenticated, record, data };
                    return Ok(token);
                }
                Err(Error::Conflict) => self.reload(sessions)?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict.into())
    }

    /// Saves what differs. When somebody else saved first, this request's own changes are made to what they
    /// left. The version is the one that was read, also after a new id was issued: what was saved in between
    /// must show as a conflict.
    fn save(
        &mut self,
        mut data: Pairs,
        changes: &Changes,
        request: &Request,
    ) -> Result<(), CommitError> {
        for _ in 0..TRIES {
            if data == self.data {
                return Ok(());
            }
            match request.sessions.cache().save(&self.id, self.version, data.as_bytes()) {
                Ok(version) => {
                    (self.version, self.data) = (version, data);
                    return Ok(());
                }
                Err(Error::Conflict) => self.reload(&request.sessions)?,
                Err(error) => return Err(error.into()),
            }
            tracing::debug!("changes are made again, to what another request left");
            data = self.changed(changes)?;
        }
        Err(Error::Conflict.into())
    }

    /// Ends a session without a user that this request leaves empty, unless somebody else is filling it or
    /// signing in to it at the same time.
    fn end_emptied(&mut self, changes: &Changes, request: &Request) -> Result<bool, CommitError> {
        for _ in 0..TRIES {
            if changes.is_empty() || self.authenticated || !self.changed(changes)?.is_vacant() {
                return Ok(false);
            }
            match request.sessions.cache().end_if(&self.id, self.version) {
                Err(Error::Conflict) => self.reload(&request.sessions)?,
                // It lives on under another id, for whoever has that.
                Err(Error::Rotated) => return Ok(false),
                ended => return Ok(ended.map(|()| true)?),
            }
        }
        Err(Error::Conflict.into())
    }

    /// Its data with the changes made.
    fn changed(&self, changes: &Changes) -> Result<Pairs, CommitError> {
        changes.applied_to(&self.data).map_err(CommitError::conflict)
    }
}

/// Forms that were sent before a change of privilege count no more, and the next ones will.
fn close_forms(live: &Live, changes: &mut Changes) {
    if live.data.find(FORM).is_some() {
        changes.push(FORM, Change::Set(Bytes::from_static(NO_MARK)));
    }
}

/// Forms that were sent under the old id still count, if there is room to remember it.
fn keep_forms(
    old: &SessionId,
    len: usize,
    limit: usize,
    changes: &mut Changes,
) -> Result<(), Error> {
    let mark = Mark::of(old)?.to_json();
    if len + len_with_one(FORM.len(), mark.len()) <= limit {
        changes.push(FORM, Change::Set(mark.into()));
    }
    Ok(())
}

/// Under [`FORM`] while only the id that the session has now counts.
pub(crate) const NO_MARK: &[u8] = b"\"\"";

/// Of n requests that save one session at once, at least one gets through in each round.
const TRIES: usize = 32;
