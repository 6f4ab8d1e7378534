//! The messages of a response that concern its session.
//!
//! Owns the order in which a session is stored and its headers are written. It does not know how a
//! dict is compared.

use http::{HeaderMap, StatusCode};
use pyo3::{
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyList},
};
use sessile_web::{CommitError, Session, SessionError, SessionManager, adapter::SessionExt};

use super::{Ending, Stage, Visit, without_blocking};
use crate::{
    errors::{TooLarge, engine_exception, warn},
    fork::OfProcess,
    known::Changes,
    pending::settle,
    response::{self, Begun, Response},
};

impl Visit {
    /// Handles the start of the response. If the session was read, stores its changes and writes
    /// its headers.
    pub(super) fn commit<'py>(
        slf: &Bound<'py, Self>,
        dict: &Bound<'py, PyDict>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Answer<'py>> {
        let status = response::status(message)?;
        let left = if status.as_u16() >= 500 {
            Stage::Failed
        } else {
            Stage::Detached
        };
        let Some((session, reads)) = slf.borrow_mut().begin_commit(left)? else {
            return Ok(None);
        };
        let message = response::copy(message)?;
        let changes = match Self::take_changes_at_start(slf, &session, dict, left, reads) {
            Ok(changes) => changes,
            Err(error) if error.is_instance_of::<TooLarge>(slf.py()) => {
                return Self::replace_too_large(slf, session, message);
            }
            Err(error) => return Err(error),
        };
        let commit = Commit {
            visit: slf.clone().unbind(),
            session,
            left,
            changes,
            message: message.unbind(),
        };
        let (py, ending) = (slf.py(), slf.borrow_mut().take_ending());
        let response = Self::response(slf)?;
        let message = commit.message.bind(py);
        let Begun {
            stored,
            headers,
            others,
        } = response.begin(&commit.session, status, message, ending.is_some())?;
        match stored {
            Some(stored) => commit.finish(&response, stored, &headers, others.bind(py)),
            None => commit.later(py, ending, status, headers, others),
        }
    }

