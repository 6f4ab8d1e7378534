//! CSRF tokens of sessions that have no id yet, with a store.
//!
//! Creating a session or replacing its id waits for the store, and a page needs the token at once.
//! So the token of a new session is bound to an id that is reserved, and under which the commit
//! creates the session. The token of a session that is about to get another id is bound to one that
//! no session gets; the commit stores that binding beside the data. The module does not know forms.

use sessile::{Error, IssuedSession};

use crate::{
    Cache, CommitError, SessionError,
    csrf::{CsrfMac, FormBinding},
    state::{Admission, Request, State},
};

impl State {
    /// Returns the binding of the response's CSRF tokens.
    pub(crate) fn settle_form(&mut self, request: &Request) -> Result<FormBinding, SessionError> {
        self.check_readable(request)?;
        let cache = request.manager.cache();
        if let Some(live) = self.stored.live(request) {
            let id = live.id;
            self.has_form = true;
            if self.committed {
                return Ok(FormBinding::of(cache, &id));
            }
            self.keep_for_forms(request);
            if self.changes_id(request) {
                return self.reserve_form(cache);
            }
            return Ok(FormBinding::of(cache, &id));
        }
        if self.committed {
            return Err(SessionError::AlreadyCommitted);
        }
        if self.detached {
            return Err(CommitError::from(Error::Gone).into());
        }
        self.check_admission(request).map_err(CommitError::from)?;
        if cache.has_admission_hook() {
            // For the commit, which creates the session.
            self.admission = Admission::Granted;
        }
        self.has_form = true;
        self.keep_for_forms(request);
        if self.pending.sign_in.is_some() {
            // The id of a user's session is issued when it is created.
            return self.reserve_form(cache);
        }
        let reserved = self.reserve(cache).map_err(CommitError::from)?;
        Ok(FormBinding::of(cache, &reserved.id))
    }

    fn reserve_form(&mut self, cache: &Cache) -> Result<FormBinding, SessionError> {
        if let Some(form) = self.form {
            return Ok(form);
        }
        let issued = issue(cache).map_err(CommitError::from)?;
        Ok(*self.form.insert(FormBinding::of(cache, &issued.id)))
    }

    /// Returns the id under which the commit creates the session of a visitor.
    pub(crate) fn reserve(&mut self, cache: &Cache) -> Result<IssuedSession, Error> {
        if let Some(reserved) = self.reserved {
            return Ok(reserved);
        }
        Ok(*self.reserved.insert(issue(cache)?))
    }

    /// Returns true if a CSRF token is one of this request, whose session is not stored yet.
    pub(crate) fn verifies_reserved(&self, cache: &Cache, given: &CsrfMac) -> bool {
        let reserved = self
            .reserved
            .map(|issued| FormBinding::of(cache, &issued.id));
        let mut forms = reserved.into_iter().chain(self.form);
        forms.any(|form| form.verify(cache, given))
    }
}

fn issue(cache: &Cache) -> Result<IssuedSession, Error> {
    match cache {
        Cache::Tiered(cache) => cache.reserve(),
        // A local cache stores at once.
        Cache::Local(_) => Err(Error::Unreachable),
    }
}
