//! What a handler sees: a map of keys to JSON values that belongs to one visitor.
//!
//! Owns the share in one request's state, and the verbs of the map; those of the visitor are in `verbs` and
//! `devices`. It locks that state, never while the application's code runs: a `Serialize` or `Deserialize`, the
//! admission hook, a subscriber of `tracing`. It does not know how the state is stored.

use core::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Accepts, AsKey, SessionError, SessionManager, SessionRequest,
    changes::Change,
    json,
    key::is_reserved,
    pairs, pending,
    state::{Admission, Request, State},
};

/// The session of one request.
///
/// Cheap to clone; clones are the same session. It is loaded when first looked at, and a request that
/// never looks at it costs next to nothing. Changes are stored when the response's headers are about to
/// leave, unless the response is 500 or above, or at once by [`save`](Self::save); signing out acts at once in
/// any case. A change after that is refused as [`AlreadyCommitted`](SessionError::AlreadyCommitted).
///
/// A response never claims what was not stored: if the session ended, or got a new id, so that the changes cannot be
/// stored, the response is 409. See the [crate's documentation](crate#when-the-session-is-not-there-any-more).
///
/// Requests that change one session at the same time do not undo each other: what each of them did, key by key,
/// is done to what the others left. Where they insert or remove the same key, the later one counts; what
/// [`increment`](Self::increment) and [`append`](Self::append) add is all there.
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

/// A handler that panics and a client that goes away leave no session whose cookie nobody got.
impl Drop for Shared {
    fn drop(&mut self) {
        self.state.get_mut().abandon(&self.request);
    }
}

impl Session {
    pub(crate) fn new(sessions: SessionManager, incoming: SessionRequest) -> Self {
        let request = Request { sessions, incoming };
        Self { shared: Arc::new(Shared { request, state: Mutex::new(State::default()) }) }
    }

    /// The session of the request that the services behind a session layer are called, or polled, for. `None`
    /// elsewhere: on a task of its own, for instance, to which a handler takes the session along.
    ///
    /// It goes by who polls. In a future that several requests poll by turns, such as a shared one, it is after an
    /// `.await` the session of whichever polls then: ask before that, and take the session along.
    #[must_use]
    pub fn current() -> Option<Self> {
        pending::current()
    }

