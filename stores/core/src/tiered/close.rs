//! Closing a tiered cache.
//!
//! Invariant: after a close no verb writes, and what was queued is sent or counted. It does not
//! know the rest of the application's shutdown.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use super::{TieredCache, driver, inner::Inner};
use crate::environment::{First, race};

impl TieredCache {
    /// Rejects new writes, sends the queued touches, ends and revocations, and returns the number of
    /// ends and revocations that the store has not confirmed after `deadline`.
    pub async fn close(&self, deadline: Duration) -> usize {
        let inner = self.inner();
        // The flag orders nothing: a write that began before it was set may still be done.
        inner.is_closed.store(true, Ordering::Relaxed);
        let job = Arc::clone(inner);
        let flush = inner.run(async move {
            let until = job.env.now() + deadline;
            job.flush(until).await;
            Ok(())
        });
        let _ = flush.await;
        self.unconfirmed_ends()
    }

    pub(super) fn unconfirmed_ends(&self) -> usize {
        let ends = &self.inner().ends;
        ends.queued() + usize::from(ends.is_all_queued()) + self.inner().revocations.queued()
    }
}

impl Inner {
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
