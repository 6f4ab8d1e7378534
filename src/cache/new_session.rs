//! What an application says of a session that it makes, beside its data.

use super::SignIn;
use crate::{config::Timeouts, id::SessionId};

/// How a session begins: with [`create`](crate::SessionCache::create). The default has the cache's own
/// timeouts, no key and no user.
///
/// ```
/// use std::time::Duration;
/// use sessile::{Timeouts, NewSession};
///
/// let short = Timeouts::default().idle_timeout(Duration::from_secs(5 * 60));
/// let address = "2001:db8::7".as_bytes();
/// assert_eq!(NewSession::default().timeouts(short).key(address).key, address);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewSession<'a> {
    /// The session's timeouts.
    pub timeouts: Timeouts,
    /// What the hook of [`admission`](crate::Builder::admission) decides by: the application's own, such as the
    /// client's address. It is not kept. Empty unless set.
    pub key: &'a [u8],
    /// Who is signed in from the start, and how: for a visitor who had no session. Timeouts of the sign-in count
    /// before those above, and data of its own is left out.
    pub user: Option<(&'a str, SignIn<'a>)>,
    /// A session that ends once this one is created: the session that the id opens, or opened before it was replaced.
    pub replaces: Option<SessionId>,
    /// The caller has asked the admission hook, which is not asked again. False unless set.
    pub admitted: bool,
}

impl<'a> NewSession<'a> {
    /// With timeouts of the session's own.
    #[must_use]
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
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

    /// Ends the session of an id once this one is created: its current id, or one that was replaced and is remembered.
    /// With a [user](Self::user), a session of that user is not counted against
    /// [`max_sessions_per_user`](crate::Builder::max_sessions_per_user). It is untouched if `create` fails.
    ///
    /// ```
    /// use sessile::{SessionLimitPolicy, KeyRing, NewSession, SessionCache, SignIn};
    ///
    /// let settings = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = settings.max_sessions_per_user(1).session_limit_policy(SessionLimitPolicy::Reject).build()?;
    /// let ada = NewSession::default().user("ada", SignIn::default());
    /// let old = cache.create(b"", ada)?;
    ///
    /// assert!(cache.create(b"", ada).is_err());
    /// cache.create(b"", ada.replaces(&old.id))?;
    /// assert_eq!(cache.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn replaces(self, id: &SessionId) -> Self {
        Self { replaces: Some(*id), ..self }
    }

    /// Creates the session without asking the admission hook: the caller has done so, by
    /// [`check_admission`](crate::SessionCache::check_admission).
    #[must_use]
    pub fn admitted(self) -> Self {
        Self { admitted: true, ..self }
    }
}
