//! What can be refused, and what would be right instead.

use core::fmt;
use std::time::Duration;

/// Why a verb of [`SessionCache`](crate::SessionCache) changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is no such session: it never was, it ended, it expired, or its id was rotated away.
    Gone,
    /// The id is an old one: whoever rotated it has sent the new cookie, and there is nothing to do. Most verbs say
    /// so only within its grace, [`end_if`](crate::SessionCache::end_if) for as long as it is remembered.
    Rotated,
    /// A grace is longer than a session may live.
    GraceTooLong {
        /// The grace.
        given: Duration,
        /// The longest permitted: [`Builder::lifetime`](crate::Builder::lifetime).
        limit: Duration,
    },
    /// The session was saved by somebody else since that version was read: load it again.
    Conflict,
    /// No room, and nothing there that may go to make some.
    Full,
    /// The application's own hook, which [`Builder::admit`](crate::Builder::admit) took, refused the session.
    Refused,
    /// The data is longer than a session may be.
    TooLarge {
        /// The length of the data, in bytes.
        len: usize,
        /// The longest permitted, in bytes: [`Builder::max_session_size`](crate::Builder::max_session_size).
        limit: usize,
    },
    /// A user's name is empty.
    EmptyUser,
    /// The label of a sign-in is too long.
    LabelTooLong {
        /// Its length, in bytes.
        len: usize,
        /// The longest permitted, in bytes.
        limit: usize,
    },
    /// The user has as many sessions as [`Builder::max_sessions_per_user`](crate::Builder::max_sessions_per_user)
    /// permits, and none is to end for another.
    TooManySessions,
    /// A sign-in whose deadlines are over already, counted from the session's start: the session would not open.
    /// [`lifetime_from_now`](crate::Deadlines::lifetime_from_now) or
    /// [`renew_lifetime`](crate::SignIn::renew_lifetime) counts from the sign-in.
    LifetimeOver,
    /// The operating system gave no random bytes.
    Entropy,
}

/// Why [`Builder::build`](crate::Builder::build) refused its settings. The texts name the setting, what it was and what
/// it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// `memory` is too small to hold one of the largest sessions, or is more than can be addressed.
    Memory {
        /// The setting, in bytes.
        given: usize,
        /// The least that would do, in bytes.
        least: usize,
        /// The most that can be addressed, in bytes.
        most: usize,
    },
    /// `max_session_size` is zero or more than a session's length field can say.
    MaxSessionSize {
        /// The setting, in bytes.
        given: usize,
        /// The most, in bytes.
        most: usize,
    },
    /// `max_sessions_per_user` is zero, so that nobody could sign in.
    MaxSessionsPerUser {
        /// The setting.
        given: usize,
        /// The least.
        least: usize,
    },
    /// `authenticated_floor` leaves a shard no room for one of the largest sessions without a user.
    AuthenticatedFloor {
        /// The setting, in bytes.
        given: usize,
        /// The most that would do, in bytes.
        most: usize,
    },
    /// A timeout is shorter than the engine can keep, or longer.
    Timeout {
        /// `idle_timeout` or `lifetime`.
        setting: &'static str,
        /// The setting.
        given: Duration,
        /// The least.
        least: Duration,
        /// The most.
        most: Duration,
    },
    /// `idle_timeout` is longer than `lifetime`, so it could never be reached.
    Contradiction {
        /// The idle timeout.
        idle_timeout: Duration,
        /// The lifetime.
        lifetime: Duration,
    },
    /// `keys` was not called.
    NoKeys,
    /// `keys` cannot be used for this cookie name.
    Keys(KeyError),
    /// `cookie_name` is not a cookie's name.
    CookieName(CookieError),
    /// The system has no such memory to give.
    Allocation {
        /// The setting `memory`, in bytes.
        bytes: usize,
    },
    /// The operating system gave no random bytes.
    Entropy,
}

