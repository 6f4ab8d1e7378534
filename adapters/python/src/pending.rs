//! Work that waits for a store, and how threads and event loops of Python wait for it.
//!
//! A future of `sessile-web` or `sessile-store` is polled by the thread that waits. The thread of
//! the store only wakes: it unparks a thread, or adds a ticket to the [`Wakeups`] of an event loop.
//! It never takes the interpreter lock. The module does not know what is stored.

use core::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use std::{
    sync::Arc,
    task::Wake,
    thread::{self, Thread},
};

use parking_lot::Mutex;
use pyo3::{exceptions::PyRuntimeError, prelude::*};

use crate::{errors::ForkedProcess, fork::OfProcess, wakeups::Wakeups};

/// The last step, which has the result and the interpreter lock.
pub(crate) type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

type Work = Pin<Box<dyn Future<Output = Finish> + Send>>;

/// Work that waits for a store. Python waits with `sessile._waiting`. The lock is never taken: it
/// only makes the work one that threads may share.
#[pyclass(name = "_Pending", module = "sessile._sessile")]
pub(crate) struct Pending {
    state: Mutex<OfProcess<State>>,
    /// True if the work waits for another operation of its session. A task of the event loop may
    /// have to finish that one, so the loop must not block.
    #[pyo3(get)]
    is_queued: bool,
}

enum State {
    Waiting(Work),
    Ready(Finish),
    Taken,
}

impl Pending {
    pub(crate) fn new(
        work: impl Future<Output = Finish> + Send + 'static,
        is_queued: bool,
    ) -> Self {
        Self {
            state: Mutex::new(OfProcess::new(State::Waiting(Box::pin(work)))),
            is_queued,
        }
    }

    /// Polls once. Returns true if the result is there.
    fn poll_with(&mut self, py: Python<'_>, waker: &Waker) -> bool {
        let Some(state) = self.state.get_mut().get_mut() else {
            // The parent's work never ends in a forked child: the result is an error.
            return true;
        };
        let State::Waiting(work) = state else {
            return true;
        };
        let poll = || work.as_mut().poll(&mut Context::from_waker(waker));
        match py.detach(poll) {
            Poll::Ready(finish) => {
                *state = State::Ready(finish);
                true
            }
            Poll::Pending => false,
        }
    }

    fn take(&mut self) -> Option<State> {
        let state = self.state.get_mut().get_mut()?;
        Some(core::mem::replace(state, State::Taken))
    }
}

#[pymethods]
impl Pending {
    /// Returns true if the result is there. Otherwise `ticket` is added to the wake-ups of an event
    /// loop when it is worth asking again.
    fn poll(&mut self, py: Python<'_>, wakeups: &Wakeups, ticket: u64) -> bool {
        self.poll_with(py, &wakeups.waker(ticket))
    }

    /// Returns the result, after `poll` has returned true.
    fn result(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        match slf.borrow_mut().take() {
            Some(State::Ready(finish)) => finish(slf.py()),
            other => Err(no_result(other.as_ref())),
        }
    }

    /// Waits without the interpreter lock, and returns the result.
    pub(crate) fn block(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let state = slf.borrow_mut().take();
        let finish = match state {
            Some(State::Ready(finish)) => finish,
            Some(State::Waiting(work)) => slf.py().detach(|| wait(work)),
            other => return Err(no_result(other.as_ref())),
        };
        finish(slf.py())
    }

    /// Drops the work, for a task that was cancelled: its session may be used again. What was sent
    /// to the store is still done.
    fn cancel(&mut self) {
        drop(self.take());
    }
}

fn no_result(state: Option<&State>) -> PyErr {
    match state {
        None => ForkedProcess::new_err("this process was forked while a request waited"),
        Some(_) => PyRuntimeError::new_err("the result was taken, or is not there yet"),
    }
}

/// Runs work that no thread of Python waits for.
pub(crate) fn in_background(work: impl Future<Output = impl Send> + Send + 'static) {
    let run = thread::Builder::new().name("sessile-later".to_owned());
    // Without a thread the work is dropped: only what was sent to the store is done.
    drop(run.spawn(move || drop(wait(work))));
}

/// Blocks this thread until a future is ready, without the interpreter lock. The store bounds each
/// of its operations, so this ends.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

/// Polls once, to start the work. The next poll registers a waker.
pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Starts work, and finishes it at once if it need not wait. Otherwise returns a [`Pending`].
pub(crate) fn settle<T: Send + 'static>(
    py: Python<'_>,
    work: impl Future<Output = T> + Send + 'static,
    finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Py<PyAny>> {
    settle_queued(py, false, work, finish)
}

/// Starts the work of a session as [`settle`] does. `is_queued` is that of the [`Pending`].
pub(crate) fn settle_queued<T: Send + 'static>(
    py: Python<'_>,
    is_queued: bool,
    work: impl Future<Output = T> + Send + 'static,
    finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Py<PyAny>> {
    let mut work = Box::pin(work);
    match py.detach(|| poll_once(work.as_mut())) {
        Poll::Ready(output) => finish(py, output),
        Poll::Pending => {
            let work = async move {
                let output = work.await;
                Box::new(move |py: Python<'_>| finish(py, output)) as Finish
            };
            let pending = Pending::new(work, is_queued);
            Ok(Py::new(py, pending)?.into_any())
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
