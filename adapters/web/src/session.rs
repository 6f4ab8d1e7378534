//! What a handler sees: a map of keys to JSON values that belongs to one visitor.
//!
//! Owns the share in one request's state. It locks that state, never while the application's code
//! (a `Serialize` or `Deserialize`) runs. It does not know how the state is stored.

use core::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    SessionError, Sessions,
    cookies::Cookies,
    pairs,
    state::{Request, State},
};

/// The session of one request.
///
/// Cheap to clone; clones are the same session. It is loaded when first looked at, and a request that
/// never looks at it costs next to nothing. Changes are stored when the response's headers are about to
/// leave, unless the response is 500 or above; only [`end`](Self::end) acts at once. Of two requests
/// that change the same key at the same time the later one wins; different keys do not disturb each
/// other.
///
/// ```
/// # use http::HeaderMap;
/// # use sessile::{KeyRing, SessionCache};
/// # use sessile_web::Sessions;
/// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::random()?).build()?;
/// # let session = Sessions::new(cache).begin(&HeaderMap::new());
/// session.insert("cart", ["tea", "cup"])?;
/// assert_eq!(session.get::<Vec<String>>("cart")?.unwrap_or_default().len(), 2);
/// assert_eq!(session.keys(), ["cart"]);
///
/// session.remove("cart")?;
/// assert!(!session.contains("cart"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    request: Request,
    state: Mutex<State>,
}

impl Session {
    pub(crate) fn new(sessions: Sessions, cookies: Cookies) -> Self {
        let request = Request { sessions, cookies };
        Self { shared: Arc::new(Shared { request, state: Mutex::new(State::default()) }) }
    }

    /// The value of that key, decoded; `None` if there is none.
    ///
    /// # Errors
    /// [`Decode`](SessionError::Decode) if the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        let Some(json) = self.json(key) else {
            return Ok(None);
        };
        serde_json::from_slice(&json).map(Some).map_err(SessionError::decode::<T>)
    }

    /// Whether the session has that key.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.json(key).is_some()
    }

    /// All keys, in ascending order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.with(State::keys)
    }

    /// Whether a user is signed in, counting a [`sign_in`](Self::sign_in) of this request.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.with(State::is_authenticated)
    }

    /// Sets a key to a value. A value that is equal to the stored one is no change.
    ///
    /// # Errors
    /// [`Encode`](SessionError::Encode), [`TooLarge`](SessionError::TooLarge),
    /// [`KeyTooLong`](SessionError::KeyTooLong), [`TooLate`](SessionError::TooLate).
    pub fn insert(&self, key: &str, value: impl Serialize) -> Result<(), SessionError> {
        let json = serde_json::to_vec(&value).map_err(SessionError::Encode)?;
        self.check_size(key, &json)?;
        self.change(|state| state.changes.insert(key, json.into()))
    }

    /// Removes a key and its value, if it is there.
    ///
    /// # Errors
    /// [`TooLate`](SessionError::TooLate).
    pub fn remove(&self, key: &str) -> Result<(), SessionError> {
        self.change(|state| state.changes.remove(key))
    }

    /// Removes all keys. The user stays signed in; a session without a user that is empty at commit is
    /// ended.
    ///
    /// # Errors
    /// [`TooLate`](SessionError::TooLate).
    pub fn clear(&self) -> Result<(), SessionError> {
        self.change(|state| state.changes.clear())
    }

    /// Signs a user in: at commit the session is bound to the user and gets a new id, so that whoever
    /// knew the old one has nothing. The data stays. A visitor without a session gets one.
    ///
    /// On a session that another user left behind, call [`clear`](Self::clear) first.
    ///
    /// # Errors
    /// [`EmptyUser`](SessionError::EmptyUser), [`TooLate`](SessionError::TooLate).
    pub fn sign_in(&self, user: &str) -> Result<(), SessionError> {
        if user.is_empty() {
            return Err(SessionError::EmptyUser);
        }
        self.change(|state| state.user = Some(user.into()))
    }

    /// Gives the session a new id at commit: for any change of privilege. The old cookie opens nothing
    /// from then on. A visitor without a session does not get one by this.
    ///
    /// # Errors
    /// [`TooLate`](SessionError::TooLate).
    pub fn rotate(&self) -> Result<(), SessionError> {
        self.change(|state| state.rotate = true)
    }

    /// Signs out: destroys the session on the server, at once and whatever the response will be, and
    /// has the response remove the cookie. The session is empty then, and what this request changed
    /// before is forgotten; an insert after it starts a new session.
    pub fn end(&self) {
        self.with(State::end);
    }

    pub(crate) fn shared(&self) -> (&Request, &Mutex<State>) {
        (&self.shared.request, &self.shared.state)
    }

    fn json(&self, key: &str) -> Option<Bytes> {
        self.with(|state, request| state.json(request, key))
    }

    fn with<R>(&self, act: impl FnOnce(&mut State, &Request) -> R) -> R {
        let mut state = self.shared.state.lock();
        state.looked_at = true;
        act(&mut state, &self.shared.request)
    }

    fn change(&self, act: impl FnOnce(&mut State)) -> Result<(), SessionError> {
        let mut state = self.shared.state.lock();
        if state.committed {
            return Err(SessionError::TooLate);
        }
        state.looked_at = true;
        act(&mut state);
        Ok(())
    }

    /// What can never be stored is refused where the handler can still do something about it.
    fn check_size(&self, key: &str, json: &[u8]) -> Result<(), SessionError> {
        if key.len() > pairs::LONGEST_KEY {
            return Err(SessionError::KeyTooLong { len: key.len() });
        }
        let len = pairs::len_with_one(key.len(), json.len());
        let limit = self.shared.request.sessions.cache().max_session_size();
        if len > limit { Err(SessionError::TooLarge { len, limit }) } else { Ok(()) }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}
