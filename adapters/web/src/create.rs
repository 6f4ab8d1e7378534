//! Creates the session of a visitor.
//!
//! Owns when a session is created: not for a browser that is about to receive another cookie, and
//! not before the admission hook has granted it. It does not know stored sessions.

use sessile::{CreateOptions, Error, IssuedSession, SessionId};

use crate::{
    CommitError,
    encoding::Pairs,
    state::{Admission, Cookie, Live, Request, State, Stored},
};

impl State {
    /// Creates a session for a client without one, unless the client is about to receive the cookie
    /// of another session.
    #[inline]
    pub(crate) async fn begin(&mut self, request: &Request) -> Result<(), CommitError> {
        let nothing = Pairs::default();
        let replaced = match &self.stored {
            Stored::Replaced(id) => Some(*id),
            Stored::Absent => request.replaced_id().await?,
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
        self.create(request, &nothing, replaced).await
    }

    /// Returns true if the changes, applied to an empty session, leave data to store.
    pub(crate) fn adds_something(&self) -> Result<bool, CommitError> {
        let data = self
            .changes
            .applied_to(&Pairs::default())
            .map_err(CommitError::conflict)?;
        Ok(!data.is_vacant())
    }

    /// Creates a session from `base` and this request's changes. It replaces the session of the id
    /// `replaces`.
    pub(crate) async fn create(
        &mut self,
        request: &Request,
        base: &Pairs,
        replaces: Option<SessionId>,
    ) -> Result<(), CommitError> {
        if self.form.is_some() {
            self.invalidate_forms();
        }
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
        let reserved = self.reserved.take();
        self.creating = reserved.map(|reserved| reserved.id);
        let issued = manager.cache().create(reserved, data.as_bytes(), new).await;
        // An end of an id that was not answered is queued by the cache.
        self.creating = None;
        let IssuedSession {
            id, token, version, ..
        } = issued?;
        self.cookie = Some(Cookie::Issue(token));
        let authenticated = self.pending.sign_in.is_some();
        self.stored = Stored::Live(Live {
            id,
            version,
            authenticated,
            record: None,
            data,
            is_foreign: false,
        });
        Ok(())
    }

    /// Consumes the result of the admission hook. If the hook was not called yet, marks it as
    /// needed and fails.
    pub(crate) fn check_admission(&mut self, request: &Request) -> Result<(), Error> {
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
}
