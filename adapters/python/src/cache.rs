//! `sessile.SessionCache`: the engine's methods, with bytes as data.
//!
//! Methods that may wait for a lock release the interpreter lock. `open` and `load` do not: they
//! take a lock only to record a use, once in a sixteenth of the idle timeout. No thread that holds
//! such a lock waits for the interpreter lock.

use bytes::BytesMut;
use core::cell::RefCell;
use pyo3::{
    IntoPyObjectExt,
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};
use sessile::{SessionCacheBuilder, SessionLimitPolicy, Timeouts};
use sessile_web::Cache;
use std::time::Duration;

use crate::{
    arguments::Argument::{self, Value},
    clock::ManualClock,
    engine::{Engine, Facts},
    errors::{seconds, value_error},
    keys,
    moving::Moves,
    records::{Event, Record, SessionId, StoreHealth},
    stats,
    store::{self, Given},
    verbs::{Name, SignIn},
};

/// A cache of sessions in memory whose size is fixed when it is built, with `store` in front of a
/// store that processes share.
///
/// Pass it to a `SessionMiddleware` to use `user_sessions`, `end_user_sessions` and the statistics,
/// or use it alone. Times are in seconds. Any number of threads may use it.
#[pyclass(frozen, weakref, module = "sessile")]
pub(crate) struct SessionCache {
    pub(crate) engine: Engine,
    pub(crate) moves: Moves,
}

