//! Answers requests whose session had ended, or had a new id, by the time it was stored.
//!
//! A session that was replaced, by a sign-in or a rotation, lives on under an id that this request does not know, and
//! its browser has, or is about to get, the cookie with that: no response overwrites it, unless its own request signs in.
//! One that has ended or expired never comes back: what starts in its place holds only what this request added, and
//! no user is signed in to it.

use sessile::Error;

use crate::{
    CommitError,
    encoding::Pairs,
    key::FORM,
    persist::Phase,
    state::{CookiePersistence, Request, State, Stored},
};

impl State {
    /// The engine knows no session of the id that this request read.
    pub(crate) fn on_gone(&mut self, request: &Request, phase: Phase) -> Result<(), CommitError> {
        let Stored::Live(live) = &self.stored else {
            return Err(Error::Gone.into());
        };
        if !self.detached && request.manager.cache().replaced(&live.id).is_some() {
            return self.on_replaced(request);
        }
        if self.pending.sign_in.is_some() {
            return self.create(request, &Pairs::default(), None);
        }
        self.changes.forget_no_ops(&live.data);
        self.changes.forget(FORM);
        let authenticated = live.authenticated;
        (self.stored, self.cookie) = (Stored::Ended, None);
        if !self.adds_something()? {
            return Ok(());
        }
        let may_create = !authenticated || self.changes_user(request, &Pairs::default());
        if self.detached || phase == Phase::Early || !may_create {
            return Err(Error::Gone.into());
        }
        self.create(request, &Pairs::default(), None)
    }

    /// The session has a new id that this request does not know. A sign-in goes on with the data that this request
    /// read, in place of the other session.
    pub(crate) fn on_replaced(&mut self, request: &Request) -> Result<(), CommitError> {
        let Stored::Live(live) = &mut self.stored else {
            return Err(Error::Rotated.into());
        };
        // Within the grace the old id still shows what others have stored since; else what was read is all there is.
        let _ = live.reload(&request.manager);
        let (id, base, authenticated) = (live.id, live.data.clone(), live.authenticated);
        let signs_in = self.pending.sign_in.is_some();
        if signs_in || !authenticated && self.changes_user(request, &base) {
            self.invalidate_forms();
            return self.create(request, &base, Some(id));
        }
        let data = self
            .changes
            .applied_to(&base)
            .map_err(CommitError::conflict)?;
        (self.stored, self.cookie) = (Stored::Replaced(id), None);
        // To keep a cookie that is kept already is done; a span that begins now is not.
        let is_done = data == base && !matches!(self.pending.keep, Some(CookiePersistence::For(_)));
        if is_done {
            Ok(())
        } else {
            Err(Error::Rotated.into())
        }
    }
}
