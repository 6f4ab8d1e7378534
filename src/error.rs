//! The error types. Each text says what is wrong, then what to do.
//!
//! `given` is the rejected value, `min` and `max` are its limits. The setup errors ([`BuildError`],
//! [`CookieError`], [`KeyError`]) print their text in `Debug` too, so that `fn main() -> Result<(),
//! Box<dyn Error>>` shows it. `Display` of [`BuildError`] contains the inner error, so `source()`
//! returns none.

use core::fmt;
use std::time::Duration;

/// Errors of the methods of [`SessionCache`](crate::SessionCache). On an error nothing is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// The session does not exist. It was never created, it has ended or expired, or its id was
    /// replaced.
    Gone,
    /// The id was replaced. The new cookie was sent with the response to the request that replaced
    /// it. Most methods return this only within the grace period,
    /// [`end_if_unchanged`](crate::SessionCache::end_if_unchanged) as long as the id is remembered.
    Rotated,
    /// The grace period is longer than the cache's lifetime.
    GraceTooLong {
        /// The grace period.
        given: Duration,
        /// The maximum: [`SessionCacheBuilder::lifetime`](crate::SessionCacheBuilder::lifetime).
        max: Duration,
    },
    /// Another request has changed the session since that version was read. Load the session again.
    Conflict,
    /// The cache is full and no session can be evicted.
    Full,
    /// The [`admission`](crate::SessionCacheBuilder::admission) hook denied the session.
    AdmissionDenied,
    /// The data is longer than the maximum.
    TooLarge {
        /// The length of the data, in bytes.
        given: usize,
        /// The maximum, in bytes:
        /// [`SessionCacheBuilder::max_session_size`](crate::SessionCacheBuilder::max_session_size).
        max: usize,
    },
    /// The name of a user is empty.
    EmptyUser,
    /// The label of a session is too long.
    LabelTooLong {
        /// The length of the label, in bytes.
        given: usize,
        /// The maximum, in bytes.
        max: usize,
    },
    /// The user has reached
    /// [`max_sessions_per_user`](crate::SessionCacheBuilder::max_sessions_per_user), and the policy
    /// ends none of the sessions.
    TooManySessions,
    /// The lifetime of a sign-in has already passed, counted from the session's start. To count
    /// from the sign-in, use [`lifetime_from_now`](crate::Timeouts::lifetime_from_now) or
    /// [`renew_lifetime`](crate::SignInOptions::renew_lifetime).
    LifetimeOver,
    /// The operating system returned no random bytes.
    Entropy,
    /// Reserved: the store of a tiered cache cannot be reached. A
    /// [`SessionCache`](crate::SessionCache) never returns this. The HTTP status is 503.
    Unreachable,
    /// Reserved: the store of a tiered cache cannot do that. A
    /// [`SessionCache`](crate::SessionCache) never returns this.
    Unsupported {
        /// The verb.
        verb: &'static str,
    },
}

/// Errors of [`SessionCacheBuilder::build`](crate::SessionCacheBuilder::build). Each text names the
/// setting and its limits.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BuildError {
    /// `memory` is too small for one session of the maximum size, or exceeds the address range.
    Memory {
        /// The setting, in bytes.
        given: usize,
        /// The minimum, in bytes.
        min: usize,
        /// The maximum, in bytes.
        max: usize,
    },
    /// `max_session_size` is zero or exceeds the format of a session.
    MaxSessionSize {
        /// The setting, in bytes.
        given: usize,
        /// The maximum, in bytes.
        max: usize,
    },
    /// `max_sessions_per_user` is zero, so that no user could sign in.
    MaxSessionsPerUser,
    /// `reserved_for_authenticated` leaves a shard no space for an anonymous session of the maximum
    /// size.
    ReservedForAuthenticated {
        /// The setting, in bytes.
        given: usize,
        /// The maximum, in bytes.
        max: usize,
    },
    /// A timeout is outside the supported range.
    Timeout {
        /// `idle_timeout` or `lifetime`.
        setting: &'static str,
        /// The setting.
        given: Duration,
        /// The minimum.
        min: Duration,
        /// The maximum.
        max: Duration,
    },
    /// `idle_timeout` is longer than `lifetime`, so it could never take effect.
    Contradiction {
        /// The idle timeout.
        idle_timeout: Duration,
        /// The lifetime.
        lifetime: Duration,
    },
    /// The cache would have more shards than a store has partitions.
    Shards {
        /// The number of shards.
        given: usize,
        /// The maximum.
        max: usize,
    },
    /// `keys` was not called.
    NoKeys,
    /// `keys` cannot be used for this cookie name.
    Keys(KeyError),
    /// `cookie_name` is not a valid cookie name.
    CookieName(CookieError),
    /// The operating system cannot provide the memory.
    Allocation {
        /// The setting `memory`, in bytes.
        given: usize,
    },
    /// The operating system returned no random bytes.
    Entropy,
}

