//! Revocations: the verb, the mirror of all revocations of the store, and its loads.
//!
//! Invariant: a revocation that was accepted is in this process's sink at once, and in the queue
//! until the store has confirmed it. It does not know what a revocation stands for.

use std::{sync::Arc, time::Duration};

use sessile::Error;

use super::{
    TieredCache, health::MirrorState, inner::Inner, metrics::Verb, queued_ends::is_executed,
};
use crate::{
    protocol::{channel::State, mirror::Applied},
    revocation::{MirrorError, Revocation, RevocationSink},
    store::StoreError,
};

impl TieredCache {
    /// Copies every revocation of the store into `sink`, now and after each loss of the channel,
    /// and then each one as it is published. Returns at once; the copy is complete when
    /// [`revocations_are_current`](Self::revocations_are_current) returns true. A cache has one
    /// sink, until its end.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub fn mirror_revocations(&self, sink: Arc<dyn RevocationSink>) -> Result<(), MirrorError> {
        let inner = self.inner();
        let abilities = inner.store.abilities();
        if !abilities.revocations || !abilities.push {
            return Err(MirrorError::Unsupported);
        }
        if !inner.mirror.set_sink(sink) {
            return Err(MirrorError::Exists);
        }
        inner.wake.notify_one();
        Ok(())
    }

    /// Records a revocation: in the sink of this process when this is first polled, and in the
    /// store. Other processes receive it within milliseconds, or accept nothing after the lease.
    ///
    /// # Errors
    /// [`Unreachable`](Error::Unreachable) if the store did not confirm it. Then it is queued until
    /// the store does. [`Full`](Error::Full) if the store has it and the sink of this process has
    /// no room: until it has, its revocations are not current.
    /// [`Unsupported`](Error::Unsupported) if the store keeps no revocations.
    pub async fn revoke(&self, revocation: Revocation) -> Result<(), Error> {
        self.inner().revoke(revocation).await
    }

    /// Returns true if the sink may be asked: all revocations were loaded, and the lease holds.
    /// After a loss of the channel the lease is not extended until all were loaded again. While
    /// this is false, the caller must accept nothing that may be revoked.
    ///
    /// Call this *before* the look-up in the sink: a load may end between the two.
    #[inline]
    #[must_use]
    pub fn revocations_are_current(&self) -> bool {
        let inner = self.inner();
        let until = inner.mirror.current_until();
        inner.l1.now() < until
    }

    pub(super) fn mirror_state(&self) -> MirrorState {
        let mirror = &self.inner().mirror;
        if !mirror.is_on() {
            MirrorState::Off
        } else if self.revocations_are_current() {
            MirrorState::Current
        } else if mirror.is_full() {
            MirrorState::Full
        } else {
            MirrorState::Behind
        }
    }
}

impl Inner {
    async fn revoke(self: &Arc<Self>, revocation: Revocation) -> Result<(), Error> {
        if !self.store.abilities().revocations {
            return Err(Error::Unsupported {
                verb: "revocations",
            });
        }
        let revocation = Revocation {
            expires_at: revocation.expires_at.min(Revocation::MAX_EXPIRES_AT),
            ..revocation
        };
        // Queued first: each load gives the queue to the sink, which may have no room now.
        let accepted = self.revocations.accept(revocation);
        let is_kept = self.apply_revocation(&revocation);
        accepted.map_err(|_| Error::Unreachable)?;
        // The queue sends it if the task below is dropped.
        let guard = Release {
            inner: Arc::clone(self),
            revocation,
        };
        self.check_up()?;
        let job = Arc::clone(self);
        self.run(async move {
            let sent = job.send_revocations(&[guard.revocation]).await;
            drop(guard);
            sent.map_err(|error| job.public(&error))
        })
        .await?;
        if is_kept { Ok(()) } else { Err(Error::Full) }
    }

    /// Gives a revocation to the sink, if there is one. Returns false if it has no room.
    pub(super) fn apply_revocation(&self, revocation: &Revocation) -> bool {
        let applied = self.mirror.apply(revocation);
        if applied == Applied::BecameFull {
            tracing::error!(
                "there is no room for the revocations of the store: no token is accepted until \
                 some have expired; raise the capacity"
            );
        }
        if applied == Applied::Kept {
            return true;
        }
        self.wake.notify_one();
        false
    }

