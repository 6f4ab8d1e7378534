//! Settings of a store: its URL, and those that are not part of the URL.

use std::{fmt, time::Duration};

use redis::{
    ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, TlsCertificates,
    io::tcp::TcpSettings,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};

use crate::{
    RedisStore,
    connector::Connector,
    keys::Keys,
    open_error::{OpenError, certificate_error, scheme_error, url_error},
};

/// Settings of a [`RedisStore`].
#[derive(Clone)]
#[must_use]
pub struct RedisStoreBuilder {
    url: String,
    prefix: String,
    wait: Option<Wait>,
    certificates: Certificates,
    sentinel_login: Option<(String, String)>,
}

/// Replicas that must acknowledge an important write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) replicas: usize,
    pub(crate) timeout: Duration,
}

#[derive(Clone, Default)]
struct Certificates {
    ca: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

impl RedisStoreBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: "sessile".to_owned(),
            wait: None,
            certificates: Certificates::default(),
            sentinel_login: None,
        }
    }

    /// Sets the prefix of all keys and channels: 1 to 64 printable ASCII characters without spaces
    /// and braces; `sessile` unless set. Applications with different prefixes share a server and no
    /// session.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Makes ends, creations with a user and sign-ins wait until `replicas` replicas have them. If
    /// fewer answer, the call fails as if the store were unreachable. An end stays queued. This
    /// makes the loss of such a write by a failover less likely, not impossible.
    ///
    /// Concurrent calls share one `WAIT` command of at most `timeout`. A call may wait for two or
    /// three of them, because it may miss the one in progress. The minimum is 1 ms, the maximum a
    /// quarter of the `timeout` of the tiered cache, which is checked at each connection.
    pub fn wait(mut self, replicas: usize, timeout: Duration) -> Self {
        self.wait = Some(Wait { replicas, timeout });
        self
    }

    /// Sets the certificate of the authority that signs the server's certificate, in PEM. Without
    /// it those of the system are used. Needs a `rediss://` URL.
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.ca = Some(pem.into());
        self
    }

    /// Sets the certificate and key by which this client identifies itself, in PEM. Needs a
    /// `rediss://` URL.
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.certificates.client = Some((certificate.into(), key.into()));
        self
    }

    /// Sets user name and password for the Sentinels. Those in the URL are for the servers.
    pub fn sentinel_login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.sentinel_login = Some((user.into(), password.into()));
        self
    }

    /// Checks the settings. Opens no connection.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn build(self) -> Result<RedisStore, OpenError> {
        self.check()?;
        let connector = self.connector()?;
        let keys = Keys::new(&self.prefix);
        Ok(RedisStore::new(connector, keys, self.wait))
    }

    fn check(&self) -> Result<(), OpenError> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}');
        let len = self.prefix.len();
        if !(1..=MAX_PREFIX_LEN).contains(&len) || !self.prefix.bytes().all(is_plain) {
            let given = self.prefix.clone();
            return Err(OpenError::Prefix { given });
        }
        // `WAIT` without a time has no limit.
        let fits = |wait: &Wait| wait.replicas > 0 && wait.timeout >= MIN_WAIT;
        match self.wait {
            Some(wait) if !fits(&wait) => Err(OpenError::Wait {
                replicas: wait.replicas,
                given: wait.timeout,
                min: MIN_WAIT,
            }),
            _ => Ok(()),
        }
    }

    fn connector(&self) -> Result<Connector, OpenError> {
        let parts = self.url.split_once("://");
        let (scheme, rest) = parts.ok_or_else(|| scheme_error(&self.url))?;
        let is_tls = scheme.starts_with("rediss");
        if is_tls {
            crate::tls::install_provider();
        } else if self.certificates.ca.is_some() || self.certificates.client.is_some() {
            return Err(certificate_error("certificates need a `rediss://` URL"));
        }
        match scheme {
            "redis" | "rediss" => self.server(is_tls),
            "redis+sentinel" | "rediss+sentinel" => {
                let address = SentinelAddress::parse(rest)?;
                self.sentinel(address, is_tls).map(Connector::sentinel)
            }
            _ => Err(scheme_error(scheme)),
        }
    }

    fn server(&self, is_tls: bool) -> Result<Connector, OpenError> {
        let info = self.url.as_str().into_connection_info();
        let info = info.map_err(|error| url_error(error.to_string()))?;
        let settings = info.redis_settings().clone();
        let info = info
            .set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3))
            .set_tcp_settings(tcp_settings());
        let client = if is_tls {
            redis::Client::build_with_tls(info, self.tls_certificates())
                .map_err(|error| certificate_error(error.to_string()))
        } else {
            redis::Client::open(info).map_err(|error| url_error(error.to_string()))
        };
        client.map(Connector::server)
    }

    fn sentinel(
        &self,
        address: SentinelAddress,
        is_tls: bool,
    ) -> Result<SentinelClient, OpenError> {
        let sentinels = address.hosts.into_iter().map(|(host, port)| match is_tls {
            true => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
            false => ConnectionAddr::Tcp(host, port),
        });
        let error = |error: redis::RedisError| url_error(error.to_string());
        let master = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new(sentinels, address.service, master)
            .map_err(error)?
            .set_client_to_redis_db(address.db)
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_tcp_settings(tcp_settings())
            .set_client_to_sentinel_tcp_settings(tcp_settings());
        builder = self.with_logins(builder, address.login);
        if is_tls {
            builder = builder
                .set_client_to_redis_tls_mode(redis::TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(redis::TlsMode::Secure)
                .set_client_to_redis_certificates(self.tls_certificates())
                .set_client_to_sentinel_certificates(self.tls_certificates());
        }
        builder.build().map_err(error)
    }

    /// Sets the logins of the servers and of the Sentinels.
    fn with_logins(
        &self,
        mut builder: SentinelClientBuilder,
        servers: Option<(String, String)>,
    ) -> SentinelClientBuilder {
        if let Some((user, password)) = servers {
            if !user.is_empty() {
                builder = builder.set_client_to_redis_username(user);
            }
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some((user, password)) = &self.sentinel_login {
            if !user.is_empty() {
                builder = builder.set_client_to_sentinel_username(user);
            }
            builder = builder.set_client_to_sentinel_password(password);
        }
        builder
    }

    fn tls_certificates(&self) -> TlsCertificates {
        let client = self.certificates.client.clone();
        TlsCertificates {
            client_tls: client.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert: self.certificates.ca.clone(),
        }
    }
}

/// The parts of `redis+sentinel://[user:password@]host:port,…/service[/database]`.
struct SentinelAddress {
    login: Option<(String, String)>,
    hosts: Vec<(String, u16)>,
    service: String,
    db: i64,
}

impl SentinelAddress {
    fn parse(rest: &str) -> Result<Self, OpenError> {
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let mut parts = rest.split('/');
        let hosts = parts.next().unwrap_or_default().split(',').map(host);
        let hosts = hosts.collect::<Result<_, _>>()?;
        let service = parts.next().filter(|service| !service.is_empty());
        let service = service.ok_or_else(|| url_error("it must name the service: `/service`"))?;
        let db = match parts.next() {
            None | Some("") => 0,
            Some(db) => db
                .parse()
                .map_err(|_| url_error("the database must be a number"))?,
        };
        Ok(Self {
            login: login.map(|login| {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (decode(user), decode(password))
            }),
            hosts,
            service: service.to_owned(),
            db,
        })
    }
}

fn host(text: &str) -> Result<(String, u16), OpenError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port),
        None => (text, "26379"),
    };
    let port = port
        .parse()
        .map_err(|_| url_error(format!("the port of `{host}` must be a number up to 65535")))?;
    if host.is_empty() {
        return Err(url_error("a host is empty"));
    }
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(Duration::from_secs(2));
    settings
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

