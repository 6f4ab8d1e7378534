//! One request's session, between the dict that a handler sees and the engine.
//!
//! Owns how far the request is, and when the dict is compared with what is known of it. It never keeps the dict.
//! Python has no executor here: an `async` verb of the session is polled once, and on a local cache it is ready then.

mod load;
mod respond;
mod save;

use pyo3::{PyTraverseError, PyVisit, exceptions::PyRuntimeError, prelude::*, types::PyDict};
use sessile_web::{
    self as web, Session, SessionRequest, SignIn,
    adapter::{SessionExt, ready},
};

use crate::{
    arguments::Argument,
    cache::SessionCache,
    errors::{ForkedProcess, Gone, refusal, seconds},
    fork::OfProcess,
    known::Known,
    records::SessionInfo,
    response::{self, Kind},
    sessions::Sessions,
};

/// The session of one request.
///
/// Nothing is borrowed while code in Python may run or a lock is waited for: other threads may use the session then.
#[pyclass(name = "_Visit", module = "sessile._sessile")]
pub(crate) struct Visit {
    sessions: Py<Sessions>,
    /// `None` once the garbage collector has broken a cycle.
    headers: Option<Py<PyAny>>,
    is_websocket: bool,
    /// The application has returned.
    is_over: bool,
    stage: Stage,
    /// More of the response's body was to come.
    is_stream: bool,
    session: Option<OfProcess<Session>>,
    /// The session of a request that counts as a use of it, though it was not read.
    touched: Option<OfProcess<Session>>,
    /// The engine has it, or had it when it was last looked for.
    was_stored: bool,
    known: Known,
}

/// The progress of the response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its headers were not sent.
    Open,
    /// Its headers were sent: a session can be saved, and nothing else.
    Detached,
    /// It is an error, and nothing is stored.
    Failed,
    /// The session could not be stored: an error response replaces the application's.
    Refused,
}

#[pymethods]
impl Visit {
    /// Reads the session into a dict, in place of what is there. Only the first call does, so that what was done to
    /// the dict since is kept.
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

    /// Counts the request as a use of its session, as the middleware was told to.
    fn touch(slf: &Bound<'_, Self>) -> PyResult<()> {
        let cookies = Self::cookies(slf)?;
        if !cookies.is_empty() {
            let sessions = Self::sessions(slf)?;
            let session = sessions.begin(cookies.into_iter().collect::<SessionRequest>());
            slf.borrow_mut().touched = Some(OfProcess::new(session));
        }
        Ok(())
    }

