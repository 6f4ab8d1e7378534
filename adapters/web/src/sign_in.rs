//! How somebody signs in, as an application says it.

use core::fmt;
use std::time::Duration;

use sessile::{SignInOptions, UserInfo};

use crate::state::CookiePersistence;

/// Who signs in, and how: for [`Session::sign_in`](crate::Session::sign_in). A name alone will do.
///
/// ```
/// use std::time::Duration;
/// use sessile_web::SignIn;
///
/// let month = Duration::from_secs(30 * 24 * 60 * 60);
/// let remembered = SignIn::of("ada").label("Firefox on Linux").assurance_level(2).remember(month);
/// # let _ = remembered;
/// ```
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
    /// That user, and nothing more to say.
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

    /// A few words that the list of the user's devices shows. What is beyond 48 bytes is left out.
    pub fn label(self, label: &str) -> Self {
        let end = (0..=MAX_LABEL_LEN.min(label.len()))
            .rev()
            .find(|&at| label.is_char_boundary(at));
        Self {
            label: label[..end.unwrap_or(0)].to_owned(),
            ..self
        }
    }

    /// How sure the application is of the user, on a scale of its own; 0 unless set.
    pub fn assurance_level(self, level: u8) -> Self {
        Self {
            assurance_level: level,
            ..self
        }
    }

    /// Whether the session's lifetime counts from now, rather than from where it counted before. Off unless set.
    pub fn renew_lifetime(self, on: bool) -> Self {
        Self {
            renew_lifetime: on,
            ..self
        }
    }

    /// The options as the engine takes them, without timeouts. A session that is kept differently from now on counts
    /// its lifetime from the sign-in.
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

    /// Keeps the user signed in for so long, as [`Session::remember`](crate::Session::remember) does.
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

/// What the engine keeps of a label, in bytes.
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
