//! Verbs that may wait for a store: which part runs immediately, and which part a `_Pending` runs.
//!
//! Owns the difference between a local cache, on which a verb is done when it returns, and one with
//! a store. It does not know what a verb changes.

use core::{future::ready as ready_future, task::Poll};

use pyo3::{IntoPyObjectExt, prelude::*};
use sessile_web::{
    Session, SessionError,
    adapter::{SessionExt, ready},
};

use super::{Ending, Visit, without_blocking};
use crate::{
    errors::session_exception,
    fork::OfProcess,
    pending::{in_background, poll_once, settle_queued},
};

impl Visit {
    /// Ends the session. With a store and `defers`, the response waits for its confirmation.
    pub(super) fn end_session(slf: &Bound<'_, Self>, defers: bool) -> PyResult<Py<PyAny>> {
        let session = slf.borrow().session()?;
        if !slf.borrow().sessions.get().has_store() {
            let ended = slf.py().detach(|| ready(session.sign_out()));
            slf.borrow_mut().forget();
            return ended.map_err(session_exception).map(|()| slf.py().None());
        }
        let is_queued = is_queued(slf.py(), &session);
        let mut ending: Ending = Box::pin(async move { session.sign_out().await });
        let begun = slf.py().detach(|| poll_once(ending.as_mut()));
        slf.borrow_mut().forget();
        match begun {
            Poll::Pending if defers => slf.borrow_mut().defer(ending),
            Poll::Ready(Err(error)) if defers => {
                slf.borrow_mut().defer(Box::pin(ready_future(Err(error))));
            }
            Poll::Ready(ended) => ended.map_err(session_exception)?,
            Poll::Pending => return settle_queued(slf.py(), is_queued, ending, done),
        }
        Ok(slf.py().None())
    }

    /// Runs a verb of the session: at once on a local cache, otherwise perhaps as a `_Pending`.
    pub(super) fn with_session<T, F>(
        slf: &Bound<'_, Self>,
        work: impl FnOnce(Session) -> F + Send,
        finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Py<PyAny>>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (py, visit) = (slf.py(), slf.borrow());
        let session = visit.session()?;
        let has_store = visit.sessions.get().has_store();
        drop(visit);
        if has_store {
            let is_queued = is_queued(py, &session);
            settle_queued(py, is_queued, work(session), finish)
        } else {
            let output = py.detach(|| ready(work(session)));
            finish(py, output)
        }
    }

    /// Stores the removal of identity keys. No thread waits for the store.
    pub(super) fn store_sign_out(py: Python<'_>, session: &Session) {
        let session = session.clone();
        let mut work = Box::pin(async move { session.store_sign_out().await });
        // A failure cannot be reported: the application's exception is being raised.
        if py.detach(|| poll_once(work.as_mut())).is_pending() {
            in_background(work);
        }
    }

    /// Takes a sign-out that the store has not confirmed.
    pub(super) fn take_ending(&mut self) -> Option<Ending> {
        let mut ending = self.ending.get_mut().take()?;
        let own = ending.get_mut()?;
        Some(core::mem::replace(own, Box::pin(ready_future(Ok(())))))
    }

    fn defer(&mut self, ending: Ending) {
        let ending = match self.take_ending() {
            None => ending,
            Some(first) => Box::pin(async move {
                let ended = first.await;
                ended.and(ending.await)
            }),
        };
        *self.ending.get_mut() = Some(OfProcess::new(ending));
    }
}

/// Returns true if work of the session waits for an operation that is in progress.
fn is_queued(py: Python<'_>, session: &Session) -> bool {
    without_blocking(py, session, || session.is_awaiting_store())
}

pub(super) fn object<'py, T: IntoPyObjectExt<'py>>(
    py: Python<'py>,
    value: T,
) -> PyResult<Py<PyAny>> {
    value.into_py_any(py)
}

pub(super) fn flag(py: Python<'_>, is_true: bool) -> PyResult<Py<PyAny>> {
    object(py, is_true)
}

fn done(py: Python<'_>, result: Result<(), SessionError>) -> PyResult<Py<PyAny>> {
    result.map_err(session_exception)?;
    Ok(py.None())
}
