//! The session that a handler uses: a map of keys to JSON values.
//!
//! Owns the lock of one request's state, and the verbs of the map; those for authentication are in
//! `auth` and `user_sessions`. It locks that state, never while the application's code runs: a
//! `Serialize` or `Deserialize`, the admission hook, a subscriber of `tracing`. It does not know
//! how the state is stored.

use core::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    SessionError, SessionKey, SessionManager, SessionRequest,
    adapter::SessionExt,
    changes::Change,
    encoding, json,
    key::is_reserved,
    perform::Operation,
    state::{Request, State, Stored},
};

/// The session of one request.
///
/// Cheap to clone; clones are handles of one session. It is loaded at the first use. Changes are
/// stored before the response's headers are sent, unless the status is 500 or above, or at once by
/// [`save`](Self::save); signing out takes effect at once. Later changes fail with
/// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
///
/// If the session ended or got a new id, so that the changes cannot be stored, the response is 409.
/// See the [crate's documentation](crate#concurrency).
///
/// Concurrent requests that change one session are merged per key. Where they insert or remove the
/// same key, the later one wins; [`increment`](Self::increment) and [`append`](Self::append) are
/// all applied.
///
/// ```
/// # use http::HeaderMap;
/// # use sessile::{KeyRing, SessionCache};
/// # use sessile_web::SessionManager;
/// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
/// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
/// session.insert("cart", ["tea", "cup"])?;
/// session.append("cart", "pot")?;
/// assert_eq!(session.get::<Vec<String>>("cart")?.unwrap_or_default().len(), 3);
/// assert_eq!(session.increment("visits", 1)?, 1);
/// assert_eq!(session.keys(), ["cart", "visits"]);
///
/// session.remove("cart")?;
/// assert!(!session.contains_key("cart"));
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

/// If a handler panics or a client disconnects, a session whose cookie was not sent is ended.
impl Drop for Shared {
    fn drop(&mut self) {
        self.state.get_mut().abandon(&self.request);
    }
}

impl Session {
    pub(crate) fn new(manager: SessionManager, incoming: SessionRequest) -> Self {
        let request = Request { manager, incoming };
        Self {
            shared: Arc::new(Shared {
                request,
                state: Mutex::new(State::default()),
            }),
        }
    }

    /// Returns the decoded value of a key; `None` if there is none.
    ///
    /// # Errors
    /// [`Decode`](SessionError::Decode) if the value is not a `T`.
    pub fn get<T: DeserializeOwned>(
        &self,
        key: impl SessionKey<T>,
    ) -> Result<Option<T>, SessionError> {
        let key = key.as_ref();
        let json = if is_reserved(key.as_bytes()) {
            self.read(|_, _| None)?
        } else {
            self.read(|state, request| state.json(request, key).unwrap_or_default())?
        };
        let value = json.map(|json| serde_json::from_slice(&json)).transpose();
        value.map_err(SessionError::decode::<T>)
    }

    /// Returns true if the session has the key.
    #[must_use]
    pub fn contains_key(&self, key: impl AsRef<str>) -> bool {
        self.json(key.as_ref()).is_some()
    }