/// Errors of [`SetCookieBuilder::build`](crate::SetCookieBuilder::build).
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieError {
    /// The name is empty or not a token of RFC 9110.
    Name {
        /// The name.
        given: String,
    },
    /// The path does not begin with `/`, or contains a character that a path cannot contain.
    Path {
        /// The path.
        given: String,
    },
    /// The domain is not a host name.
    Domain {
        /// The domain.
        given: String,
    },
    /// `max_age` is zero, not in whole seconds, or over 400 days.
    MaxAge {
        /// The age.
        given: Duration,
    },
    /// The name or the path is longer than browsers accept.
    TooLong {
        /// `name` or `path`.
        setting: &'static str,
        /// Its length, in bytes.
        given: usize,
        /// The maximum, in bytes.
        max: usize,
    },
    /// Two settings contradict each other, so that browsers would reject the cookie.
    Contradiction {
        /// The setting to change.
        setting: &'static str,
        /// Its value.
        given: String,
        /// The required value.
        must: &'static str,
        /// The setting that requires it.
        because: &'static str,
    },
}

/// Errors of [`KeyRing`](crate::KeyRing). Positions count from 1, the newest key. No text contains
/// a key or part of one.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyError {
    /// The ring is empty.
    NoKey,
    /// The ring has too many keys.
    TooMany {
        /// The number of keys.
        given: usize,
        /// The maximum.
        max: usize,
    },
    /// A key is not base64.
    Base64 {
        /// The position of the key.
        position: usize,
    },
    /// A key is shorter than 32 bytes, or empty.
    Short {
        /// The position of the key.
        position: usize,
        /// The length of the key, in bytes.
        given: usize,
    },
    /// The ring contains a key twice.
    Repeated {
        /// The position of the key.
        position: usize,
        /// The position of its first occurrence.
        first: usize,
    },
    /// A key is publicly known or easy to guess.
    WellKnown {
        /// The position of the key.
        position: usize,
        /// The place where it is published, or the pattern that it follows.
        origin: &'static str,
    },
    /// Two keys of the ring have the same key number, by which a token names its key. This happens
    /// to one pair in 256. Neither key is unsafe.
    SameNumber {
        /// The position of the key.
        position: usize,
        /// The position of the earlier key with that number.
        first: usize,
    },
    /// A key has the key number of a retired key of which a session may still hold a tag: until the
    /// cache's lifetime plus its idle timeout have passed since that key was retired. The new key
    /// is not unsafe; use another.
    UsedNumber {
        /// The position of the key.
        position: usize,
    },
    /// The environment variable is not set.
    Unset {
        /// The name of the variable.
        variable: String,
    },
    /// The environment variable is not Unicode text.
    NotText {
        /// The name of the variable.
        variable: String,
    },
    /// The operating system returned no random bytes.
    Entropy,
}