pub(crate) const MAX_PREFIX_LEN: usize = 64;
const MIN_WAIT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn error(builder: RedisStoreBuilder) -> String {
        builder
            .build()
            .expect_err("the settings are wrong")
            .to_string()
    }

    fn url(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url)
    }

    #[test]
    fn urls_of_all_schemes_are_accepted() {
        for valid in [
            "redis://127.0.0.1",
            "redis://user:password@127.0.0.1:6380/2",
            "rediss://redis.example",
            "redis+sentinel://one:26379,two:26379/main",
            "redis+sentinel://user:p%40ss@one,[::1]:26380/main/3",
            "rediss+sentinel://one/main",
        ] {
            assert!(url(valid).build().is_ok(), "{valid}");
        }
    }

    #[test]
    fn errors_of_a_url_say_what_it_must_be() {
        for (wrong, text) in [
            (
                "http://127.0.0.1",
                "must begin with `redis://`, `rediss://`",
            ),
            ("127.0.0.1:6379", "got `127.0.0.1`"),
            ("redis+sentinel://one:26379", "it must name the service"),
            (
                "redis+sentinel://one:port/main",
                "the port of `one` must be a number",
            ),
            (
                "redis+sentinel://one/main/first",
                "the database must be a number",
            ),
            ("redis+sentinel://,two/main", "a host is empty"),
            ("redis://127.0.0.1:port", "is not valid"),
        ] {
            let error = error(url(wrong));
            assert!(error.contains(text), "{wrong}: {error}");
        }
    }

    #[test]
    fn errors_of_settings_name_the_setting_and_its_limits() {
        let local = || url("redis://127.0.0.1");
        for (builder, text) in [
            (local().prefix(""), "`prefix` must be 1 to 64"),
            (local().prefix("a{b}"), r#"got "a{b}""#),
            (local().prefix("ü"), "printable ASCII characters"),
            (
                local().ca_certificate("x"),
                "certificates need a `rediss://` URL",
            ),
        ] {
            let error = error(builder);
            assert!(error.contains(text), "{error}");
        }
        let error = error(url("rediss://127.0.0.1").client_certificate("x", "y"));
        assert!(error.contains("a certificate cannot be used"), "{error}");
    }

    #[test]
    fn a_wait_names_a_replica_and_takes_a_time() {
        let wait = |replicas, micros| {
            let span = Duration::from_micros(micros);
            url("redis://127.0.0.1").wait(replicas, span)
        };
        // `WAIT` without a time has no limit.
        for (replicas, micros, got) in [
            (0, 1_000, "0 replicas and 1ms"),
            (1, 0, "1 replicas and 0ns"),
            (1, 999, "1 replicas and 999µs"),
        ] {
            let text = "`wait` must name at least 1 replica and take at least 1ms, got";
            assert_eq!(error(wait(replicas, micros)), format!("{text} {got}"));
        }
        assert!(wait(1, 1_000).build().is_ok());
    }

    #[test]
    fn no_password_is_in_an_error_or_in_debug_output() {
        let builder = url("redis+sentinel://ada:hunter2@one:port/main");
        assert!(!format!("{builder:?}").contains("hunter2"));
        let builder = builder.sentinel_login("ada", "hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
        assert!(!error(builder).contains("hunter2"));
        for wrong in [
            "redis://ada:hunter2@[::1",
            "redis://ada:hunter2@host:port/",
            "hunter2@host:6379",
            "hunter2:more@host:6379",
            "hunter2@redis://host",
            "hunter2:more@redis://host",
        ] {
            let error = error(url(wrong));
            assert!(!error.contains("hunter2"), "{error}");
        }
        let store = url("redis://ada:hunter2@127.0.0.1").build();
        assert!(!format!("{store:?}").contains("hunter2"));
    }
}
