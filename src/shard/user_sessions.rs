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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    pub(crate) max: usize,
    pub(crate) policy: SessionLimitPolicy,
}

/// A session in the list of its user's.
#[derive(Clone, Copy)]
pub(crate) struct UserSession {
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
        list: &mut Vec<UserSession>,
    ) -> Result<(), usize> {
        let number = self.live_sessions(user, now).count();
        if number > list.capacity() {
            return Err(number);
        }
        list.clear();
        list.extend(self.live_sessions(user, now).map(|at| {
            let entry = Entry::at(&self.region, at);
            let header = entry.header();
            UserSession {
                serial: header.serial(),
                times: header.times(),
                assurance_level: header.flags().assurance_level(),
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
            let header = Entry::at(&self.region, at).header();
            header.serial() == serial && header.times().created == created
        };
        let Some(at) = self.live_sessions(user, now).find(is_it) else {
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
    pub(super) fn allocate_entry_within(
        &mut self,
        limit: Limit,
        new_entry: &NewEntry<'_>,
        len: usize,
        own: Option<Offset>,
        now: Tick,
    ) -> Result<(VacantSlot, Offset), WriteError> {
        if let Some(victim) = self.least_recently_used_at_limit(limit, new_entry, own, now) {
            self.vacant_slot(&new_entry.token.id)?;
            if limit.policy == SessionLimitPolicy::Reject {
                self.counts.session_limit_hits += 1;
                return Err(Error::TooManySessions.into());
            }
            // It may be evicted for a session with a user, so ending it leaves this sum as it is.
            if !self.can_fit(new_entry.space_request(len, own)) {
                return Err(Error::Full.into());
            }
            self.end_entry(victim, EndReason::SessionLimit, now);
            self.counts.session_limit_hits += 1;
        }
        self.allocate_entry(new_entry, len, own, now)
    }

    /// The stalest session of a newcomer's user, `own` apart, if there are as many as the limit permits.
    fn least_recently_used_at_limit(
        &self,
        limit: Limit,
        new_entry: &NewEntry<'_>,
        own: Option<Offset>,
        now: Tick,
    ) -> Option<Offset> {
        let user = new_entry.user.filter(|_| limit.max < usize::MAX)?.user;
        let others = || self.live_sessions(&user, now).filter(|&at| Some(at) != own);
        if others().count() < limit.max {
            return None;
        }
        others().min_by_key(|&at| {
            let times = Entry::at(&self.region, at).header().times();
            (times.seen(), times.authenticated)
        })
    }

    /// The sessions of a user that may be used, oldest sign-in first.
    fn live_sessions(&self, user: &UserHash, now: Tick) -> impl Iterator<Item = Offset> {
        let is_live = move |&at: &Offset| self.is_live(at, now);
        self.users.sessions_of(&self.region, *user).filter(is_live)
    }
}
