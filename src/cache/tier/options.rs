//! The options of `create_with` and `sign_in_with` as a store needs them, and times under new timeouts.

use std::time::Duration;

use super::L1;
use crate::{
    cache::{CreateOptions, SignInOptions, Version},
    config::Timeouts,
    error::Error,
    id::{SessionId, UserHash},
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
    /// Checks the options of a creation, asks the admission hook unless they say that it was asked, and returns their
    /// parts.
    ///
    /// # Errors
    /// [`AdmissionDenied`](Error::AdmissionDenied), [`TooLarge`](Error::TooLarge), [`EmptyUser`](Error::EmptyUser),
    /// [`LabelTooLong`](Error::LabelTooLong).
    pub fn check_create<'a>(
        &self,
        options: &CreateOptions<'a>,
        data: &[u8],
    ) -> Result<CreateRequest<'a>, Error> {
        let _ = (options, data);
        todo!()
    }

    /// Checks the options of a sign-in to a session whose lifetime began `started_ago` and ends in `life_left`, and
    /// returns their parts.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge), [`EmptyUser`](Error::EmptyUser), [`LabelTooLong`](Error::LabelTooLong),
    /// [`LifetimeOver`](Error::LifetimeOver).
    pub fn check_sign_in<'a>(
        &self,
        user: &str,
        options: &SignInOptions<'a>,
        session: &super::StoredSession,
    ) -> Result<SignInRequest<'a>, Error> {
        let _ = (user, options, session);
        todo!()
    }

    /// Checks the length of data.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge).
    pub fn check_len(&self, data: &[u8]) -> Result<(), Error> {
        self.cache.0.check_len(data)
    }

    /// Returns the timeouts of `session` after a change to `timeouts`, as
    /// [`set_timeouts`](crate::SessionCache::set_timeouts) computes them. A lifetime that is over leaves
    /// [`life_left`](Spans::life_left) zero: then the change ends the session.
    #[must_use]
    pub fn change_timeouts(&self, session: &super::StoredSession, timeouts: Timeouts) -> Spans {
        let _ = (session, timeouts);
        todo!()
    }
}
