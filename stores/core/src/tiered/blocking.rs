//! The verbs of a tiered cache for threads that may block.
//!
//! Owns the bound of each wait. It does not know what a verb does.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use sessile::{
    CreateOptions, Error, Handle, IssuedSession, Record, SessionId, SessionInfo, SignInOptions,
    Timeouts, Version,
};

use super::TieredCache;
use crate::revocation::Revocation;

/// The verbs of a [`TieredCache`] for threads: each blocks until the store has answered, for at
/// most three times the timeout.
#[derive(Clone, Debug)]
pub struct Blocking(TieredCache);

impl TieredCache {
    /// Returns the verbs for threads that may block. They must not be called from a task of an
    /// asynchronous runtime.
    #[must_use]
    pub fn blocking(&self) -> Blocking {
        Blocking(self.clone())
    }
}

macro_rules! blocking {
    ($($(#[$doc:meta])* $verb:ident($($name:ident: $kind:ty),*) -> $result:ty;)*) => {
        impl Blocking {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// Those of the verb of the same name of [`TieredCache`].
                pub fn $verb(&self, $($name: $kind),*) -> Result<$result, Error> {
                    self.wait(self.0.$verb($($name),*))
                }
            )*
        }
    };
}

blocking! {
    /// Opens a session by its id.
    load(id: &SessionId, buffer: &mut BytesMut) -> Option<Record>;
    /// Opens a session by the value of its cookie.
    open_token(value: &[u8], buffer: &mut BytesMut) -> Option<Record>;
    /// Creates an anonymous session.
    create(data: &[u8]) -> IssuedSession;
    /// Creates a session.
    create_with(data: &[u8], options: CreateOptions<'_>) -> IssuedSession;
    /// Creates a session under an id that was reserved.
    create_reserved(reserved: &IssuedSession, data: &[u8], options: CreateOptions<'_>) -> IssuedSession;
    /// Replaces a session's data.
    save(id: &SessionId, version: Version, data: &[u8]) -> Version;
    /// Sets the timeouts of a session.
    set_timeouts(id: &SessionId, version: Version, timeouts: Timeouts) -> Version;
    /// Replaces a session's id.
    rotate(id: &SessionId, grace: Duration) -> IssuedSession;
    /// Counts as a use of a session.
    touch(id: &SessionId) -> ();
    /// Binds a session to a user.
    sign_in(id: &SessionId, user: &str) -> IssuedSession;
    /// Binds a session to a user.
    sign_in_with(id: &SessionId, user: &str, options: SignInOptions<'_>) -> IssuedSession;
    /// Lists the sessions of a user.
    user_sessions(user: &str) -> Vec<SessionInfo>;
    /// Ends a session.
    end(id: &SessionId) -> bool;
    /// Ends a session by the value of its cookie.
    end_by_token(value: &[u8]) -> bool;
    /// Ends the session that a handle names.
    end_by_handle(handle: &Handle) -> bool;
    /// Ends a session that has a version.
    end_if_unchanged(id: &SessionId, version: Version) -> ();
    /// Ends the sessions of a user.
    end_user_sessions(user: &str, except: Option<&SessionId>) -> usize;
    /// Ends all sessions.
    end_all() -> ();
    /// Records a revocation.
    revoke(revocation: Revocation) -> ();
}

impl Blocking {
    /// Opens the session of a request's `Cookie` fields.
    ///
    /// # Errors
    /// Those of [`TieredCache::open`].
    pub fn open<'h>(
        &self,
        fields: impl IntoIterator<Item = &'h [u8]> + Clone,
        buffer: &mut BytesMut,
    ) -> Result<Option<Record>, Error> {
        self.wait(self.0.open(fields, buffer))
    }

    /// Closes the cache, as [`TieredCache::close`] does.
    #[must_use]
    pub fn close(&self, deadline: Duration) -> usize {
        let limit = deadline.saturating_add(self.0.timeout());
        let close = wait_for(self.0.close(deadline), limit);
        // The thread of the store did not answer: all that is queued is not confirmed.
        close.unwrap_or_else(|| self.0.unconfirmed_ends())
    }

    fn wait<T>(&self, verb: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let limit = 3 * self.0.inner().settings.timeout;
        wait_for(verb, limit).unwrap_or(Err(Error::Unreachable))
    }
}

/// Blocks until a future is ready, and returns `None` after the limit. A limit beyond the range of
/// [`Instant`] is none. The future must be woken by another thread.
pub(super) fn wait_for<T>(future: impl Future<Output = T>, limit: Duration) -> Option<T> {
    let deadline = Instant::now().checked_add(limit);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return Some(result);
        }
        match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return None,
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
