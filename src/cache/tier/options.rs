//! The options of `create_with` and `sign_in_with` as a store needs them, and times under new
//! timeouts.

use std::time::Duration;

use super::{L1, StoredSession};
use crate::{
    cache::{CreateOptions, SignInOptions, UserInfo, Version},
    clock::{Tick, to_duration},
    config::Timeouts,
    error::Error,
    id::{SessionId, UserHash},
    shard::entry::Times,
};

/// A user that signs in, checked and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedIn<'a> {
    /// The hash of the user's name.
    pub user: UserHash,
    /// The label of the session: at most 48 bytes.
    pub label: &'a str,
    /// The authentication assurance level.
    pub assurance_level: u8,
}

/// The parts of [`CreateOptions`], checked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CreateRequest<'a> {
    /// The user, if one is signed in from the start.
    pub user: Option<SignedIn<'a>>,
    /// The timeouts of the session.
    pub spans: Spans,
    /// The session that ends once this one is created.
    pub replaces: Option<SessionId>,
}

/// The parts of [`SignInOptions`], checked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SignInRequest<'a> {
    /// The user.
    pub user: SignedIn<'a>,
    /// The timeouts of the session after the sign-in.
    pub spans: Spans,
    /// The data that replaces the session's own if it has this version.
    pub data: Option<(Version, &'a [u8])>,
    /// True if the lifetime counts from this sign-in.
    pub renew_lifetime: bool,
}

/// Timeouts of a session: its own, capped by those of the cache, in whole ticks of 100 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spans {
    /// The idle timeout.
    pub idle_timeout: Duration,
    /// The time until the end of the lifetime, from now on. Zero if that is over.
    pub life_left: Duration,
}

impl L1 {
    /// Checks the options of a creation and the length of the data, asks the admission hook unless
    /// the options say that it was asked, and returns their parts.
    ///
    /// # Errors
    /// [`AdmissionDenied`](Error::AdmissionDenied), [`TooLarge`](Error::TooLarge),
    /// [`EmptyUser`](Error::EmptyUser), [`LabelTooLong`](Error::LabelTooLong).
    pub fn check_create<'a>(
        &self,
        options: &CreateOptions<'a>,
        data: &[u8],
    ) -> Result<CreateRequest<'a>, Error> {
        let inner = &self.cache.0;
        if !options.admitted {
            inner.check_admission(options.admission_key)?;
        }
        inner.check_len(data)?;
        let user = options.user.map(|user| self.signed_in(&user)).transpose()?;
        let now = inner.now();
        let times = Times {
            created: now,
            authenticated: 0,
            issued: now,
            idle: 0,
            end: now.saturating_add(inner.lifetime),
            idle_timeout: inner.idle_timeout,
        };
        Ok(CreateRequest {
            user,
            spans: Spans::of(&inner.change(times, now, options.timeouts, now), now),
            replaces: options.replaces,
        })
    }

    /// Checks the options of a sign-in to `session`, and returns their parts.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge), [`EmptyUser`](Error::EmptyUser),
    /// [`LabelTooLong`](Error::LabelTooLong), [`LifetimeOver`](Error::LifetimeOver).
    pub fn check_sign_in<'a>(
        &self,
        user: &'a str,
        options: &SignInOptions<'a>,
        session: &StoredSession,
    ) -> Result<SignInRequest<'a>, Error> {
        let inner = &self.cache.0;
        let user = self.signed_in(&options.user_info(user))?;
        options
            .data
            .map_or(Ok(()), |(_, data)| inner.check_len(data))?;
        let now = inner.now();
        let (times, start) = (inner.stored_times(session, now), session.start(now));
        let times = inner.signed_in_times(times, start, *options, now);
        if times.is_over(now) {
            return Err(Error::LifetimeOver);
        }
        Ok(SignInRequest {
            user,
            spans: Spans::of(&times, now),
            data: options.data,
            renew_lifetime: options.renew_lifetime,
        })
    }

    /// Checks the length of data.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge).
    pub fn check_len(&self, data: &[u8]) -> Result<(), Error> {
        self.cache.0.check_len(data)
    }

    /// Returns the timeouts of `session` after a change to `timeouts`, as
    /// [`set_timeouts`](crate::SessionCache::set_timeouts) computes them. A lifetime that is over
    /// leaves [`life_left`](Spans::life_left) zero: then the change ends the session.
    #[must_use]
    pub fn change_timeouts(&self, session: &StoredSession, timeouts: Timeouts) -> Spans {
        let inner = &self.cache.0;
        let now = inner.now();
        let (times, start) = (inner.stored_times(session, now), session.start(now));
        Spans::of(&inner.change(times, start, timeouts, now), now)
    }

    fn signed_in<'a>(&self, info: &UserInfo<'a>) -> Result<SignedIn<'a>, Error> {
        info.check()?;
        Ok(SignedIn {
            user: self.user_hash(info.user),
            label: info.label,
            assurance_level: info.assurance_level,
        })
    }
}

impl Spans {
    fn of(times: &Times, now: Tick) -> Self {
        Self {
            idle_timeout: to_duration(times.idle_timeout),
            life_left: to_duration(times.end.saturating_sub(now)),
        }
    }
}
