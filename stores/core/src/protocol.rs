//! The protocol between a node and its store, without input and output.
//!
//! Owns the state that keeps L1 true: operations in flight and their version floors, the state of
//! the channel and the lease, the batches of touches, the queues of ends and of revocations, the
//! mirror of revocations, the estimate of the server's time. Invariant: a result enters L1 only if
//! no later change of its session, and no fence, happened since its operation began. It knows no
//! socket, no clock and no thread: every call takes the time, and returns what is to be done.

pub(crate) mod absent;
pub(crate) mod channel;
pub(crate) mod ends;
pub(crate) mod lease;
pub(crate) mod mirror;
pub(crate) mod operations;
pub(crate) mod revocations;
pub(crate) mod server_time;
pub(crate) mod switches;
pub(crate) mod touches;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex. Its content is valid after a panic, because each change of it is complete.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
