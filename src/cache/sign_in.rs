//! What an application says of a sign-in beside who it is.

use crate::{config::Timeouts, error::Error, shard::entry::LABEL_LIMIT};

/// How somebody signs in: with [`sign_in`](crate::SessionCache::sign_in). The default changes no deadline
/// and says nothing.
///
/// ```
/// use std::time::Duration;
/// use sessile::{Timeouts, SignIn};
///
/// let month = Timeouts::default().lifetime(Duration::from_secs(30 * 24 * 60 * 60));
/// let remembered =
///     SignIn::default().timeouts(month).renew_lifetime(true).assurance_level(2).label("Firefox on Linux");
/// assert_eq!(remembered.assurance_level, 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignIn<'a> {
    /// The session's timeouts from now on.
    pub timeouts: Timeouts,
    /// How sure the application is of the user, on a scale of its own; 0 unless set.
    pub assurance_level: u8,
    /// A few words of the application's that a list shows, such as the device: at most 48 bytes.
    pub label: &'a str,
    /// What is stored in place of the session's data, in one with the sign-in, if nobody saved since that version:
    /// [`Conflict`](Error::Conflict) otherwise. The data stays unless set.
    pub data: Option<(u32, &'a [u8])>,
    /// Whether the lifetime counts from this sign-in, rather than from where it counted before: the session
    /// may be as old again as it might be, but no older than the cache permits. Off unless set.
    pub renew_lifetime: bool,
}

impl<'a> SignIn<'a> {
    /// With timeouts of the session's own.
    #[must_use]
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// With a level of assurance.
    #[must_use]
    pub fn assurance_level(self, level: u8) -> Self {
        Self { assurance_level: level, ..self }
    }

    /// With a label, of at most 48 bytes.
    #[must_use]
    pub fn label(self, label: &'a str) -> Self {
        Self { label, ..self }
    }

    /// With data in place of the session's, if it still has that version.
    #[must_use]
    pub fn data(self, version: u32, data: &'a [u8]) -> Self {
        Self { data: Some((version, data)), ..self }
    }

    /// With a lifetime that counts from now, or not.
    #[must_use]
    pub fn renew_lifetime(self, on: bool) -> Self {
        Self { renew_lifetime: on, ..self }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let (len, limit) = (self.label.len(), LABEL_LIMIT);
        if len > limit { Err(Error::LabelTooLong { len, limit }) } else { Ok(()) }
    }
}
