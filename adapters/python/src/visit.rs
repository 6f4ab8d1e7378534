//! The session of one request, between the handler's dict and the engine.
//!
//! Owns the progress of the request, and decides when the dict is compared with the known values.
//! Invariant: it never keeps the dict, except while a verb waits for the store. On a local cache a
//! verb is done when it returns. With a store it may return a [`Pending`], which a thread or an
//! event loop waits for.
//!
//! [`Pending`]: crate::pending::Pending

mod load;
mod respond;
mod save;
mod waiting;

use core::pin::Pin;

use parking_lot::Mutex;
use pyo3::{PyTraverseError, PyVisit, exceptions::PyRuntimeError, prelude::*, types::PyDict};
use sessile_web::{
    self as web, Session, SessionError, SessionRequest, SignIn, adapter::SessionExt,
};

use waiting::{flag, object};

use crate::{
    arguments::Argument,
    cache::SessionCache,
    errors::{ForkedProcess, seconds, session_exception},
    fork::OfProcess,
    known::Known,
    pending::{in_background, settle},
    records::SessionInfo,
    response::{self, Kind},
    sessions::Sessions,
};

/// The session of one request.
///
/// Never borrowed while Python code may run or while waiting for a lock, because another thread may
/// use the session then.
#[pyclass(name = "_Visit", module = "sessile._sessile")]
pub(crate) struct Visit {
    sessions: Py<Sessions>,
    /// `None` once the garbage collector has broken a cycle.
    headers: Option<Py<PyAny>>,
    is_websocket: bool,
    /// True once the application has returned.
    is_over: bool,
    stage: Stage,
    /// True once a message announced more of the response's body.
    is_stream: bool,
    session: Option<OfProcess<Session>>,
    /// The session that was begun before the first access.
    begun: Option<OfProcess<Session>>,
    /// True if the request counts as a use without reading its session (`touch_always`).
    is_touched: bool,
    /// A sign-out that the store has not confirmed. The response waits for it.
    ending: Mutex<Option<OfProcess<Ending>>>,
    /// True if the session was stored in the engine at the last lookup or save.
    was_stored: bool,
    known: Known,
}

/// The end of a session in a store.
type Ending = Pin<Box<dyn Future<Output = Result<(), SessionError>> + Send>>;

/// The progress of the response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The headers were not sent yet.
    Open,
    /// The headers were sent. The session can be saved, but not created or rotated.
    Detached,
    /// The response is an error. Nothing is stored.
    Failed,
    /// The session could not be stored. An error response replaces the application's.
    Replaced,
}

#[pymethods]
impl Visit {
    /// Replaces the content of the dict by the session's values. Later calls do nothing, so that
    /// changes to the dict are kept.
    fn read(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        if slf.borrow().session.is_some() {
            return Ok(());
        }
        let read = Self::look_up(slf)?;
        let mut visit = slf.borrow_mut();
        if visit.session.is_some() {
            return Ok(());
        }
        dict.clear();
        for (key, value) in read.values {
            dict.set_item(key, value)?;
        }
        if visit.stage != Stage::Open {
            read.session.detach();
        }
        visit.session = Some(OfProcess::new(read.session));
        (visit.known, visit.was_stored) = (read.known, read.is_stored);
        Ok(())
    }

    /// Counts the request as a use of its session, for `touch_always`.
    fn touch(slf: &Bound<'_, Self>) -> PyResult<()> {
        let cookies = Self::cookies(slf)?;
        if !cookies.is_empty() {
            let sessions = Self::sessions(slf)?;
            let session = sessions.begin(cookies.into_iter().collect::<SessionRequest>());
            let mut visit = slf.borrow_mut();
            (visit.begun, visit.is_touched) = (Some(OfProcess::new(session)), true);
        }
        Ok(())
    }

    /// Loads the session from the store ahead of its first access. Counts the request as a use if
    /// `touches`.
    fn load(slf: &Bound<'_, Self>, touches: bool) -> PyResult<Py<PyAny>> {
        Self::load_ahead(slf, touches)
    }

