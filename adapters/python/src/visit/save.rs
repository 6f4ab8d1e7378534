//! Detecting the changes of the dict and passing them to the session.
//!
//! Owns the comparison of the dict with the values that were read or last stored. It sends no
//! headers.

use bytes::Bytes;
use pyo3::{prelude::*, types::PyDict};
use sessile_web::{Session, SessionError, adapter::SessionExt};

use super::{Stage, Visit, without_blocking};
use crate::{
    errors::{Gone, session_exception},
    json,
    known::{Changes, Encoded},
};

impl Visit {
    /// Stores the changes. If `is_late`, a session that has ended is no error.
    pub(super) fn store(
        slf: &Bound<'_, Self>,
        dict: &Bound<'_, PyDict>,
        is_late: bool,
    ) -> PyResult<Py<PyAny>> {
        let Some((session, changes)) = Self::take_changes(slf, dict)? else {
            return Ok(slf.py().None());
        };
        let (visit, dict) = (slf.clone().unbind(), dict.clone().unbind());
        let stored = session.clone();
        let work = async |session: Session| session.save().await;
        Self::with_session(slf, work, move |py, saved| {
            let visit = visit.bind(py);
            match saved {
                Ok(()) => Self::stored(visit, &stored, changes),
                Err(error) => {
                    let error = Self::failed(visit, dict.bind(py), error);
                    if !is_late || !error.is_instance_of::<Gone>(py) {
                        return Err(error);
                    }
                }
            }
            Ok(py.None())
        })
    }

    /// Passes the changes of the dict to the session, and returns both, or `None` if there is
    /// nothing to save. Fails without passing any if a session would have to be created after the
    /// headers were sent.
    pub(super) fn take_changes(
        slf: &Bound<'_, Self>,
        dict: &Bound<'_, PyDict>,
    ) -> PyResult<Option<(Session, Changes)>> {
        let session = slf.borrow().session()?;
        let changes = Self::changes(slf, dict)?;
        if changes.is_empty() && !without_blocking(slf.py(), &session, || session.has_work()) {
            return Ok(None);
        }
        let visit = slf.borrow();
        if visit.stage != Stage::Open && !visit.was_stored {
            return Err(visit.headers_sent());
        }
        drop(visit);
        Self::apply(slf.py(), &session, &changes)?;
        Ok(Some((session, changes)))
    }

    /// Passes changes to the session, to be saved. On an error none of them is passed.
    pub(super) fn apply(py: Python<'_>, session: &Session, changes: &Changes) -> PyResult<()> {
        let json = |(json, _): &(Bytes, _)| json.clone();
        let changes = changes
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_ref().map(json)));
        without_blocking(py, session, || session.change_json(changes)).map_err(session_exception)
    }

    /// Records `changes` as stored. Other changes are detected again.
    pub(super) fn stored(slf: &Bound<'_, Self>, session: &Session, changes: Changes) {
        let is_stored = without_blocking(slf.py(), session, || session.is_stored());
        let mut visit = slf.borrow_mut();
        visit.was_stored |= is_stored;
        visit.known.apply(changes);
    }

    /// Returns the exception for a failed save. On `Gone` the dict is cleared.
    pub(super) fn failed(
        slf: &Bound<'_, Self>,
        dict: &Bound<'_, PyDict>,
        error: SessionError,
    ) -> PyErr {
        let error = session_exception(error);
        if error.is_instance_of::<Gone>(slf.py()) {
            let mut visit = slf.borrow_mut();
            // After the headers were sent no other session can be created. `was_stored` is kept, so
            // that a later save reports `Gone` again and not that the headers were sent.
            let was_stored = visit.was_stored && visit.stage != Stage::Open;
            visit.forget();
            visit.was_stored = was_stored;
            drop(visit);
            dict.clear();
        }
        error
    }

    /// Records that the session no longer exists and is empty.
    pub(super) fn forget(&mut self) {
        self.was_stored = false;
        self.known.clear();
    }

    /// Returns the differences between the dict and the values that were read or last stored.
    pub(super) fn changes(
        slf: &Bound<'_, Self>,
        dict: &Bound<'_, PyDict>,
    ) -> Result<Changes, json::Fault> {
        let visit = slf.borrow();
        let limit = visit.sessions.get().max_session_size();
        let changes = visit.known.changes(dict, limit);
        drop(visit);
        match changes {
            Err(fault) if fault.needs_copies() => {
                let encoded = Encoded::new(dict, limit)?;
                slf.borrow().known.changes_in(encoded)
            }
            changes => changes,
        }
    }
}
