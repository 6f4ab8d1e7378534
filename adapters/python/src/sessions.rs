//! `Sessions`: what the middleware holds. Owns how the cookie looks on the wire, and what makes a session of
//! Starlette's one of ours. It does not know what a handler does with a session.

use std::time::Duration;

use parking_lot::Mutex;
use pyo3::{exceptions::PyValueError, prelude::*};
use sessile::{SameSite, SetCookie};

use crate::{
    cache::SessionCache,
    errors::{seconds, wrong},
    fork::OfProcess,
    keys,
    starlette_cookie::Importer,
    visit::Visit,
};

/// Sessions for a framework in Python: a `Visit` for each request.
#[pyclass(frozen, module = "sessile._sessile")]
pub(crate) struct Sessions {
    cache: Py<SessionCache>,
    wire: Wire,
    importer: Option<Importer>,
    max_session_size: usize,
    /// Of the process that made it. Locked for a moment, by who holds the interpreter: see `engine`.
    current: Mutex<OfProcess<sessile_web::Sessions>>,
}

/// The cookie's attributes, when its session gets a new id, and what counts as a use.
struct Wire {
    path: String,
    same_site: SameSite,
    https_only: bool,
    domain: Option<String>,
    partitioned: bool,
    is_persistent: bool,
    /// The `Max-Age` of a cookie that expires at once.
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
        let wire = Wire {
            path: path.to_owned(),
            same_site: same_site_of(same_site)?,
            https_only,
            domain: domain.map(str::to_owned),
            partitioned,
            is_persistent: max_age.is_some(),
            expired: max_age.filter(|seconds| *seconds <= 0),
            rotate_every: rotate_every.map(|span| seconds("rotate_every", span)).transpose()?,
            identity_keys,
            touch_always,
        };
        let secrets = accept_starlette_cookies
            .map(|given| keys::secrets("accept_starlette_cookies", given))
            .transpose()?;
        let engine = cache.get().engine.cache(py)?;
        let max_session_size = engine.max_session_size();
        let sessions = wire.sessions(engine)?;
        let current = Mutex::new(OfProcess::new(sessions));
        let max_age = max_age.map(|seconds| u64::try_from(seconds).unwrap_or(0));
        let importer = secrets.map(|secrets| Importer::new(&secrets, max_age));
        Ok(Self { cache, wire, importer, max_session_size, current })
    }

    /// The session of a request or a websocket, not read yet. `headers` are pairs of bytes, the names in lower case.
    #[pyo3(signature = (headers, is_websocket, /))]
    fn begin(slf: Py<Self>, headers: Py<PyAny>, is_websocket: bool) -> Visit {
        Visit::new(slf, headers, is_websocket)
    }
}

impl Sessions {
    /// Returns the most bytes of data in a session.
    pub(crate) fn max_session_size(&self) -> usize {
        self.max_session_size
    }

    /// Those of this process.
    pub(crate) fn current(&self, py: Python<'_>) -> PyResult<sessile_web::Sessions> {
        if let Some(sessions) = self.current.lock().get() {
            return Ok(sessions.clone());
        }
        let sessions = self.wire.sessions(self.cache.get().engine.cache(py)?)?;
        *self.current.lock() = OfProcess::new(sessions.clone());
        Ok(sessions)
    }

    pub(crate) fn cache(&self) -> &Py<SessionCache> {
        &self.cache
    }

    /// The `Max-Age` of a cookie that expires at once, if that was set.
    pub(crate) fn expired(&self) -> Option<i64> {
        self.wire.expired
    }

    /// Reads cookies of Starlette's own middleware, if that was asked for.
    pub(crate) fn importer(&self) -> Option<&Importer> {
        self.importer.as_ref()
    }
}

impl Wire {
    fn sessions(&self, cache: sessile::SessionCache) -> PyResult<sessile_web::Sessions> {
        self.check(cache.cookie_name())?;
        let mut sessions = sessile_web::Sessions::new(cache)
            .with_touch_always(self.touch_always)
            .with_identity_keys(self.identity_keys.iter().cloned());
        if !self.https_only {
            sessions = sessions.insecure_http();
        }
        sessions = sessions
            .with_path(&self.path)
            .and_then(|sessions| sessions.with_same_site(self.same_site))
            .and_then(|sessions| sessions.with_partitioned(self.partitioned))
            .map_err(wrong)?;
        if let Some(domain) = &self.domain {
            sessions = sessions.with_domain(domain).map_err(wrong)?;
        }
        if self.is_persistent {
            sessions = sessions.with_persistent_cookies();
        }
        if let Some(span) = self.rotate_every {
            sessions = sessions.rotate_every(span);
        }
        Ok(sessions)
    }

    /// Refuses what browsers would: without TLS nothing is left out or renamed in silence.
    fn check(&self, name: &str) -> PyResult<()> {
        let mut cookie = SetCookie::builder(name)
            .secure(self.https_only)
            .path(&self.path)
            .same_site(self.same_site)
            .partitioned(self.partitioned);
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(domain);
        }
        cookie.build().map(drop).map_err(|error| {
            let text = error.to_string();
            wrong(text.replace("`secure` was false", "`https_only` was False"))
        })
    }
}

fn same_site_of(text: &str) -> PyResult<SameSite> {
    match text {
        "lax" => Ok(SameSite::Lax),
        "strict" => Ok(SameSite::Strict),
        "none" => Ok(SameSite::None),
        _ => Err(PyValueError::new_err(format!(
            "`same_site` was {text:?}; it must be \"lax\", \"strict\" or \"none\""
        ))),
    }
}