#[pymethods]
impl SessionCache {
    #[new]
    #[pyo3(signature = (
        *, secret_key = None, keys = None, insecure_dev_key = Value(false), memory = Value(32 << 20),
        max_session_size = Value(16 << 10), idle_timeout = Value(1800.0), lifetime = Value(43200.0),
        cookie_name = Value("session".to_owned()), max_sessions_per_user = Some(Value(32)),
        session_limit_policy = Value("end_least_recently_used".to_owned()), reserved_for_authenticated = Value(0),
        end_reused = Value(false), verify_first = Value(false), events = Value(0), clock = None,
        store = None,
    ), text_signature = "(*, secret_key=None, keys=None, insecure_dev_key=False, memory=33554432, \
        max_session_size=16384, idle_timeout=1800.0, lifetime=43200.0, cookie_name='session', \
        max_sessions_per_user=32, session_limit_policy='end_least_recently_used', reserved_for_authenticated=0, \
        end_reused=False, verify_first=False, events=0, clock=None, store=None)")]
    #[allow(clippy::too_many_arguments, reason = "they are named in Python")]
    fn new(
        py: Python<'_>,
        secret_key: Option<&Bound<'_, PyAny>>,
        keys: Option<&Bound<'_, PyAny>>,
        insecure_dev_key: Argument<bool>,
        memory: Argument<usize>,
        max_session_size: Argument<usize>,
        idle_timeout: Argument<f64>,
        lifetime: Argument<f64>,
        cookie_name: Argument<String>,
        max_sessions_per_user: Option<Argument<usize>>,
        session_limit_policy: Argument<String>,
        reserved_for_authenticated: Argument<usize>,
        end_reused: Argument<bool>,
        verify_first: Argument<bool>,
        events: Argument<usize>,
        clock: Option<Argument<Py<ManualClock>>>,
        store: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let store = store::resolve(py, store)?;
        let keys = keys::Given {
            secret_key,
            keys,
            insecure_dev_key: insecure_dev_key.named("insecure_dev_key")?,
        };
        let ring = keys::ring(py, keys)?;
        let max_sessions = max_sessions_per_user
            .map(|max| max.named("max_sessions_per_user"))
            .transpose()?;
        let reserved = reserved_for_authenticated.named("reserved_for_authenticated")?;
        let facts = Facts {
            cookie_name: cookie_name.named("cookie_name")?,
            max_session_size: max_session_size.named("max_session_size")?,
        };
        let settings = sessile::SessionCache::builder()
            .keys(ring)
            .memory(memory.named("memory")?)
            .max_session_size(facts.max_session_size)
            .idle_timeout(duration("idle_timeout", idle_timeout)?)
            .lifetime(duration("lifetime", lifetime)?)
            .cookie_name(&facts.cookie_name)
            .max_sessions_per_user(max_sessions)
            .session_limit_policy(limit_policy_of(session_limit_policy)?)
            .reserved_for_authenticated(reserved)
            .end_reused(end_reused.named("end_reused")?)
            .verify_first(verify_first.named("verify_first")?)
            .events(events.named("events")?);
        Self::build(py, settings, keys.setting(), clock, store, facts)
    }

    /// Creates a session that holds `data`.
    #[pyo3(signature = (data, *, idle_timeout = None, lifetime = None))]
    fn create(
        &self,
        py: Python<'_>,
        data: &[u8],
        idle_timeout: Seconds,
        lifetime: Seconds,
    ) -> PyResult<Py<PyAny>> {
        let timeouts = timeouts(idle_timeout, lifetime)?;
        self.creating(py, data, timeouts)?.wait(py)
    }

    /// Returns the session whose token is in a `Cookie` header, or `None`. Accepts any bytes.
    fn open(&self, py: Python<'_>, cookie: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self.engine.cache(py)? {
            Cache::Local(cache) => with_header(cookie, |header| {
                read(py, |buffer| cache.open([header], buffer))
            })?,
            Cache::Tiered(_) => {
                let name = with_header(cookie, |header| Name::Header(header.to_vec()))?;
                self.opening(py, name)?.wait(py)
            }
        }
    }

    /// Returns the session of a token, the value of the cookie, or `None`.
    fn open_token(&self, py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self.engine.cache(py)? {
            Cache::Local(cache) => with_header(token, |value| {
                read(py, |buffer| cache.open_token(value, buffer))
            })?,
            Cache::Tiered(_) => {
                let name = with_header(token, |value| Name::Token(value.to_vec()))?;
                self.opening(py, name)?.wait(py)
            }
        }
    }

    /// Returns the session of an id, or `None`. Counts as a use, as `open` does.
    fn load(&self, py: Python<'_>, id: &SessionId) -> PyResult<Py<PyAny>> {
        match self.engine.cache(py)? {
            Cache::Local(cache) => read(py, |buffer| cache.load(&id.0, buffer)),
            Cache::Tiered(_) => self.opening(py, Name::Id(id.0))?.wait(py),
        }
    }

    /// Replaces a session's data if its version is `version`, and returns the new version.
    fn save(
        &self,
        py: Python<'_>,
        id: &SessionId,
        version: u32,
        data: &[u8],
    ) -> PyResult<Py<PyAny>> {
        self.saving(py, id.0, version, data)?.wait(py)
    }

    /// Counts as a use of the session, and changes nothing else.
    fn touch(&self, py: Python<'_>, id: &SessionId) -> PyResult<Py<PyAny>> {
        self.touching(py, id.0)?.wait(py)
    }

    /// Changes the timeouts of a session if its version is `version`, and returns the new version.
    /// `None` keeps one.
    #[pyo3(signature = (id, version, *, idle_timeout = None, lifetime = None))]
    fn set_timeouts(
        &self,
        py: Python<'_>,
        id: &SessionId,
        version: u32,
        idle_timeout: Seconds,
        lifetime: Seconds,
    ) -> PyResult<Py<PyAny>> {
        let timeouts = timeouts(idle_timeout, lifetime)?;
        self.setting_timeouts(py, id.0, version, timeouts)?.wait(py)
    }

    /// Atomically binds a session to a user and gives it a new id.
    #[pyo3(signature = (
        id, user, *, label = "", assurance_level = Value(0), idle_timeout = None, lifetime = None, renew_lifetime = false,
    ), text_signature = "($self, id, user, *, label='', assurance_level=0, idle_timeout=None, lifetime=None, \
        renew_lifetime=False)")]
    #[allow(clippy::too_many_arguments, reason = "they are named in Python")]
    fn sign_in(
        &self,
        py: Python<'_>,
        id: &SessionId,
        user: &str,
        label: &str,
        assurance_level: Argument<u8>,
        idle_timeout: Seconds,
        lifetime: Seconds,
        renew_lifetime: bool,
    ) -> PyResult<Py<PyAny>> {
        let sign_in = SignIn {
            user: user.to_owned(),
            label: label.to_owned(),
            assurance_level: assurance_level.named("assurance_level")?,
            timeouts: timeouts(idle_timeout, lifetime)?,
            renew_lifetime,
        };
        self.signing_in(py, id.0, sign_in)?.wait(py)
    }

    /// Gives a session a new id. The old one is accepted for another `grace` seconds.
    #[pyo3(signature = (id, *, grace = Value(0.0)), text_signature = "($self, id, *, grace=0.0)")]
    fn rotate(&self, py: Python<'_>, id: &SessionId, grace: Argument<f64>) -> PyResult<Py<PyAny>> {
        self.rotating(py, id.0, duration("grace", grace)?)?.wait(py)
    }

    /// Ends a session. Returns true if it existed.
    fn end(&self, py: Python<'_>, id: &SessionId) -> PyResult<Py<PyAny>> {
        self.ending(py, id.0)?.wait(py)
    }

    /// Ends the session of a token, which may be one that it had before. Returns true if it
    /// existed.
    fn end_by_token(&self, py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let token = with_header(token, <[u8]>::to_vec)?;
        self.ending_token(py, &token)?.wait(py)
    }

    /// Ends a session if its version is `version` and it still has that id.
    fn end_if_unchanged(
        &self,
        py: Python<'_>,
        id: &SessionId,
        version: u32,
    ) -> PyResult<Py<PyAny>> {
        self.ending_unchanged(py, id.0, version)?.wait(py)
    }

    /// Ends the session of a handle from `user_sessions`, of any user. Returns true if it existed.
    /// Raises `ValueError` if the text is not a handle.
    fn end_by_handle(&self, py: Python<'_>, handle: &str) -> PyResult<Py<PyAny>> {
        let handle = handle.parse::<sessile::Handle>().map_err(value_error)?;
        self.ending_handle(py, handle)?.wait(py)
    }

    /// Ends all sessions of a user, except that of `except_id`, and returns their number.
    #[pyo3(signature = (user, *, except_id = None))]
    fn end_user_sessions(
        &self,
        py: Python<'_>,
        user: &str,
        except_id: Option<&SessionId>,
    ) -> PyResult<Py<PyAny>> {
        self.ending_user(py, user, except_id.map(|id| id.0))?
            .wait(py)
    }

    /// Ends all sessions, in O(1).
    fn end_all(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.ending_all(py)?.wait(py)
    }

    /// Returns the sessions of a user, the most recently used first.
    fn user_sessions(&self, py: Python<'_>, user: &str) -> PyResult<Py<PyAny>> {
        self.listing(py, user)?.wait(py)
    }

    /// Returns the state of the store; `None` without one.
    fn store_health(&self, py: Python<'_>) -> PyResult<Option<StoreHealth>> {
        self.engine.store_health(py)
    }

    /// Closes the connections to the store, after what is queued was sent, and returns the number
    /// of ends that the store has not confirmed after `deadline` seconds. A later use connects
    /// again. Without a store it does nothing.
    #[pyo3(signature = (deadline = Value(5.0)), text_signature = "($self, deadline=5.0)")]
    fn close(&self, py: Python<'_>, deadline: Argument<f64>) -> PyResult<Py<PyAny>> {
        self.closing(py, duration("deadline", deadline)?)?.wait(py)
    }

    /// Connects to the store, if this process has not done so.
    fn _open(&self, py: Python<'_>) -> PyResult<()> {
        self.engine.cache(py).map(drop)
    }

    /// True if the sessions are in a store.
    #[getter]
    fn has_store(&self) -> bool {
        self.engine.has_store()
    }

    /// Returns the oldest event of the queue, or `None` if it is empty or `events` was not set.
    fn next_event(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        Ok(self.engine.cache(py)?.next_event().map(Event))
    }

    /// Frees the memory of expired sessions among at most `budget` entries. Returns their number.
    #[pyo3(signature = (budget = Value(4096)), text_signature = "($self, budget=4096)")]
    fn maintain(&self, py: Python<'_>, budget: Argument<usize>) -> PyResult<usize> {
        let budget = budget.named("budget")?;
        let cache = self.engine.cache(py)?;
        let report = py.detach(|| match &cache {
            Cache::Local(cache) => cache.maintain(budget),
            Cache::Tiered(cache) => cache.maintain(budget),
        });
        Ok(report.expired)
    }

    /// Replaces the keys. The first one signs; all verify.
    #[pyo3(signature = (*, secret_key = None, keys = None))]
    fn set_keys(
        &self,
        py: Python<'_>,
        secret_key: Option<&Bound<'_, PyAny>>,
        keys: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let keys = keys::Given {
            secret_key,
            keys,
            insecure_dev_key: false,
        };
        let ring = keys::ring(py, keys)?;
        self.engine.set_keys(py, ring, keys.setting())
    }

    /// Returns counters and gauges: sizes in bytes, and numbers of sessions and events.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let cache = self.engine.cache(py)?;
        stats::dict(py, &py.detach(|| cache.stats()))
    }

    /// Returns the statistics in the text format of Prometheus.
    fn prometheus(&self, py: Python<'_>) -> PyResult<String> {
        let cache = self.engine.cache(py)?;
        Ok(py.detach(|| cache.prometheus()))
    }

    /// The name of the cookie.
    #[getter]
    fn cookie_name(&self) -> &str {
        self.engine.cookie_name()
    }

    /// The largest size of a session's data, in bytes.
    #[getter]
    fn max_session_size(&self) -> usize {
        self.engine.max_session_size()
    }

    /// Seconds from its last use until a session expires.
    #[getter]
    fn idle_timeout(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.engine.cache(py)?.idle_timeout().as_secs_f64())
    }

    /// Seconds from its creation until a session expires.
    #[getter]
    fn lifetime(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.engine.cache(py)?.lifetime().as_secs_f64())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let cache = self.engine.cache(py)?;
        Ok(py.detach(|| match &cache {
            Cache::Local(cache) => cache.len(),
            Cache::Tiered(cache) => {
                let sessions = cache.stats().sessions;
                sessions.probation + sessions.anonymous + sessions.authenticated
            }
        }))
    }

    /// Returns true, also for an empty cache.
    fn __bool__(&self) -> bool {
        true
    }

    /// Builds and opens nothing.
    fn __repr__(&self) -> String {
        match self.engine.built() {
            Some(Cache::Local(cache)) => format!("{cache:?}"),
            _ if self.engine.has_store() => {
                format!(
                    "SessionCache(cookie_name={:?}, store=..)",
                    self.cookie_name()
                )
            }
            _ => format!("SessionCache(cookie_name={:?})", self.cookie_name()),
        }
    }
}