/// Why [`SetCookieBuilder::build`](crate::SetCookieBuilder::build) refused its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CookieError {
    /// The name is not a token of RFC 9110.
    Name {
        /// The name.
        given: String,
    },
    /// The path does not begin with `/`, or holds what a path cannot hold.
    Path {
        /// The path.
        given: String,
    },
    /// The domain is not a host's name.
    Domain {
        /// The domain.
        given: String,
    },
    /// `max_age` is zero, not in whole seconds, or over 400 days.
    MaxAge {
        /// The age.
        given: Duration,
    },
    /// A text is longer than browsers keep.
    TooLong {
        /// `name` or `path`.
        setting: &'static str,
        /// Its length, in bytes.
        len: usize,
        /// The most, in bytes.
        most: usize,
    },
    /// A setting contradicts another, so that browsers would refuse the cookie.
    Contradiction {
        /// The setting that is in the way.
        setting: &'static str,
        /// What it was.
        given: String,
        /// What it must be.
        must: &'static str,
        /// What it contradicts.
        because: &'static str,
    },
}

/// Why a [`KeyRing`](crate::KeyRing) was refused. Positions count from 1, the newest key. No text
/// holds a key or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no key.
    NoKey,
    /// More keys than a ring holds.
    TooMany {
        /// How many there are.
        given: usize,
        /// The most.
        most: usize,
    },
    /// A key is not base64 text.
    Base64 {
        /// Which key.
        position: usize,
    },
    /// A key is shorter than 32 bytes, or empty.
    Short {
        /// Which key.
        position: usize,
        /// Its length, in bytes.
        len: usize,
    },
    /// A key is in the ring twice.
    Repeated {
        /// Which key.
        position: usize,
        /// Where it was before.
        first: usize,
    },
    /// A key is published somewhere, or easy to guess.
    WellKnown {
        /// Which key.
        position: usize,
        /// Where it is known from, or what it is made of.
        origin: &'static str,
    },
    /// Two keys of the ring have the same key number, by which a token names its key. That happens to
    /// one pair in 256 and says nothing against either.
    SameNumber {
        /// Which key.
        position: usize,
        /// The one before it with that number.
        first: usize,
    },
    /// A key has the key number of another that this cache used before, and of which a session may still keep a tag:
    /// until the cache's lifetime and idle timeout have passed since that one was retired. Were it let in, tags of the
    /// retired key would be taken for its own. It says nothing against the key; another will do.
    UsedNumber {
        /// Which key.
        position: usize,
    },
    /// The environment variable is not set.
    Unset {
        /// Its name.
        variable: String,
    },
    /// The environment variable is not text.
    NotText {
        /// Its name.
        variable: String,
    },
    /// The operating system gave no random bytes.
    Entropy,
}

