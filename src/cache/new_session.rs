//! What an application says of a session that it makes, beside its data.

use super::SignIn;
use crate::config::Deadlines;

/// How a session begins: with [`create`](crate::SessionCache::create). The default has the cache's own
/// timeouts, no key and no user.
///
/// ```
/// use std::time::Duration;
/// use sessile::{Deadlines, NewSession};
///
/// let short = Deadlines::default().idle_timeout(Duration::from_secs(5 * 60));
/// let address = "2001:db8::7".as_bytes();
/// assert_eq!(NewSession::default().deadlines(short).key(address).key, address);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewSession<'a> {
    /// The session's timeouts.
    pub deadlines: Deadlines,
    /// What the hook of [`admit`](crate::Builder::admit) decides by: the application's own, such as the
    /// client's address. It is not kept. Empty unless set.
    pub key: &'a [u8],
    /// Who is signed in from the start, and how: for a visitor who had no session. Timeouts of the sign-in count
    /// before those above, and data of its own is left out.
    pub user: Option<(&'a str, SignIn<'a>)>,
    /// The caller has asked the admission hook, which is not asked again. False unless set.
    pub admitted: bool,
}

impl<'a> NewSession<'a> {
    /// With timeouts of the session's own.
    #[must_use]
    pub fn deadlines(self, deadlines: Deadlines) -> Self {
        Self { deadlines, ..self }
    }

    /// With a key for the hook.
    #[must_use]
    pub fn key(self, key: &'a [u8]) -> Self {
        Self { key, ..self }
    }

    /// With a user.
    #[must_use]
    pub fn user(self, name: &'a str, with: SignIn<'a>) -> Self {
        Self { user: Some((name, with)), ..self }
    }

    /// Creates the session without asking the admission hook: the caller has done so, by
    /// [`check_admission`](crate::SessionCache::check_admission).
    #[must_use]
    pub fn admitted(self) -> Self {
        Self { admitted: true, ..self }
    }
}
