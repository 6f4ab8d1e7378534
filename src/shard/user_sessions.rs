//! What is done by user: the list of one's sessions, the end of one or of all of them, and the limit.
//!
//! All sessions of a user are in one shard, so each of these sees them as they are at one moment. A session
//! past its deadline is not there, whether its memory was given back or not.

use super::{
    NewEntry, Shard, WriteError,
    entry::{Entry, HeaderFields, Label, Times},
    index::VacantSlot,
    region::Offset,
};
use crate::error::Error;
use crate::{
    clock::Tick,
    events::EndReason,
    id::{SessionId, UserHash},
};

/// What a sign-in does when its user has as many sessions as
/// [`max_sessions_per_user`](crate::SessionCacheBuilder::max_sessions_per_user) permits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionLimitPolicy {
    /// The one of the user's sessions that was not used for longest is ended, of several the one that was
    /// signed in to first.
    #[default]
    EndLeastRecentlyUsed,
    /// The sign-in is refused, with [`Error::TooManySessions`](crate::Error::TooManySessions).
    Reject,
}

/// How many sessions a user may have, and what happens then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// No limit if it is the largest number there is; then nothing is counted.
    pub(crate) most: usize,
    pub(crate) then: SessionLimitPolicy,
}

/// A session in the list of its user's.
#[derive(Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) serial: u32,
    pub(crate) times: Times,
    pub(crate) assurance_level: u8,
    pub(crate) label: Label,
}

impl Shard {
    /// Lists a user's sessions, if there is room for them: else says how many there are. It allocates
    /// nothing.
    pub(crate) fn user_sessions(
        &self,
        user: &UserHash,
        now: Tick,
        list: &mut Vec<Listed>,
    ) -> Result<(), usize> {
        let number = self.live_of(user, now).count();
        if number > list.capacity() {
            return Err(number);
        }
        list.clear();
        list.extend(self.live_of(user, now).map(|at| {
            let entry = Entry::at(&self.region, at);
            let line = entry.line();
            Listed {
                serial: line.serial(),
                times: line.times(),
                assurance_level: line.flags().assurance_level(),
                label: entry.label(),
            }
        }));
        Ok(())
    }

    /// Destroys the session of a user that has that serial and was created then. Says whether there was one.
    pub(crate) fn end_by_handle(
        &mut self,
        user: &UserHash,
        serial: u32,
        created: Tick,
        now: Tick,
    ) -> bool {
        let is_it = |&at: &Offset| {
            let line = Entry::at(&self.region, at).line();
            line.serial() == serial && line.times().created == created
        };
        let Some(at) = self.live_of(user, now).find(is_it) else {
            return false;
        };
        self.end_entry(at, EndReason::UserRevoked, now)
    }

    /// Destroys all sessions of a user but one, if it is named, by an old id perhaps. Says how many.
    pub(crate) fn end_user_sessions(
        &mut self,
        user: &UserHash,
        except: Option<&SessionId>,
        now: Tick,
    ) -> usize {
        let kept = except.and_then(|id| self.session_of(&id.id, now));
        let mut ended = 0;
        let mut next = self.users.first(&self.region, user);
        while let Some(at) = next {
            next = self.users.next(&self.region, user, at);
            if Some(at) == kept {
                continue;
            }
            ended += usize::from(self.end_entry(at, EndReason::UserRevoked, now));
        }
        ended
    }

    /// Makes an entry for a session with a user, its data apart, within the limit of that user. `own` is the
    /// session that it takes the place of, if that is here. The one that must go for the limit goes only if
    /// the newcomer will be in.
    pub(super) fn admit_within(
        &mut self,
        limit: Limit,
        newcomer: &NewEntry<'_>,
        len: usize,
        own: Option<Offset>,
        now: Tick,
    ) -> Result<(VacantSlot, Offset), WriteError> {
        if let Some(stalest) = self.stalest_at(limit, newcomer, own, now) {
            self.vacancy(&newcomer.stamp.id)?;
            if limit.then == SessionLimitPolicy::Reject {
                self.counts.session_limit_hits += 1;
                return Err(Error::TooManySessions.into());
            }
            // It may be evicted for a session with a user, so ending it leaves this sum as it is.
            if !self.can_fit(newcomer.need(len, own)) {
                return Err(Error::Full.into());
            }
            self.end_entry(stalest, EndReason::SessionLimit, now);
            self.counts.session_limit_hits += 1;
        }
        self.admit(newcomer, len, own, now)
    }

    /// The stalest session of a newcomer's user, `own` apart, if there are as many as the limit permits.
    fn stalest_at(
        &self,
        limit: Limit,
        newcomer: &NewEntry<'_>,
        own: Option<Offset>,
        now: Tick,
    ) -> Option<Offset> {
        let user = newcomer.member.filter(|_| limit.most < usize::MAX)?.user;
        let others = || self.live_of(&user, now).filter(|&at| Some(at) != own);
        if others().count() < limit.most {
            return None;
        }
        others().min_by_key(|&at| {
            let times = Entry::at(&self.region, at).line().times();
            (times.seen(), times.authenticated)
        })
    }

    /// The sessions of a user that may be used, oldest sign-in first.
    fn live_of(&self, user: &UserHash, now: Tick) -> impl Iterator<Item = Offset> {
        let is_live = move |&at: &Offset| self.is_live(at, now);
        self.users.of(&self.region, *user).filter(is_live)
    }
}