impl SessionCache {
    fn build(
        py: Python<'_>,
        mut settings: SessionCacheBuilder,
        keys_setting: &'static str,
        clock: Option<Argument<Py<ManualClock>>>,
        store: Option<Given>,
        facts: Facts,
    ) -> PyResult<Self> {
        if let Some(clock) = clock {
            if store.is_some() {
                return Err(PyValueError::new_err(CLOCK_AND_STORE));
            }
            settings = settings.clock(clock.named("clock")?.get().0.clone());
        }
        Ok(Self {
            engine: Engine::new(py, settings, keys_setting, store, facts)?,
            moves: Moves::default(),
        })
    }
}

/// An optional time in seconds.
pub(crate) type Seconds = Option<Argument<f64>>;

pub(crate) fn duration(setting: &str, given: Argument<f64>) -> PyResult<Duration> {
    seconds(setting, given.named(setting)?)
}

fn limit_policy_of(given: Argument<String>) -> PyResult<SessionLimitPolicy> {
    let text = given.named("session_limit_policy")?;
    match text.as_str() {
        "end_least_recently_used" => Ok(SessionLimitPolicy::EndLeastRecentlyUsed),
        "reject" => Ok(SessionLimitPolicy::Reject),
        _ => Err(PyValueError::new_err(format!(
            "`session_limit_policy` must be \"end_least_recently_used\" or \"reject\", got {text:?}"
        ))),
    }
}