/// Errors of parsing a [`Handle`](crate::Handle).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandleError {
    /// The text is not 52 bytes long.
    Length {
        /// Its length, in bytes.
        given: usize,
    },
    /// A byte is not a lowercase hexadecimal digit.
    Digit {
        /// The position of the byte, counted from 1.
        position: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::GraceTooLong { given, max } => {
                return write!(
                    f,
                    "`grace` must be at most {max:?} (`lifetime`), got {given:?}"
                );
            }
            Self::TooLarge { given, max } => {
                return write!(
                    f,
                    "`data` must be at most {max} bytes (`max_session_size`), got {given}"
                );
            }
            Self::LabelTooLong { given, max } => {
                return write!(f, "`label` must be at most {max} bytes, got {given}");
            }
            Self::Unsupported { verb } => {
                return write!(f, "session store does not support {verb}");
            }
            Self::Gone => "session does not exist, or no longer exists",
            Self::Rotated => {
                "session id is no longer current; the current one was sent with an earlier response"
            }
            Self::Conflict => "session was changed since that version was read; load it again",
            Self::Full => "cache is full and no session can be evicted; increase `memory`",
            Self::AdmissionDenied => {
                "session creation is denied by the admission hook (`admission`)"
            }
            Self::EmptyUser => "`user` must not be empty",
            Self::TooManySessions => {
                "user has reached `max_sessions_per_user`; end one of the sessions first"
            }
            Self::LifetimeOver => {
                "`timeouts` of the sign-in have already passed; renew the lifetime, or count it from now"
            }
            Self::Entropy => ENTROPY,
            Self::Unreachable => "session store cannot be reached; try again later",
        };
        f.write_str(text)
    }
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { given } => {
                write!(f, "handle must be 52 hexadecimal digits, got {given} bytes")
            }
            Self::Digit { position } => write!(
                f,
                "byte {position} of the handle must be a digit, 0 to 9 or a to f in lower case"
            ),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { given, min, max } => {
                write!(
                    f,
                    "`memory` must be between {min} and {max} bytes, got {given}"
                )
            }
            Self::MaxSessionSize { given, max } => {
                write!(
                    f,
                    "`max_session_size` must be between 1 and {max} bytes, got {given}"
                )
            }
            Self::MaxSessionsPerUser => f.write_str(
                "`max_sessions_per_user` must be at least 1, got 0; use `None` for no limit",
            ),
            Self::ReservedForAuthenticated { given, max } => {
                write!(
                    f,
                    "`reserved_for_authenticated` must be at most {max} bytes, got {given}"
                )
            }
            Self::Timeout {
                setting,
                given,
                min,
                max,
            } => {
                write!(
                    f,
                    "`{setting}` must be between {min:?} and {max:?}, got {given:?}"
                )
            }
            Self::Contradiction {
                idle_timeout,
                lifetime,
            } => write!(
                f,
                "`idle_timeout` must be at most `lifetime`, which is {lifetime:?}, got {idle_timeout:?}"
            ),
            Self::Allocation { given } => {
                write!(f, "cannot allocate {given} bytes (`memory`); use less")
            }
            Self::Shards { given, max } => {
                write!(
                    f,
                    "a tiered cache must have at most {max} shards, got {given}"
                )
            }
            Self::NoKeys => f.write_str(
                "`keys` must be set to a key ring, such as `KeyRing::from_env(\"SESSILE_KEYS\")`",
            ),
            Self::Keys(error) => write!(f, "`keys`: {error}"),
            Self::CookieName(error) => write!(f, "`cookie_name`: {error}"),
            Self::Entropy => f.write_str(ENTROPY),
        }
    }
}

impl fmt::Display for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { given } => write!(
                f,
                "`name` must be letters, digits and any of !#$%&'*+-.^_`|~, got {given:?}"
            ),
            Self::Path { given } => write!(
                f,
                "`path` must begin with `/` and be visible ASCII without `;`, got {given:?}"
            ),
            Self::Domain { given } => {
                write!(
                    f,
                    "`domain` must be a host name such as \"example.org\", got {given:?}"
                )
            }
            Self::MaxAge { given } => write!(
                f,
                "`max_age` must be whole seconds, from 1 to 34560000 (400 days), got {given:?}"
            ),
            Self::TooLong {
                setting,
                given,
                max,
            } => {
                write!(f, "`{setting}` must be at most {max} bytes, got {given}")
            }
            Self::Contradiction {
                setting,
                given,
                must,
                because,
            } => {
                write!(f, "`{setting}` must be {must} for {because}, got {given}")
            }
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("key ring is empty; add a key")?,
            Self::TooMany { given, max } => {
                return write!(f, "key ring must have at most {max} keys, got {given}");
            }
            Self::Base64 { position } => write!(f, "key {position} must be base64")?,
            Self::Short { position, given } => {
                write!(f, "key {position} must be at least 32 bytes, got {given}")?;
            }
            Self::Repeated { position, first } => {
                return write!(f, "key {position} duplicates key {first}; remove it");
            }
            Self::WellKnown { position, origin } => write!(
                f,
                "key {position} is publicly known or guessable ({origin}); use a random key"
            )?,
            Self::SameNumber { position, first } => write!(
                f,
                "key {position} has the key number of key {first}; use another key"
            )?,
            Self::UsedNumber { position } => write!(
                f,
                "key {position} has the key number of an earlier key; use another key"
            )?,
            Self::Unset { variable } => write!(
                f,
                "{variable} is not set; set it to a key, or to several separated by commas"
            )?,
            Self::NotText { variable } => write!(f, "{variable} must be base64 text")?,
            Self::Entropy => return f.write_str(ENTROPY),
        }
        f.write_str("; make one with `openssl rand -base64 32`")
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<KeyError> for BuildError {
    fn from(error: KeyError) -> Self {
        Self::Keys(error)
    }
}

impl From<CookieError> for BuildError {
    fn from(error: CookieError) -> Self {
        Self::CookieName(error)
    }
}

impl std::error::Error for Error {}
impl std::error::Error for BuildError {}
impl std::error::Error for CookieError {}
impl std::error::Error for HandleError {}
impl std::error::Error for KeyError {}

const ENTROPY: &str = "the operating system returned no random bytes";

#[cfg(test)]
mod tests;
