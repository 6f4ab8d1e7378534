//! The API for authors of adapters: methods of a [`Session`] that a framework's adapter needs and
//! an application does not.
//!
//! An adapter calls [`SessionManager::begin`](crate::SessionManager::begin) when a request arrives,
//! and [`SessionManager::commit`](crate::SessionManager::commit) before the response's headers are
//! sent.
//!
//! The module owns no state. It does not know which adapter uses it.

use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::{
    CommitError, Session, SessionError,
    changes::Change,
    commit,
    key::is_reserved,
    perform::Operation,
    persist::Phase,
    redirect::sign_in_address,
    session::{check_name, check_size},
    state::State,
};

pub use crate::stored::StoredValues;

/// Returns the output of a future that is ready at the first poll.
///
/// The `async` verbs of a [`Session`] over a local cache are ready at the first poll. Use it in
/// adapters of languages and frameworks without an executor, and in tests.
///
/// # Panics
/// If the future is not ready.
pub fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a verb on a local cache is ready at the first poll"),
    }
}

/// The methods of a [`Session`] for adapters.
///
/// The trait is sealed: only [`Session`] implements it.
pub trait SessionExt: sealed::Sealed {
    /// Returns the raw JSON of a key.
    fn json(&self, key: &str) -> Option<Bytes>;

    /// Returns all keys with their raw JSON, in ascending order.
    fn pairs(&self) -> Vec<(String, Bytes)>;

    /// Sets a key to raw JSON, which is not validated.
    ///
    /// # Errors
    /// Those of [`Session::insert`].
    fn insert_json(&self, key: &str, json: impl Into<Bytes>) -> Result<(), SessionError>;

