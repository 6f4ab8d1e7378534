//! The verbs that are about a user. All sessions of one are in one shard, so each verb takes one lock, and
//! sign-in that of the old shard of the session too.

use std::time::Duration;

use super::{CreateOptions, Inner, IssuedSession, SessionCache, SignInOptions, UserInfo};
use crate::{
    clock::{Tick, to_duration},
    error::Error,
    handle::Handle,
    id::{SessionId, UserHash},
    shard::{
        Limit, Listed, NewEntry, Shard,
        entry::{EntryUser, FIRST_VERSION, Times},
    },
};

/// A session in the list of its user's: what to show them so that they know where they are signed in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its name, for [`end_by_handle`](SessionCache::end_by_handle).
    pub handle: Handle,
    /// How sure the application was of the user, on its own scale.
    pub assurance_level: u8,
    /// What the application called it at the sign-in; empty if nothing.
    pub label: String,
    pub(super) times: Times,
    pub(super) now: Tick,
}

impl SessionCache {
    /// Binds a session to a user and replaces its id, atomically, with the default options. See
    /// [`sign_in_with`](Self::sign_in_with).
    ///
    /// # Errors
    /// Those of [`sign_in_with`](Self::sign_in_with).
    pub fn sign_in(&self, id: &SessionId, user: &str) -> Result<IssuedSession, Error> {
        self.sign_in_with(id, user, SignInOptions::new())
    }

    /// Binds a session to a user and replaces its id, atomically. The old id no longer opens the session, as after
    /// [`rotate`](Self::rotate) without a grace period. Signing in again, as the same or another user, also replaces
    /// the id.
    ///
    /// A user has at most [`max_sessions_per_user`](crate::SessionCacheBuilder::max_sessions_per_user) sessions. A
    /// sign-in beyond that ends the least recently used of them or fails, as
    /// [`session_limit_policy`](crate::SessionCacheBuilder::session_limit_policy) says. A name may have any length:
    /// only its hash is stored.
    ///
    /// # Errors
    /// [`EmptyUser`](Error::EmptyUser), [`LabelTooLong`](Error::LabelTooLong), [`Gone`](Error::Gone),
    /// [`LifetimeOver`](Error::LifetimeOver), [`Rotated`](Error::Rotated),
    /// [`TooManySessions`](Error::TooManySessions), [`Full`](Error::Full) (the session is briefly stored twice),
    /// [`Entropy`](Error::Entropy), and with [data](SignInOptions::replace_data) [`Conflict`](Error::Conflict) and
    /// [`TooLarge`](Error::TooLarge). On an error nothing is changed.
    pub fn sign_in_with(
        &self,
        id: &SessionId,
        user: &str,
        with: SignInOptions<'_>,
    ) -> Result<IssuedSession, Error> {
        let member = self.0.member(&with.user_info(user))?;
        with.data
            .map_or(Ok(()), |(_, data)| self.0.check_len(data))?;
        let data = with.data.map(|(version, data)| (version.get(), data));
        self.0
            .reissue(id, self.0.place_of_user(&member.user), |new_id, &stamp| {
                self.0.write_two(id.place, new_id.place, |old, new, now| {
                    let newcomer = |times, start| {
                        let times = self.0.signed_in_times(times, start, with, now);
                        let start = if with.renew_lifetime { now } else { start };
                        let member = Some(EntryUser { start, ..member });
                        NewEntry {
                            stamp,
                            times,
                            member,
                            data,
                        }
                    };
                    old.sign_in(&id.id, new, new_id, self.0.limit(), now, newcomer)
                })
            })
    }