    /// Sends queued revocations in one call.
    async fn send_revocations(&self, revocations: &[Revocation]) -> Result<(), StoreError> {
        let deadline = self.env.now() + self.settings.timeout;
        let generation = self.lease.generation();
        let call = self.store.revoke(revocations);
        let sent = self.call(Verb::Revoke, deadline, call).await;
        // A reply that crosses a fence confirms nothing.
        self.check_generation(generation).and(sent)?;
        self.revocations.confirm(revocations, self.env.now());
        Ok(())
    }

    /// Sends the queued revocations and those of the last minute. Returns true if the server has
    /// executed all.
    pub(super) async fn send_all_revocations(self: &Arc<Self>) -> bool {
        for group in self.revocations.recent(self.env.now()).chunks(PER_CALL) {
            let deadline = self.env.now() + self.settings.timeout;
            let call = self.store.revoke(group);
            if !is_executed(&self.call(Verb::Revoke, deadline, call).await) {
                return false;
            }
        }
        self.send_queued_revocations().await
    }

    /// Sends the queued revocations. Returns true if the server has executed all. Those that are
    /// not replicated stay queued.
    pub(super) async fn send_queued_revocations(&self) -> bool {
        let queued = self.revocations.take_queued();
        let mut is_sent = true;
        for group in queued.chunks(PER_CALL) {
            is_sent = is_sent && is_executed(&self.send_revocations(group).await);
            self.revocations.release(group);
        }
        is_sent
    }

    /// Starts what is due: a load of the mirror, and the queue. The driver calls this.
    pub(super) fn tend_revocations(self: &Arc<Self>, state: State, now: Duration) {
        if state != State::Up {
            return;
        }
        if self.revocations.begin_attempt(now) {
            let inner = Arc::clone(self);
            self.env.spawn(Box::pin(async move {
                inner.send_queued_revocations().await;
            }));
        }
        let generation = self.lease.generation();
        if self.lease.is_up() && self.mirror.begin_load(generation, now) {
            let inner = Arc::clone(self);
            self.env.spawn(Box::pin(async move {
                inner.load_revocations(generation).await;
            }));
        }
    }

    /// Returns the time at which [`tend_revocations`](Self::tend_revocations) has to be called at
    /// the latest, or `None`.
    pub(super) fn revocations_due(&self, state: State) -> Option<Duration> {
        if state != State::Up {
            return None;
        }
        let load = self.mirror.next_load(self.lease.generation());
        let load = load.filter(|_| self.lease.is_up());
        load.into_iter()
            .chain(self.revocations.next_attempt())
            .min()
    }

    async fn load_revocations(&self, generation: u64) {
        let is_complete = self.take_pages(generation).await;
        let now = self.env.now();
        if self.mirror.end_load(generation, is_complete, now) {
            self.mirror.extend(generation, self.lease.until());
        }
        self.wake.notify_one();
    }

    /// Gives all revocations to the sink. Returns true if the store answered with all, within one
    /// generation.
    async fn take_pages(&self, generation: u64) -> bool {
        // The store may not have them yet, and the sink may have had no room for them.
        for revocation in self.revocations.unconfirmed() {
            self.apply_revocation(&revocation);
        }
        let mut cursor = Some(0);
        while let Some(at) = cursor {
            let deadline = self.env.now() + self.settings.timeout;
            let call = self.store.revocations(at);
            let Ok(page) = self.call(Verb::Read, deadline, call).await else {
                return false;
            };
            if self.lease.generation() != generation {
                return false;
            }
            for revocation in &page.revocations {
                self.apply_revocation(revocation);
            }
            cursor = page.next;
        }
        true
    }
}

/// Leaves a revocation to the queue when its task is dropped.
struct Release {
    inner: Arc<Inner>,
    revocation: Revocation,
}

impl Drop for Release {
    fn drop(&mut self) {
        self.inner.revocations.release(&[self.revocation]);
    }
}

/// The most revocations in one call.
const PER_CALL: usize = 256;
