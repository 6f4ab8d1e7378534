//! Revocations of tokens, subjects and all tokens.
//!
//! Owns the cut-offs, the expiry of entries and the verbs. Invariants: an entry is in the table of
//! this process before it is sent to the store; it is kept until no verifier accepts the token. It
//! does not know how a token is verified.

mod build;
mod error;
mod list;

use core::fmt;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use sessile_store::{Revocation, TieredCache};

pub use build::RevocationsBuilder;
pub use error::{RevocationsBuildError, RevokeError};

use crate::{Claims, Rejection, name::Name, table::TOKEN};
use list::List;

/// A list of revocations in fixed memory. Cheap to clone; clones share the list.
///
/// The verbs are futures that need no particular runtime; [`blocking`](Self::blocking) returns them
/// for threads. Without a store, a future is ready at once.
///
/// ```
/// use sessile_jwt::Revocations;
///
/// // A restart forgets these.
/// let revocations = Revocations::in_memory(100_000)?;
/// revocations.blocking().revoke_subject("ada")?;
/// assert_eq!(revocations.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Revocations(Arc<Shared>);

struct Shared {
    list: Arc<List>,
    store: Option<TieredCache>,
    max_lifetime: Duration,
}

/// A function that returns the time.
pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl Revocations {
    /// Creates a list in the memory of this process, for `capacity` revocations of 36 bytes each.
    /// **A restart forgets them**, and other processes do not know them.
    ///
    /// # Errors
    /// Those of [`RevocationsBuilder::in_memory`].
    pub fn in_memory(capacity: usize) -> Result<Self, RevocationsBuildError> {
        Self::builder(capacity).in_memory()
    }

    /// Creates a list that is kept in the store of a cache, and shared with all processes that use
    /// it. Each process has the whole list in memory: `capacity` revocations of 36 bytes each.
    ///
    /// # Errors
    /// Those of [`RevocationsBuilder::with_store`].
    pub fn with_store(cache: &TieredCache, capacity: usize) -> Result<Self, RevocationsBuildError> {
        Self::builder(capacity).with_store(cache)
    }

    /// Creates a builder of a list of `capacity` revocations, for other settings.
    pub fn builder(capacity: usize) -> RevocationsBuilder {
        RevocationsBuilder::new(capacity)
    }

    /// Revokes one token, until it expires.
    ///
    /// # Errors
    /// [`RevokeError::Full`] if the table is full; then the token is not revoked.
    /// [`RevokeError::Store`] if the store did not confirm it in time; then it is revoked in this
    /// process, and queued until the store confirms it.
    pub fn revoke_token<T>(
        &self,
        claims: &Claims<T>,
    ) -> impl Future<Output = Result<(), RevokeError>> + Send + use<'_, T> {
        self.publish(self.of_token(claims))
    }

    /// Revokes the tokens with this claim `jti`, which expire at `expires_at` or earlier.
    ///
    /// # Errors
    /// Those of [`revoke_token`](Self::revoke_token).
    pub async fn revoke_id(&self, id: &str, expires_at: SystemTime) -> Result<(), RevokeError> {
        self.publish(of_id(id, expires_at)).await
    }

    /// Revokes the tokens of a subject that were issued until now, with a resolution of a second:
    /// a token whose `iat` is in the second of this call is revoked too, and so is one without
    /// `iat`.
    ///
    /// # Errors
    /// Those of [`revoke_token`](Self::revoke_token).
    pub async fn revoke_subject(&self, subject: &str) -> Result<(), RevokeError> {
        self.publish(self.until_now(Name::of_subject(subject)))
            .await
    }

    /// Revokes all tokens that were issued until now, as [`revoke_subject`](Self::revoke_subject)
    /// does. It needs no room in the table.
    ///
    /// # Errors
    /// [`RevokeError::Store`], as for [`revoke_token`](Self::revoke_token).
    pub async fn revoke_all(&self) -> Result<(), RevokeError> {
        self.publish(self.until_now(Name::ALL)).await
    }

    /// Returns the verbs for threads that may block.
    #[must_use]
    pub fn blocking(&self) -> Blocking {
        Blocking(self.clone())
    }

    /// Returns the number of revocations in the table, with expired ones that are not freed yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.list.len()
    }

    /// Returns true if the table is empty. `revoke_all` takes no entry of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of revocations that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.list.capacity()
    }

    /// Frees the entries that expired. Calls are not necessary: each revocation frees some, and all
    /// if the table is full.
    pub fn maintain(&self) {
        self.0.list.sweep();
    }

    /// Returns the longest time from `iat` to `exp` of a token that is accepted.
    #[must_use]
    pub fn max_lifetime(&self) -> Duration {
        self.0.max_lifetime
    }

    /// Returns true if tokens can be accepted: without a store always, with one if the list is
    /// loaded and the lease lasts. For readiness probes.
    #[must_use]
    pub fn are_current(&self) -> bool {
        let store = self.0.store.as_ref();
        store.is_none_or(TieredCache::revocations_are_current)
    }

    /// Checks claims again, for connections that last: was the token revoked since it was verified?
    /// Does not check `exp`.
    ///
    /// # Errors
    /// [`Rejection::Revoked`] and [`Rejection::Unavailable`].
    pub fn check<T>(&self, claims: &Claims<T>) -> Result<(), Rejection> {
        let subject = claims.subject.as_deref();
        self.check_token(claims.name, subject, claims.issued_at, self.now())
    }

    /// Rejects a token that was revoked before `now`, in Unix seconds.
    pub(crate) fn check_token(
        &self,
        name: Name,
        subject: Option<&str>,
        issued_at: Option<f64>,
        now: u64,
    ) -> Result<(), Rejection> {
        // Before the list is read: the list contains everything up to the moment of this check. A
        // list that is loaded in between can only contain more.
        if !self.are_current() {
            return Err(Rejection::Unavailable);
        }
        match self.0.list.is_revoked(name, subject, issued_at, now) {
            true => Err(Rejection::Revoked),
            false => Ok(()),
        }
    }

    fn of_token<T>(&self, claims: &Claims<T>) -> Revocation {
        // Only a verifier without revocations accepts a token without `exp`.
        let unbounded = || (self.now() + self.0.max_lifetime.as_secs()) as f64;
        let expires_at = claims.expires_at.unwrap_or_else(unbounded);
        Revocation {
            key: claims.name.to_bytes(),
            issued_before: TOKEN,
            expires_at: (expires_at.ceil() as u64).saturating_add(MARGIN.as_secs()),
        }
    }

    /// Returns a cut-off after this second.
    fn until_now(&self, name: Name) -> Revocation {
        let issued_before = self.now() + 1;
        let kept = self.0.max_lifetime + MARGIN;
        Revocation {
            key: name.to_bytes(),
            issued_before,
            expires_at: issued_before + kept.as_secs(),
        }
    }

    fn now(&self) -> u64 {
        self.0.list.now()
    }

    /// Revokes in this process, and then in the store.
    async fn publish(&self, revocation: Revocation) -> Result<(), RevokeError> {
        self.apply(&revocation)?;
        match &self.0.store {
            Some(cache) => cache.revoke(revocation).await.map_err(RevokeError::Store),
            None => Ok(()),
        }
    }

    fn apply(&self, revocation: &Revocation) -> Result<(), RevokeError> {
        let capacity = self.capacity();
        let applied = self.0.list.add(revocation);
        applied.map_err(|_| RevokeError::Full { capacity })
    }
}