    /// The sessions of a user, the most recently seen first: none for a name that nobody signed in with.
    ///
    /// It is what was there at one moment. It holds no ids: whoever sees it can end sessions with it, if the
    /// application lets them, but open none.
    ///
    /// ```
    /// use sessile::{KeyRing, SessionCache, SignInOptions};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
    /// for label in ["phone", "laptop"] {
    ///     let made = cache.create(b"")?;
    ///     cache.sign_in_with(&made.id, "ada", SignInOptions::new().label(label))?;
    /// }
    /// let devices = cache.user_sessions("ada");
    /// let phone = devices.iter().find(|device| device.label == "phone").expect("it is signed in");
    ///
    /// assert!(cache.end_by_handle(&phone.handle));
    /// assert_eq!(cache.user_sessions("ada").len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn user_sessions(&self, user: &str) -> Vec<SessionInfo> {
        let user = self.0.users.hash(user);
        let place = self.0.place_of_user(&user);
        let mut list = Vec::with_capacity(EXPECTED);
        // Nothing is allocated while the lock is held: if there are more, it is taken again.
        let now = loop {
            let query = |shard: &mut Shard, now| (shard.user_sessions(&user, now, &mut list), now);
            match self.0.write(place, query) {
                (Ok(()), now) => break now,
                (Err(number), _) => list.reserve(number + number / 4),
            }
        };
        list.sort_by_key(|listed| {
            let Times { authenticated, .. } = listed.times;
            core::cmp::Reverse((listed.times.seen(), authenticated, listed.serial))
        });
        let device = |listed: &Listed| SessionInfo {
            handle: Handle::new(Some(user), place, listed.serial, listed.times.created),
            assurance_level: listed.assurance_level,
            label: listed.label.text().to_owned(),
            times: listed.times,
            now,
        };
        list.iter().map(device).collect()
    }

    /// Destroys the session that a handle names. Says whether there was one: not if it has ended or expired,
    /// nor if somebody has signed in to it since, nor if nobody was signed in. When this has returned, no
    /// read finds it.
    pub fn end_by_handle(&self, handle: &Handle) -> bool {
        let user = handle
            .user()
            .filter(|user| self.0.place_of_user(user) == handle.place());
        user.is_some_and(|user| {
            self.0.write(handle.place(), |shard, now| {
                shard.end_by_handle(&user, handle.serial(), handle.created(), now)
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
    /// use sessile::{KeyRing, SessionCache};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
    /// let mut sign_in = || {
    ///     let made = cache.create(b"")?;
    ///     cache.sign_in(&made.id, "ada")
    /// };
    /// let (_phone, laptop) = (sign_in()?, sign_in()?);
    ///
    /// assert_eq!(cache.end_user_sessions("ada", Some(&laptop.id)), 1);
    /// assert_eq!(cache.end_user_sessions("ada", None), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn end_user_sessions(&self, user: &str, except: Option<&SessionId>) -> usize {
        let user = self.0.users.hash(user);
        let place = self.0.place_of_user(&user);
        let except = except.filter(|id| id.place == place);
        self.0.write(place, |shard, now| {
            shard.end_user_sessions(&user, except, now)
        })
    }
}

impl Inner {
    /// Creates a session that has a user from the start.
    pub(super) fn create_for(
        &self,
        user: UserInfo<'_>,
        options: &CreateOptions<'_>,
        data: &[u8],
    ) -> Result<IssuedSession, Error> {
        let member = self.member(&user)?;
        let place = self.place_of_user(&member.user);
        let old = options
            .replaces
            .and_then(|id| self.resolve(id))
            .filter(|id| id.place == place);
        self.issue_in(place, |_, &stamp| {
            self.write(place, |shard, now| {
                let times = self.new_times(shard, options.timeouts, now);
                let times = Times {
                    authenticated: now,
                    ..times
                };
                let member = Some(EntryUser {
                    start: times.created,
                    ..member
                });
                let newcomer = NewEntry {
                    stamp,
                    times,
                    member,
                    data: None,
                };
                shard.create(&newcomer, self.limit(), data, old.as_ref(), now)
            })?;
            Ok(FIRST_VERSION)
        })
    }

    fn member<'a>(&self, info: &UserInfo<'a>) -> Result<EntryUser<'a>, Error> {
        info.check()?;
        let UserInfo {
            user,
            assurance_level,
            label,
        } = *info;
        Ok(EntryUser {
            user: self.users.hash(user),
            assurance_level,
            label,
            start: 0,
        })
    }

    /// How many sessions a user may have.
    pub(super) fn limit(&self) -> Limit {
        let settings = &self.settings;
        Limit {
            most: settings.max_sessions_per_user.unwrap_or(usize::MAX),
            then: settings.session_limit_policy,
        }
    }

    /// The times of a session to which a user signs in, whose lifetime counted from `start`.
    pub(super) fn signed_in_times(
        &self,
        times: Times,
        start: Tick,
        with: SignInOptions<'_>,
        now: Tick,
    ) -> Times {
        let times = Times {
            authenticated: now,
            issued: now,
            ..times
        };
        if !with.renew_lifetime {
            return self.change(times, start, with.timeouts, now);
        }
        let lifetime = times.end.saturating_sub(start).min(self.lifetime);
        let times = Times {
            end: now.saturating_add(lifetime),
            ..times
        };
        self.change(times, now, with.timeouts, now)
    }
}

impl SessionInfo {
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
    pub fn authenticated_for(&self) -> Duration {
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