    /// Returns all keys, in ascending order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.pairs().into_iter().map(|(key, _)| key).collect()
    }

    /// Returns true if the session has no keys. A user may be signed in even so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs().is_empty()
    }

    /// Sets a key to a value. A value that is equal to the stored one is not a change.
    ///
    /// # Errors
    /// [`Encode`](SessionError::Encode), [`TooLarge`](SessionError::TooLarge),
    /// [`KeyTooLong`](SessionError::KeyTooLong), [`ReservedKey`](SessionError::ReservedKey),
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn insert<V: Serialize>(
        &self,
        key: impl SessionKey<V>,
        value: V,
    ) -> Result<(), SessionError> {
        let json = serde_json::to_vec(&value).map_err(SessionError::Encode)?;
        self.insert_json(key.as_ref(), json)
    }

    /// Removes a key and its value.
    ///
    /// # Errors
    /// [`ReservedKey`](SessionError::ReservedKey),
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn remove(&self, key: impl AsRef<str>) -> Result<(), SessionError> {
        let key = key.as_ref();
        check_name(key)?;
        self.change(|state, request| state.push(request, key, Change::Remove))
    }

    /// Removes a key and returns its value: for a message that is shown once, after a redirect for
    /// instance. A value that cannot be decoded is kept.
    ///
    /// ```
    /// # use http::HeaderMap;
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::SessionManager;
    /// use sessile_web::Key;
    ///
    /// const FLASH: Key<String> = Key::new("flash");
    ///
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
    /// session.insert(FLASH, "Tea is in your cart.".to_owned())?;
    /// // In the next request, or this one:
    /// assert_eq!(session.take(FLASH)?.as_deref(), Some("Tea is in your cart."));
    /// assert_eq!(session.take(FLASH)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Decode`](SessionError::Decode), [`ReservedKey`](SessionError::ReservedKey),
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn take<T: DeserializeOwned>(
        &self,
        key: impl SessionKey<T>,
    ) -> Result<Option<T>, SessionError> {
        let value = self.get(key)?;
        if value.is_some() {
            self.remove(key)?;
        }
        Ok(value)
    }

    /// Removes all keys. The user remains signed in; a session without a user that is empty at
    /// commit is ended.
    ///
    /// In Python `request.session.clear()` also signs out, because Starlette's applications sign
    /// out that way. In Rust call [`sign_out`](Self::sign_out).
    ///
    /// # Errors
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn clear(&self) -> Result<(), SessionError> {
        self.change(|state, _| {
            state.changes.clear();
            Ok(())
        })
    }

    /// Adds to an integer and returns the sum as this request sees it; a missing value counts as 0.
    /// Increments of concurrent requests are merged. The sum saturates at the bounds of `i64`.
    ///
    /// # Errors
    /// [`Decode`](SessionError::Decode) if the value is not an integer, and those of
    /// [`insert`](Self::insert).
    pub fn increment(&self, key: impl AsRef<str>, by: i64) -> Result<i64, SessionError> {
        let key = key.as_ref();
        check_name(key)?;
        self.change(|state, request| {
            state.check_readable(request)?;
            let json = state.json(request, key).unwrap_or_default();
            let sum = json::add(json.as_deref(), by).map_err(SessionError::decode::<i64>)?;
            check_size(request, key, json::MAX_NUMBER_LEN)?;
            state.push(request, key, Change::Add(by))?;
            Ok(sum)
        })
    }

    /// Appends an item to a list; a missing value counts as an empty list. Items that concurrent
    /// requests append are merged.
    ///
    /// # Errors
    /// [`Decode`](SessionError::Decode) if the value is not a list, and those of
    /// [`insert`](Self::insert).
    pub fn append<T: Serialize>(
        &self,
        key: impl SessionKey<Vec<T>>,
        item: T,
    ) -> Result<(), SessionError> {
        let key = key.as_ref();
        check_name(key)?;
        let item = serde_json::to_vec(&item).map_err(SessionError::Encode)?;
        self.change(|state, request| {
            state.check_readable(request)?;
            let json = state.json(request, key).unwrap_or_default();
            let list = json::append(json.as_deref(), &item);
            check_size(
                request,
                key,
                list.map_err(SessionError::decode::<Vec<T>>)?.len(),
            )?;
            state.push(request, key, Change::Append(item.into()))
        })
    }

    /// Sets a key to a value if it has the expected one, where `None` means no value, and returns
    /// true if it did. If another request changed the key before the changes are stored, nothing is
    /// stored and the response is 409, or [`save`](Self::save) fails.
    ///
    /// ```
    /// # use http::HeaderMap;
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::SessionManager;
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
    /// assert!(session.compare_and_set("step", None, "address")?);
    /// assert!(session.compare_and_set("step", Some(&"address"), "payment")?);
    /// assert!(!session.compare_and_set("step", Some(&"address"), "payment")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`insert`](Self::insert).
    pub fn compare_and_set<T: Serialize>(
        &self,
        key: impl SessionKey<T>,
        expected: Option<&T>,
        new: T,
    ) -> Result<bool, SessionError> {
        let key = key.as_ref();
        check_name(key)?;
        let expected = expected
            .map(serde_json::to_vec)
            .transpose()
            .map_err(SessionError::Encode)?;
        let new = serde_json::to_vec(&new).map_err(SessionError::Encode)?;
        self.change(|state, request| {
            state.check_readable(request)?;
            check_size(request, key, new.len())?;
            let json = state.json(request, key).unwrap_or_default();
            let is_same = json::is_same(json.as_deref(), expected.as_deref());
            if is_same {
                let change = Change::Set(new.into());
                state.check_identity(request, key, &change)?;
                state.changes.push(key, Change::Expect(json));
                state.changes.push(key, change);
            }
            Ok(is_same)
        })
    }

    /// Watches a key: if another request changes it before this request's changes are stored,
    /// nothing is stored and the response is 409, or [`save`](Self::save) fails.
    ///
    /// # Errors
    /// [`ReservedKey`](SessionError::ReservedKey),
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn watch(&self, key: impl AsRef<str>) -> Result<(), SessionError> {
        let key = key.as_ref();
        check_name(key)?;
        self.change(|state, request| {
            state.check_readable(request)?;
            let stored = state.stored_json(request, key);
            state.changes.watch(key, stored);
            Ok(())
        })
    }

    /// Stores the pending changes now, so that the handler sees the result. Stored changes are kept
    /// for any status of the response. On a local cache the future is ready at the first poll.
    ///
    /// On error nothing is stored and the pending changes of keys are discarded; the session
    /// reflects the stored state again. A [`sign_in`](Self::sign_in), [`rotate`](Self::rotate),
    /// [`remember`](Self::remember), [`make_persistent`](Self::make_persistent) or
    /// [`clear`](Self::clear) remains pending, with its [watched keys](Self::watch), until it is
    /// performed or [discarded](Self::discard): the response performs it, or is an error. After an
    /// error whose cause is [`Gone`](sessile::Error::Gone) the session is empty and nothing is
    /// pending; later changes create a new session.
    ///
    /// ```
    /// # use http::HeaderMap;
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::{Session, SessionError, SessionManager};
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
    /// async fn order(session: &Session) -> Result<&'static str, SessionError> {
    ///     session.watch("cart")?;
    ///     session.insert("ordered", true)?;
    ///     match session.save().await {
    ///         Err(SessionError::Conflict { .. }) => Ok("Your cart was changed: look again."),
    ///         stored => stored.map(|()| "Thank you."),
    ///     }
    /// }
    /// # assert_eq!(sessile_web::adapter::ready(order(&session))?, "Thank you.");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Conflict`](SessionError::Conflict), [`Store`](SessionError::Store),
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub async fn save(&self) -> Result<(), SessionError> {
        self.state().is_used = true;
        let outcome = self.perform(Operation::Save).await;
        if outcome.is_late {
            return Err(SessionError::AlreadyCommitted);
        }
        outcome.stored.map_err(SessionError::from)
    }

    /// Discards the pending changes: the session reflects the stored state again. A sign-out is not
    /// undone.
    ///
    /// ```
    /// # use http::HeaderMap;
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::SessionManager;
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
    /// session.sign_in("ada")?;
    /// session.insert("visits", 1)?;
    /// session.discard();
    /// assert!(session.user().is_none() && session.keys().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn discard(&self) {
        let mut state = self.state();
        state.is_used = true;
        state.discard();
    }

    pub(crate) fn manager(&self) -> &SessionManager {
        &self.shared.request.manager
    }

    pub(crate) fn request(&self) -> &Request {
        &self.shared.request
    }

    pub(crate) fn is_locked(&self) -> bool {
        let state = self.shared.state.try_lock();
        state.is_none_or(|state| state.progress.is_busy)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
    }

    /// Runs `act` with the locked state. If `act` needs the admission hook, the hook is called
    /// while the state is unlocked, and `act` runs again. Log lines are emitted after the unlock.
    pub(crate) fn store<R>(&self, mut act: impl FnMut(&mut State, &Request) -> R) -> R {
        let request = &self.shared.request;
        loop {
            let mut state = self.state();
            let answer = act(&mut state, request);
            let (log_lines, needs_admission) = state.take_requests();
            drop(state);
            log_lines.emit();
            if !needs_admission {
                return answer;
            }
            self.ask_admission();
        }
    }

    /// Loads the session, which counts as a use although no handler uses it.
    pub(crate) fn touch(&self) {
        self.state().stored.live(self.request());
    }

    /// Calls a verb that returns no error. If the session cannot be read, the commit fails.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State, &Request) -> R) -> R {
        let mut state = self.state();
        state.is_used = true;
        state.note_read(&self.shared.request);
        act(&mut state, &self.shared.request)
    }

    /// Calls a verb that returns an error if the session cannot be read.
    pub(crate) fn read<R>(
        &self,
        act: impl FnOnce(&mut State, &Request) -> R,
    ) -> Result<R, SessionError> {
        let mut state = self.state();
        state.is_used = true;
        state.check_readable(&self.shared.request)?;
        Ok(act(&mut state, &self.shared.request))
    }

    pub(crate) fn change<R>(
        &self,
        act: impl FnOnce(&mut State, &Request) -> Result<R, SessionError>,
    ) -> Result<R, SessionError> {
        let mut state = self.state();
        state.is_used = true;
        match state.stored {
            _ if state.committed => Err(SessionError::AlreadyCommitted),
            Stored::Failed => Err(SessionError::Unreachable),
            _ => act(&mut state, &self.shared.request),
        }
    }
}

/// Rejects data that can never be stored, where the handler can still react.
pub(crate) fn check_size(
    request: &Request,
    key: &str,
    json_len: usize,
) -> Result<(), SessionError> {
    if key.len() > encoding::MAX_KEY_LEN {
        return Err(SessionError::KeyTooLong {
            given: key.len(),
            max: encoding::MAX_KEY_LEN,
        });
    }
    let given = encoding::len_with_one(key.len(), json_len);
    let max = request.manager.cache().max_session_size();
    if given > max {
        Err(SessionError::TooLarge { given, max })
    } else {
        Ok(())
    }
}

pub(crate) fn check_name(key: &str) -> Result<(), SessionError> {
    if is_reserved(key.as_bytes()) {
        return Err(SessionError::ReservedKey {
            key: key.to_owned(),
        });
    }
    Ok(())
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}
