//! Handles: public names of sessions, for lists and events.
//!
//! ```text
//!  user hash (32 digits) │ place (4) │ serial (8) │ created (8)        52 hexadecimal digits
//! ```
//!
//! Owns this text. It does not know where a session is stored.

use core::{fmt, str::FromStr};

use crate::{
    clock::Tick,
    error::HandleError,
    id::{Place, UserHash},
};

/// The public name of a session, for lists, events and
/// [`end_by_handle`](crate::SessionCache::end_by_handle). It cannot open the session, so it can be
/// shown in pages, logs and URLs.
///
/// It is unique, is kept by [`rotate`](crate::SessionCache::rotate), and is replaced by each
/// sign-in. It contains the keyed hash of the user's name, which clients cannot compute, so they
/// cannot guess the handles of other users. An application that ends a session by a handle from a
/// client must first check that [`user`](Self::user) is the signed-in user.
///
/// The text form is 52 digits, `0` to `9` and `a` to `f`. With the feature `serde`, a handle is
/// serialized as this text.
///
/// ```
/// use sessile::{Handle, KeyRing, SessionCache};
///
/// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
/// let issued = cache.create(b"")?;
/// cache.sign_in(&issued.id, "ada")?;
///
/// let text = cache.user_sessions("ada")[0].handle.to_string();
/// assert_eq!(text.len(), 52);
/// let handle: Handle = text.parse()?;
/// assert!(cache.end_by_handle(&handle));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    user: [u64; 2],
    place: Place,
    serial: u32,
    created: Tick,
}

impl Handle {
    pub(crate) fn new(user: Option<UserHash>, place: Place, serial: u32, created: Tick) -> Self {
        Self {
            user: user.map_or(NO_USER, |hash| hash.0),
            place,
            serial,
            created,
        }
    }

    /// Returns the hash of the session's user, or `None` if the session is anonymous.
    #[must_use]
    pub fn user(&self) -> Option<UserHash> {
        (self.user != NO_USER).then_some(UserHash(self.user))
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    pub(crate) fn created(&self) -> Tick {
        self.created
    }
}

impl FromStr for Handle {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, HandleError> {
        let len = text.len();
        if len != LEN {
            return Err(HandleError::Length { given: len });
        }
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if let Some(at) = text.bytes().position(|byte| !is_digit(byte)) {
            return Err(HandleError::Digit { position: at + 1 });
        }
        // At most sixteen digits, all of them valid: parsing cannot fail.
        let part = |from: usize, len: usize| {
            u64::from_str_radix(&text[from..from + len], 16).unwrap_or_default()
        };
        Ok(Self {
            user: [part(0, 16), part(16, 16)],
            place: part(32, 4) as Place,
            serial: part(36, 8) as u32,
            created: part(44, 8) as Tick,
        })
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            user: [low, high],
            place,
            serial,
            created,
        } = self;
        write!(
            f,
            "{low:016x}{high:016x}{place:04x}{serial:08x}{created:08x}"
        )
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({self})")
    }
}

#[cfg(feature = "serde")]
mod serde {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::{Handle, fmt};

    impl Serialize for Handle {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for Handle {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_str(Text)
        }
    }

    struct Text;

    impl de::Visitor<'_> for Text {
        type Value = Handle;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a handle of 52 hexadecimal digits")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Handle, E> {
            text.parse().map_err(E::custom)
        }
    }
}

/// The hash of anonymous sessions. A user name has this hash with a probability of 2^-128.
const NO_USER: [u64; 2] = [0; 2];
const LEN: usize = 52;
