//! The verbs that are about a user. All sessions of one are in one shard, so each verb takes one lock, and
//! sign-in that of the session's old home too.

use std::time::Duration;

use super::{Issued, NewSession, SessionCache, SignIn};
use crate::{
    clock::{Tick, to_duration},
    error::Error,
    handle::Handle,
    id::{SessionId, UserHash},
    shard::{
        Limit, Listed, Newcomer, Shard,
        entry::{FIRST_VERSION, Member, Times},
    },
};

/// A session in the list of its user's: what to show them so that they know where they are signed in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Device {
    /// Its name, for [`end_session`](SessionCache::end_session).
    pub handle: Handle,
    /// How sure the application was of the user, on its own scale.
    pub assurance: u8,
    /// What the application called it at the sign-in; empty if nothing.
    pub label: String,
    times: Times,
    now: Tick,
}

impl SessionCache {
    /// Binds a session to a user and gives it a new id, in one. The old id opens nothing from now on, as
    /// with [`rotate`](Self::rotate). Signing in again, as whomever, does the same.
    ///
    /// A user has at most [`max_sessions_per_user`](crate::Builder::max_sessions_per_user) sessions: with one
    /// more, the stalest of the others ends or this is refused, as
    /// [`at_limit`](crate::Builder::at_limit) says. A name may be as long as it likes: what is kept is a hash.
    ///
    /// # Errors
    /// [`EmptyUser`](Error::EmptyUser), [`LabelTooLong`](Error::LabelTooLong), [`Gone`](Error::Gone),
    /// [`LifetimeOver`](Error::LifetimeOver), [`Rotated`](Error::Rotated), [`TooManySessions`](Error::TooManySessions), [`Full`](Error::Full) (for a
    /// moment the session is there twice), [`Entropy`](Error::Entropy), and with [data](SignIn::data)
    /// [`Conflict`](Error::Conflict) and [`TooLarge`](Error::TooLarge). Then nothing was changed.
    pub fn sign_in(&self, id: &SessionId, user: &str, with: SignIn<'_>) -> Result<Issued, Error> {
        let member = self.member(user, &with)?;
        with.data.map_or(Ok(()), |(_, data)| self.check_len(data))?;
        self.reissue(id, self.home_of(&member.user), |new_id, &stamp| {
            self.write_two(id.home, new_id.home, |old, new, now| {
                let newcomer = |times, start| {
                    let times = self.signed_in_times(times, start, with, now);
                    let start = if with.renew_lifetime { now } else { start };
                    let member = Some(Member { start, ..member });
                    Newcomer { stamp, times, member, data: with.data }
                };
                old.sign_in(&id.id, new, new_id, self.limit(), now, newcomer)
            })
        })
    }

    /// Makes a session that has a user from the start.
    pub(super) fn create_for(
        &self,
        user: &str,
        with: SignIn<'_>,
        new: &NewSession<'_>,
        data: &[u8],
    ) -> Result<Issued, Error> {
        let member = self.member(user, &with)?;
        let home = self.home_of(&member.user);
        let old = new.replaces.and_then(|id| self.resolve(id)).filter(|id| id.home == home);
        self.issue_in(home, |_, &stamp| {
            self.write(home, |shard, now| {
                let times = self.new_times(shard, new.deadlines, now);
                let times = self.change(times, now, with.deadlines, now);
                let times = Times { authenticated: now, ..times };
                let member = Some(Member { start: times.created, ..member });
                let newcomer = Newcomer { stamp, times, member, data: None };
                shard.create(&newcomer, self.limit(), data, old.as_ref(), now)
            })?;
            Ok(FIRST_VERSION)
        })
    }

