//! The verbs that concern a user. All sessions of a user are in one shard, so each verb takes one
//! lock. A sign-in may also take the lock of the session's previous shard.

use std::time::Duration;

use super::{CreateOptions, Inner, IssuedSession, SessionCache, SignInOptions, UserInfo};
use crate::{
    clock::{Tick, to_duration},
    error::Error,
    handle::Handle,
    id::{SessionId, UserHash},
    shard::{
        Limit, NewEntry, Shard, UserSession,
        entry::{EntryUser, FIRST_VERSION, Times},
    },
};

/// A session in the list of a user's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The public name of the session, for [`end_by_handle`](SessionCache::end_by_handle).
    pub handle: Handle,
    /// The authentication assurance level (NIST SP 800-63B AAL, OIDC `acr`) of the sign-in.
    pub assurance_level: u8,
    /// The label that the application set at the sign-in, or an empty string.
    pub label: String,
    pub(super) times: Times,
    pub(super) now: Tick,
}

impl SessionCache {
    /// Binds a session to a user and replaces its id, atomically, with the default options. See
    /// [`sign_in_with`](Self::sign_in_with).
    ///
    /// # Errors
    /// The errors of [`sign_in_with`](Self::sign_in_with).
    pub fn sign_in(&self, id: &SessionId, user: &str) -> Result<IssuedSession, Error> {
        self.sign_in_with(id, user, SignInOptions::new())
    }

    /// Binds a session to a user and replaces its id, atomically. The old id no longer opens the
    /// session, as after [`rotate`](Self::rotate) without a grace period. Signing in again, as the
    /// same or another user, also replaces the id.
    ///
    /// A user has at most
    /// [`max_sessions_per_user`](crate::SessionCacheBuilder::max_sessions_per_user) sessions. A
    /// further sign-in ends the least recently used of them or fails, depending on
    /// [`session_limit_policy`](crate::SessionCacheBuilder::session_limit_policy). A name may have
    /// any length: only its hash is stored.
    ///
    /// # Errors
    /// [`EmptyUser`](Error::EmptyUser), [`LabelTooLong`](Error::LabelTooLong),
    /// [`Gone`](Error::Gone), [`LifetimeOver`](Error::LifetimeOver), [`Rotated`](Error::Rotated),
    /// [`TooManySessions`](Error::TooManySessions), [`Full`](Error::Full) (the session is briefly
    /// stored twice), [`Entropy`](Error::Entropy), and with [data](SignInOptions::replace_data)
    /// [`Conflict`](Error::Conflict) and [`TooLarge`](Error::TooLarge). On an error nothing is
    /// changed.
    pub fn sign_in_with(
        &self,
        id: &SessionId,
        user: &str,
        with: SignInOptions<'_>,
    ) -> Result<IssuedSession, Error> {
        let entry_user = self.0.entry_user(&with.user_info(user))?;
        with.data
            .map_or(Ok(()), |(_, data)| self.0.check_len(data))?;
        let data = with.data.map(|(version, data)| (version.get(), data));
        self.0.reissue(
            id,
            self.0.place_of_user(&entry_user.user),
            |new_id, &token| {
                self.0.write_two(id.place, new_id.place, |old, new, now| {
                    let entry = |times, start| {
                        let times = self.0.signed_in_times(times, start, with, now);
                        let start = if with.renew_lifetime { now } else { start };
                        let entry_user = Some(EntryUser {
                            start,
                            ..entry_user
                        });
                        NewEntry {
                            token,
                            times,
                            user: entry_user,
                            data,
                        }
                    };
                    old.sign_in(&id.id, new, new_id, self.0.limit(), now, entry)
                })
            },
        )
    }

