//! Sending the queued ends, and after a reconnection also the recent ones.
//!
//! Invariant: an end leaves the queue only when the store has confirmed it, on as many replicas as
//! the settings ask for. It does not know when the queue is sent.

use std::sync::Arc;

use sessile::SessionId;

use super::{inner::Inner, metrics::Verb};
use crate::{
    environment::join_all,
    protocol::switches::Rule,
    store::{BoxFuture, ServerTime, StoreError},
};

impl Inner {
    /// Sends the queued ends, and the ends and retirements of the last minute. Returns true if the
    /// server has executed all.
    pub(super) async fn send_all_ends(self: &Arc<Self>) -> bool {
        let now = self.env.now();
        // Before the ends: the end of an old id then reaches the session that replaced it.
        if self.settings.rules.has(Rule::RetirementsAgain)
            && !self.retire_again(self.ends.recent_retirements(now)).await
        {
            return false;
        }
        let recent = self.ends.recent(now);
        let cutoff = self.ends.recent_all(now);
        if let Some(cutoff) = cutoff
            && !is_executed(&self.assert_cutoff(cutoff).await)
        {
            return false;
        }
        let is_recent_sent = self.end_each(recent, true).await;
        let is_queue_sent = self.send_queued_ends().await;
        is_recent_sent && is_queue_sent
    }

    /// Sends the queued ends. Returns true if the server has executed all. One that is not
    /// replicated stays queued.
    pub(super) async fn send_queued_ends(self: &Arc<Self>) -> bool {
        if !self.send_queued_end_of_all().await {
            return false;
        }
        let queued = self.ends.take_queued();
        self.end_each(queued, false).await
    }

    async fn send_queued_end_of_all(&self) -> bool {
        let Some((number, bound)) = self.ends.take_all() else {
            return true;
        };
        let generation = self.lease.generation();
        let asserted = self.assert_cutoff(bound).await;
        match asserted.and_then(|cutoff| self.check_generation(generation).map(|()| cutoff)) {
            Ok(cutoff) => {
                self.ends.confirm_all(number, cutoff, self.env.now());
                true
            }
            failed => {
                self.ends.release_all(number);
                is_executed(&failed)
            }
        }
    }

    /// Raises the revocation cutoff of the store, and returns it.
    async fn assert_cutoff(&self, cutoff: ServerTime) -> Result<ServerTime, StoreError> {
        let now = self.env.now();
        let deadline = now + self.settings.timeout;
        // A server whose clock was set back gets no cutoff in its future.
        let cutoff = cutoff.min(self.server.not_after(now));
        let call = self.store.end_all(Some(cutoff));
        let asserted = self.call(Verb::End, deadline, call).await;
        if is_executed(&asserted) {
            // Without a reply it is not known how much later the cutoff of the store is.
            self.cut_off(*asserted.as_ref().unwrap_or(&cutoff));
        }
        asserted
    }

    async fn end_each(self: &Arc<Self>, ids: Vec<SessionId>, is_again: bool) -> bool {
        let results = call_each(&ids, |id| {
            Box::pin(self.send_end(*id, self.commit_deadline(), is_again))
        });
        results.await.iter().all(is_executed)
    }
}

/// Calls the store for each item, several at once, and returns the results.
pub(super) async fn call_each<'a, I, T>(
    items: &'a [I],
    call: impl Fn(&'a I) -> BoxFuture<'a, Result<T, StoreError>>,
) -> Vec<Result<T, StoreError>> {
    let mut results = Vec::with_capacity(items.len());
    for group in items.chunks(PIPELINED) {
        results.extend(join_all(group.iter().map(&call)).await);
    }
    results
}

/// Returns true if the server has executed a call, whether or not a replica has its effect. After a
/// reconnection that is enough: what is not replicated stays in the queue or in the log.
pub(super) fn is_executed<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Ok(_) | Err(StoreError::Unreplicated(_)))
}

/// The number of calls that do not wait for each other.
pub(super) const PIPELINED: usize = 64;
