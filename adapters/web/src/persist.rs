//! Stores the changes and pending operations of a request.
//!
//! The order of the steps is a security property:
//! 1. Watched keys and expected values are checked against the stored data.
//! 2. Data that cannot fit is rejected before a new id is issued.
//! 3. A new id is issued before the data is saved, or atomically with it. So nothing of a sign-in
//!    is ever readable under the old id.
//! 4. Timeouts change last, so that a failed save leaves them unchanged.
//!
//! The module does not know the response.

use std::time::Duration;

use bytes::Bytes;
use sessile::{Error, IssuedSession, Timeouts};

use crate::{
    CommitError, SessionManager,
    changes::Change,
    csrf::FormBinding,
    encoding::{Pairs, len_with_one},
    identity,
    key::FORM,
    state::{Cookie, CookiePersistence, Live, Request, State, Stored},
};

/// The time at which changes are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// While the handler runs, which sees an error. The client may still disconnect, so the id is
    /// replaced only if the handler requested it.
    Early,
    /// Before the response's headers are sent.
    Commit,
}

impl State {
    /// Performs the pending changes and operations. On error nothing is stored, except perhaps a
    /// new id, and everything remains pending. If [`needs_admission`](Self::needs_admission) is
    /// true afterwards, the caller calls the hook and then this function again.
    pub(crate) async fn store(
        &mut self,
        request: &Request,
        phase: Phase,
    ) -> Result<(), CommitError> {
        if !self.has_work(request, phase) {
            return Ok(());
        }
        self.stored.open(request).map_err(|_| Error::Unreachable)?;
        let is_live = self.stored.live(request).is_some();
        self.note_foreign_data();
        let stored = match is_live {
            true => self.update(request, phase).await,
            false if self.detached => Err(Error::Gone.into()),
            false => self.begin(request).await,
        };
        let stored = match stored {
            Err(error) if error.cause() == Error::Gone => self.on_gone(request, phase).await,
            Err(error) if error.cause() == Error::Rotated => self.on_replaced(request).await,
            stored => stored,
        };
        if stored.is_ok() {
            self.resend_cookie |= self.pending.keep.is_some();
            self.discard();
        }
        stored
    }

    /// Stores only the removal of identity keys. It is used for error responses, which must not
    /// undo a sign-out.
    pub(crate) async fn store_sign_out(&mut self, request: &Request) -> Result<(), CommitError> {
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
        match self.store(request, Phase::Early).await {
            Err(error) if error.cause() == Error::Gone => Ok(()),
            stored => stored,
        }
    }

    /// Returns true if storing the changes replaces the id, so that CSRF tokens of the current id
    /// would be invalid.
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

    /// Returns true if the id of the session that was read has reached the age of `rotate_every`.
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

    /// Returns the identity key whose new value names another user than the stored one.
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

    /// Returns true if an identity key now names another user than in `stored`.
    pub(crate) fn changes_user(&self, request: &Request, stored: &Pairs) -> bool {
        self.changed_identity_key(request, stored).is_some()
    }

    /// Updates a stored session. If another request saved first, applies this request's changes to
    /// the data that it left. Expected values are checked against the data that is current at this
    /// time, so it is loaded first.
    async fn update(&mut self, request: &Request, phase: Phase) -> Result<(), CommitError> {
        let mut is_stale = self.changes.has_expectations();
        for _ in 0..MAX_ATTEMPTS {
            if is_stale {
                let live = self.stored.live(request).ok_or(Error::Gone)?;
                live.reload(&request.manager).await?;
            }
            match self.update_once(request, phase).await {
                Err(error) if error == Error::Conflict.into() => {}
                Ok(Some(timeouts)) => return self.set_timeouts(request, timeouts).await,
                done => return done.map(drop),
            }
            (is_stale, self.log_lines.is_merged) = (true, true);
        }
        Err(Error::Conflict.into())
    }

    /// Ends the session if this request emptied it. Otherwise rotates its id if needed, then saves.
    /// Returns the timeouts that remain to be set.
    #[inline]
    async fn update_once(
        &mut self,
        request: &Request,
        phase: Phase,
    ) -> Result<Option<Timeouts>, CommitError> {
        let data = self.changed(request)?;
        let signs_in = self.pending.sign_in.is_some();
        if !signs_in && data.is_vacant() && self.end_emptied(request).await? {
            (self.stored, self.cookie) = (Stored::Ended, Some(Cookie::Remove));
            return Ok(None);
        }
        // Data that cannot be stored is rejected before any step takes effect.
        let (len, max) = (
            data.as_bytes().len(),
            request.manager.cache().max_session_size(),
        );
        if len > max {
            return Err(Error::TooLarge { given: len, max }.into());
        }
        if signs_in {
            return self.sign_in(request).await.map(|()| None);
        }
        let data = if self.rotate(request, phase, len).await? {
            self.changed(request)?
        } else {
            data
        };
        self.save(request, data).await
    }

