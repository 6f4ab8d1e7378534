//! The session and the messages of a response: stored when it begins, told in its headers.
//!
//! Owns the way from one stage of the response to the next. It does not know how headers are written.

use pyo3::{
    prelude::*,
    types::{PyBool, PyBytes, PyDict},
};
use sessile_web::Session;

use super::{Changes, Stage, Visit};
use crate::{
    errors::TooLarge,
    response::{self, Response},
};

impl Visit {
    /// The response begins. If the session was read, what changed is stored and the headers are written.
    /// Nothing is borrowed while it waits for a lock: others may look at the session.
    pub(super) fn commit<'py>(
        slf: &Bound<'py, Self>,
        dict: &Bound<'py, PyDict>,
        message: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let status = response::status(message)?;
        let left = if status.is_server_error() { Stage::Failed } else { Stage::Detached };
        let Some((session, reads)) = slf.borrow_mut().begin_commit(left)? else {
            return Ok(None);
        };
        let py = slf.py();
        let response = slf.borrow().response(py)?;
        let (changes, refused) = match slf.borrow().hand_over(&session, dict, reads, left) {
            Ok(changes) => (changes, response.commit(&session, status, message)?),
            Err(error) if error.is_instance_of::<TooLarge>(py) => {
                let text = error.value(py).to_string();
                (Vec::new(), Some(response.refuse_size(&session, text, message)?))
            }
            Err(error) => return Err(error),
        };
        let stage = if refused.is_some() { Stage::Refused } else { left };
        slf.borrow_mut().committed(&session, stage, changes);
        Ok(refused.map(|text| PyBytes::new(py, text.as_bytes()).into_any()))
    }

    /// The handshake of a websocket ends: its response may carry a cookie. An error is the application's to handle.
    pub(super) fn accept<'py>(
        slf: &Bound<'py, Self>,
        dict: &Bound<'py, PyDict>,
        message: &Bound<'py, PyDict>,
    ) -> PyResult<()> {
        let Some((session, reads)) = slf.borrow_mut().begin_commit(Stage::Detached)? else {
            return Ok(());
        };
        let handed_over = slf.borrow().hand_over(&session, dict, reads, Stage::Detached);
        let accepted = handed_over.and_then(|changes| {
            slf.borrow().response(slf.py())?.accept(&session, message)?;
            Ok(changes)
        });
        let (changes, error) = match accepted {
            Ok(changes) => (changes, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        slf.borrow_mut().committed(&session, Stage::Detached, changes);
        error
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
        Ok(self.touched.clone().map(|session| (session, false)))
    }

    /// Hands over what there is to store when the response begins.
    fn hand_over(
        &self,
        session: &Session,
        dict: &Bound<'_, PyDict>,
        reads: bool,
        left: Stage,
    ) -> PyResult<Changes> {
        if !reads {
            return Ok(Vec::new());
        }
        if left == Stage::Detached && self.is_imported && dict.is_empty() {
            session.sign_out();
        }
        let changes =
            if left == Stage::Failed { self.removals(dict)? } else { self.changes(dict)? };
        Self::push(session, &changes)?;
        Ok(changes)
    }

    fn response<'py>(&self, py: Python<'py>) -> PyResult<Response<'py>> {
        let settings = self.sessions.get();
        Ok(Response { py, sessions: settings.current(py)?, expired: settings.expired() })
    }

    pub(super) fn committed(&mut self, session: &Session, stage: Stage, changes: Changes) {
        self.stage = stage;
        let is_stored = stage == Stage::Detached;
        self.is_imported &= !is_stored;
        self.stored(session, if is_stored { changes } else { Vec::new() });
        session.detach();
    }

    /// A websocket is closed, before it was accepted or after.
    pub(super) fn close(&mut self) {
        if self.stage == Stage::Open {
            self.stage = Stage::Detached;
            if let Some(session) = &self.session {
                session.detach();
            }
        }
    }

    /// A message after the first.
    pub(super) fn go_on<'py>(
        &mut self,
        message: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = message.py();
        if self.stage == Stage::Refused {
            return Ok(Some(PyBytes::new(py, b"").into_any()));
        }
        if self.is_websocket {
            return Ok(None);
        }
        if response::has_more(message)? {
            self.is_stream = true;
            return Ok(None);
        }
        let is_to_save = self.is_stream && self.session.is_some();
        Ok(is_to_save.then(|| PyBool::new(py, true).to_owned().into_any()))
    }
}
