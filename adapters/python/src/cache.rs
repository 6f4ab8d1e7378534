//! `sessile.SessionCache`: the engine's verbs, bytes in and out.
//!
//! Verbs that may wait for a lock let go of the interpreter. `open` and `load` do not: they take no lock but to
//! note a use once in a sixteenth of the idle timeout, and nobody who holds one waits for the interpreter.

use core::cell::RefCell;
use std::time::Duration;

use bytes::BytesMut;
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};
use sessile::{AtLimit, Builder, Deadlines, Grace, NewSession, SignIn};

use crate::{
    clock::ManualClock,
    engine::Engine,
    errors::{raise, seconds, wrong},
    keys,
    moving::Moves,
    records::{Device, Event, Issued, Record, SessionId},
    stats,
};

/// A cache of sessions in memory that was fixed when it was built.
///
/// Give it to a `SessionMiddleware` to have the handle for `sessions_of`, `end_user` and statistics, or use it
/// alone. Times are seconds. May be used by any number of threads.
#[pyclass(frozen, weakref, module = "sessile")]
pub(crate) struct SessionCache {
    pub(crate) engine: Engine,
    pub(crate) moves: Moves,
}

#[pymethods]
impl SessionCache {
    #[new]
    #[pyo3(signature = (
        *, secret_key = None, keys = None, insecure_dev_key = false, memory = 32 << 20,
        max_session_size = 16 << 10, idle_timeout = 1800.0, lifetime = 43200.0, cookie_name = "session",
        max_sessions_per_user = 32, at_limit = "end_stalest", authenticated_floor = 0, end_reused = false,
        verify_first = false, events = 0, clock = None,
    ))]
    #[allow(clippy::too_many_arguments, reason = "they are named in Python")]
    fn new(
        py: Python<'_>,
        secret_key: Option<&Bound<'_, PyAny>>,
        keys: Option<&Bound<'_, PyAny>>,
        insecure_dev_key: bool,
        memory: usize,
        max_session_size: usize,
        idle_timeout: f64,
        lifetime: f64,
        cookie_name: &str,
        max_sessions_per_user: usize,
        at_limit: &str,
        authenticated_floor: usize,
        end_reused: bool,
        verify_first: bool,
        events: usize,
        clock: Option<&ManualClock>,
    ) -> PyResult<Self> {
        let keys = keys::ring(py, keys::Given { secret_key, keys, insecure_dev_key })?;
        let mut settings = sessile::SessionCache::builder()
            .keys(keys)
            .memory(memory)
            .max_session_size(max_session_size)
            .idle_timeout(seconds("idle_timeout", idle_timeout)?)
            .lifetime(seconds("lifetime", lifetime)?)
            .cookie_name(cookie_name)
            .max_sessions_per_user(max_sessions_per_user)
            .at_limit(at_limit_of(at_limit)?)
            .authenticated_floor(authenticated_floor)
            .end_reused(end_reused)
            .verify_first(verify_first)
            .events(events);
        if let Some(clock) = clock {
            settings = settings.clock(clock.0.clone());
        }
        Self::build(py, settings)
    }

    /// Makes a new session of `data`.
    #[pyo3(signature = (data, *, idle_timeout = None, lifetime = None))]
    fn create(
        &self,
        py: Python<'_>,
        data: &[u8],
        idle_timeout: Option<f64>,
        lifetime: Option<f64>,
    ) -> PyResult<Issued> {
        let new = NewSession::default().deadlines(deadlines(idle_timeout, lifetime)?);
        let cache = self.engine.cache(py)?;
        py.detach(|| cache.create(data, new)).map(Issued).map_err(raise)
    }

    /// The session whose token is in a `Cookie` header; `None` if there is none.
    fn open<'py>(&self, py: Python<'py>, cookie: &Bound<'py, PyAny>) -> PyResult<Option<Record>> {
        let cache = self.engine.cache(py)?;
        with_header(cookie, |header| read(py, |buffer| cache.open([header], buffer)))
    }

    /// The session that the bare value of a cookie opens; `None` if it opens none.
    fn open_token<'py>(
        &self,
        py: Python<'py>,
        token: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Record>> {
        let cache = self.engine.cache(py)?;
        with_header(token, |value| read(py, |buffer| cache.open_token(value, buffer)))
    }

    /// The session of that id; `None` if there is none.
    fn load(&self, py: Python<'_>, id: &SessionId) -> PyResult<Option<Record>> {
        let cache = self.engine.cache(py)?;
        Ok(read(py, |buffer| cache.load(&id.0, buffer)))
    }

    /// Stores data in place of a session's own, if nobody did since that version, and gives the new version.
    fn save(&self, py: Python<'_>, id: &SessionId, version: u32, data: &[u8]) -> PyResult<u32> {
        let cache = self.engine.cache(py)?;
        py.detach(|| cache.save(&id.0, version, data)).map_err(raise)
    }

    /// Counts as activity, and changes nothing else.
    fn touch(&self, py: Python<'_>, id: &SessionId) -> PyResult<()> {
        let cache = self.engine.cache(py)?;
        py.detach(|| cache.touch(&id.0)).map_err(raise)
    }

    /// Binds a session to a user and gives it a new id, in one.
    #[pyo3(signature = (
        id, user, *, label = "", assurance = 0, idle_timeout = None, lifetime = None, renew_lifetime = false,
    ))]
    #[allow(clippy::too_many_arguments, reason = "they are named in Python")]
    fn sign_in(
        &self,
        py: Python<'_>,
        id: &SessionId,
        user: &str,
        label: &str,
        assurance: u8,
        idle_timeout: Option<f64>,
        lifetime: Option<f64>,
        renew_lifetime: bool,
    ) -> PyResult<Issued> {
        let with = SignIn::default()
            .deadlines(deadlines(idle_timeout, lifetime)?)
            .assurance(assurance)
            .label(label)
            .renew_lifetime(renew_lifetime);
        let cache = self.engine.cache(py)?;
        py.detach(|| cache.sign_in(&id.0, user, with)).map(Issued).map_err(raise)
    }

    /// Gives a session a new id; the old one opens it for `grace` more seconds.
    #[pyo3(signature = (id, *, grace = 0.0))]
    fn rotate(&self, py: Python<'_>, id: &SessionId, grace: f64) -> PyResult<Issued> {
        let grace = Grace::of(seconds("grace", grace)?);
        let cache = self.engine.cache(py)?;
        py.detach(|| cache.rotate(&id.0, grace)).map(Issued).map_err(raise)
    }

    /// Destroys a session. Says whether there was one.
    fn end(&self, py: Python<'_>, id: &SessionId) -> PyResult<bool> {
        let cache = self.engine.cache(py)?;
        Ok(py.detach(|| cache.end(&id.0)))
    }

    /// Destroys the session that a handle names, of `sessions_of`. Says whether there was one.
    fn end_session(&self, py: Python<'_>, handle: &str) -> PyResult<bool> {
        let handle = handle.parse::<sessile::Handle>().map_err(wrong)?;
        let cache = self.engine.cache(py)?;
        Ok(py.detach(|| cache.end_session(&handle)))
    }

    /// Destroys all sessions of a user, but for one if it is named, and says how many.
    #[pyo3(signature = (user, *, keep = None))]
    fn end_user(&self, py: Python<'_>, user: &str, keep: Option<&SessionId>) -> PyResult<usize> {
        let cache = self.engine.cache(py)?;
        let keep = keep.map(|id| id.0);
        Ok(py.detach(|| cache.end_user(user, keep.as_ref())))
    }

    /// Destroys all sessions.
    fn end_all(&self, py: Python<'_>) -> PyResult<()> {
        let cache = self.engine.cache(py)?;
        py.detach(|| cache.end_all());
        Ok(())
    }

    /// Where a user is signed in, the most recently seen first.
    fn sessions_of(&self, py: Python<'_>, user: &str) -> PyResult<Vec<Device>> {
        let cache = self.engine.cache(py)?;
        let devices = py.detach(|| cache.sessions_of(user));
        Ok(devices.into_iter().map(Device::from).collect())
    }

    /// The oldest event that was not taken yet; `None` if there is none, or `events` was not set.
    fn next_event(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        Ok(self.engine.cache(py)?.next_event().map(Event))
    }

    /// Gives the memory of expired sessions back, looking at no more than `budget` entries. Says how many.
    #[pyo3(signature = (budget = 4096))]
    fn maintain(&self, py: Python<'_>, budget: usize) -> PyResult<usize> {
        let cache = self.engine.cache(py)?;
        Ok(py.detach(|| cache.maintain(budget)).expired)
    }

    /// Replaces the keys: the first signs from now on, all verify.
    #[pyo3(signature = (*, secret_key = None, keys = None))]
    fn set_keys(
        &self,
        py: Python<'_>,
        secret_key: Option<&Bound<'_, PyAny>>,
        keys: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let ring = keys::ring(py, keys::Given { secret_key, keys, insecure_dev_key: false })?;
        self.engine.set_keys(py, ring)
    }

    /// What the cache holds, and what has happened in it.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let cache = self.engine.cache(py)?;
        stats::dict(py, &py.detach(|| cache.stats()))
    }

    /// The statistics in the text format that Prometheus reads.
    fn prometheus(&self, py: Python<'_>) -> PyResult<String> {
        let cache = self.engine.cache(py)?;
        Ok(py.detach(|| cache.stats().prometheus().to_string()))
    }

    /// The name of the cookie.
    #[getter]
    fn cookie_name(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.engine.cache(py)?.cookie_name().to_owned())
    }

    /// The most bytes of data in a session.
    #[getter]
    fn max_session_size(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.engine.cache(py)?.max_session_size())
    }

    /// How long after its last use a session is refused, in seconds.
    #[getter]
    fn idle_timeout(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.engine.cache(py)?.idle_timeout().as_secs_f64())
    }

    /// How long after its creation a session is refused, in seconds.
    #[getter]
    fn lifetime(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.engine.cache(py)?.lifetime().as_secs_f64())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let cache = self.engine.cache(py)?;
        Ok(py.detach(|| cache.len()))
    }

    /// A cache is something, however empty.
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("{:?}", self.engine.cache(py)?))
    }
}

