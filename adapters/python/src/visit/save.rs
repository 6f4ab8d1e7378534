//! Detecting the changes of the dict and passing them to the session.
//!
//! Owns the comparison of the dict with the values that were read or last stored. It sends no headers.

use bytes::Bytes;
use pyo3::{prelude::*, types::PyDict};
use sessile_web::{Session, SessionError, adapter::SessionExt};

use super::{Stage, Visit, unless_busy};
use crate::{
    errors::{Gone, refusal},
    json,
    known::{Changes, Encoded},
};

impl Visit {
    /// Hands the changes of the dict over, if there is something to save. An error if that would make a session when it
    /// is too late for that: then nothing was handed over.
    pub(super) fn work(
        slf: &Bound<'_, Self>,
        dict: &Bound<'_, PyDict>,
    ) -> PyResult<Option<(Session, Changes)>> {
        let session = slf.borrow().session()?;
        let changes = Self::changes(slf, dict)?;
        if changes.is_empty() && !unless_busy(slf.py(), &session, || session.has_work()) {
            return Ok(None);
        }
        let visit = slf.borrow();
        if visit.stage != Stage::Open && !visit.was_stored {
            return Err(visit.too_late());
        }
        drop(visit);
        Self::push(slf.py(), &session, &changes)?;
        Ok(Some((session, changes)))
    }

    /// Hands changes over to be saved. On an error none of them is.
    pub(super) fn push(py: Python<'_>, session: &Session, changes: &Changes) -> PyResult<()> {
        let json = |(json, _): &(Bytes, _)| json.clone();
        let changes = changes
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_ref().map(json)));
        unless_busy(py, session, || session.change_json(changes)).map_err(refusal)
    }

    /// Records that these changes are stored. Others are detected again.
    pub(super) fn stored(slf: &Bound<'_, Self>, session: &Session, changes: Changes) {
        let is_stored = unless_busy(slf.py(), session, || session.is_stored());
        let mut visit = slf.borrow_mut();
        visit.was_stored |= is_stored;
        visit.known.make(changes);
    }

    /// Something could not be stored. The dict of a session that is gone becomes empty.
    pub(super) fn failed(
        slf: &Bound<'_, Self>,
        dict: &Bound<'_, PyDict>,
        error: SessionError,
    ) -> PyErr {
        let error = refusal(error);
        if error.is_instance_of::<Gone>(slf.py()) {
            let mut visit = slf.borrow_mut();
            // Once the headers have left, no other session can be created, and this one stays ended.
            let was_stored = visit.was_stored && visit.stage != Stage::Open;
            visit.forget();
            visit.was_stored = was_stored;
            drop(visit);
            dict.clear();
        }
        error
    }

    /// Notes that the session is gone, and empty.
    pub(super) fn forget(&mut self) {
        self.was_stored = false;
        self.known.clear();
    }

    /// Returns how the dict differs from what was read, or last stored.
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
                slf.borrow().known.changes_of(encoded)
            }
            changes => changes,
        }
    }
}
