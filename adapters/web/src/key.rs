//! Keys: a name, with or without the type of what is kept under it.
//!
//! Owns which names are kept for this crate. It does not know what is stored.

use core::{fmt, marker::PhantomData};

/// A key with the type of its value, so that no two places of an application disagree about it.
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
/// // A text is a key too, for a value of any type.
/// assert_eq!(session.get::<u32>("visits")?, Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Key<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// A key of that name. Names that begin with `sessile:` are refused where something is written.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, value: PhantomData }
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

/// What names a value of type `T`: a [`Key`] of that type, or a text for any type.
pub trait AsKey<T>: AsRef<str> + Copy {}

impl<T> AsKey<T> for Key<T> {}
impl<T> AsKey<T> for &str {}
impl<T> AsKey<T> for &String {}

/// What a value of type `V` may be stored under: a [`Key`] of that type, or of the type that `V` refers
/// to, or a text for any type.
pub trait Accepts<V>: AsRef<str> + Copy {}

impl<T> Accepts<T> for Key<T> {}
impl<T> Accepts<&T> for Key<T> {}
impl<V> Accepts<V> for &str {}
impl<V> Accepts<V> for &String {}

/// Whether a name is kept for this crate.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(RESERVED.as_bytes())
}

/// What the names begin with that an application neither sees nor writes.
pub(crate) const RESERVED: &str = "sessile:";

/// The name of the user who is signed in.
pub(crate) const USER: &str = "sessile:user";

/// There while the browser is to keep the cookie: for so many seconds after each use.
pub(crate) const PERSISTENT: &str = "sessile:persistent";

/// There while the browser is to keep the cookie: until the session's own end.
pub(crate) const REMEMBERED: &str = "sessile:remembered";

/// There while a form may be out that names the session: the mark of the id before a routine rotation, or
/// nothing.
pub(crate) const FORM: &str = "sessile:form";
