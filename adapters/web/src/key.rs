//! Keys: names, with or without the type of the value.
//!
//! Owns the names that are reserved for this crate. It does not know stored data.

use core::{fmt, marker::PhantomData};

/// A key with the type of its value, so that all parts of an application use the same type.
///
/// ```
/// # use http::HeaderMap;
/// # use sessile::{KeyRing, SessionCache};
/// # use sessile_web::SessionManager;
/// use sessile_web::Key;
///
/// const VISITS: Key<u32> = Key::new("visits");
///
/// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
/// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
/// let visits = session.get(VISITS)?.unwrap_or(0);
/// session.insert(VISITS, visits + 1)?;
/// // A string is a key too, for a value of any type.
/// assert_eq!(session.get::<u32>("visits")?, Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Key<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// Creates a key. Names that begin with `sessile:` are rejected by the verbs that write.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            value: PhantomData,
        }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> AsRef<str> for Key<T> {
    fn as_ref(&self) -> &str {
        self.name
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// The name of a value of type `T`: a [`Key`] of that type, or a string for any type.
///
/// It is sealed: no other types can implement it.
pub trait SessionKey<T>: AsRef<str> + Copy + sealed::Sealed {}

impl<T> SessionKey<T> for Key<T> {}
impl<T> SessionKey<T> for &str {}
impl<T> SessionKey<T> for &String {}

mod sealed {
    pub trait Sealed {}

    impl<T> Sealed for super::Key<T> {}
    impl Sealed for &str {}
    impl Sealed for &String {}
}

/// Returns true if a name is reserved for this crate.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(RESERVED.as_bytes())
}

/// The prefix of names that an application can neither read nor write.
pub(crate) const RESERVED: &str = "sessile:";

/// The name of the signed-in user.
pub(crate) const USER: &str = "sessile:user";

/// Present if the cookie is persistent: the number of seconds for which the browser keeps it after
/// each use.
pub(crate) const PERSISTENT: &str = "sessile:persistent";

/// Present if the browser keeps the cookie until the session expires.
pub(crate) const REMEMBERED: &str = "sessile:remembered";

/// Present if a page with a CSRF token of this session may exist: the binding of the id before a
/// rotation by age, or an empty string.
pub(crate) const FORM: &str = "sessile:form";
