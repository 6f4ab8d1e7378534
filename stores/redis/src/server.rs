//! The check of a server after connecting to it: its version, its mode, its policy.

use redis::{RedisResult, aio::MultiplexedConnection};

/// The state of a store, as [`RedisStore::health`](crate::RedisStore::health) returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisHealth {
    /// True while the store is connected. A connection to a server that stopped answering counts
    /// until it is given up, after about three seconds.
    pub is_connected: bool,
    /// The server that the store is connected to, or was last. `None` before the first connection.
    pub server: Option<ServerInfo>,
    /// The setting that an operator should change on that server, its value, and what it should be.
    /// `None` if nothing is wrong.
    pub warning: Option<String>,
}

/// A server, as it described itself when the store connected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// `redis` or `valkey`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The setting `maxmemory-policy`. Any other than `noeviction` signs visitors out when memory
    /// is short, and makes "sign out everywhere" unreliable.
    pub eviction_policy: String,
    /// The number of replicas that were connected to it.
    pub replicas: usize,
    is_cluster: bool,
}

impl ServerInfo {
    /// Asks a server, in one round trip.
    pub(crate) async fn ask(connection: &mut MultiplexedConnection) -> RedisResult<Self> {
        let mut questions = redis::pipe();
        for section in ["server", "memory", "replication"] {
            questions.cmd("INFO").arg(section);
        }
        let sections: Vec<String> = questions.query_async(connection).await?;
        Ok(Self::parse(&sections.concat()))
    }

    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        // Valkey reports the version of Redis that it is compatible with, too.
        let valkey = field("valkey_version");
        Self {
            name: if valkey.is_some() { "valkey" } else { "redis" }.to_owned(),
            version: valkey
                .or_else(|| field("redis_version"))
                .unwrap_or_default(),
            eviction_policy: field("maxmemory_policy").unwrap_or_default(),
            replicas: field("connected_slaves")
                .and_then(|number| number.parse().ok())
                .unwrap_or(0),
            is_cluster: field("redis_mode").is_some_and(|mode| mode == "cluster"),
        }
    }

    /// Returns why this server cannot be used, if it cannot.
    pub(crate) fn problem(&self) -> Option<String> {
        let minimum = match self.name.as_str() {
            "valkey" => MIN_VALKEY,
            _ => MIN_REDIS,
        };
        if self.number() < Some(minimum) {
            let (major, minor) = minimum;
            return Some(format!(
                "the server must be {} {major}.{minor} or later, got {}",
                self.name, self.version
            ));
        }
        self.is_cluster.then(|| {
            "the server must not be in cluster mode, which is not supported yet".to_owned()
        })
    }

    /// Returns what an operator should change, if there is something.
    pub(crate) fn warning(&self) -> Option<String> {
        (self.eviction_policy != "noeviction").then(|| {
            format!(
                "`maxmemory-policy` of the server should be noeviction, got {}: evicted sessions \
                 sign their visitors out",
                self.eviction_policy
            )
        })
    }

    fn number(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    }
}

const MIN_REDIS: (u32, u32) = (7, 0);
const MIN_VALKEY: (u32, u32) = (7, 2);

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> ServerInfo {
        ServerInfo::parse(text)
    }

    #[test]
    fn redis_and_valkey_are_told_apart() {
        let redis = "redis_version:7.0.15\r\nredis_mode:standalone\r\nconnected_slaves:2\r\n\
                     maxmemory_policy:noeviction\r\n";
        assert_eq!(info(redis).name, "redis");
        assert_eq!(info(redis).replicas, 2);
        assert_eq!(info(redis).version, "7.0.15");
        assert_eq!((info(redis).problem(), info(redis).warning()), (None, None));
        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n";
        assert_eq!(info(valkey).name, "valkey");
        assert_eq!(info(valkey).version, "9.1.2");
        assert_eq!(info(valkey).problem(), None);
    }

    #[test]
    fn a_server_that_is_too_old_is_named_with_what_it_must_be() {
        let text = info("redis_version:6.2.14\r\n").problem();
        let expected = "the server must be redis 7.0 or later, got 6.2.14";
        assert_eq!(text.as_deref(), Some(expected));
        let text = info("valkey_version:7.1.0\r\n").problem();
        let expected = "the server must be valkey 7.2 or later, got 7.1.0";
        assert_eq!(text.as_deref(), Some(expected));
        assert!(info("nonsense").problem().is_some());
    }

    #[test]
    fn a_cluster_and_an_eviction_policy_are_noticed() {
        let cluster = info("redis_version:7.2.0\r\nredis_mode:cluster\r\n");
        assert!(
            cluster
                .problem()
                .is_some_and(|text| text.contains("cluster mode"))
        );
        let lru = info("redis_version:7.2.0\r\nmaxmemory_policy:allkeys-lru\r\n");
        let warning = lru.warning().expect("a warning");
        assert!(warning.contains("noeviction") && warning.contains("allkeys-lru"));
    }
}
