//! The calls of a node, each of which travels to the store and back.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use sessile::{SessionId, UserHash, Version};
use sessile_store::{
    Abilities, BoxFuture, Created, Ended, Heartbeat, NewAlias, NewRecord, NewTimeouts, Proposal,
    Revalidated, Revocation, RevocationPage, Rewrite, Rotated, ServerTime, Sink, Store, StoreError,
    StoredData, StoredRecord, UserIds,
};

use super::{Network, SLOWEST_MESSAGE};

fn owned(data: StoredData<'_>) -> (Bytes, bool) {
    (Bytes::copy_from_slice(data.bytes), data.is_encrypted)
}

fn stored(data: &(Bytes, bool)) -> StoredData<'_> {
    StoredData {
        bytes: &data.0,
        is_encrypted: data.1,
    }
}

impl Store for Network {
    fn abilities(&self) -> Abilities {
        Abilities {
            push: self.0.push,
            ..self.0.store.abilities()
        }
    }

    fn read(&self, id: SessionId) -> BoxFuture<'_, Result<Option<StoredRecord>, StoreError>> {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        let slowest = self.state().slowest_read;
        self.send_with(slowest, move |store| {
            Box::pin(async move { store.read(id).await })
        })
    }

    fn revalidate(
        &self,
        id: SessionId,
        known: Version,
    ) -> BoxFuture<'_, Result<Revalidated, StoreError>> {
        self.0.revalidations.fetch_add(1, Ordering::Relaxed);
        let slowest = self.state().slowest_read;
        self.send_with(slowest, move |store| {
            Box::pin(async move { store.revalidate(id, known).await })
        })
    }

    fn create<'a>(
        &'a self,
        new: &'a NewRecord<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Created, StoreError>> {
        let (label, data) = (new.label.to_owned(), owned(new.data));
        let NewRecord {
            id,
            user,
            assurance_level,
            version,
            serial,
            idle_timeout,
            lifetime,
            limit,
            replaces,
            ..
        } = *new;
        let sent = self.send(move |store| {
            Box::pin(async move {
                let new = NewRecord {
                    id,
                    user,
                    assurance_level,
                    label: &label,
                    version,
                    serial,
                    idle_timeout,
                    lifetime,
                    data: stored(&data),
                    limit,
                    replaces,
                };
                store.create(&new, not_after).await
            })
        });
        Box::pin(async move {
            let created = sent.await?;
            self.ends(|ends| ends.take(created, self.0.world.now()));
            Ok(created)
        })
    }

    fn save<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        data: StoredData<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        let data = owned(data);
        self.send(move |store| {
            Box::pin(async move {
                let data = stored(&data);
                store.save(id, expected, next, data, not_after).await
            })
        })
    }

    fn touch<'a>(
        &'a self,
        batch: &'a [(SessionId, Duration)],
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        if self.state().is_full {
            return Box::pin(async { Err(StoreError::Full) });
        }
        let batch = batch.to_vec();
        self.send(move |store| Box::pin(async move { store.touch(&batch, not_after).await }))
    }

    fn set_timeouts<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        timeouts: NewTimeouts,
        data: Option<StoredData<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        let data = data.map(owned);
        self.send(move |store| {
            Box::pin(async move {
                let data = data.as_ref().map(stored);
                store
                    .set_timeouts(id, expected, next, timeouts, data, not_after)
                    .await
            })
        })
    }

    fn rotate<'a>(
        &'a self,
        id: SessionId,
        alias: NewAlias,
        rewrite: Option<Rewrite<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Rotated, StoreError>> {
        let rewrite = rewrite.map(|new| (new.expected, new.next, owned(new.data)));
        self.send(move |store| {
            Box::pin(async move {
                let rewrite = rewrite.as_ref().map(|(expected, next, data)| Rewrite {
                    expected: *expected,
                    next: *next,
                    data: stored(data),
                });
                store.rotate(id, alias, rewrite, not_after).await
            })
        })
    }

    fn retire(
        &self,
        id: SessionId,
        expected: Option<Version>,
        alias: NewAlias,
        not_after: ServerTime,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        self.send_replicated(move |store| {
            Box::pin(async move { store.retire(id, expected, alias, not_after).await })
        })
    }

    fn end(&self, id: SessionId) -> BoxFuture<'_, Result<Ended, StoreError>> {
        self.ends(|ends| ends.send(id));
        self.send_replicated(move |store| Box::pin(async move { store.end(id).await }))
    }

    fn end_if_unchanged(
        &self,
        id: SessionId,
        expected: Version,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        self.send_replicated(move |store| {
            Box::pin(async move { store.end_if_unchanged(id, expected).await })
        })
    }

    fn user_ids(
        &self,
        user: UserHash,
        up_to: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<UserIds, StoreError>> {
        self.send(move |store| Box::pin(async move { store.user_ids(user, up_to).await }))
    }

    fn end_all(
        &self,
        at_least: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        if self.state().loses_end_of_all {
            return Box::pin(std::future::pending());
        }
        self.send_replicated(move |store| Box::pin(async move { store.end_all(at_least).await }))
    }

    fn revoke<'a>(
        &'a self,
        revocations: &'a [Revocation],
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        let revocations = revocations.to_vec();
        self.send_replicated(move |store| Box::pin(async move { store.revoke(&revocations).await }))
    }

    fn revocations(&self, cursor: u64) -> BoxFuture<'_, Result<RevocationPage, StoreError>> {
        self.send(move |store| Box::pin(async move { store.revocations(cursor).await }))
    }

    fn watch(&self, sink: Arc<dyn Sink>, timeout: Duration) -> BoxFuture<'_, StoreError> {
        Box::pin(self.clone().watch(sink, timeout))
    }

    fn heartbeat<'a>(
        &'a self,
        proposal: &'a Proposal,
    ) -> BoxFuture<'a, Result<Heartbeat, StoreError>> {
        Box::pin(async move {
            let world = &self.0.world;
            let watch = self.state().watch;
            let delay = world.random(|random| random.millis(0, SLOWEST_MESSAGE));
            world.sleep(delay).await;
            if self.is_broken(watch) {
                std::future::pending::<()>().await;
            }
            let result = self.0.store.heartbeat(proposal).await;
            let at = self.arrival();
            world.sleep(at.saturating_sub(world.now())).await;
            if self.is_broken(watch) {
                std::future::pending::<()>().await;
            }
            result
        })
    }
}
