//! Options of [`create_with`](crate::SessionCache::create_with) and
//! [`sign_in_with`](crate::SessionCache::sign_in_with).

use core::fmt;

use super::record::Version;
use crate::{config::Timeouts, error::Error, id::SessionId, shard::entry::MAX_LABEL_LEN};

/// Options of [`create_with`](crate::SessionCache::create_with). The default has the cache's
/// timeouts, an empty admission key and no user.
///
/// ```
/// use std::time::Duration;
/// use sessile::{CreateOptions, KeyRing, SessionCache, Timeouts, UserInfo};
///
/// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
/// let short = Timeouts::new().idle_timeout(Duration::from_secs(5 * 60));
/// let options = CreateOptions::new().timeouts(short).user(UserInfo::new("ada").label("phone"));
/// cache.create_with(b"a cart", options)?;
/// assert_eq!(cache.user_sessions("ada").len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct CreateOptions<'a> {
    pub(super) timeouts: Timeouts,
    pub(super) admission_key: &'a [u8],
    pub(super) user: Option<UserInfo<'a>>,
    pub(super) replaces: Option<SessionId>,
    pub(super) admitted: bool,
}

/// The user of a new session, for [`CreateOptions::user`]. Only the name is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct UserInfo<'a> {
    pub(super) user: &'a str,
    pub(super) label: &'a str,
    pub(super) assurance_level: u8,
}

/// Options of [`sign_in_with`](crate::SessionCache::sign_in_with). The default leaves timeouts and
/// data unchanged.
///
/// ```
/// use std::time::Duration;
/// use sessile::{KeyRing, SessionCache, SignInOptions, Timeouts};
///
/// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
/// let issued = cache.create(b"a cart")?;
/// let day = Timeouts::new().lifetime(Duration::from_secs(24 * 60 * 60));
/// let options = SignInOptions::new().timeouts(day).renew_lifetime(true).assurance_level(2);
/// cache.sign_in_with(&issued.id, "ada", options)?;
/// assert_eq!(cache.user_sessions("ada")[0].assurance_level, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct SignInOptions<'a> {
    pub(super) timeouts: Timeouts,
    pub(super) assurance_level: u8,
    pub(super) label: &'a str,
    pub(super) data: Option<(Version, &'a [u8])>,
    pub(super) renew_lifetime: bool,
}

impl<'a> CreateOptions<'a> {
    /// Creates the default options.
    pub const fn new() -> Self {
        Self {
            timeouts: Timeouts::new(),
            admission_key: b"",
            user: None,
            replaces: None,
            admitted: false,
        }
    }

    /// Sets per-session timeouts.
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Sets the key for the [`admission`](crate::SessionCacheBuilder::admission) hook, such as the
    /// client's address. The key is not stored.
    pub fn admission_key(self, admission_key: &'a [u8]) -> Self {
        Self {
            admission_key,
            ..self
        }
    }

    /// Signs in a user from the start, for a client that had no session.
    pub fn user(self, user: impl Into<UserInfo<'a>>) -> Self {
        Self {
            user: Some(user.into()),
            ..self
        }
    }

    /// Ends another session once this one is created. `id` is its current id, or a replaced one
    /// that is remembered. If both sessions belong to the same user, the other one does not count
    /// against [`max_sessions_per_user`](crate::SessionCacheBuilder::max_sessions_per_user). If the
    /// creation fails, the other session is unchanged.
    ///
    /// ```
    /// use sessile::{CreateOptions, KeyRing, SessionCache, SessionLimitPolicy};
    ///
    /// let builder = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let builder = builder.max_sessions_per_user(1);
    /// let cache = builder.session_limit_policy(SessionLimitPolicy::Reject).build()?;
    /// let ada = CreateOptions::new().user("ada");
    /// let old = cache.create_with(b"", ada)?;
    ///
    /// assert!(cache.create_with(b"", ada).is_err());
    /// cache.create_with(b"", ada.replaces(&old.id))?;
    /// assert_eq!(cache.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replaces(self, id: &SessionId) -> Self {
        Self {
            replaces: Some(*id),
            ..self
        }
    }

    /// Skips the admission hook, for a caller that has called
    /// [`check_admission`](crate::SessionCache::check_admission).
    pub fn admitted(self) -> Self {
        Self {
            admitted: true,
            ..self
        }
    }
}

impl<'a> UserInfo<'a> {
    /// Creates a user with this name, an empty label and assurance level 0.
    pub const fn new(user: &'a str) -> Self {
        Self {
            user,
            label: "",
            assurance_level: 0,
        }
    }

    /// Sets the label in lists of the user's sessions, such as the device: at most 48 bytes.
    pub fn label(self, label: &'a str) -> Self {
        Self { label, ..self }
    }

    /// Sets the authentication assurance level (NIST SP 800-63B AAL, OIDC `acr`).
    pub fn assurance_level(self, assurance_level: u8) -> Self {
        Self {
            assurance_level,
            ..self
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.user.is_empty() {
            return Err(Error::EmptyUser);
        }
        let (given, max) = (self.label.len(), MAX_LABEL_LEN);
        if given > max {
            Err(Error::LabelTooLong { given, max })
        } else {
            Ok(())
        }
    }
}

impl<'a> From<&'a str> for UserInfo<'a> {
    fn from(user: &'a str) -> Self {
        Self::new(user)
    }
}

impl<'a> From<&'a String> for UserInfo<'a> {
    fn from(user: &'a String) -> Self {
        Self::new(user)
    }
}

impl<'a> SignInOptions<'a> {
    /// Creates the default options.
    pub const fn new() -> Self {
        Self {
            timeouts: Timeouts::new(),
            assurance_level: 0,
            label: "",
            data: None,
            renew_lifetime: false,
        }
    }

    /// Sets per-session timeouts.
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Sets the authentication assurance level (NIST SP 800-63B AAL, OIDC `acr`); 0 by default.
    pub fn assurance_level(self, assurance_level: u8) -> Self {
        Self {
            assurance_level,
            ..self
        }
    }

    /// Sets the label in lists of the user's sessions, such as the device: at most 48 bytes.
    pub fn label(self, label: &'a str) -> Self {
        Self { label, ..self }
    }

    /// Replaces the session's data atomically with the sign-in if its version is still `version`.
    /// Otherwise the sign-in fails with [`Conflict`](Error::Conflict).
    pub fn replace_data(self, version: Version, data: &'a [u8]) -> Self {
        Self {
            data: Some((version, data)),
            ..self
        }
    }

    /// Restarts the lifetime at this sign-in if `on`; false by default. The lifetime keeps its
    /// length, capped by the cache's lifetime.
    pub fn renew_lifetime(self, on: bool) -> Self {
        Self {
            renew_lifetime: on,
            ..self
        }
    }

    pub(super) fn user_info(&self, user: &'a str) -> UserInfo<'a> {
        UserInfo {
            user,
            label: self.label,
            assurance_level: self.assurance_level,
        }
    }
}

/// Shows the length of the data, which may contain secrets.
impl fmt::Debug for SignInOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data_len = self.data.map(|(version, data)| (version, data.len()));
        f.debug_struct("SignInOptions")
            .field("timeouts", &self.timeouts)
            .field("assurance_level", &self.assurance_level)
            .field("label", &self.label)
            .field("data_len", &data_len)
            .field("renew_lifetime", &self.renew_lifetime)
            .finish()
    }
}
