//! The messages of a response that concern its session.
//!
//! Owns the order in which a session is stored and its headers are written. It does not know how a
//! dict is compared.

use pyo3::{
    prelude::*,
    types::{PyBool, PyBytes, PyDict},
};
use sessile_web::{Session, adapter::SessionExt};

use super::{Stage, Visit, without_blocking};
use crate::{
    errors::TooLarge,
    fork::OfProcess,
    known::Changes,
    response::{self, Response},
};

impl Visit {
    /// Handles the start of the response. If the session was read, stores its changes and writes
    /// its headers.
    pub(super) fn commit<'py>(
        slf: &Bound<'py, Self>,
        dict: &Bound<'py, PyDict>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
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
        let response = Self::response(slf)?;
        let (changes, replacement) =
            match Self::take_changes_at_start(slf, &session, dict, left, reads) {
                Ok(changes) => (changes, response.commit(&session, status, &message)?),
                Err(error) if error.is_instance_of::<TooLarge>(slf.py()) => (
                    Changes::new(),
                    Some(response.replace_too_large(&session, &message)?),
                ),
                Err(error) => return Err(error),
            };
        let stage = if replacement.is_some() {
            Stage::Replaced
        } else {
            left
        };
        Self::committed(slf, &session, stage, changes);
        match replacement {
            Some(body) => {
                with_followup(&message, PyBytes::new(slf.py(), body.as_bytes())).map(Some)
            }
            None => Ok(Some(message.into_any())),
        }
    }

    /// Handles the acceptance of a websocket, whose response may carry a cookie. Errors are
    /// returned to the application.
    pub(super) fn accept<'py>(
        slf: &Bound<'py, Self>,
        dict: &Bound<'py, PyDict>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some((session, reads)) = slf.borrow_mut().begin_commit(Stage::Detached)? else {
            return Ok(None);
        };
        let accept = || {
            let message = response::copy(message)?;
            let changes = Self::take_changes_at_start(slf, &session, dict, Stage::Detached, reads)?;
            Self::response(slf)?.accept(&session, &message)?;
            Ok((message, changes))
        };
        let (message, changes) = match accept() {
            Ok((message, changes)) => (Ok(Some(message.into_any())), changes),
            Err(error) => (Err(error), Changes::new()),
        };
        Self::committed(slf, &session, Stage::Detached, changes);
        message
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
        let touched = self.touched.as_ref().and_then(OfProcess::get).cloned();
        Ok(touched.map(|session| (session, false)))
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
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
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

/// Returns a message and its follow-up, as `respond` returns them.
fn with_followup<'py>(
    message: &Bound<'py, PyAny>,
    followup: impl IntoPyObject<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok((message, followup).into_pyobject(message.py())?.into_any())
}
