//! The messages of a response, as far as its session is concerned.
//!
//! Owns the order in which a session is stored and the headers are written. It does not know how a dict is compared.

use pyo3::{
    prelude::*,
    types::{PyBool, PyBytes, PyDict},
};
use sessile_web::{Session, adapter::SessionExt};

use super::{Stage, Visit, unless_busy};
use crate::{
    errors::TooLarge,
    fork::OfProcess,
    known::Changes,
    response::{self, Response},
};

impl Visit {
    /// The response begins. If the session was read, what changed is stored and the headers are written.
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
        let (changes, refused) = match Self::hand_over(slf, &session, dict, left, reads) {
            Ok(changes) => (changes, response.commit(&session, status, &message)?),
            Err(error) if error.is_instance_of::<TooLarge>(slf.py()) => (
                Changes::new(),
                Some(response.refuse_size(&session, &message)?),
            ),
            Err(error) => return Err(error),
        };
        let stage = if refused.is_some() {
            Stage::Refused
        } else {
            left
        };
        Self::committed(slf, &session, stage, changes);
        match refused {
            Some(body) => answer(&message, PyBytes::new(slf.py(), body.as_bytes())).map(Some),
            None => Ok(Some(message.into_any())),
        }
    }

    /// The handshake of a websocket ends: its response may carry a cookie. An error is the application's to handle.
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
            let changes = Self::hand_over(slf, &session, dict, Stage::Detached, reads)?;
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

    /// The session to commit, if it is to be, and whether it was read. Notes what follows if not.
    fn begin_commit(&mut self, left: Stage) -> PyResult<Option<(Session, bool)>> {
        if self.stage != Stage::Open {
            return Ok(None);
        }
        if self.session.is_some() {
            return Ok(Some((self.session()?, true)));
        }
        // What goes on after this may still read it.
        self.stage = left;
        let touched = self.touched.as_ref().and_then(OfProcess::get).cloned();
        Ok(touched.map(|session| (session, false)))
    }

    /// Hands over what is to be stored when the response begins.
    fn hand_over(
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
        Self::push(slf.py(), session, &changes)?;
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
        unless_busy(slf.py(), session, || session.detach());
    }

    /// A websocket is closed, before it was accepted or after.
    pub(super) fn close(slf: &Bound<'_, Self>) {
        let mut visit = slf.borrow_mut();
        if visit.stage != Stage::Open {
            return;
        }
        visit.stage = Stage::Detached;
        let session = visit.session();
        drop(visit);
        if let Ok(session) = session {
            unless_busy(slf.py(), &session, || session.detach());
        }
    }

    /// A message after the first.
    pub(super) fn go_on<'py>(
        slf: &Bound<'py, Self>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let has_more = response::has_more(message)?;
        let mut visit = slf.borrow_mut();
        let is_refused = visit.stage == Stage::Refused;
        visit.is_stream |= has_more && !visit.is_websocket;
        let is_to_save = visit.is_stream && !has_more && visit.session.is_some();
        drop(visit);
        if is_refused {
            answer(message, PyBytes::new(slf.py(), b"")).map(Some)
        } else if is_to_save {
            answer(message, PyBool::new(slf.py(), true)).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// A message to send, and what is to follow it.
fn answer<'py>(
    message: &Bound<'py, PyAny>,
    then: impl IntoPyObject<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok((message, then).into_pyobject(message.py())?.into_any())
}
