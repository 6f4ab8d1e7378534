//! Handles requests whose session ended, or got a new id, before it was stored.
//!
//! A session that was replaced by a sign-in or a rotation continues under an id that this request
//! does not know. Its browser has the new cookie or is about to receive it. No response overwrites
//! that cookie, except one whose request signs in.
//!
//! A session that ended or expired is never restored. A session created in its place contains only
//! the changes of this request, and no user is signed in to it.

use sessile::Error;

use crate::{
    CommitError,
    encoding::Pairs,
    key::FORM,
    persist::Phase,
    state::{CookiePersistence, Request, State, Stored},
};

impl State {
    /// Handles [`Error::Gone`]: no session has the id that this request read.
    pub(crate) async fn on_gone(
        &mut self,
        request: &Request,
        phase: Phase,
    ) -> Result<(), CommitError> {
        let Stored::Live(live) = &self.stored else {
            return Err(Error::Gone.into());
        };
        let (cache, id) = (request.manager.cache(), live.id);
        if !self.detached && cache.replaced(&id).await?.is_some() {
            return self.on_replaced(request).await;
        }
        if self.pending.sign_in.is_some() {
            return self.create(request, &Pairs::default(), None).await;
        }
        let Stored::Live(live) = &self.stored else {
            return Err(Error::Gone.into());
        };
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
        self.create(request, &Pairs::default(), None).await
    }

    /// Handles [`Error::Rotated`]: the session has a new id that this request does not know. A
    /// request that signs in continues with the data that it read, and its session replaces the
    /// other one.
    pub(crate) async fn on_replaced(&mut self, request: &Request) -> Result<(), CommitError> {
        let Stored::Live(live) = &mut self.stored else {
            return Err(Error::Rotated.into());
        };
        // During the grace period the old id still opens the session, with changes that were stored
        // since. After that, the data that was read is all there is.
        let _ = live.reload(&request.manager).await;
        let (id, base, authenticated) = (live.id, live.data.clone(), live.authenticated);
        let signs_in = self.pending.sign_in.is_some();
        if signs_in || !authenticated && self.changes_user(request, &base) {
            self.invalidate_forms();
            return self.create(request, &base, Some(id)).await;
        }
        let data = self
            .changes
            .applied_to(&base)
            .map_err(CommitError::conflict)?;
        (self.stored, self.cookie) = (Stored::Replaced(id), None);
        // A request to keep a cookie that is persistent already has nothing left to do. A span that
        // begins now has.
        let is_done = data == base && !matches!(self.pending.keep, Some(CookiePersistence::For(_)));
        if is_done {
            Ok(())
        } else {
            Err(Error::Rotated.into())
        }
    }
}