fn of_id(id: &str, expires_at: SystemTime) -> Revocation {
    let expires_at = seconds(expires_at).ceil() as u64;
    Revocation {
        key: Name::of_id(id).to_bytes(),
        issued_before: TOKEN,
        expires_at: expires_at.saturating_add(MARGIN.as_secs()),
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("has_store", &self.0.store.is_some())
            .finish_non_exhaustive()
    }
}

/// The verbs of [`Revocations`] for threads: each blocks until the store has answered. They must
/// not be called from a task of an asynchronous runtime, unless there is no store.
#[derive(Clone, Debug)]
pub struct Blocking(Revocations);

impl Blocking {
    /// Revokes one token, until it expires.
    ///
    /// # Errors
    /// Those of [`Revocations::revoke_token`].
    pub fn revoke_token<T>(&self, claims: &Claims<T>) -> Result<(), RevokeError> {
        self.publish(self.0.of_token(claims))
    }

    /// Revokes the tokens with this claim `jti`, which expire at `expires_at` or earlier.
    ///
    /// # Errors
    /// Those of [`Revocations::revoke_token`].
    pub fn revoke_id(&self, id: &str, expires_at: SystemTime) -> Result<(), RevokeError> {
        self.publish(of_id(id, expires_at))
    }

    /// Revokes the tokens of a subject that were issued until now.
    ///
    /// # Errors
    /// Those of [`Revocations::revoke_token`].
    pub fn revoke_subject(&self, subject: &str) -> Result<(), RevokeError> {
        self.publish(self.0.until_now(Name::of_subject(subject)))
    }

    /// Revokes all tokens that were issued until now.
    ///
    /// # Errors
    /// Those of [`Revocations::revoke_all`].
    pub fn revoke_all(&self) -> Result<(), RevokeError> {
        self.publish(self.0.until_now(Name::ALL))
    }

    fn publish(&self, revocation: Revocation) -> Result<(), RevokeError> {
        self.0.apply(&revocation)?;
        match &self.0.0.store {
            Some(cache) => {
                let sent = cache.blocking().revoke(revocation);
                sent.map_err(RevokeError::Store)
            }
            None => Ok(()),
        }
    }
}

/// Returns a time in Unix seconds. A time before 1970 is 0.
pub(crate) fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// The largest leeway of a verifier.
pub(crate) const MAX_LEEWAY: Duration = Duration::from_secs(300);
/// The time for which an entry is kept after the token expired: verifiers with different leeways
/// may share a list, and the clocks of the processes and the store differ.
const MARGIN: Duration = MAX_LEEWAY.saturating_add(Duration::from_secs(60));