pub(crate) fn timeouts(idle_timeout: Seconds, lifetime: Seconds) -> PyResult<Timeouts> {
    let mut timeouts = Timeouts::new();
    if let Some(given) = idle_timeout {
        timeouts = timeouts.idle_timeout(duration("idle_timeout", given)?);
    }
    if let Some(given) = lifetime {
        timeouts = timeouts.lifetime(duration("lifetime", given)?);
    }
    Ok(timeouts)
}

/// Calls `act` with a header or token, given as bytes or text.
pub(crate) fn with_header<R>(
    given: &Bound<'_, PyAny>,
    act: impl FnOnce(&[u8]) -> R,
) -> PyResult<R> {
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(act(bytes.as_bytes()));
    }
    let Ok(text) = given.cast::<PyString>() else {
        let name = given.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "a cookie must be bytes or str, got {name}"
        )));
    };
    // A token is ASCII, so a replaced surrogate never becomes part of one.
    Ok(act(text.to_string_lossy().as_bytes()))
}

/// Reads a session into this thread's buffer and copies its data to a `bytes` object.
pub(crate) fn read(
    py: Python<'_>,
    find: impl FnOnce(&mut BytesMut) -> Option<sessile::Record>,
) -> PyResult<Py<PyAny>> {
    let record = BUFFER.with_borrow_mut(|buffer| {
        let record = find(buffer)?;
        Some(Record {
            record,
            data: PyBytes::new(py, buffer).unbind(),
        })
    });
    record.into_py_any(py)
}

const CLOCK_AND_STORE: &str = "`clock` must not be given with a store, which has a clock of its \
    own; set `store=False` for a test with a manual clock";

std::thread_local! {
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}
