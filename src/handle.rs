//! Handles: public names of sessions, for lists and events. A handle opens nothing.
//!
//! ```text
//!  user hash (32 digits) │ place (4) │ serial (8) │ created (8)        52 hexadecimal digits
//! ```
//!
//! Knows that text, and nothing of where a session is.

use core::{fmt, str::FromStr};

use crate::{
    clock::Tick,
    error::HandleError,
    id::{Place, UserHash},
};

/// The public name of a session: what lists and events call it, and what
/// [`end_by_handle`](crate::SessionCache::end_by_handle) takes. It opens nothing, so it may stand in pages, logs
/// and addresses.
///
/// It stays the same through plain rotation and is new after each sign-in. No two sessions have the same
/// one. It holds the keyed hash of the user's name, which nobody outside can compute: from their own handles
/// nobody can guess somebody else's. Before an application ends a session for a user who sent its handle, it
/// checks that [`user`](Self::user) is theirs.
///
/// Its text is always 52 digits, `0` to `9` and `a` to `f`.
///
/// ```
/// use sessile::{Handle, KeyRing, SessionCache};
///
/// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
/// let made = cache.create(b"")?;
/// cache.sign_in(&made.id, "ada")?;
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

    /// Whose session it names; `None` if nobody was signed in.
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
        // Sixteen digits fit, and all of them are digits: each part reads.
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

/// The text form, for formats such as JSON.
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

/// Stands for no user; that a name has this hash happens once in 2^128 names.
const NO_USER: [u64; 2] = [0; 2];
const LEN: usize = 52;