    /// Sets keys to raw JSON, and removes the keys whose value is `None`. On error nothing is
    /// changed.
    ///
    /// # Errors
    /// Those of [`Session::insert`].
    fn change_json<'k, C>(&self, changes: C) -> Result<(), SessionError>
    where
        C: IntoIterator<Item = (&'k str, Option<Bytes>)>;

    /// Detaches the session from its response, because the headers were sent or because there is no
    /// response. The session can be read, and changed by [`save`](Session::save) if it is stored.
    /// It gets no new id, and no session is created.
    ///
    /// ```
    /// # use http::{HeaderMap, StatusCode, header};
    /// # use sessile::{Error, KeyRing, SessionCache};
    /// # use sessile_web::{SessionError, SessionManager};
    /// use sessile_web::adapter::{SessionExt, ready};
    ///
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
    /// session.insert("state", "begun")?;
    /// ready(SessionManager::commit(&session, StatusCode::OK, &mut HeaderMap::new()))?;
    /// assert!(matches!(session.insert("state", "done"), Err(SessionError::AlreadyCommitted)));
    ///
    /// session.detach();
    /// session.insert("state", "done")?;
    /// ready(session.save())?;
    /// assert!(matches!(session.rotate(), Err(SessionError::AlreadyCommitted)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn detach(&self);

    /// Stores only the removal of an [identity key](crate::SessionManagerBuilder::identity_keys).
    /// Use it if a handler failed and sends no response of its own.
    ///
    /// # Errors
    /// If the removal cannot be stored.
    fn store_sign_out(&self) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Commits as [`SessionManager::commit`](crate::SessionManager::commit) does, if that needs no
    /// store: on a local cache, or if there is nothing to store. Otherwise returns `None`, and
    /// nothing has changed. It allocates no future.
    fn commit_now(
        &self,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Option<Result<(), CommitError>>;

    /// Returns true if the request has a stored session.
    fn is_stored(&self) -> bool;

    /// Returns true if [`commit`](crate::SessionManager::commit) has changes to store, so that it
    /// may block on a lock.
    fn has_work(&self) -> bool;

    /// Returns the `Location` of the sign-in page, with the [path of the
    /// request](crate::SessionRequest::path) as the parameter `next`; `None` if the manager has no
    /// [page](crate::SessionManagerBuilder::sign_in_page).
    fn sign_in_address(&self) -> Option<HeaderValue>;

    /// Returns true if another thread holds the lock of this session, so that a verb would block.
    /// The answer may be out of date when it is used.
    fn is_busy(&self) -> bool;

    /// Returns true if an operation of this session waits for the store, so that another one waits
    /// for it.
    fn is_awaiting_store(&self) -> bool;

    /// Sends the cookie that opened the session with the response. Use it if the client does not
    /// have that cookie, because the session was found in another way.
    fn send_cookie_again(&self);

    /// Returns true if the stored data was not written by a session layer, for instance with
    /// [`SessionCache::create`](sessile::SessionCache::create). It reads as empty, a warning is
    /// logged at commit, and the next change overwrites it.
    fn is_foreign(&self) -> bool;

    /// Drops the handle without the cleanup of the request: a session whose cookie was not sent is
    /// not ended.
    ///
    /// The cleanup takes a lock. In a forked child process, another thread of the parent may have
    /// held that lock, and no thread of the child releases it.
    fn leak(self);
}

impl SessionExt for Session {
    fn json(&self, key: &str) -> Option<Bytes> {
        if is_reserved(key.as_bytes()) {
            self.with(|_, _| ());
            return None;
        }
        self.with(|state, request| state.json(request, key))
            .unwrap_or_default()
    }

    fn pairs(&self) -> Vec<(String, Bytes)> {
        self.with(State::pairs)
    }

    fn insert_json(&self, key: &str, json: impl Into<Bytes>) -> Result<(), SessionError> {
        let json = json.into();
        check_name(key)?;
        self.change(|state, request| {
            check_size(request, key, json.len())?;
            state.push(request, key, Change::Set(json))
        })
    }

    fn change_json<'k, C>(&self, changes: C) -> Result<(), SessionError>
    where
        C: IntoIterator<Item = (&'k str, Option<Bytes>)>,
    {
        // The iterator is the caller's code, which may read the session, so it runs before the lock
        // is taken.
        let change = |(key, json): (&'k str, Option<Bytes>)| {
            check_name(key)?;
            check_size(self.request(), key, json.as_ref().map_or(0, Bytes::len))?;
            Ok((key, json.map_or(Change::Remove, Change::Set)))
        };
        let changes = changes
            .into_iter()
            .map(change)
            .collect::<Result<Vec<_>, SessionError>>();
        self.change(|state, request| {
            let changes = changes?;
            changes
                .iter()
                .try_for_each(|(key, change)| state.check_identity(request, key, change))?;
            changes
                .into_iter()
                .for_each(|(key, change)| state.changes.push(key, change));
            Ok(())
        })
    }

    fn detach(&self) {
        let mut state = self.state();
        (state.detached, state.committed) = (true, false);
    }

    async fn store_sign_out(&self) -> Result<(), CommitError> {
        self.perform(Operation::SaveSignOut).await.stored
    }

    fn commit_now(
        &self,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Option<Result<(), CommitError>> {
        commit::commit_now(self, status, headers)
    }

    fn is_stored(&self) -> bool {
        self.with(|state, request| state.stored.live(request).is_some())
    }

    fn has_work(&self) -> bool {
        self.with(|state, request| state.has_work(request, Phase::Commit))
    }

    fn sign_in_address(&self) -> Option<HeaderValue> {
        sign_in_address(self.request())
    }

    fn is_busy(&self) -> bool {
        self.is_locked()
    }

    fn is_awaiting_store(&self) -> bool {
        self.state().progress.is_busy
    }

    fn send_cookie_again(&self) {
        self.state().resend_cookie = true;
    }

    fn is_foreign(&self) -> bool {
        self.with(|state, request| {
            let live = state.stored.live(request);
            live.is_some_and(|live| live.is_foreign)
        })
    }

    fn leak(self) {
        core::mem::forget(self);
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for crate::Session {}
}
