//! From what a request asked for to what the engine holds.
//!
//! The order is what makes it safe. What is expected of the stored data is checked first. A new id is issued before data
//! is saved, or atomically with it, so that nothing of a sign-in is ever readable under the old one; what cannot fit is
//! rejected before a new id is issued. Timeouts change last, so that a store that failed leaves them as they were.
//! It knows of no response.

use std::time::Duration;

use bytes::Bytes;
use sessile::{CreateOptions, Error, IssuedSession, SessionId, Timeouts};

use crate::{
    CommitError, SessionManager,
    changes::Change,
    csrf::FormBinding,
    encoding::{Pairs, len_with_one},
    identity,
    key::FORM,
    state::{Admission, Cookie, CookiePersistence, Live, Request, State, Stored},
};

/// When something is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// While the handler runs, which sees an error. The client may still disconnect, so an id is replaced only where
    /// the handler asked for that.
    Early,
    /// As the response's headers leave.
    Commit,
}

impl State {
    /// Does what was asked for until now. On an error nothing of it was done, a new id apart, and it is still
    /// asked for. If it wants the answer of the admission hook, it is to be called again.
    pub(crate) fn store(&mut self, request: &Request, phase: Phase) -> Result<(), CommitError> {
        if !self.has_work(request, phase) {
            return Ok(());
        }
        let stored = match self.stored.live(request) {
            Some(_) => self.update(request, phase),
            None if self.detached => Err(Error::Gone.into()),
            None => self.begin(request),
        };
        let stored = stored.or_else(|error| match error.cause() {
            Error::Gone => self.on_gone(request, phase),
            Error::Rotated => self.on_replaced(request),
            _ => Err(error),
        });
        if stored.is_ok() {
            self.resend_cookie |= self.pending.keep.is_some();
            self.discard();
        }
        stored
    }

    /// Stores that keys which name the user were removed, and nothing else: for a response that says that something
    /// went wrong, which must not undo a sign-out.
    pub(crate) fn store_sign_out(&mut self, request: &Request) -> Result<(), CommitError> {
        let mut removals = Vec::new();
        for name in request.manager.identity_keys() {
            if !self.changes.touches(name) {
                continue;
            }
            let json = self.json(request, name).unwrap_or_default();
            if !identity::is_changed(None, json.as_deref()) {
                removals.push((name, json.map_or(Change::Remove, Change::Set)));
            }
        }
        self.discard();
        removals
            .into_iter()
            .for_each(|(name, change)| self.changes.push(name, change));
        match self.store(request, Phase::Early) {
            Err(error) if error.cause() == Error::Gone => Ok(()),
            stored => stored,
        }
    }

    /// Returns true if a form of this request would be out of date once it was stored.
    pub(crate) fn changes_id(&mut self, request: &Request) -> bool {
        self.pending.sign_in.is_some()
            || self.pending.rotate
            || self.changed_user(request).is_some()
    }

    pub(crate) fn has_work(&self, request: &Request, phase: Phase) -> bool {
        !self.changes.is_empty()
            || !self.pending.is_none()
            || phase == Phase::Commit && self.is_rotation_due(request)
    }

    /// Returns true if a session that was read has had its id for as long as it may.
    fn is_rotation_due(&self, request: &Request) -> bool {
        let (Some(every), Stored::Live(live)) = (request.manager.rotates_every(), &self.stored)
        else {
            return false;
        };
        !self.detached
            && live
                .record
                .as_ref()
                .is_some_and(|record| record.id_age() >= every)
    }

    /// Returns the key by which this request names another user than what is stored, if it does.
    #[inline]
    fn changed_user(&mut self, request: &Request) -> Option<&str> {
        if request.manager.identity_keys().is_empty() {
            return None;
        }
        let live = self.stored.live(request);
        let stored = live.map(|live| live.data.clone()).unwrap_or_default();
        self.changed_identity_key(request, &stored)
    }

