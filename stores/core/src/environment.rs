//! The surroundings of the protocol: time, pauses and tasks.
//!
//! Owns the trait that the thread of a tiered cache implements with a runtime, and the simulator
//! with virtual time. It does not know what a task does.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use crate::store::BoxFuture;

/// Time and tasks of one node.
pub trait Environment: Send + Sync + 'static {
    /// Returns the time since some point in the past. It never goes back.
    fn now(&self) -> Duration;

    /// Returns a future that is ready after a span.
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()>;

    /// Runs a task to its end, or until the node stops.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// The result of the first of two futures that is ready.
#[derive(Debug)]
pub(crate) enum First<A, B> {
    /// The first one.
    Left(A),
    /// The second one.
    Right(B),
}

/// Waits for the first of two futures, and drops the other. Of two that are ready, the left one
/// counts.
pub(crate) async fn race<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| {
        if let Poll::Ready(result) = left.as_mut().poll(context) {
            return Poll::Ready(First::Left(result));
        }
        right.as_mut().poll(context).map(First::Right)
    })
    .await
}

/// Waits for all futures of a short list, and returns their results in its order.
pub(crate) async fn join_all<T>(futures: impl IntoIterator<Item = BoxFuture<'_, T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Some).collect();
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut is_ready = true;
        for (future, result) in futures.iter_mut().zip(&mut results) {
            let Some(pending) = future else { continue };
            match pending.as_mut().poll(context) {
                Poll::Ready(value) => (*result, *future) = (Some(value), None),
                Poll::Pending => is_ready = false,
            }
        }
        if is_ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    results.into_iter().flatten().collect()
}
