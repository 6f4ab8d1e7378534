//! The watch: connects, checks the server, and waits until the connection is lost. And the
//! heartbeats, which keep what the nodes have in common.

use std::{sync::Arc, time::Duration};

use sessile_store::{Change, Heartbeat, Proposal, Sink, StoreError};
use tokio::sync::Notify;

use crate::{
    MemcachedStore,
    connection::Connection,
    ends::{one, put_item},
    meta::Parts,
    now, random,
    records::{MAX_ATTEMPTS, Written, changing, written},
    value::DataSet,
};

/// Runs until the connection is lost, and returns why.
pub(crate) async fn watch(
    store: &MemcachedStore,
    sink: Arc<dyn Sink>,
    timeout: Duration,
) -> StoreError {
    let lost = Arc::new(Notify::new());
    let guard = Disconnect(store);
    let started = tokio::time::timeout(timeout, start(store, Arc::clone(&lost))).await;
    match started {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return error,
        Err(_) => return StoreError::Unreachable("no answer in time".into()),
    }
    sink.change(Change::Subscribed);
    lost.notified().await;
    drop(guard);
    StoreError::Unreachable("the connection to the store was lost".into())
}

/// Closes the connections when the watch ends or is dropped.
struct Disconnect<'a>(&'a MemcachedStore);

impl Drop for Disconnect<'_> {
    fn drop(&mut self) {
        let inner = &self.0.0;
        self.0.state(|state| state.is_open = false);
        for lane in [&inner.channel, &inner.reads, &inner.writes] {
            lane.close();
        }
    }
}

async fn start(store: &MemcachedStore, lost: Arc<Notify>) -> Result<(), StoreError> {
    // Calls that were slower than the last watch may have opened others.
    store.0.reads.close();
    store.0.writes.close();
    let connection = store.0.channel.open(lost).await?;
    let (version, max_item_len) = check_server(&connection).await?;
    store.state(|state| {
        state.is_open = true;
        state.version = Some(version);
        state.max_item_len = max_item_len.unwrap_or(crate::DEFAULT_MAX_ITEM_LEN);
        // It may be another server.
        state.seen.clear();
    });
    Ok(())
}

async fn check_server(connection: &Connection) -> Result<(String, Option<usize>), StoreError> {
    let version = match connection.version().await {
        Ok(version) => version,
        // A server of another protocol closes nothing, so the connection was closed here.
        Err(StoreError::Unreachable(_)) if connection.is_foreign() => {
            let text = "the server must be memcached 1.6.18 or later: it answered in another \
                        protocol";
            return Err(StoreError::Incompatible(text.into()));
        }
        Err(error) => return Err(error),
    };
    if number(&version) < Some(MIN_VERSION) {
        let text = format!("the server must be memcached 1.6.18 or later, got {version}");
        return Err(StoreError::Incompatible(text.into()));
    }
    let max_item_len = connection.setting("item_size_max").await?;
    Ok((version, max_item_len.and_then(|text| text.parse().ok())))
}

/// Returns the three numbers of a version. Later parts of the text do not matter.
fn number(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.splitn(3, '.').map(|part| {
        let end = part.find(|letter: char| !letter.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse().ok()
    });
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// Reads the data set, and creates or completes it.
pub(crate) async fn heartbeat(
    store: &MemcachedStore,
    proposal: &Proposal,
) -> Result<Heartbeat, StoreError> {
    let key = store.0.keys.meta();
    let connection = store.0.channel.current();
    let connection =
        connection.ok_or_else(|| StoreError::Unreachable("the store is not connected".into()))?;
    for _ in 0..MAX_ATTEMPTS {
        let mut commands = store.commands();
        commands.get(&key, Parts::Value);
        let meta = one(connection.call(&commands).await?)?;
        let (data, cas, recorded) = match store.data_set(&meta)? {
            Some((mut data, cas)) => {
                let recorded = data.fingerprints.clone();
                if !data.add_fingerprints(&proposal.key_fingerprints) {
                    return Ok(answer(&data, recorded));
                }
                (data, Some(cas), recorded)
            }
            None => (proposed(proposal)?, None, Vec::new()),
        };
        let mut commands = store.commands();
        put_item(&mut commands, &key, cas, &data.encode());
        let replies = connection.call(&commands).await?;
        if matches!(written(replies.first())?, Written::Done(_)) {
            return Ok(answer(&data, recorded));
        }
    }
    Err(changing())
}

fn proposed(proposal: &Proposal) -> Result<DataSet, StoreError> {
    Ok(DataSet {
        epoch: proposal.epoch,
        user_key: proposal.user_key,
        generation: random()?,
        ended_before: sessile_store::ServerTime(0),
        fingerprints: proposal.key_fingerprints.clone(),
    })
}

fn answer(data: &DataSet, recorded: Vec<[u8; 8]>) -> Heartbeat {
    Heartbeat {
        epoch: data.epoch,
        user_key: data.user_key,
        key_fingerprints: recorded,
        ended_before: data.ended_before,
        now: now(),
    }
}

const MIN_VERSION: [u32; 3] = [1, 6, 18];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, is_enough) in [
            ("1.6.18", true),
            ("1.6.18-rc1", true),
            ("1.6.40_12_gabcdef", true),
            ("1.7.0", true),
            ("2.0.0", true),
            ("1.6.17", false),
            ("1.5.22", false),
            ("1.6", false),
            ("", false),
            ("nonsense", false),
        ] {
            assert_eq!(number(version) >= Some(MIN_VERSION), is_enough, "{version}");
        }
    }
}