    fn changed_identity_key(&self, request: &Request, stored: &Pairs) -> Option<&str> {
        let mut keys = self
            .changes
            .keys()
            .filter(|key| request.manager.is_identity_key(key));
        keys.find(|key| {
            let old = stored.find(key);
            let new = self.changes.value(key, || old.clone()).unwrap_or_default();
            identity::is_changed(old.as_deref(), new.as_deref())
        })
    }

    /// Returns true if a key now names another user than `stored` does.
    pub(crate) fn changes_user(&self, request: &Request, stored: &Pairs) -> bool {
        self.changed_identity_key(request, stored).is_some()
    }

    /// Creates a session for a visitor who has none, unless the browser is about to get the cookie of another one.
    #[inline]
    fn begin(&mut self, request: &Request) -> Result<(), CommitError> {
        let nothing = Pairs::default();
        let replaced = match &self.stored {
            Stored::Replaced(id) => Some(*id),
            Stored::Absent => request.replaced_id(),
            _ => None,
        };
        let signs_in = self.pending.sign_in.is_some() || self.changes_user(request, &nothing);
        if replaced.is_some() && !signs_in {
            let was_read = matches!(self.stored, Stored::Replaced(_)) && !self.changes.is_empty();
            let is_lost = was_read || self.changes.has_data() || self.adds_something()?;
            return if is_lost {
                Err(Error::Rotated.into())
            } else {
                Ok(())
            };
        }
        self.create(request, &nothing, replaced)
    }

    /// Returns true if there is something to store where nothing is stored.
    pub(crate) fn adds_something(&self) -> Result<bool, CommitError> {
        let data = self
            .changes
            .applied_to(&Pairs::default())
            .map_err(CommitError::conflict)?;
        Ok(!data.is_vacant())
    }

    /// Creates a session of `base` with this request's changes, in place of the one that `replaces` leads to.
    pub(crate) fn create(
        &mut self,
        request: &Request,
        base: &Pairs,
        replaces: Option<SessionId>,
    ) -> Result<(), CommitError> {
        let data = self
            .changes
            .applied_to(base)
            .map_err(CommitError::conflict)?;
        if data.is_vacant() && self.pending.sign_in.is_none() {
            return Ok(());
        }
        self.check_admission(request)?;
        let (manager, keep) = (&request.manager, self.pending.keep);
        let mut new = CreateOptions::new()
            .admitted()
            .timeouts(manager.timeouts(keep));
        if let Some(sign_in) = &self.pending.sign_in {
            new = new.user(sign_in.user_info());
        }
        if let Some(id) = &replaces {
            new = new.replaces(id);
        }
        let IssuedSession {
            id, token, version, ..
        } = manager.cache().create_with(data.as_bytes(), new)?;
        self.cookie = Some(Cookie::Issue(token));
        let authenticated = self.pending.sign_in.is_some();
        self.stored = Stored::Live(Live {
            id,
            version,
            authenticated,
            record: None,
            data,
        });
        Ok(())
    }

    /// Takes the answer of the admission hook. If there is none yet, it is wanted, and this is an error.
    fn check_admission(&mut self, request: &Request) -> Result<(), Error> {
        if !request.manager.cache().has_admission_hook() {
            return Ok(());
        }
        match core::mem::take(&mut self.admission) {
            Admission::Granted => return Ok(()),
            Admission::Unknown => self.admission = Admission::Needed,
            _ => {}
        }
        Err(Error::AdmissionDenied)
    }

    /// Updates a session that is there. When another request saved first, this one's changes are made to what that
    /// left. What is expected of the stored data is checked against the version of this moment.
    fn update(&mut self, request: &Request, phase: Phase) -> Result<(), CommitError> {
        let mut is_stale = self.changes.has_expectations();
        for _ in 0..MAX_ATTEMPTS {
            if is_stale {
                self.stored
                    .live(request)
                    .ok_or(Error::Gone)?
                    .reload(&request.manager)?;
            }
            match self.update_once(request, phase) {
                Err(error) if error == Error::Conflict.into() => {}
                Ok(Some(timeouts)) => return self.set_timeouts(request, timeouts),
                done => return done.map(drop),
            }
            (is_stale, self.log_lines.is_merged) = (true, true);
        }
        Err(Error::Conflict.into())
    }

