//! Loading a session: from the request's cookies, or from a cookie of Starlette's middleware.
//!
//! Owns the decoding of a stored session into Python values. It does not know the dict that they go
//! to.

use bytes::Bytes;
use pyo3::{exceptions::PyValueError, prelude::*, types::PyString};
use sessile_web::{Session, SessionManager, SessionRequest, adapter::SessionExt};

use super::Visit;
use crate::{errors::foreign_data, fork::OfProcess, json, known::Known, moving::Pairs, response};

impl Visit {
    /// Loads and decodes the session. Does not change the visit.
    pub(super) fn look_up<'py>(slf: &Bound<'py, Self>) -> PyResult<Loaded<'py>> {
        let cookies = Self::cookies(slf)?;
        let sessions = Self::sessions(slf)?;
        let touched = slf
            .borrow()
            .touched
            .as_ref()
            .and_then(OfProcess::get)
            .cloned();
        let session = touched
            .unwrap_or_else(|| sessions.begin(cookies.iter().cloned().collect::<SessionRequest>()));
        if !session.is_stored() {
            return Self::import(slf, session, &sessions, cookies);
        }
        if session.is_foreign() {
            return Err(foreign_data());
        }
        Loaded::new(slf.py(), session)
    }

    /// Imports the session of a cookie that Starlette's middleware signed, if the request has one.
    fn import<'py>(
        slf: &Bound<'py, Self>,
        session: Session,
        sessions: &SessionManager,
        cookies: Vec<Bytes>,
    ) -> PyResult<Loaded<'py>> {
        let (py, settings) = (slf.py(), slf.borrow().sessions.clone_ref(slf.py()));
        let name = sessions.cache().cookie_name();
        let importer = settings.get().importer();
        let found = importer.and_then(|importer| Some((importer, importer.find(name, &cookies)?)));
        let Some((importer, signed)) = found else {
            return Loaded::new(py, session);
        };
        let moves = &settings.get().cache().get().moves;
        match moves.field_of(py, sessions, importer, &signed)? {
            None => Loaded::new(py, session),
            Some(Ok(field)) => {
                let fields = core::iter::once(field).chain(cookies);
                let session = sessions.begin(fields.collect::<SessionRequest>());
                session.send_cookie_again();
                Loaded::new(py, session)
            }
            // The session could not be created. It is tried again when the response begins.
            Some(Err(pairs)) => Loaded::with_new(py, session, pairs),
        }
    }

    /// Returns the `Cookie` fields of the request, in order.
    pub(super) fn cookies(slf: &Bound<'_, Self>) -> PyResult<Vec<Bytes>> {
        let headers = slf
            .borrow()
            .headers
            .as_ref()
            .map(|headers| headers.clone_ref(slf.py()));
        headers.map_or(Ok(Vec::new()), |headers| {
            response::cookies(headers.bind(slf.py()))
        })
    }
}

/// A loaded session with its decoded values.
pub(super) struct Loaded<'py> {
    pub(super) session: Session,
    pub(super) known: Known,
    pub(super) values: Vec<(Bound<'py, PyString>, Bound<'py, PyAny>)>,
    pub(super) is_stored: bool,
}

impl<'py> Loaded<'py> {
    fn new(py: Python<'py>, session: Session) -> PyResult<Self> {
        let pairs = session.pairs();
        let (mut known, mut values) = (Known::default(), Vec::with_capacity(pairs.len()));
        for (key, json) in pairs {
            let (value, pieces) = json::decode_with_pieces(py, &json).map_err(not_json)?;
            values.push((PyString::new(py, &key), value));
            known.push(key, json, pieces);
        }
        let is_stored = session.is_stored();
        Ok(Self {
            session,
            known,
            values,
            is_stored,
        })
    }

    /// Creates one with values that are not stored yet.
    fn with_new(py: Python<'py>, session: Session, pairs: Pairs) -> PyResult<Self> {
        let value = |(key, json): (String, Bytes)| {
            let value = json::decode(py, &json).map_err(not_json)?;
            Ok((PyString::new(py, &key), value))
        };
        let values = pairs.into_iter().map(value).collect::<PyResult<_>>()?;
        Ok(Self {
            session,
            known: Known::default(),
            values,
            is_stored: false,
        })
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn not_json(_: json::Malformed) -> PyErr {
    PyValueError::new_err("a value in the session is not JSON")
}
