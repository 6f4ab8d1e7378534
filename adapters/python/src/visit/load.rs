//! Loading a session: from the request's cookies, or from a cookie of Starlette's middleware.
//!
//! With a store, the middleware loads it before the application runs, which counts as no use. Owns
//! the decoding of a stored session into Python values. It does not know the dict that they go to.

use core::{pin::pin, task::Poll};

use bytes::Bytes;
use pyo3::{exceptions::PyValueError, prelude::*, types::PyString};
use sessile_web::{Session, SessionManager, SessionRequest, adapter::SessionExt};

use super::Visit;
use crate::{
    errors::{foreign_data, session_exception},
    fork::OfProcess,
    json,
    known::Known,
    moving::Pairs,
    pending::{Finish, Pending, poll_once, wait},
    response,
};

impl Visit {
    /// Loads the session from the store ahead of its first access. Returns a [`Pending`] if it is
    /// not in memory. A failure is kept, and raised at the first access.
    ///
    /// [`Pending`]: crate::pending::Pending
    pub(super) fn load_ahead(slf: &Bound<'_, Self>, touches: bool) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let cookies = Self::cookies(slf)?;
        if cookies.is_empty() {
            return Ok(py.None());
        }
        let session = Self::sessions(slf)?.begin(cookies.into_iter().collect::<SessionRequest>());
        let mut visit = slf.borrow_mut();
        visit.begun = Some(OfProcess::new(session.clone()));
        visit.is_touched = touches;
        drop(visit);
        let mut loading = Box::pin(async move {
            // A failure is kept in the session.
            let _ = session.load().await;
        });
        // With the interpreter lock: a session in memory is found without waiting.
        if poll_once(loading.as_mut()).is_ready() {
            return Ok(py.None());
        }
        let work = async move {
            loading.await;
            Box::new(|py: Python<'_>| Ok(py.None())) as Finish
        };
        Ok(Py::new(py, Pending::new(work, false))?.into_any())
    }

    /// Waits until the session is loaded from the store. Only requests that `skip` exempts are not
    /// loaded before the application runs.
    fn require_loaded(slf: &Bound<'_, Self>, session: &Session) -> PyResult<()> {
        if !slf.borrow().sessions.get().has_store() {
            return Ok(());
        }
        let mut loading = pin!(session.load());
        let loaded = match poll_once(loading.as_mut()) {
            Poll::Ready(loaded) => loaded,
            Poll::Pending => slf.py().detach(|| wait(loading)),
        };
        loaded.map_err(session_exception)
    }

    /// Loads and decodes the session. Does not change the visit.
    pub(super) fn look_up<'py>(slf: &Bound<'py, Self>) -> PyResult<Loaded<'py>> {
        let sessions = Self::sessions(slf)?;
        let begun = slf
            .borrow()
            .begun
            .as_ref()
            .and_then(OfProcess::get)
            .cloned();
        let session = match begun {
            Some(session) => session,
            None => sessions.begin(Self::cookies(slf)?.into_iter().collect::<SessionRequest>()),
        };
        Self::require_loaded(slf, &session)?;
        if !session.is_stored() {
            return Self::import(slf, session, &sessions);
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
    ) -> PyResult<Loaded<'py>> {
        let (py, settings) = (slf.py(), slf.borrow().sessions.clone_ref(slf.py()));
        let Some(importer) = settings.get().importer() else {
            return Loaded::new(py, session);
        };
        let cookies = Self::cookies(slf)?;
        let Some(signed) = importer.find(sessions.cache().cookie_name(), &cookies) else {
            return Loaded::new(py, session);
        };
        let moves = &settings.get().cache().get().moves;
        match moves.field_of(py, sessions, importer, &signed)? {
            None => Loaded::new(py, session),
            Some(Ok(field)) => {
                let fields = core::iter::once(field).chain(cookies);
                let session = sessions.begin(fields.collect::<SessionRequest>());
                Self::require_loaded(slf, &session)?;
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