    /// Ends the session if it was emptied; otherwise gives it a new id if it needs one, then saves. Returns the
    /// timeouts that are still to be set.
    #[inline]
    fn update_once(
        &mut self,
        request: &Request,
        phase: Phase,
    ) -> Result<Option<Timeouts>, CommitError> {
        let data = self.changed(request)?;
        let signs_in = self.pending.sign_in.is_some();
        if !signs_in && data.is_vacant() && self.end_emptied(request)? {
            (self.stored, self.cookie) = (Stored::Ended, Some(Cookie::Remove));
            return Ok(None);
        }
        // What cannot be stored is rejected before anything is done.
        let (len, limit) = (
            data.as_bytes().len(),
            request.manager.cache().max_session_size(),
        );
        if len > limit {
            return Err(Error::TooLarge {
                given: len,
                max: limit,
            }
            .into());
        }
        if signs_in {
            return self.sign_in(request).map(|()| None);
        }
        let data = if self.rotate(request, phase, len)? {
            self.changed(request)?
        } else {
            data
        };
        self.save(request, data)
    }

    /// The stored data with this request's changes.
    #[inline]
    fn changed(&mut self, request: &Request) -> Result<Pairs, CommitError> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        self.changes
            .applied_to(&live.data)
            .map_err(CommitError::conflict)
    }

    /// Ends a session without a user that this request leaves empty, unless another request is filling it or
    /// signing in to it at the same time.
    #[inline]
    fn end_emptied(&mut self, request: &Request) -> Result<bool, Error> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        if self.changes.is_empty() || live.authenticated {
            return Ok(false);
        }
        match request
            .manager
            .cache()
            .end_if_unchanged(&live.id, live.version)
        {
            // It has a new id, which opens it for those who have that.
            Err(Error::Rotated) => Ok(false),
            ended => ended.map(|()| true),
        }
    }

    /// Binds the session to its user under a new id and saves it, atomically.
    fn sign_in(&mut self, request: &Request) -> Result<(), CommitError> {
        self.invalidate_forms();
        let data = self.changed(request)?;
        let (Some(sign_in), Stored::Live(live)) = (&self.pending.sign_in, &mut self.stored) else {
            return Err(Error::Gone.into());
        };
        let keep = self.pending.keep;
        let timeouts = keep.map(|keep| request.manager.timeouts(Some(keep)));
        let with = sign_in
            .to_engine(keep)
            .timeouts(timeouts.unwrap_or_default());
        let with = with.replace_data(live.version, data.as_bytes());
        let issued = request
            .manager
            .cache()
            .sign_in_with(&live.id, &sign_in.user, with)?;
        let IssuedSession {
            id, token, version, ..
        } = issued;
        *live = Live {
            id,
            version,
            authenticated: true,
            record: None,
            data,
        };
        self.cookie = Some(Cookie::Issue(token));
        Ok(())
    }

    /// Gives the session a new id if that was asked for, if a key now names another user, or if it is time. `len` is
    /// what its data will take. Returns true if there are more changes now.
    #[inline]
    fn rotate(&mut self, request: &Request, phase: Phase, len: usize) -> Result<bool, CommitError> {
        let key = self.changed_user(request).map(Box::from);
        // No client knows an id whose cookie has not been sent.
        let is_unsent = matches!(self.cookie, Some(Cookie::Issue(_)));
        match key {
            Some(key) if self.detached => Err(CommitError::conflict(key)),
            Some(_) if is_unsent && !self.pending.rotate => {
                self.invalidate_forms();
                Ok(true)
            }
            Some(_) => self.rotate_now(request, Duration::ZERO, true),
            None if self.pending.rotate => {
                let grace = request.manager.explicit_grace();
                self.rotate_now(request, grace, false)
            }
            None if phase == Phase::Commit && self.is_rotation_due(request) => {
                Ok(self.rotate_by_age(request, len)?)
            }
            None => Ok(false),
        }
    }

    /// For a change of privilege: what was sent under the old id counts no more.
    fn rotate_now(
        &mut self,
        request: &Request,
        grace: Duration,
        is_for_user: bool,
    ) -> Result<bool, CommitError> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        match request.manager.cache().rotate(&live.id, grace) {
            Ok(issued) => self.set_issued(issued),
            // Another request was first, and its response has the cookie.
            Err(Error::Rotated) if !is_for_user => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.pending.rotate = false;
        self.invalidate_forms();
        Ok(true)
    }

    /// For the layer's rotation, which may wait: forms that were sent under the old id still count.
    fn rotate_by_age(&mut self, request: &Request, len: usize) -> Result<bool, Error> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        let (old, cache) = (live.id, request.manager.cache());
        let mark = FormBinding::of(cache, &old).to_json();
        let has_room = len + len_with_one(FORM.len(), mark.len()) <= cache.max_session_size();
        if !has_room && self.has_form {
            return Ok(false);
        }
        match cache.rotate(&old, request.manager.grace()) {
            Ok(issued) => self.set_issued(issued),
            Err(Error::Rotated) => return Ok(false),
            Err(Error::Gone) => return Err(Error::Gone),
            Err(error) => {
                self.log_lines.not_rotated = Some(error);
                return Ok(false);
            }
        }
        if has_room {
            self.changes.push(FORM, Change::Set(mark.into()));
        }
        Ok(true)
    }

    /// The session has a new id.
    fn set_issued(&mut self, issued: IssuedSession) {
        if let Stored::Live(live) = &mut self.stored {
            (live.id, live.record) = (issued.id, None);
        }
        self.cookie = Some(Cookie::Issue(issued.token));
        self.log_lines.is_rotated = true;
    }

    /// Forms that were sent before a change of privilege count no more, and the next ones will.
    pub(crate) fn invalidate_forms(&mut self) {
        if let Stored::Live(live) = &self.stored
            && live.data.find(FORM).is_some()
        {
            self.changes
                .push(FORM, Change::Set(Bytes::from_static(NO_BINDING)));
        }
    }

    /// Saves the data if it differs. The version is the one that was read, also after a new id was issued: a save in
    /// between must show as a conflict. Returns the timeouts that are still to be set.
    #[inline]
    fn save(&mut self, request: &Request, data: Pairs) -> Result<Option<Timeouts>, CommitError> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        let cache = request.manager.cache();
        // By the data that was read: saving may mark the session as remembered.
        let timeouts = self
            .pending
            .keep
            .map(|keep| live.timeouts(keep, &request.manager));
        if data != live.data {
            live.version = cache.save(&live.id, live.version, data.as_bytes())?;
            live.data = data;
        }
        Ok(timeouts)
    }

    /// Sets the timeouts after the data was saved: a save that fails leaves them unchanged. They do not depend on the
    /// data, so a change by another request in between needs only its version. The changes of this request must not
    /// be applied again: a sum would count twice.
    fn set_timeouts(&mut self, request: &Request, timeouts: Timeouts) -> Result<(), CommitError> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        for _ in 0..MAX_ATTEMPTS {
            match request
                .manager
                .cache()
                .set_timeouts(&live.id, live.version, timeouts)
            {
                Err(Error::Conflict) => live.reload(&request.manager)?,
                set => {
                    live.version = set?;
                    return Ok(());
                }
            }
        }
        Err(Error::Conflict.into())
    }
}

impl Live {
    /// The timeouts of a session that is there and is kept differently from now on. One that was not remembered has
    /// its lifetime already.
    fn timeouts(&self, keep: CookiePersistence, manager: &SessionManager) -> Timeouts {
        let timeouts = manager.timeouts(Some(keep));
        match keep {
            CookiePersistence::WhileUsed | CookiePersistence::Default if !self.is_remembered() => {
                Timeouts::new().idle_timeout(manager.idle_timeout())
            }
            _ => timeouts,
        }
    }
}

/// Under [`FORM`] while only the id that the session has now counts.
pub(crate) const NO_BINDING: &[u8] = b"\"\"";

/// Of n requests that save one session at once, at least one gets through in each round.
const MAX_ATTEMPTS: usize = 32;