    /// Returns the stored data with this request's changes applied.
    #[inline]
    fn changed(&mut self, request: &Request) -> Result<Pairs, CommitError> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        self.changes
            .applied_to(&live.data)
            .map_err(CommitError::conflict)
    }

    /// Ends a session without a user that this request leaves empty, and returns true if it did. It
    /// fails if a concurrent request changed the session since it was read.
    #[inline]
    async fn end_emptied(&mut self, request: &Request) -> Result<bool, Error> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        if self.changes.is_empty() || live.authenticated {
            return Ok(false);
        }
        let cache = request.manager.cache();
        match cache.end_if_unchanged(&live.id, live.version).await {
            // The session has a new id and continues for the clients that have it.
            Err(Error::Rotated) => Ok(false),
            ended => ended.map(|()| true),
        }
    }

    /// Binds the session to its user under a new id and saves it, atomically.
    async fn sign_in(&mut self, request: &Request) -> Result<(), CommitError> {
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
        let cache = request.manager.cache();
        let issued = cache.sign_in(&live.id, &sign_in.user, with).await?;
        let IssuedSession {
            id, token, version, ..
        } = issued;
        *live = Live {
            id,
            version,
            authenticated: true,
            record: None,
            data,
            is_foreign: false,
        };
        self.cookie = Some(Cookie::Issue(token));
        Ok(())
    }

    /// Rotates the id if the handler requested it, if an identity key names another user, or if the
    /// id is due by age. `len` is the length of the data to be saved. Returns true if there are
    /// further changes to save.
    #[inline]
    async fn rotate(
        &mut self,
        request: &Request,
        phase: Phase,
        len: usize,
    ) -> Result<bool, CommitError> {
        let key = self.changed_user(request).map(Box::from);
        // No client knows an id whose cookie has not been sent.
        let is_unsent = matches!(self.cookie, Some(Cookie::Issue(_)));
        match key {
            Some(key) if self.detached => Err(CommitError::conflict(key)),
            Some(_) if is_unsent && !self.pending.rotate => {
                self.invalidate_forms();
                Ok(true)
            }
            Some(_) => self.rotate_now(request, Duration::ZERO, true).await,
            None if self.pending.rotate => {
                let grace = request.manager.explicit_grace();
                self.rotate_now(request, grace, false).await
            }
            None if phase == Phase::Commit && self.is_rotation_due(request) => {
                Ok(self.rotate_by_age(request, len).await?)
            }
            None => Ok(false),
        }
    }

    /// Rotates for a change of privilege: CSRF tokens of the old id become invalid.
    async fn rotate_now(
        &mut self,
        request: &Request,
        grace: Duration,
        is_for_user: bool,
    ) -> Result<bool, CommitError> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        match request.manager.cache().rotate(&live.id, grace).await {
            Ok(issued) => self.set_issued(issued),
            // Another request rotated first, and its response carries the cookie.
            Err(Error::Rotated) if !is_for_user => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.pending.rotate = false;
        self.invalidate_forms();
        Ok(true)
    }

    /// Rotates by age, which can be postponed: CSRF tokens of the old id remain valid.
    async fn rotate_by_age(&mut self, request: &Request, len: usize) -> Result<bool, Error> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        let (old, cache) = (live.id, request.manager.cache());
        let mark = FormBinding::of(cache, &old).to_json();
        let has_room = len + len_with_one(FORM.len(), mark.len()) <= cache.max_session_size();
        if !has_room && self.has_form {
            return Ok(false);
        }
        match cache.rotate(&old, request.manager.grace()).await {
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

    /// Records the new id of the session.
    fn set_issued(&mut self, issued: IssuedSession) {
        if let Stored::Live(live) = &mut self.stored {
            (live.id, live.record) = (issued.id, None);
        }
        self.cookie = Some(Cookie::Issue(issued.token));
        self.log_lines.is_rotated = true;
    }

    /// Invalidates the CSRF tokens that were sent before a change of privilege.
    pub(crate) fn invalidate_forms(&mut self) {
        if let Some(form) = &self.form {
            self.changes.push(FORM, Change::Set(form.to_json().into()));
        } else if let Stored::Live(live) = &self.stored
            && live.data.find(FORM).is_some()
        {
            self.changes
                .push(FORM, Change::Set(Bytes::from_static(NO_BINDING)));
        }
    }

    /// Saves the data if it differs, and returns the timeouts that remain to be set. The version is
    /// the one that was read, also after a rotation, so that a save by another request in between
    /// is a conflict.
    #[inline]
    async fn save(
        &mut self,
        request: &Request,
        data: Pairs,
    ) -> Result<Option<Timeouts>, CommitError> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        let cache = request.manager.cache();
        // Computed from the data that was read: saving may mark the session as remembered.
        let timeouts = self
            .pending
            .keep
            .map(|keep| live.timeouts(keep, &request.manager));
        if data != live.data {
            let (id, version) = (live.id, live.version);
            live.version = cache.save(&id, version, data.as_bytes()).await?;
            (live.data, live.is_foreign) = (data, false);
        }
        Ok(timeouts)
    }

    /// Sets the timeouts after the data was saved, so that a failed save leaves them unchanged.
    /// After a change by another request only the version is read again: applying this request's
    /// changes twice would count an increment twice.
    async fn set_timeouts(
        &mut self,
        request: &Request,
        timeouts: Timeouts,
    ) -> Result<(), CommitError> {
        let live = self.stored.live(request).ok_or(Error::Gone)?;
        let cache = request.manager.cache();
        for _ in 0..MAX_ATTEMPTS {
            let (id, version) = (live.id, live.version);
            match cache.set_timeouts(&id, version, timeouts).await {
                Err(Error::Conflict) => live.reload(&request.manager).await?,
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
    /// Returns the timeouts of a stored session whose persistence changes. A session that was not
    /// remembered keeps its lifetime.
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

/// The value of [`FORM`] if only CSRF tokens of the current id are valid.
pub(crate) const NO_BINDING: &[u8] = b"\"\"";

/// Lock-free progress: of n requests that save one session concurrently, at least one succeeds in
/// each round. One on a slower core than the others may lose many.
const MAX_ATTEMPTS: usize = 128;
