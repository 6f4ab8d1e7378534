//! The watch: connects, subscribes to all partitions and forwards what is published, until the
//! connections are lost.

use std::{sync::Arc, time::Duration};

use redis::{PushInfo, PushKind, RedisResult, Value, aio::MultiplexedConnection};
use sessile_store::{Change, Sink, StoreError};
use tokio::sync::Notify;

use crate::{
    Link, RedisStore, connector::Connections, error::setup_error, keys::Keys,
    replication::Replication, scripts::SCRIPTS, server::ServerInfo, settings::Wait,
};

/// Runs until the connections are lost, and returns why.
pub(crate) async fn watch(
    store: &RedisStore,
    sink: Arc<dyn Sink>,
    timeout: Duration,
) -> StoreError {
    let lost = Arc::new(Notify::new());
    let guard = Disconnect(store);
    if let Err(error) = start(store, sink.clone(), lost.clone(), timeout).await {
        return error;
    }
    sink.change(Change::Subscribed);
    lost.notified().await;
    drop(guard);
    StoreError::Unreachable("the connection to the store was lost".into())
}

/// Closes the connections when the watch ends or is dropped.
struct Disconnect<'a>(&'a RedisStore);

impl Drop for Disconnect<'_> {
    fn drop(&mut self) {
        self.0.state(|state| state.link = None);
    }
}

async fn start(
    store: &RedisStore,
    sink: Arc<dyn Sink>,
    lost: Arc<Notify>,
    timeout: Duration,
) -> Result<(), StoreError> {
    let inner = &store.0;
    check_wait(inner.wait, timeout)?;
    let forward = Forward {
        keys: inner.keys.clone(),
        sink,
        lost: lost.clone(),
    };
    let connecting = inner
        .connector
        .connect(timeout, inner.wait.is_some(), move |push| {
            forward.push(&push);
        });
    let mut connections = connecting.await.map_err(|error| setup_error(&error))?;
    let Connections { channel, reads, .. } = &mut connections;
    let server = within(timeout, ServerInfo::ask(&mut reads.client)).await?;
    check_server(store, &server)?;
    within(timeout, load_scripts(&mut reads.client)).await?;
    within(timeout, subscribe(&inner.keys, &mut channel.client)).await?;
    let link = Link {
        connections,
        replication: Replication::default(),
        lost,
    };
    store.state(|state| state.link = Some(Arc::new(link)));
    Ok(())
}

/// Rejects a `WAIT` that may not end in time: a call may wait for two or three of them.
fn check_wait(wait: Option<Wait>, timeout: Duration) -> Result<(), StoreError> {
    match wait {
        Some(Wait { timeout: given, .. }) if given > timeout / 4 => {
            let text = format!(
                "`wait` must take at most {:?}, a quarter of `timeout`, got {given:?}",
                timeout / 4
            );
            Err(StoreError::Incompatible(text.into()))
        }
        _ => Ok(()),
    }
}

/// Waits for a reply, for at most the timeout.
async fn within<T>(
    timeout: Duration,
    reply: impl Future<Output = RedisResult<T>>,
) -> Result<T, StoreError> {
    let reply = tokio::time::timeout(timeout, reply).await;
    let reply = reply.map_err(|_| StoreError::Unreachable("no answer in time".into()))?;
    reply.map_err(|error| setup_error(&error))
}

fn check_server(store: &RedisStore, server: &ServerInfo) -> Result<(), StoreError> {
    if let Some(problem) = server.problem() {
        return Err(StoreError::Incompatible(problem.into()));
    }
    let is_new = store.state(|state| state.server.replace(server.clone())) != Some(server.clone());
    if let Some(warning) = server.warning().filter(|_| is_new) {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// Loads all scripts in one round trip, so that the first call of each takes one too. The first
/// call after a `SCRIPT FLUSH` takes three.
async fn load_scripts(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let mut scripts = redis::pipe();
    for script in SCRIPTS.all() {
        scripts.load_script(script).ignore();
    }
    scripts.exec_async(connection).await
}

/// Subscribes to the channels of all partitions, and to the one invalidation that tells that the
/// server was flushed. When this returns, the server has confirmed each.
async fn subscribe(keys: &Keys, channel: &mut MultiplexedConnection) -> RedisResult<()> {
    let mut subscriptions = redis::pipe();
    for partition in 0..=u8::MAX {
        subscriptions
            .cmd("SSUBSCRIBE")
            .arg(keys.channel(partition))
            .ignore();
    }
    subscriptions.exec_async(channel).await?;
    redis::cmd("CLIENT")
        .arg(&["TRACKING", "ON", "BCAST", "PREFIX"])
        .arg(keys.tracked())
        .exec_async(channel)
        .await
}

/// Turns what the server pushes into changes, in the order in which it arrives.
struct Forward {
    keys: Keys,
    sink: Arc<dyn Sink>,
    lost: Arc<Notify>,
}

impl Forward {
    /// Runs in the task that reads the connection: a reply behind the message is seen only after
    /// this.
    fn push(&self, push: &PushInfo) {
        match (&push.kind, push.data.as_slice()) {
            (PushKind::SMessage, [Value::BulkString(channel), Value::BulkString(message)]) => {
                if let Some(change) = self.keys.parse(channel, message) {
                    self.sink.change(change);
                }
            }
            // The server was flushed. Only then are there no keys.
            (PushKind::Invalidate, [Value::Nil]) => self.sink.change(Change::DataLost),
            (PushKind::Disconnection | PushKind::SUnsubscribe, _) => self.lost.notify_one(),
            _ => {}
        }
    }
}
