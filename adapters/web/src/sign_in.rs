//! The options of a sign-in.

use core::fmt;
use std::time::Duration;

use sessile::{SignInOptions, UserInfo};

use crate::state::CookiePersistence;

/// The user and the options of [`Session::sign_in`](crate::Session::sign_in). The name of the user
/// converts into it.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct SignIn {
    pub(crate) user: String,
    pub(crate) label: String,
    pub(crate) assurance_level: u8,
    pub(crate) renew_lifetime: bool,
    pub(crate) remember: Option<Duration>,
}

impl SignIn {
    /// Creates the options for a user, with the defaults.
    pub fn of(user: impl Into<String>) -> Self {
        let user = user.into();
        Self {
            user,
            label: String::new(),
            assurance_level: 0,
            renew_lifetime: false,
            remember: None,
        }
    }

    /// Sets a label that the list of the user's sessions shows. It is truncated to 48 bytes, at a
    /// character boundary.
    pub fn label(self, label: &str) -> Self {
        let end = (0..=MAX_LABEL_LEN.min(label.len()))
            .rev()
            .find(|&at| label.is_char_boundary(at));
        Self {
            label: label[..end.unwrap_or(0)].to_owned(),
            ..self
        }
    }

    /// Sets the authentication assurance level (NIST SP 800-63B AAL, OIDC `acr`). The default is 0.
    pub fn assurance_level(self, level: u8) -> Self {
        Self {
            assurance_level: level,
            ..self
        }
    }

    /// Restarts the session's lifetime at the sign-in. Off by default: the lifetime then counts
    /// from the session's creation.
    pub fn renew_lifetime(self, on: bool) -> Self {
        Self {
            renew_lifetime: on,
            ..self
        }
    }

    /// Returns the options of the engine, without timeouts. If the persistence changes, the
    /// lifetime restarts at the sign-in.
    pub(crate) fn to_engine(&self, keep: Option<CookiePersistence>) -> SignInOptions<'_> {
        SignInOptions::new()
            .assurance_level(self.assurance_level)
            .label(&self.label)
            .renew_lifetime(self.renew_lifetime || keep.is_some())
    }

    /// Returns the user of a session that is created.
    pub(crate) fn user_info(&self) -> UserInfo<'_> {
        UserInfo::new(&self.user)
            .assurance_level(self.assurance_level)
            .label(&self.label)
    }

    /// Keeps the user signed in for a span from now, as
    /// [`Session::remember`](crate::Session::remember) does.
    pub fn remember(self, span: Duration) -> Self {
        Self {
            remember: Some(span),
            ..self
        }
    }
}

impl<T: Into<String>> From<T> for SignIn {
    fn from(user: T) -> Self {
        Self::of(user)
    }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn")
            .field("assurance", &self.assurance_level)
            .field("renew_lifetime", &self.renew_lifetime)
            .field("remember", &self.remember)
            .finish_non_exhaustive()
    }
}

/// The maximum label length of the engine, in bytes.
const MAX_LABEL_LEN: usize = 48;

#[cfg(test)]
mod tests {
    use super::SignIn;

    #[test]
    fn a_long_label_is_cut_between_characters() {
        for (label, kept) in [
            ("phone", 5),
            (&"a".repeat(60), 48),
            (&"ä".repeat(30), 48),
            (&"a€".repeat(20), 48),
            (&"€a".repeat(20), 48),
            (&"€€a".repeat(20), 48),
        ] {
            let cut = SignIn::of("ada").label(label).label;
            assert!(
                label.starts_with(&cut) && cut.len() <= kept && cut.len() + 3 > kept,
                "{cut}"
            );
        }
    }
}