impl SessionCache {
    fn build(py: Python<'_>, settings: Builder) -> PyResult<Self> {
        Ok(Self { engine: Engine::new(py, settings)?, moves: Moves::default() })
    }
}

fn at_limit_of(text: &str) -> PyResult<AtLimit> {
    match text {
        "end_stalest" => Ok(AtLimit::EndStalest),
        "refuse" => Ok(AtLimit::Refuse),
        _ => Err(PyValueError::new_err(format!(
            "`at_limit` was {text:?}; it must be \"end_stalest\" or \"refuse\""
        ))),
    }
}

fn deadlines(idle_timeout: Option<f64>, lifetime: Option<f64>) -> PyResult<Deadlines> {
    let span = |setting, given: Option<f64>| -> PyResult<Option<Duration>> {
        given.map(|given| seconds(setting, given)).transpose()
    };
    Ok(Deadlines {
        idle_timeout: span("idle_timeout", idle_timeout)?,
        lifetime: span("lifetime", lifetime)?,
        ..Deadlines::default()
    })
}

/// A header as it was given: the bytes of the wire, or text.
fn with_header<R>(given: &Bound<'_, PyAny>, act: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(act(bytes.as_bytes()));
    }
    let Ok(text) = given.cast::<PyString>() else {
        return Err(PyTypeError::new_err("a cookie must be bytes or str"));
    };
    // A character that is no character is in no cookie of ours.
    Ok(act(text.to_string_lossy().as_bytes()))
}

/// A lookup through this thread's buffer.
fn read(
    py: Python<'_>,
    find: impl FnOnce(&mut BytesMut) -> Option<sessile::Record>,
) -> Option<Record> {
    BUFFER.with_borrow_mut(|buffer| {
        let record = find(buffer)?;
        Some(Record { record, data: PyBytes::new(py, buffer).unbind() })
    })
}

std::thread_local! {
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}