    /// Handles the response's next message. With the first one the session is stored, and its headers are written,
    /// into a copy.
    ///
    /// Returns `None` if the message is to be sent; a message to send in its place; or that and what is to follow it:
    /// `True` for `save_late`, and the body of another response if the session cannot be stored. Messages after that
    /// one are not to be sent: their body is empty.
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
            Kind::Rest => Self::go_on(slf, message),
        }
    }

    /// Warns of a cookie of the session's name that another middleware put into a response.
    fn look_for_foreign_cookie(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<()> {
        response::look_for_foreign_cookie(&Self::cookie_name(slf)?, message)
    }

    /// Stores what changed, now. After `Gone` the dict is empty: what is put into it is a new session's.
    fn save(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        let Some((session, changes)) = Self::work(slf, dict)? else {
            return Ok(());
        };
        match slf.py().detach(|| ready(session.save())) {
            Ok(()) => Self::stored(slf, &session, changes),
            Err(error) => return Err(Self::failed(slf, dict, error)),
        }
        Ok(())
    }

    /// Stores what changed since the headers left, if the session was read. One that has ended stays ended.
    fn save_late(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        let visit = slf.borrow();
        let is_to_save = visit.stage == Stage::Detached && visit.session.is_some();
        drop(visit);
        match if is_to_save {
            Self::save(slf, dict)
        } else {
            Ok(())
        } {
            Err(error) if error.is_instance_of::<Gone>(slf.py()) => Ok(()),
            saved => saved,
        }
    }

    /// The application has returned: `save_late`, for the last time.
    fn finish(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        slf.borrow_mut().is_over = true;
        Self::save_late(slf, dict)
    }

    /// The application has failed. If no response has begun, what is stored even so is: that keys which name the
    /// user were removed. No error here hides the application's.
    fn fail(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) {
        slf.borrow_mut().is_over = true;
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
        if removals.is_ok_and(|removals| Self::push(slf.py(), &session, &removals).is_ok()) {
            // Nothing can report that it failed.
            drop(slf.py().detach(|| session.store_sign_out()));
        }
        slf.borrow_mut().stage = Stage::Failed;
        unless_busy(slf.py(), &session, || session.detach());
    }

    /// Returns true if the application has returned.
    fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns true if it is a session of that cache.
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
        unless_busy(slf.py(), &session, || session.sign_in(sign_in)).map_err(refusal)
    }

    fn sign_out(slf: &Bound<'_, Self>) -> PyResult<()> {
        let session = slf.borrow().session()?;
        slf.py().detach(|| ready(session.sign_out()));
        slf.borrow_mut().forget();
        Ok(())
    }

    fn rotate(slf: &Bound<'_, Self>) -> PyResult<()> {
        let session = slf.borrow().open_session()?;
        unless_busy(slf.py(), &session, || session.rotate()).map_err(refusal)
    }

    fn user(slf: &Bound<'_, Self>) -> PyResult<Option<String>> {
        let session = slf.borrow().session()?;
        Ok(unless_busy(slf.py(), &session, || session.user()))
    }

    /// After `Gone` the dict is empty.
    fn csrf_token(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<String> {
        let session = slf.borrow().session()?;
        let token = slf.py().detach(|| session.csrf_token());
        token.map_err(|error| Self::failed(slf, dict, error))
    }

    fn check_csrf(slf: &Bound<'_, Self>, token: &str) -> PyResult<()> {
        let session = slf.borrow().session()?;
        unless_busy(slf.py(), &session, || session.check_csrf(token)).map_err(refusal)
    }

    /// Returns true if the session exists.
    fn is_alive(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let session = slf.borrow().session()?;
        Ok(slf.py().detach(|| session.is_alive()))
    }

    fn user_sessions(slf: &Bound<'_, Self>) -> PyResult<Vec<SessionInfo>> {
        let session = slf.borrow().session()?;
        let sessions = slf.py().detach(|| ready(session.user_sessions()));
        Ok(sessions.into_iter().map(SessionInfo::from).collect())
    }

    fn sign_out_others(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let session = slf.borrow().session()?;
        Ok(slf.py().detach(|| ready(session.sign_out_others())))
    }

    fn sign_out_everywhere(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let session = slf.borrow().session()?;
        let ended = slf.py().detach(|| ready(session.sign_out_everywhere()));
        slf.borrow_mut().forget();
        Ok(ended)
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
            touched: None,
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
            Err(self.too_late())
        }
    }

    fn too_late(&self) -> PyErr {
        PyRuntimeError::new_err(if self.is_websocket {
            "a session cannot be created or get a new id after a websocket was accepted, because no response carries \
             the cookie; do it before `accept()`"
        } else {
            "a session cannot be created or get a new id after the response's headers were sent; do it before the \
             handler returns"
        })
    }
}

/// Does what takes no lock but that of the request's own session. Releases the interpreter if another thread
/// holds that lock, which may itself wait for the engine.
fn unless_busy<R: Send>(py: Python<'_>, session: &Session, act: impl FnOnce() -> R + Send) -> R {
    if session.is_busy() {
        py.detach(act)
    } else {
        act()
    }
}

/// Does nothing. A method in Python that does nothing would show its session in its `repr`.
#[pyfunction]
#[pyo3(name = "_nothing")]
pub(crate) fn nothing() {}