    /// Replaces the response, because a value is too large. Nothing is stored with the status of
    /// the error, but the cookie of an ended session is removed.
    fn replace_too_large<'py>(
        slf: &Bound<'py, Self>,
        session: Session,
        message: Bound<'py, PyDict>,
    ) -> PyResult<Answer<'py>> {
        let (py, ending) = (slf.py(), slf.borrow_mut().take_ending());
        let response = Self::response(slf)?;
        let (error, mut headers) = response.too_large(&message)?;
        let status = error.status();
        let is_committed = ending.is_none()
            && response
                .commit_now(&session, status, &mut headers)
                .is_some();
        let replacement = Replacement {
            visit: slf.clone().unbind(),
            session: session.clone(),
            error,
            message: message.unbind(),
        };
        if is_committed {
            return replacement.finish(&response, &headers);
        }
        let work = commit_after(ending, session, status, headers);
        settle(py, work, move |py, (ended, _, headers)| {
            report(py, &ended)?;
            let response = Self::response(replacement.visit.bind(py))?;
            or_none(py, replacement.finish(&response, &headers)?)
        })
        .map(|answer| Some(answer.into_bound(py)))
    }

    /// Handles the acceptance of a websocket, whose response may carry a cookie. Errors are
    /// returned to the application.
    pub(super) fn accept<'py>(
        slf: &Bound<'py, Self>,
        dict: &Bound<'py, PyDict>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Answer<'py>> {
        let Some((session, reads)) = slf.borrow_mut().begin_commit(Stage::Detached)? else {
            return Ok(None);
        };
        let message = response::copy(message)?;
        let changes = Self::take_changes_at_start(slf, &session, dict, Stage::Detached, reads);
        let changes = match changes {
            Ok(changes) => changes,
            Err(error) => {
                Self::committed(slf, &session, Stage::Detached, Changes::new());
                return Err(error);
            }
        };
        let (mut headers, ending) = (HeaderMap::new(), slf.borrow_mut().take_ending());
        let stored = match ending {
            Some(_) => None,
            None => Self::response(slf)?.commit_now(&session, ACCEPTED, &mut headers),
        };
        let accept = Accept {
            visit: slf.clone().unbind(),
            session: session.clone(),
            changes,
            message: message.unbind(),
        };
        if let Some(stored) = stored {
            return accept.finish(slf.py(), stored, headers);
        }
        let work = commit_after(ending, session, ACCEPTED, headers);
        settle(slf.py(), work, move |py, (ended, stored, headers)| {
            report(py, &ended)?;
            or_none(py, accept.finish(py, stored, headers)?)
        })
        .map(|answer| Some(answer.into_bound(slf.py())))
    }

    /// Returns the session to commit and true if it was read. Returns `None` and enters the next
    /// stage if there is nothing to commit.
    fn begin_commit(&mut self, left: Stage) -> PyResult<Option<(Session, bool)>> {
        if self.stage != Stage::Open {
            return Ok(None);
        }
        if self.session.is_some() {
            return Ok(Some((self.session()?, true)));
        }
        // A stream or a background task may still read the session.
        self.stage = left;
        let begun = self.begun.as_ref().filter(|_| self.is_touched);
        let session = begun.and_then(OfProcess::get).cloned();
        Ok(session.map(|session| (session, false)))
    }

    /// Passes the changes that are stored with the response to the session, and returns them.
    fn take_changes_at_start(
        slf: &Bound<'_, Self>,
        session: &Session,
        dict: &Bound<'_, PyDict>,
        left: Stage,
        reads: bool,
    ) -> PyResult<Changes> {
        if !reads {
            return Ok(Changes::new());
        }
        let changes = match left {
            Stage::Failed => slf.borrow().known.removals(dict)?,
            _ => Self::changes(slf, dict)?,
        };
        Self::apply(slf.py(), session, &changes)?;
        Ok(changes)
    }

    fn response<'py>(slf: &Bound<'py, Self>) -> PyResult<Response<'py>> {
        let (expired, is_read) = {
            let visit = slf.borrow();
            (visit.sessions.get().expired(), visit.session.is_some())
        };
        Ok(Response {
            py: slf.py(),
            sessions: Self::sessions(slf)?,
            expired,
            is_read,
        })
    }

    fn committed(slf: &Bound<'_, Self>, session: &Session, stage: Stage, changes: Changes) {
        let is_stored = stage == Stage::Detached;
        Self::stored(
            slf,
            session,
            if is_stored { changes } else { Changes::new() },
        );
        slf.borrow_mut().stage = stage;
        without_blocking(slf.py(), session, || session.detach());
    }

    /// Handles the close of a websocket, accepted or not.
    pub(super) fn close(slf: &Bound<'_, Self>) {
        let mut visit = slf.borrow_mut();
        if visit.stage != Stage::Open {
            return;
        }
        visit.stage = Stage::Detached;
        let session = visit.session();
        drop(visit);
        if let Ok(session) = session {
            without_blocking(slf.py(), &session, || session.detach());
        }
    }

    /// Handles a message after the start.
    pub(super) fn continue_response<'py>(
        slf: &Bound<'py, Self>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Answer<'py>> {
        let has_more = response::has_more(message)?;
        let mut visit = slf.borrow_mut();
        let is_replaced = visit.stage == Stage::Replaced;
        visit.is_stream |= has_more && !visit.is_websocket;
        let saves_late = visit.is_stream && !has_more && visit.session.is_some();
        drop(visit);
        if is_replaced {
            with_followup(message, PyBytes::new(slf.py(), b"")).map(Some)
        } else if saves_late {
            with_followup(message, PyBool::new(slf.py(), true)).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// The result of `respond`.
pub(super) type Answer<'py> = Option<Bound<'py, PyAny>>;

fn or_none(py: Python<'_>, answer: Answer<'_>) -> PyResult<Py<PyAny>> {
    Ok(answer.map_or_else(|| py.None(), Bound::unbind))
}

/// The commit of a response.
struct Commit {
    visit: Py<Visit>,
    session: Session,
    left: Stage,
    changes: Changes,
    message: Py<PyDict>,
}

impl Commit {
    /// Writes the headers of the response.
    fn finish<'py>(
        self,
        response: &Response<'py>,
        stored: Result<(), CommitError>,
        headers: &HeaderMap,
        others: &Bound<'py, PyList>,
    ) -> PyResult<Answer<'py>> {
        let (py, visit) = (response.py, self.visit.bind(response.py));
        let message = self.message.bind(py);
        let replacement = response.finish(stored, headers, others, message)?;
        let stage = match replacement {
            Some(_) => Stage::Replaced,
            None => self.left,
        };
        Visit::committed(visit, &self.session, stage, self.changes);
        match replacement {
            Some(body) => with_followup(message, PyBytes::new(py, body.as_bytes())).map(Some),
            None => Ok(Some(message.clone().into_any())),
        }
    }

    /// Waits for the store: for a sign-out that it has not confirmed, then for the commit.
    fn later<'py>(
        self,
        py: Python<'py>,
        ending: Option<Ending>,
        status: StatusCode,
        headers: HeaderMap,
        others: Py<PyList>,
    ) -> PyResult<Answer<'py>> {
        let work = commit_after(ending, self.session.clone(), status, headers);
        let answer = settle(py, work, move |py, (ended, stored, headers)| {
            report(py, &ended)?;
            let response = Visit::response(self.visit.bind(py))?;
            or_none(
                py,
                self.finish(&response, stored, &headers, others.bind(py))?,
            )
        })?;
        Ok(Some(answer.into_bound(py)))
    }
}