    /// Handles the next message of the response. The first message stores the session, and the
    /// session's headers are added to a copy of the message.
    ///
    /// Returns one of:
    /// * `None`: send the message as it is;
    /// * a message: send it instead;
    /// * a message and `True`: send it, then call `save_late`;
    /// * a `_Pending` with one of these as its result;
    /// * a message and bytes: if it starts a response, the session could not be stored: send it,
    ///   then the bytes as the body of that response. Otherwise drop it, because it belongs to the
    ///   response that was replaced.
    fn respond<'py>(
        slf: &Bound<'py, Self>,
        dict: &Bound<'py, PyDict>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match response::kind(message)? {
            Kind::Start => Self::commit(slf, dict, message),
            Kind::Accept => Self::accept(slf, dict, message),
            Kind::Close => {
                Self::close(slf);
                Ok(None)
            }
            Kind::Other => Self::continue_response(slf, message),
        }
    }

    /// Warns if another middleware set a cookie of the session's name in a response.
    fn look_for_foreign_cookie(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<()> {
        response::look_for_foreign_cookie(&Self::cookie_name(slf)?, message)
    }

    /// Stores the changes immediately. On `Gone` the dict is cleared, and later writes start a new
    /// session.
    fn save(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
        Self::store(slf, dict, false)
    }

    /// Stores the changes since the headers were sent, if the session was read. Does nothing if the
    /// session has ended. Before that it waits for a sign-out that the store has not confirmed, and
    /// logs if there is no confirmation; the result of the `_Pending` may then be another one.
    fn save_late(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
        if let Some(ending) = slf.borrow_mut().take_ending() {
            let (visit, dict) = (slf.clone().unbind(), dict.clone().unbind());
            return settle(slf.py(), ending, move |py, ended| {
                respond::report(py, &ended)?;
                Self::save_late(visit.bind(py), dict.bind(py))
            });
        }
        let visit = slf.borrow();
        let saves_late = visit.stage == Stage::Detached && visit.session.is_some();
        drop(visit);
        if saves_late {
            Self::store(slf, dict, true)
        } else {
            Ok(slf.py().None())
        }
    }

    /// Calls `save_late` for the last time, after the application has returned.
    fn finish(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
        slf.borrow_mut().is_over = true;
        Self::save_late(slf, dict)
    }

    /// Handles an exception of the application. If no response has begun, the removal of identity
    /// keys is stored. Errors are ignored, so that none hides the application's exception.
    fn fail(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) {
        slf.borrow_mut().is_over = true;
        if let Some(ending) = slf.borrow_mut().take_ending() {
            in_background(ending);
        }
        let visit = slf.borrow();
        let Ok(session) = visit.session() else {
            return;
        };
        let removals = if visit.stage == Stage::Open {
            visit.known.removals(dict)
        } else {
            return;
        };
        drop(visit);
        if removals.is_ok_and(|removals| Self::apply(slf.py(), &session, &removals).is_ok()) {
            Self::store_sign_out(slf.py(), &session);
        }
        slf.borrow_mut().stage = Stage::Failed;
        without_blocking(slf.py(), &session, || session.detach());
    }

    /// Returns true if the session is in a store.
    fn has_store(&self) -> bool {
        self.sessions.get().has_store()
    }

    /// Returns true if the response has not begun.
    fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Returns true if the application has returned.
    fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns true if the session belongs to `cache`.
    fn is_of(&self, cache: &Bound<'_, SessionCache>) -> bool {
        self.sessions.get().cache().is(cache)
    }

    /// Returns the name of the cookie.
    fn cookie_name(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(Self::sessions(slf)?.cache().cookie_name().to_owned())
    }

    /// Returns true if the dict differs from the session as it was read or last stored.
    fn differs(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<bool> {
        let changes = match Self::changes(slf, dict) {
            Err(fault) if fault.too_large().is_some() => return Ok(true),
            changes => changes?,
        };
        Ok(!changes.is_empty())
    }

    fn sign_in(
        slf: &Bound<'_, Self>,
        user: &str,
        label: &str,
        assurance_level: Argument<u8>,
        remember: Option<Argument<f64>>,
    ) -> PyResult<()> {
        let session = slf.borrow().open_session()?;
        let mut sign_in = SignIn::of(user)
            .label(label)
            .assurance_level(assurance_level.named("assurance_level")?);
        if let Some(span) = remember {
            sign_in = sign_in.remember(seconds("remember", span.named("remember")?)?);
        }
        without_blocking(slf.py(), &session, || session.sign_in(sign_in)).map_err(session_exception)
    }

    /// Ends the session. With a store and `defers`, the response waits for its confirmation, and
    /// logs if there is none.
    fn sign_out(slf: &Bound<'_, Self>, defers: bool) -> PyResult<Py<PyAny>> {
        Self::end_session(slf, defers)
    }

    fn rotate(slf: &Bound<'_, Self>) -> PyResult<()> {
        let session = slf.borrow().open_session()?;
        without_blocking(slf.py(), &session, || session.rotate()).map_err(session_exception)
    }

    fn user(slf: &Bound<'_, Self>) -> PyResult<Option<String>> {
        let session = slf.borrow().session()?;
        Ok(without_blocking(slf.py(), &session, || session.user()))
    }

    /// Creates a session if there is none. On `Gone` the dict is cleared.
    fn csrf_token(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<String> {
        let session = slf.borrow().session()?;
        let token = slf.py().detach(|| session.csrf_token());
        token.map_err(|error| Self::failed(slf, dict, error))
    }

    fn check_csrf(slf: &Bound<'_, Self>, token: &str) -> PyResult<()> {
        let session = slf.borrow().session()?;
        without_blocking(slf.py(), &session, || session.check_csrf(token))
            .map_err(session_exception)
    }

    /// Returns true if the session exists.
    fn is_alive(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let work = async |session: Session| session.is_alive().await;
        Self::with_session(slf, work, flag)
    }

    fn user_sessions(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let work = async |session: Session| session.user_sessions().await;
        Self::with_session(slf, work, |py, sessions| {
            let sessions = sessions.map_err(session_exception)?;
            object(
                py,
                sessions
                    .into_iter()
                    .map(SessionInfo::from)
                    .collect::<Vec<_>>(),
            )
        })
    }

    /// Ends the session of a handle if it is one of the user's. If it is this one, the dict is
    /// cleared, as for a sign-out.
    fn end_by_handle(
        slf: &Bound<'_, Self>,
        dict: &Bound<'_, PyDict>,
        handle: &str,
    ) -> PyResult<Py<PyAny>> {
        let Ok(handle) = handle.parse::<sessile::Handle>() else {
            return object(slf.py(), false);
        };
        let work = async move |session: Session| {
            let is_current = session.handle() == Some(handle);
            let ended = match session.is_authenticated() {
                true => session.end_by_handle(&handle).await,
                false => Ok(false),
            };
            (is_current, ended)
        };
        let (visit, dict) = (slf.clone().unbind(), dict.clone().unbind());
        Self::with_session(slf, work, move |py, (is_current, ended)| {
            let is_ended = ended.map_err(session_exception)?;
            if is_current && is_ended {
                visit.borrow_mut(py).forget();
                dict.bind(py).clear();
            }
            object(py, is_ended)
        })
    }

    fn sign_out_others(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let work = async |session: Session| session.sign_out_others().await;
        Self::with_session(slf, work, |py, ended| {
            object(py, ended.map_err(session_exception)?)
        })
    }

    /// Ends all sessions of the user. The dict is cleared, also on an error.
    fn sign_out_everywhere(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
        let work = async |session: Session| session.sign_out_everywhere().await;
        let (visit, dict) = (slf.clone().unbind(), dict.clone().unbind());
        Self::with_session(slf, work, move |py, ended| {
            visit.borrow_mut(py).forget();
            dict.bind(py).clear();
            object(py, ended.map_err(session_exception)?)
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.sessions)?;
        visit.call(&self.headers)
    }

    fn __clear__(&mut self) {
        self.headers = None;
    }
}

impl Visit {
    pub(crate) fn new(sessions: Py<Sessions>, headers: Py<PyAny>, is_websocket: bool) -> Self {
        Self {
            sessions,
            headers: Some(headers),
            is_websocket,
            is_over: false,
            stage: Stage::Open,
            is_stream: false,
            session: None,
            begun: None,
            is_touched: false,
            ending: Mutex::default(),
            was_stored: false,
            known: Known::default(),
        }
    }

    fn sessions(slf: &Bound<'_, Self>) -> PyResult<web::SessionManager> {
        let sessions = slf.borrow().sessions.clone_ref(slf.py());
        sessions.get().current(slf.py())
    }

    fn session(&self) -> PyResult<Session> {
        let session = self.session.as_ref().ok_or_else(|| {
            PyRuntimeError::new_err(
                "the session was not read in this request: use `request.session` first",
            )
        })?;
        session.get().cloned().ok_or_else(|| {
            ForkedProcess::new_err(
                "this process was forked during a request: the session belongs to the parent process",
            )
        })
    }

    /// Returns the session, or an error if no response can carry its cookie any more.
    fn open_session(&self) -> PyResult<Session> {
        if self.stage == Stage::Open {
            self.session()
        } else {
            Err(self.headers_sent())
        }
    }

    fn headers_sent(&self) -> PyErr {
        PyRuntimeError::new_err(if self.is_websocket {
            "a session cannot be created or get a new id after a websocket was accepted, because \
             no response carries the cookie; do it before `accept()`"
        } else {
            "a session cannot be created or get a new id after the response's headers were sent; \
             do it before the handler returns"
        })
    }
}

/// Runs `act`, which takes no lock except that of the request's session. Releases the interpreter
/// lock if another thread holds the session's lock, because that thread may wait for the engine.
fn without_blocking<R: Send>(
    py: Python<'_>,
    session: &Session,
    act: impl FnOnce() -> R + Send,
) -> R {
    if session.is_busy() {
        py.detach(act)
    } else {
        act()
    }
}

/// Does nothing. The `repr` of an empty Python method would show the session's data.
#[pyfunction]
#[pyo3(name = "_nothing")]
pub(crate) fn nothing() {}
