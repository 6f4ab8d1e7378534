//! Connections to the primary: one for the channel, one for reads, one for writes, and one for
//! writes that wait for replicas.
//!
//! A burst of saves does not delay fills. `WAIT` delays everything behind it on its connection, so
//! it has its own.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, PushInfo, RedisResult, sentinel::SentinelClient};
use tokio::sync::Mutex;

use crate::connection::Connection;

/// Finds the primary.
pub(crate) struct Connector(Source);

enum Source {
    Server(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
}

/// Connections to one primary.
pub(crate) struct Connections {
    pub(crate) channel: Connection,
    pub(crate) reads: Connection,
    pub(crate) writes: Connection,
    /// The connection of writes that wait for replicas.
    pub(crate) replicated: Option<Connection>,
}

impl Connector {
    pub(crate) fn server(client: Client) -> Self {
        Self(Source::Server(Box::new(client)))
    }

    pub(crate) fn sentinel(client: SentinelClient) -> Self {
        Self(Source::Sentinel(Box::new(Mutex::new(client))))
    }

    /// Opens the connections concurrently, each within `timeout`. Calls on them have no bound of
    /// their own. `on_push` receives the messages of the channel before any reply that the server
    /// sends after them.
    pub(crate) async fn connect(
        &self,
        timeout: Duration,
        waits: bool,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<Connections> {
        let client = match &self.0 {
            Source::Server(client) => (**client).clone(),
            Source::Sentinel(sentinels) => sentinels.lock().await.async_get_client().await?,
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(None);
        let with_push = config.clone().set_push_sender(move |push| {
            on_push(push);
            Ok::<_, redis::aio::SendError>(())
        });
        let replicated = async {
            Ok(match waits {
                true => Some(open(&client, &config).await?),
                false => None,
            })
        };
        let (channel, reads, writes, replicated) = tokio::try_join!(
            open(&client, &with_push),
            open(&client, &config),
            open(&client, &config),
            replicated,
        )?;
        Ok(Connections {
            channel,
            reads,
            writes,
            replicated,
        })
    }
}

async fn open(client: &Client, config: &AsyncConnectionConfig) -> RedisResult<Connection> {
    let client = client.get_multiplexed_async_connection_with_config(config);
    Ok(Connection::new(client.await?))
}
