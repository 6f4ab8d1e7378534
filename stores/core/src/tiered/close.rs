//! Closing a tiered cache.
//!
//! Invariant: after a close no verb writes, and what was queued is sent or counted. The number of
//! ends that are lost without a close is logged. It does not know the rest of the application's
//! shutdown.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use super::{Owner, TieredCache, driver, inner::Inner};
use crate::environment::{First, race};

impl TieredCache {
    /// Rejects new writes, sends the queued touches, ends and revocations, and returns the number
    /// of ends and revocations that the store has not confirmed after `deadline`. `Duration::MAX`
    /// sets no limit.
    pub async fn close(&self, deadline: Duration) -> usize {
        let inner = self.inner();
        // The flag orders nothing: a write that began before it was set may still be done.
        inner.is_closed.store(true, Ordering::Relaxed);
        let job = Arc::clone(inner);
        let flush = inner.run(async move {
            let until = job.env.now().saturating_add(deadline);
            job.flush(until).await;
            Ok(())
        });
        let _ = flush.await;
        inner.unconfirmed_ends()
    }

    pub(super) fn unconfirmed_ends(&self) -> usize {
        self.inner().unconfirmed_ends()
    }
}

impl Drop for Owner {
    /// Logs the number of ends and revocations that are lost, unless [`TieredCache::close`] has
    /// returned it.
    fn drop(&mut self) {
        let unconfirmed = self.inner.unconfirmed_ends();
        if unconfirmed > 0 && !self.inner.is_closed.load(Ordering::Relaxed) {
            tracing::warn!(
                unconfirmed,
                "a tiered cache was dropped before the store confirmed all ends and revocations; \
                 await `TieredCache::close` first"
            );
        }
    }
}

impl Inner {
    /// Returns the number of ends and revocations that the store has not confirmed.
    fn unconfirmed_ends(&self) -> usize {
        let ends = self.ends.queued() + usize::from(self.ends.is_all_queued());
        ends + self.revocations.queued()
    }

    async fn flush(self: &Arc<Self>, until: Duration) {
        let span = until.saturating_sub(self.env.now());
        let work = async {
            driver::send_touches_now(self).await;
            while self.ends.queued() > 0 || self.ends.is_all_queued() {
                self.send_queued_ends().await;
                self.env.sleep(PAUSE).await;
            }
            while self.revocations.queued() > 0 {
                self.send_queued_revocations().await;
                self.env.sleep(PAUSE).await;
            }
        };
        match race(work, self.env.sleep(span)).await {
            First::Left(()) | First::Right(()) => {}
        }
    }
}

/// The time between two attempts to send the queue.
const PAUSE: Duration = Duration::from_millis(50);