    fn member<'a>(&self, user: &str, with: &SignIn<'a>) -> Result<Member<'a>, Error> {
        if user.is_empty() {
            return Err(Error::EmptyUser);
        }
        with.check()?;
        let SignIn { assurance, label, .. } = *with;
        Ok(Member { user: self.0.users.hash(user), assurance, label, start: 0 })
    }

    /// How many sessions a user may have.
    pub(super) fn limit(&self) -> Limit {
        let settings = &self.0.settings;
        Limit { most: settings.max_sessions_per_user, then: settings.at_limit }
    }

    /// The sessions of a user, the most recently seen first: none for a name that nobody signed in with.
    ///
    /// It is what was there at one moment. It holds no ids: whoever sees it can end sessions with it, if the
    /// application lets them, but open none.
    ///
    /// ```
    /// use sessile::{KeyRing, NewSession, SessionCache, SignIn};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::random()?).build()?;
    /// for label in ["phone", "laptop"] {
    ///     let made = cache.create(b"", NewSession::default())?;
    ///     cache.sign_in(&made.id, "ada", SignIn::default().label(label))?;
    /// }
    /// let devices = cache.sessions_of("ada");
    /// let phone = devices.iter().find(|device| device.label == "phone").expect("it is signed in");
    ///
    /// assert!(cache.end_session(&phone.handle));
    /// assert_eq!(cache.sessions_of("ada").len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sessions_of(&self, user: &str) -> Vec<Device> {
        let user = self.0.users.hash(user);
        let home = self.home_of(&user);
        let mut list = Vec::with_capacity(EXPECTED);
        // Nothing is allocated while the lock is held: if there are more, it is taken again.
        let now = loop {
            let query = |shard: &mut Shard, now| (shard.sessions_of(&user, now, &mut list), now);
            match self.write(home, query) {
                (Ok(()), now) => break now,
                (Err(number), _) => list.reserve(number + number / 4),
            }
        };
        list.sort_by_key(|listed| {
            let Times { authenticated, .. } = listed.times;
            core::cmp::Reverse((listed.times.seen(), authenticated, listed.serial))
        });
        let device = |listed: &Listed| Device {
            handle: Handle::new(Some(user), home, listed.serial, listed.times.created),
            assurance: listed.assurance,
            label: listed.label.text().to_owned(),
            times: listed.times,
            now,
        };
        list.iter().map(device).collect()
    }

    /// Destroys the session that a handle names. Says whether there was one: not if it has ended or expired,
    /// nor if somebody has signed in to it since, nor if nobody was signed in. When this has returned, no
    /// read finds it.
    pub fn end_session(&self, handle: &Handle) -> bool {
        let user = handle.user().filter(|user| self.home_of(user) == handle.home());
        user.is_some_and(|user| {
            self.write(handle.home(), |shard, now| {
                shard.end_session(&user, handle.serial(), handle.created(), now)
            })
        })
    }

    /// Destroys all sessions of a user, but for one if it is named, and says how many. That one may be named
    /// by an id that it had before, as long as that was this user's and is remembered.
    ///
    /// When this has returned, no read finds any session whose sign-in was answered before the call, whatever
    /// other threads do. It holds one lock for a time that goes with the number of the user's sessions.
    ///
    /// ```
    /// use sessile::{KeyRing, NewSession, SessionCache, SignIn};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::random()?).build()?;
    /// let mut sign_in = || {
    ///     let made = cache.create(b"", NewSession::default())?;
    ///     cache.sign_in(&made.id, "ada", SignIn::default())
    /// };
    /// let (_phone, laptop) = (sign_in()?, sign_in()?);
    ///
    /// assert_eq!(cache.end_user("ada", Some(&laptop.id)), 1);
    /// assert_eq!(cache.end_user("ada", None), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn end_user(&self, user: &str, except: Option<&SessionId>) -> usize {
        let user = self.0.users.hash(user);
        let home = self.home_of(&user);
        let except = except.filter(|id| id.home == home);
        self.write(home, |shard, now| shard.end_user(&user, except, now))
    }

    /// The times of a session to which a user signs in, whose lifetime counted from `start`.
    fn signed_in_times(&self, times: Times, start: Tick, with: SignIn<'_>, now: Tick) -> Times {
        let times = Times { authenticated: now, issued: now, ..times };
        if !with.renew_lifetime {
            return self.change(times, start, with.deadlines, now);
        }
        let lifetime = times.end.saturating_sub(start).min(self.0.lifetime);
        let times = Times { end: now.saturating_add(lifetime), ..times };
        self.change(times, now, with.deadlines, now)
    }
}

impl Device {
    /// Whose it is.
    #[must_use]
    pub fn user(&self) -> Option<UserHash> {
        self.handle.user()
    }

    /// How old the session is.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since(self.times.created)
    }

    /// How long ago its user signed in.
    #[must_use]
    pub fn signed_in_for(&self) -> Duration {
        self.since(self.times.authenticated)
    }

    /// How long ago it was last used: that long, or less by at most a sixteenth of its idle timeout.
    #[must_use]
    pub fn last_seen(&self) -> Duration {
        self.since(self.times.seen())
    }

    fn since(&self, then: Tick) -> Duration {
        to_duration(self.now.saturating_sub(then))
    }
}

/// How many sessions of a user there is room for at first.
const EXPECTED: usize = 32;