    /// The value of that key, decoded; `None` if there is none.
    ///
    /// # Errors
    /// [`Decode`](SessionError::Decode) if the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl AsKey<T>) -> Result<Option<T>, SessionError> {
        let json = self.json(key.as_ref());
        let value = json.map(|json| serde_json::from_slice(&json)).transpose();
        value.map_err(SessionError::decode::<T>)
    }

    /// Whether the session has that key.
    #[must_use]
    pub fn contains(&self, key: impl AsRef<str>) -> bool {
        self.json(key.as_ref()).is_some()
    }

    /// All keys, in ascending order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.pairs().into_iter().map(|(key, _)| key).collect()
    }

    /// Sets a key to a value, or, under a [`Key`](crate::Key), to what a reference to one shows. A value that is
    /// equal to the stored one is no change.
    ///
    /// # Errors
    /// [`Encode`](SessionError::Encode), [`TooLarge`](SessionError::TooLarge),
    /// [`KeyTooLong`](SessionError::KeyTooLong), [`ReservedKey`](SessionError::ReservedKey),
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn insert<V: Serialize>(&self, key: impl Accepts<V>, value: V) -> Result<(), SessionError> {
        let json = serde_json::to_vec(&value).map_err(SessionError::Encode)?;
        self.insert_json(key.as_ref(), json)
    }

    /// Removes a key and its value, if it is there.
    ///
    /// # Errors
    /// [`ReservedKey`](SessionError::ReservedKey), [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn remove(&self, key: impl AsRef<str>) -> Result<(), SessionError> {
        let key = key.as_ref();
        check_name(key)?;
        self.change(|state, request| state.push(request, key, Change::Remove))
    }

    /// The value of that key, which is removed: for what is shown once, such as a message after a redirect. One
    /// that cannot be decoded stays.
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
    pub fn take<T: DeserializeOwned>(&self, key: impl AsKey<T>) -> Result<Option<T>, SessionError> {
        let value = self.get(key)?;
        if value.is_some() {
            self.remove(key)?;
        }
        Ok(value)
    }

    /// Removes all keys. The user stays signed in; a session without a user that is empty at commit is
    /// ended.
    ///
    /// # Errors
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn clear(&self) -> Result<(), SessionError> {
        self.change(|state, _| {
            state.changes.clear();
            Ok(())
        })
    }

    /// Adds to a whole number, and gives the sum as this request sees it; no value counts as 0. What others add
    /// at the same time is in the stored sum too. It stops at the least and the greatest `i64`.
    ///
    /// # Errors
    /// [`Decode`](SessionError::Decode) if it is no whole number, and those of [`insert`](Self::insert).
    pub fn increment(&self, key: impl AsRef<str>, by: i64) -> Result<i64, SessionError> {
        let key = key.as_ref();
        check_name(key)?;
        self.change(|state, request| {
            let json = state.json(request, key).unwrap_or_default();
            let sum = json::add(json.as_deref(), by).map_err(SessionError::decode::<i64>)?;
            check_size(request, key, json::LONGEST_NUMBER)?;
            state.push(request, key, Change::Add(by))?;
            Ok(sum)
        })
    }

    /// Puts an item at the end of a list; no value counts as an empty list. What others append at the same time is
    /// in the list too.
    ///
    /// # Errors
    /// [`Decode`](SessionError::Decode) if it is no list, and those of [`insert`](Self::insert).
    pub fn append<T: Serialize>(
        &self,
        key: impl AsKey<Vec<T>>,
        item: T,
    ) -> Result<(), SessionError> {
        let key = key.as_ref();
        check_name(key)?;
        let item = serde_json::to_vec(&item).map_err(SessionError::Encode)?;
        self.change(|state, request| {
            let json = state.json(request, key).unwrap_or_default();
            let list = json::append(json.as_deref(), &item);
            check_size(request, key, list.map_err(SessionError::decode::<Vec<T>>)?.len())?;
            state.push(request, key, Change::Append(item.into()))
        })
    }

    /// Sets a key to a value if it has the expected one now, `None` being no value at all, and says whether it
    /// did. It must have it still when the change is stored: if it has not, nothing is, and the response is 409
    /// unless [`save`](Self::save) told the handler first.
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
        key: impl AsKey<T>,
        expected: Option<&T>,
        new: T,
    ) -> Result<bool, SessionError> {
        let key = key.as_ref();
        check_name(key)?;
        let expected =
            expected.map(serde_json::to_vec).transpose().map_err(SessionError::Encode)?;
        let new = serde_json::to_vec(&new).map_err(SessionError::Encode)?;
        self.change(|state, request| {
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

    /// Holds this request's changes to what it read under a key: if another request changes that key before they
    /// are stored, nothing is, and the response is 409 unless [`save`](Self::save) told the handler first.
    ///
    /// # Errors
    /// [`ReservedKey`](SessionError::ReservedKey), [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn watch(&self, key: impl AsRef<str>) -> Result<(), SessionError> {
        let key = key.as_ref();
        check_name(key)?;
        self.change(|state, request| {
            let stored = state.stored_json(request, key);
            state.changes.guard(key, stored);
            Ok(())
        })
    }

    /// Stores now what was changed and asked for so far, so that the handler sees how that went. What was stored stays
    /// so, whatever the response will be.
    ///
    /// On an error nothing of it was stored, and changes of keys are forgotten: what is stored now can be read, and
    /// changed again. A [`sign_in`](Self::sign_in), [`rotate`](Self::rotate), [`remember`](Self::remember),
    /// [`persistent`](Self::make_persistent) or [`clear`](Self::clear) stays pending, with the [guards](Self::watch) that it
    /// was held to, until it was performed or withdrawn by [`discard`](Self::discard): the response performs it, or is
    /// an error. After an error whose cause is [`Gone`](sessile::Error::Gone) the session is empty and nothing is
    /// pending; what is changed then begins a new session.
    ///
    /// ```
    /// # use http::HeaderMap;
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::{Session, SessionError, SessionManager};
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
    /// fn order(session: &Session) -> Result<&'static str, SessionError> {
    ///     session.watch("cart")?;
    ///     session.insert("ordered", true)?;
    ///     match session.save() {
    ///         Err(SessionError::Conflict { .. }) => Ok("Your cart was changed: look again."),
    ///         stored => stored.map(|()| "Thank you."),
    ///     }
    /// }
    /// # assert_eq!(order(&session)?, "Thank you.");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Conflict`](SessionError::Conflict), [`Store`](SessionError::Store),
    /// [`AlreadyCommitted`](SessionError::AlreadyCommitted).
    pub fn save(&self) -> Result<(), SessionError> {
        self.store(|state, request| {
            state.looked_at = true;
            if state.committed {
                return Err(SessionError::AlreadyCommitted);
            }
            state.store_now(request)?;
            Ok(())
        })
    }

    /// Withdraws what was changed and asked for and not stored yet: the session is again as it is stored. A sign-out
    /// is not withdrawn.
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
        self.with(|state, _| state.discard());
    }

    /// For adapters: drops this share of the session, so that what the request leaves behind is never cleaned up. A
    /// session whose cookie was not sent is ended otherwise, which takes a lock. In a child process that was forked,
    /// another thread of the parent may have held that lock, and nothing there releases it.
    pub fn leak(self) {
        core::mem::forget(self);
    }

    /// For adapters: the raw JSON of a key.
    #[must_use]
    pub fn json(&self, key: &str) -> Option<Bytes> {
        if is_reserved(key.as_bytes()) {
            self.with(|_, _| ());
            return None;
        }
        self.with(|state, request| state.json(request, key)).unwrap_or_default()
    }

    /// For adapters: all keys with their raw JSON, by ascending key.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, Bytes)> {
        self.with(State::pairs)
    }

    /// For adapters: [`insert`](Self::insert) of raw JSON, which is not looked at.
    ///
    /// # Errors
    /// Those of `insert`.
    pub fn insert_json(&self, key: &str, json: impl Into<Bytes>) -> Result<(), SessionError> {
        let json = json.into();
        check_name(key)?;
        self.change(|state, request| {
            check_size(request, key, json.len())?;
            state.push(request, key, Change::Set(json))
        })
    }

    /// For adapters: sets keys to raw JSON, or removes those without one. On an error none of it is done.
    ///
    /// # Errors
    /// Those of [`insert`](Self::insert).
    pub fn change_json<'k, C>(&self, changes: C) -> Result<(), SessionError>
    where
        C: IntoIterator<Item = (&'k str, Option<Bytes>)>,
    {
        // The iterator is the caller's code, which may look at the session.
        let change = |(key, json): (&'k str, Option<Bytes>)| {
            check_name(key)?;
            let json_len = json.as_ref().map_or(0, Bytes::len);
            check_size(&self.shared.request, key, json_len)?;
            Ok((key, json.map_or(Change::Remove, Change::Set)))
        };
        let changes = changes.into_iter().map(change).collect::<Result<Vec<_>, SessionError>>();
        self.change(|state, request| {
            let changes = changes?;
            changes
                .iter()
                .try_for_each(|(key, change)| state.check_identity(request, key, change))?;
            changes.into_iter().for_each(|(key, change)| state.changes.push(key, change));
            Ok(())
        })
    }

    pub(crate) fn sessions(&self) -> &SessionManager {
        &self.shared.request.sessions
    }

    pub(crate) fn request(&self) -> &Request {
        &self.shared.request
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.shared.state.is_locked()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
    }

    /// Stores something: the state is locked while `act` runs, which runs again once the admission hook was asked if
    /// it needs the answer. Log lines are written when it was unlocked.
    pub(crate) fn store<R>(&self, mut act: impl FnMut(&mut State, &Request) -> R) -> R {
        let request = &self.shared.request;
        loop {
            let mut state = self.state();
            let answer = act(&mut state, request);
            let notes = core::mem::take(&mut state.notes);
            let is_admission_wanted = state.wants_admission();
            if is_admission_wanted {
                state.admission = Admission::Unasked;
            }
            drop(state);
            notes.emit();
            if !is_admission_wanted {
                return answer;
            }
            let admitted =
                request.sessions.cache().check_admission(&request.incoming.admission_key);
            let answer = if admitted.is_ok() { Admission::Granted } else { Admission::Denied };
            self.state().admission = answer;
        }
    }

    /// Loads the session, which counts as a use of it, although no handler looked at it.
    pub(crate) fn touch(&self) {
        self.state().stored.live(self.request());
    }

    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State, &Request) -> R) -> R {
        let mut state = self.state();
        state.looked_at = true;
        act(&mut state, &self.shared.request)
    }

    pub(crate) fn change<R>(
        &self,
        act: impl FnOnce(&mut State, &Request) -> Result<R, SessionError>,
    ) -> Result<R, SessionError> {
        self.with(|state, request| {
            if state.committed { Err(SessionError::AlreadyCommitted) } else { act(state, request) }
        })
    }
}

/// What can never be stored is refused where the handler can still do something about it.
pub(crate) fn check_size(
    request: &Request,
    key: &str,
    json_len: usize,
) -> Result<(), SessionError> {
    if key.len() > pairs::LONGEST_KEY {
        return Err(SessionError::KeyTooLong { len: key.len() });
    }
    let len = pairs::len_with_one(key.len(), json_len);
    let limit = request.sessions.cache().max_session_size();
    if len > limit { Err(SessionError::TooLarge { len, limit }) } else { Ok(()) }
}

fn check_name(key: &str) -> Result<(), SessionError> {
    if is_reserved(key.as_bytes()) {
        return Err(SessionError::ReservedKey { key: key.to_owned() });
    }
    Ok(())
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}
