//! The sessions of a middleware.
//!
//! Owns the attributes of the cookie and the import of Starlette's sessions. It does not know what
//! a handler does with a session.

use std::time::Duration;

use parking_lot::Mutex;
use pyo3::{exceptions::PyValueError, prelude::*};
use sessile::{CookieError, SameSite, SetCookie};
use sessile_web::{Cache, SessionManager};

use crate::{
    cache::SessionCache,
    errors::{seconds, value_error},
    fork::OfProcess,
    keys,
    starlette_cookie::Importer,
    visit::Visit,
};

/// Creates a `Visit` for each request of a framework in Python.
#[pyclass(frozen, name = "_Sessions", module = "sessile._sessile")]
pub(crate) struct Sessions {
    cache: Py<SessionCache>,
    settings: Settings,
    importer: Option<Importer>,
    max_session_size: usize,
    has_store: bool,
    /// Belongs to the process that built it. Locked briefly, by a thread that holds the interpreter
    /// lock: see `engine`.
    current: Mutex<Option<OfProcess<Current>>>,
}

/// The manager of a cache that the engine built.
struct Current {
    sessions: SessionManager,
    /// The number of caches that the engine had built.
    builds: u64,
}

/// The settings of a session manager.
struct Settings {
    path: String,
    same_site: SameSite,
    https_only: bool,
    domain: Option<String>,
    partitioned: bool,
    is_persistent: bool,
    /// The `Max-Age` of cookies if it is 0 or less: they expire immediately.
    expired: Option<i64>,
    rotate_every: Option<Duration>,
    identity_keys: Vec<String>,
    touch_always: bool,
}

#[pymethods]
impl Sessions {
    #[new]
    #[pyo3(signature = (
        cache, *, path = "/", same_site = "lax", https_only = false, domain = None, partitioned = false,
        max_age = None, rotate_every = None, identity_keys = Vec::new(), touch_always = false,
        accept_starlette_cookies = None,
    ))]
    #[allow(clippy::too_many_arguments, reason = "they are named in Python")]
    fn new(
        py: Python<'_>,
        cache: Py<SessionCache>,
        path: &str,
        same_site: &str,
        https_only: bool,
        domain: Option<&str>,
        partitioned: bool,
        max_age: Option<i64>,
        rotate_every: Option<f64>,
        identity_keys: Vec<String>,
        touch_always: bool,
        accept_starlette_cookies: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let settings = Settings {
            path: path.to_owned(),
            same_site: same_site_of(same_site)?,
            https_only,
            domain: domain.map(str::to_owned),
            partitioned,
            is_persistent: max_age.is_some(),
            expired: max_age.filter(|seconds| *seconds <= 0),
            rotate_every: rotate_every
                .map(|span| seconds("rotate_every", span))
                .transpose()?,
            identity_keys,
            touch_always,
        };
        let secrets = accept_starlette_cookies
            .map(|given| keys::secrets("accept_starlette_cookies", given))
            .transpose()?;
        let engine = &cache.get().engine;
        let max_session_size = engine.max_session_size();
        settings.check(engine.cookie_name())?;
        let max_age = max_age.map(|seconds| u64::try_from(seconds).unwrap_or(0));
        let importer = secrets.map(|secrets| Importer::new(&secrets, max_age));
        let sessions = Self {
            has_store: engine.has_store(),
            cache,
            settings,
            importer,
            max_session_size,
            current: Mutex::default(),
        };
        if sessions.cache.get().engine.is_built() {
            sessions.current(py)?;
        }
        Ok(sessions)
    }

    /// Returns the unread session of a request or websocket. `headers` are pairs of bytes, with
    /// names in lower case.
    #[pyo3(signature = (headers, is_websocket, /))]
    fn begin(slf: Py<Self>, headers: Py<PyAny>, is_websocket: bool) -> Visit {
        Visit::new(slf, headers, is_websocket)
    }

    /// Drops the manager of a cache that was closed. The next request uses its successor.
    fn release(&self) {
        let _before = self.current.lock().take();
    }
}

impl Sessions {
    /// Returns the maximum size of a session's data, in bytes.
    pub(crate) fn max_session_size(&self) -> usize {
        self.max_session_size
    }

    /// Returns the session manager of this process.
    pub(crate) fn current(&self, py: Python<'_>) -> PyResult<SessionManager> {
        let engine = &self.cache.get().engine;
        if let Some(current) = self.current.lock().as_ref().and_then(OfProcess::get)
            && current.builds == engine.builds()
        {
            return Ok(current.sessions.clone());
        }
        // Before the cache is asked for: it may be built now.
        let builds = engine.builds();
        let sessions = self.settings.manager(engine.cache(py)?)?;
        let current = Current {
            sessions: sessions.clone(),
            builds,
        };
        // Dropped after the lock is released: it may stop the thread of a store.
        let _before = self.current.lock().replace(OfProcess::new(current));
        Ok(sessions)
    }

    /// Returns true if the sessions are in a store.
    pub(crate) fn has_store(&self) -> bool {
        self.has_store
    }

    pub(crate) fn cache(&self) -> &Py<SessionCache> {
        &self.cache
    }

    /// Returns the `Max-Age` of cookies if it is 0 or less: they expire immediately.
    pub(crate) fn expired(&self) -> Option<i64> {
        self.settings.expired
    }

    /// Returns the importer of Starlette's cookies, if `accept_starlette_cookies` is set.
    pub(crate) fn importer(&self) -> Option<&Importer> {
        self.importer.as_ref()
    }
}

impl Settings {
    fn manager(&self, cache: Cache) -> PyResult<SessionManager> {
        let mut builder = SessionManager::builder(cache)
            .path(&self.path)
            .same_site(self.same_site)
            .partitioned(self.partitioned)
            .persistent_cookies(self.is_persistent)
            .touch_always(self.touch_always)
            .identity_keys(self.identity_keys.iter().cloned());
        if !self.https_only {
            builder = builder.insecure_http();
        }
        if let Some(domain) = &self.domain {
            builder = builder.domain(domain);
        }
        if let Some(age) = self.rotate_every {
            builder = builder.rotate_every(age);
        }
        builder.build().map_err(value_error)
    }

    /// Rejects attributes that browsers reject. `insecure_http` of `sessile-web` would silently
    /// omit attributes and change the cookie's name.
    fn check(&self, name: &str) -> PyResult<()> {
        let mut cookie = SetCookie::builder(name)
            .secure(self.https_only)
            .path(&self.path)
            .same_site(self.same_site)
            .partitioned(self.partitioned);
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(domain);
        }
        cookie.build().map(drop).map_err(|error| match error {
            // The middleware's name of the setting is `https_only`.
            CookieError::Contradiction {
                setting: "secure",
                because,
                ..
            } => value_error(format!(
                "`https_only` must be True with {because}, got False"
            )),
            error => value_error(error),
        })
    }
}

fn same_site_of(text: &str) -> PyResult<SameSite> {
    match text {
        "lax" => Ok(SameSite::Lax),
        "strict" => Ok(SameSite::Strict),
        "none" => Ok(SameSite::None),
        _ => Err(PyValueError::new_err(format!(
            "`same_site` must be \"lax\", \"strict\" or \"none\", got {text:?}"
        ))),
    }
}
