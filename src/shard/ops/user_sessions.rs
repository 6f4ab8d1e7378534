//! Operations on the sessions of a user: the list, the end of one or of all, and the limit.
//!
//! All sessions of a user are in one shard, so each operation sees them at one point in time. A
//! session past its deadline is not included, even if its memory was not reclaimed yet.

use crate::error::Error;
use crate::shard::{
    NewEntry, Shard, WriteError,
    entry::{Entry, HeaderFields, Label, Times},
    index::VacantSlot,
    region::Offset,
};
use crate::{
    clock::Tick,
    events::EndReason,
    id::{SessionId, UserHash},
};

/// The effect of a sign-in whose user has already reached
/// [`max_sessions_per_user`](crate::SessionCacheBuilder::max_sessions_per_user).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionLimitPolicy {
    /// The user's least recently used session is ended. Among equals it is the one with the oldest
    /// sign-in.
    #[default]
    EndLeastRecentlyUsed,
    /// The sign-in is rejected with [`Error::TooManySessions`].
    Reject,
}

/// The limit of sessions per user, and its policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// The maximum number of sessions. With `usize::MAX`, sessions are not counted.
    pub(crate) max: usize,
    pub(crate) policy: SessionLimitPolicy,
}

/// A session in the list of a user's sessions.
#[derive(Clone, Copy)]
pub(crate) struct UserSession {
    pub(crate) serial: u32,
    pub(crate) times: Times,
    pub(crate) assurance_level: u8,
    pub(crate) label: Label,
}

impl Shard {
    /// Lists a user's sessions without allocating. If they exceed the capacity of `list`, the error
    /// is their number.
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

    /// Ends the session of a user with that serial and creation time. Returns true if there was
    /// one.
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

    /// Ends all sessions of a user, except that of `except`, its current id or an alias in its
    /// family. Returns how many were ended.
    pub(crate) fn end_user_sessions(
        &mut self,
        user: &UserHash,
        except: Option<&SessionId>,
        now: Tick,
    ) -> usize {
        let kept = except.and_then(|id| self.session_of_family(&id.id, now));
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

    /// Creates an entry without data for a session, within the limit of its user. `own` is the
    /// session that it replaces, if that is in this shard. A session is ended for the limit only if
    /// the new entry fits.
    pub(in crate::shard) fn allocate_entry_within(
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
            // The session can be evicted for one with a user, so ending it does not change the sum.
            if !self.can_fit(new_entry.space_request(len, own)) {
                return Err(Error::Full.into());
            }
            self.end_entry(victim, EndReason::SessionLimit, now);
            self.counts.session_limit_hits += 1;
        }
        self.allocate_entry(new_entry, len, own, now)
    }

    /// Returns the least recently used session of the entry's user, except `own`, if the limit is
    /// reached.
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

    /// Returns the live sessions of a user, oldest sign-in first.
    fn live_sessions(&self, user: &UserHash, now: Tick) -> impl Iterator<Item = Offset> {
        let is_live = move |&at: &Offset| self.is_live(at, now);
        self.users.sessions_of(&self.region, *user).filter(is_live)
    }
}