/// The error response that replaces the application's.
struct Replacement {
    visit: Py<Visit>,
    session: Session,
    error: CommitError,
    message: Py<PyDict>,
}

impl Replacement {
    fn finish<'py>(self, response: &Response<'py>, headers: &HeaderMap) -> PyResult<Answer<'py>> {
        let (py, visit) = (response.py, self.visit.bind(response.py));
        let message = self.message.bind(py);
        response.replace(&self.error, headers, message)?;
        Visit::committed(visit, &self.session, Stage::Replaced, Changes::new());
        let body = response.too_large_body();
        with_followup(message, PyBytes::new(py, body.as_bytes())).map(Some)
    }
}

/// Waits for a sign-out that the store has not confirmed, then commits.
async fn commit_after(
    ending: Option<Ending>,
    session: Session,
    status: StatusCode,
    mut headers: HeaderMap,
) -> (Result<(), SessionError>, Result<(), CommitError>, HeaderMap) {
    let ended = match ending {
        Some(ending) => ending.await,
        None => Ok(()),
    };
    let stored = SessionManager::commit(&session, status, &mut headers).await;
    (ended, stored, headers)
}

/// Logs that a sign-out was not confirmed.
pub(super) fn report(py: Python<'_>, ended: &Result<(), SessionError>) -> PyResult<()> {
    match ended {
        Ok(()) => Ok(()),
        Err(_) => warn(py, UNCONFIRMED),
    }
}

/// The commit of a websocket that is accepted.
struct Accept {
    visit: Py<Visit>,
    session: Session,
    changes: Changes,
    message: Py<PyDict>,
}

impl Accept {
    fn finish(
        self,
        py: Python<'_>,
        stored: Result<(), CommitError>,
        headers: HeaderMap,
    ) -> PyResult<Answer<'_>> {
        let (visit, message) = (self.visit.bind(py), self.message.bind(py));
        let accepted = match stored {
            Ok(()) => Visit::response(visit)?.accept(headers, message),
            Err(error) => Err(engine_exception(error.cause())),
        };
        let changes = match accepted {
            Ok(()) => self.changes,
            Err(_) => Changes::new(),
        };
        Visit::committed(visit, &self.session, Stage::Detached, changes);
        accepted.map(|()| Some(message.clone().into_any()))
    }
}

const ACCEPTED: StatusCode = StatusCode::SWITCHING_PROTOCOLS;

const UNCONFIRMED: &str = "a sign-out was not confirmed by the store of the sessions; it is sent \
    again until it is";

/// Returns a message and its follow-up, as `respond` returns them.
fn with_followup<'py>(
    message: &Bound<'py, PyAny>,
    followup: impl IntoPyObject<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok((message, followup).into_pyobject(message.py())?.into_any())
}