/// Why a text is not a [`Handle`](crate::Handle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// It has another length.
    Length {
        /// Its length, in bytes.
        len: usize,
    },
    /// Something in it is no lowercase hexadecimal digit.
    Digit {
        /// Which byte, counted from 1.
        position: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("there is no such session, or no longer"),
            Self::Rotated => f.write_str(
                "the session has a new id, which was sent to whoever asked for it; there is nothing to send",
            ),
            Self::GraceTooLong { given, limit } => {
                write!(f, "the grace was {given:?}; it must be at most {limit:?} (`lifetime`)")
            }
            Self::Conflict => {
                f.write_str("the session was saved since that version was read: load it again")
            }
            Self::Full => f.write_str(
                "no room for the session, and nothing there that may go: raise `memory`",
            ),
            Self::Refused => f.write_str(
                "the application's own hook refused the session (`admit`): ask it why",
            ),
            Self::TooLarge { len, limit } => {
                write!(
                    f,
                    "the data was {len} bytes; it must be at most {limit} (`max_session_size`)"
                )
            }
            Self::EmptyUser => {
                f.write_str("the user's name was empty; it must have at least one character")
            }
            Self::LabelTooLong { len, limit } => {
                write!(f, "the label was {len} bytes; it must be at most {limit}")
            }
            Self::TooManySessions => f.write_str(
                "the user has as many sessions as may be (`max_sessions_per_user`): end one of them first",
            ),
            Self::LifetimeOver => f.write_str(
                "the deadlines of the sign-in are over already: renew the lifetime, or count it from now",
            ),
            Self::Entropy => f.write_str(ENTROPY),
        }
    }
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { len } => {
                write!(f, "the handle was {len} bytes; it must be 52 hexadecimal digits")
            }
            Self::Digit { position } => write!(
                f,
                "byte {position} of the handle was no digit; it must be 0 to 9 or a to f, in lower case"
            ),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { given, least, most } => {
                write!(f, "`memory` was {given} bytes; it must be between {least} and {most}")
            }
            Self::MaxSessionSize { given, most } => {
                write!(f, "`max_session_size` was {given} bytes; it must be between 1 and {most}")
            }
            Self::MaxSessionsPerUser { given, least } => {
                write!(f, "`max_sessions_per_user` was {given}; it must be at least {least}")
            }
            Self::AuthenticatedFloor { given, most } => {
                write!(f, "`authenticated_floor` was {given} bytes; it must be at most {most}")
            }
            Self::Timeout { setting, given, least, most } => {
                write!(f, "`{setting}` was {given:?}; it must be between {least:?} and {most:?}")
            }
            Self::Contradiction { idle_timeout, lifetime } => write!(
                f,
                "`idle_timeout` was {idle_timeout:?}; it must be at most `lifetime`, which was {lifetime:?}"
            ),
            Self::Allocation { bytes } => write!(
                f,
                "`memory` was {bytes} bytes, which the system does not give; it must be what there is"
            ),
            Self::NoKeys => f.write_str(
                "`keys` was not set; it must be a key ring, such as `KeyRing::from_env(\"SESSILE_KEYS\")`",
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
            Self::Name { given } => {
                write!(
                    f,
                    "`name` was {given:?}; it must be letters, digits and any of !#$%&'*+-.^_`|~"
                )
            }
            Self::Path { given } => write!(
                f,
                "`path` was {given:?}; it must begin with `/` and be visible ASCII without `;`"
            ),
            Self::Domain { given } => {
                write!(f, "`domain` must be a host name such as \"example.org\", got {given:?}")
            }
            Self::MaxAge { given } => {
                write!(
                    f,
                    "`max_age` was {given:?}; it must be whole seconds, from 1 to 34560000 (400 days)"
                )
            }
            Self::TooLong { setting, len, most } => {
                write!(f, "`{setting}` was {len} bytes; it must be at most {most}")
            }
            Self::Contradiction { setting, given, must, because } => {
                write!(f, "`{setting}` was {given}, but {because} needs it to be {must}")
            }
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())?;
        match self {
            Self::TooMany { .. } | Self::Repeated { .. } | Self::Entropy => Ok(()),
            _ => f.write_str("; make one with `openssl rand -base64 32`"),
        }
    }
}

impl KeyError {
    fn text(&self) -> String {
        match self {
            Self::NoKey => "the key ring was empty; it must have at least one key".to_owned(),
            Self::TooMany { given, most } => {
                format!("the key ring had {given} keys; it must have at most {most}")
            }
            Self::Base64 { position } => format!("key {position} was not base64; it must be"),
            Self::Short { position, len } => {
                format!("key {position} was {len} bytes; it must be 32 or more")
            }
            Self::Repeated { position, first } => {
                format!("key {position} was key {first} again; it must be another or left out")
            }
            Self::WellKnown { position, origin } => {
                format!("key {position} was no secret ({origin}); it must be random")
            }
            Self::SameNumber { position, first } => {
                format!("key {position} had the key number of key {first}; it must be another key")
            }
            Self::UsedNumber { position } => {
                format!("key {position} had the key number of an earlier key; it must be another")
            }
            Self::Unset { variable } => format!("{variable} was not set; it must hold a key"),
            Self::NotText { variable } => format!("{variable} was not text; it must be base64"),
            Self::Entropy => ENTROPY.to_owned(),
        }
    }
}

impl std::error::Error for Error {}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Keys(error) => Some(error),
            Self::CookieName(error) => Some(error),
            _ => None,
        }
    }
}

impl std::error::Error for CookieError {}

impl std::error::Error for HandleError {}

impl std::error::Error for KeyError {}

const ENTROPY: &str = "the operating system gave no random bytes";