    /// Returns the sessions of a user, the most recently used first. Returns an empty list for an
    /// unknown user.
    ///
    /// The list is a consistent snapshot. It contains handles but no ids, so it cannot be used to
    /// open a session.
    ///
    /// ```
    /// use sessile::{KeyRing, SessionCache, SignInOptions};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
    /// for label in ["phone", "laptop"] {
    ///     let issued = cache.create(b"")?;
    ///     cache.sign_in_with(&issued.id, "ada", SignInOptions::new().label(label))?;
    /// }
    /// let sessions = cache.user_sessions("ada");
    /// let phone = sessions.iter().find(|session| session.label == "phone").expect("listed");
    ///
    /// assert!(cache.end_by_handle(&phone.handle));
    /// assert_eq!(cache.user_sessions("ada").len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn user_sessions(&self, user: &str) -> Vec<SessionInfo> {
        let user = self.0.users.hash(user);
        let place = self.0.place_of_user(&user);
        let mut list = Vec::with_capacity(INITIAL_CAPACITY);
        // Nothing is allocated under the lock. If the list is too short, it is extended and the
        // lock taken again.
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
        let info = |listed: &UserSession| SessionInfo {
            handle: Handle::new(Some(user), place, listed.serial, listed.times.created),
            assurance_level: listed.assurance_level,
            label: listed.label.text().to_owned(),
            times: listed.times,
            now,
        };
        list.iter().map(info).collect()
    }

    /// Ends the session with this handle. Returns true if there was such a session, and false if it
    /// has ended or expired, has been signed in to again, or is anonymous. After it returns, no
    /// read finds the session.
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

    /// Ends all sessions of a user except `except`, and returns the number of ended sessions.
    /// `except` may be a replaced id that is remembered, if the same user has been signed in to its
    /// session since. Other ids that the session had may keep it or not.
    ///
    /// After it returns, no read finds a session whose sign-in had returned before the call. Reads
    /// during the call may find one session ended before another. It holds one lock for a time
    /// proportional to the number of the user's sessions.
    ///
    /// ```
    /// use sessile::{KeyRing, SessionCache};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
    /// let mut sign_in = || {
    ///     let issued = cache.create(b"")?;
    ///     cache.sign_in(&issued.id, "ada")
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
    /// Creates a session with a user.
    pub(super) fn create_for(
        &self,
        user: UserInfo<'_>,
        options: &CreateOptions<'_>,
        data: &[u8],
    ) -> Result<IssuedSession, Error> {
        let entry_user = self.entry_user(&user)?;
        let place = self.place_of_user(&entry_user.user);
        let old = options
            .replaces
            .and_then(|id| self.resolve(id))
            .filter(|id| id.place == place);
        self.issue_in(place, |_, &token| {
            self.write(place, |shard, now| {
                let times = self.new_times(shard, options.timeouts, now);
                let times = Times {
                    authenticated: now,
                    ..times
                };
                let entry_user = Some(EntryUser {
                    start: times.created,
                    ..entry_user
                });
                let entry = NewEntry {
                    token,
                    times,
                    user: entry_user,
                    data: None,
                };
                shard.create(&entry, self.limit(), data, old.as_ref(), now)
            })?;
            Ok(FIRST_VERSION)
        })
    }

    fn entry_user<'a>(&self, info: &UserInfo<'a>) -> Result<EntryUser<'a>, Error> {
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

    /// Returns the maximum number of sessions of a user, and the policy.
    pub(super) fn limit(&self) -> Limit {
        let settings = &self.settings;
        Limit {
            max: settings.max_sessions_per_user.unwrap_or(usize::MAX),
            policy: settings.session_limit_policy,
        }
    }

    /// Returns the times of a session after a sign-in, if its lifetime counted from `start`.
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
    /// Returns the hash of the session's user.
    #[must_use]
    pub fn user(&self) -> Option<UserHash> {
        self.handle.user()
    }

    /// Returns the time since the session was created.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since(self.times.created)
    }

    /// Returns the time since the user signed in.
    #[must_use]
    pub fn authenticated_for(&self) -> Duration {
        self.since(self.times.authenticated)
    }

    /// Returns the time since the last use. The session may have been used more recently, by up to
    /// a sixteenth of its idle timeout.
    #[must_use]
    pub fn last_seen(&self) -> Duration {
        self.since(self.times.seen())
    }

    fn since(&self, then: Tick) -> Duration {
        to_duration(self.now.saturating_sub(then))
    }
}

/// The initial capacity of the list of a user's sessions.
const INITIAL_CAPACITY: usize = 32;
