//! The settings of a store, and the cache that they make of a cache's settings.
//!
//! Owns the translation of `sessile.RedisStore` and `sessile.MemcachedStore` into the settings of
//! Rust, whose errors name the setting. It does not know when a cache is built.

use std::time::Duration;

use pyo3::{exceptions::PyValueError, prelude::*};
use sessile::SessionCacheBuilder;
use sessile_memcached::{MemcachedStore, MemcachedStoreBuilder};
use sessile_redis::{RedisStore, RedisStoreBuilder};
use sessile_store::{StoreBuildError, StoreExt, StoreState, TieredCache, TieredCacheBuilder};

use crate::{
    errors::{seconds, value_error},
    keys,
};

/// The settings of a store. A forked child opens its own connections with them.
#[derive(Clone)]
pub(crate) struct StoreSettings {
    server: Server,
    lease: Option<Duration>,
    timeout: Option<Duration>,
    stale_while_down: Duration,
    encrypt: bool,
}

/// The settings of a server.
#[derive(Clone)]
enum Server {
    Redis(Box<RedisStoreBuilder>),
    Memcached(MemcachedStoreBuilder),
}

/// The settings of a cache's store.
pub(crate) struct Given {
    pub(crate) store: StoreSettings,
    /// True if this process is about to be forked, so that its children connect and not itself.
    pub(crate) is_before_fork: bool,
}

/// Returns the settings of `store`, or of the environment if it is `None`; `None` without a store.
pub(crate) fn resolve(py: Python<'_>, store: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Given>> {
    let module = py.import("sessile._store")?;
    let found = module.call_method1("resolve", (store,))?;
    if found.is_none() {
        return Ok(None);
    }
    let is_before_fork = module.call_method0("is_before_fork")?.extract()?;
    let store = StoreSettings::of(&found)?;
    store.server.check()?;
    Ok(Some(Given {
        store,
        is_before_fork,
    }))
}

impl StoreSettings {
    /// Reads the attributes of the settings, whose types they have checked.
    fn of(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        let span = |name: &str| {
            let span: Option<f64> = given.getattr(name)?.extract()?;
            span.map(|span| seconds(name, span)).transpose()
        };
        Ok(Self {
            server: Server::of(given)?,
            lease: span("lease")?,
            timeout: span("timeout")?,
            stale_while_down: span("stale_while_down")?.unwrap_or_default(),
            encrypt: given.getattr("encrypt")?.extract()?,
        })
    }

    /// Builds a cache and opens its connections. Waits for the first answer of the store, for at
    /// most the timeout. Returns what an operator should know, too. Errors name `keys_setting`.
    pub(crate) fn open(
        &self,
        settings: SessionCacheBuilder,
        keys_setting: &str,
    ) -> PyResult<(TieredCache, Option<String>)> {
        let (builder, redis) = self.server.before(settings)?;
        let mut builder = builder
            .stale_while_down(self.stale_while_down)
            .encrypt(self.encrypt);
        if let Some(lease) = self.lease {
            builder = builder.lease(lease);
        }
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(timeout);
        }
        let cache = builder.build().map_err(|error| match error {
            StoreBuildError::Cache(error) => value_error(keys::with_setting(&error, keys_setting)),
            error => named(keys::with_setting(&error, keys_setting)),
        })?;
        let warning = warning(&cache, redis.as_ref());
        Ok((cache, warning))
    }
}

/// Returns what an operator should know of a store that was just opened.
fn warning(cache: &TieredCache, redis: Option<&RedisStore>) -> Option<String> {
    if cache.store_health().state == StoreState::Down {
        return Some(NOT_REACHED.to_owned());
    }
    redis?.health().warning
}

impl Server {
    fn of(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(match given.get_type().name()?.to_str()? {
            "MemcachedStore" => Self::Memcached(memcached(given)?),
            _ => Self::Redis(Box::new(redis(given)?)),
        })
    }

    fn check(&self) -> PyResult<()> {
        match self {
            Self::Redis(redis) => redis.as_ref().clone().build().map(drop).map_err(named),
            Self::Memcached(memcached) => memcached.clone().build().map(drop).map_err(named),
        }
    }

    /// Puts the server behind a cache. Returns the store, too, if it has a health.
    fn before(
        &self,
        settings: SessionCacheBuilder,
    ) -> PyResult<(TieredCacheBuilder, Option<RedisStore>)> {
        Ok(match self {
            Self::Redis(redis) => {
                let store: RedisStore = redis.as_ref().clone().build().map_err(named)?;
                (settings.tiered(store.clone()), Some(store))
            }
            Self::Memcached(memcached) => {
                let store = memcached.clone().build().map_err(named)?;
                (settings.tiered(store), None)
            }
        })
    }
}

fn memcached(given: &Bound<'_, PyAny>) -> PyResult<MemcachedStoreBuilder> {
    let url: String = given.getattr("url")?.extract()?;
    let mut memcached = MemcachedStore::builder(&url);
    if let Some(prefix) = given.getattr("prefix")?.extract::<Option<String>>()? {
        memcached = memcached.prefix(prefix);
    }
    Ok(memcached)
}

fn redis(given: &Bound<'_, PyAny>) -> PyResult<RedisStoreBuilder> {
    let text = |name: &str| given.getattr(name)?.extract::<Option<String>>();
    let url: String = given.getattr("url")?.extract()?;
    let mut redis = RedisStore::builder(&url);
    if let Some(prefix) = text("prefix")? {
        redis = redis.prefix(prefix);
    }
    if let Some((replicas, span)) = given.getattr("wait")?.extract::<Option<(usize, f64)>>()? {
        redis = redis.wait(replicas, seconds("wait", span)?);
    }
    let [authority, certificate, key]: [Option<Vec<u8>>; 3] =
        given.call_method0("_read_files")?.extract()?;
    if let Some(pem) = authority {
        redis = redis.ca_certificate(pem);
    }
    if let (Some(certificate), Some(key)) = (certificate, key) {
        redis = redis.client_certificate(certificate, key);
    }
    if let Some(password) = text("sentinel_password")? {
        let user = text("sentinel_username")?.unwrap_or_default();
        redis = redis.sentinel_login(user, password);
    }
    Ok(redis)
}

/// Returns an error of the store's settings.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn named(error: impl ToString) -> PyErr {
    PyValueError::new_err(format!("`store`: {}", error.to_string()))
}

const NOT_REACHED: &str = "the store of the sessions does not answer; requests that need it are \
    answered with 503 until it does";
