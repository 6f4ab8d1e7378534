//! Performs the operations that store a session: a save, and the commit.
//!
//! Owns the way to the state. If nothing has to wait, the operation runs while the state is locked,
//! as every other verb: on a local cache always. Otherwise the state is taken out of its lock: see
//! `taken`. The module does not know what is stored, nor the response.

use http::StatusCode;

use crate::{
    CommitError, Session,
    adapter::ready,
    commit::CommitStart,
    log_lines::LogLines,
    state::{Admission, Request, State, Stored},
};

/// An operation that stores a session.
#[derive(Clone, Copy)]
pub(crate) enum Operation {
    /// Stores the changes while the handler runs.
    Save,
    /// Stores only the removal of identity keys.
    SaveSignOut,
    /// Stores the changes before the response's headers are sent.
    Commit {
        status: StatusCode,
        /// `None` until it begins.
        start: Option<CommitStart>,
    },
}

/// The result of an operation.
pub(crate) struct Outcome {
    pub(crate) stored: Result<(), CommitError>,
    /// The value of the response's `Set-Cookie`.
    pub(crate) cookie: Option<String>,
    pub(crate) start: CommitStart,
    /// The session was committed before, so nothing was stored.
    pub(crate) is_late: bool,
}

impl Session {
    /// Performs an operation on a session that no caller uses before it is done.
    pub(crate) async fn perform(&self, operation: Operation) -> Outcome {
        if self.manager().cache().local().is_some() {
            self.perform_here(operation)
        } else {
            Box::pin(self.perform_taken(operation)).await
        }
    }

    /// Performs an operation that does not wait, while the state is locked.
    pub(crate) fn perform_here(&self, operation: Operation) -> Outcome {
        self.store(|state, request| ready(state.perform(request, operation)))
    }

    /// Calls the admission hook, and records its answer. The hook is application code.
    pub(crate) fn ask_admission(&self) {
        let request = self.request();
        let cache = request.manager.cache();
        let admitted = cache.check_admission(&request.incoming.admission_key);
        self.state().admission = if admitted.is_ok() {
            Admission::Granted
        } else {
            Admission::Denied
        };
    }
}

impl State {
    /// Performs an operation. It runs again once the admission hook was called if it
    /// [needs](Self::needs_admission) the answer.
    pub(crate) async fn perform(&mut self, request: &Request, operation: Operation) -> Outcome {
        match operation {
            Operation::Save if self.committed => Outcome {
                is_late: true,
                ..Outcome::of(Ok(()))
            },
            Operation::Save => Outcome::of(self.store_now(request).await),
            Operation::SaveSignOut => Outcome::of(self.store_sign_out(request).await),
            Operation::Commit { status, start } => self.commit(request, status, start).await,
        }
    }

    /// Begins an operation, once. Returns `None` if it has nothing to do.
    pub(crate) fn begin_operation(
        &mut self,
        request: &Request,
        operation: Operation,
    ) -> Option<Operation> {
        let Operation::Commit {
            status,
            start: None,
        } = operation
        else {
            return Some(operation);
        };
        if request.manager.touches_always() {
            // The request did not need its session: an error is not its error.
            let _ = self.stored.open(request);
        }
        let start = Some(self.begin_commit());
        let is_first = start != Some(CommitStart::Nothing);
        is_first.then_some(Operation::Commit { status, start })
    }

    /// Returns true if the session has to be loaded for an operation.
    pub(crate) fn has_to_load(&self, request: &Request) -> bool {
        let is_needed =
            !self.changes.is_empty() || !self.pending.is_none() || request.manager.touches_always();
        matches!(self.stored, Stored::Unread) && is_needed
    }

    /// Takes what is to be emitted and asked while the state is not locked.
    pub(crate) fn take_requests(&mut self) -> (LogLines, bool) {
        let needs_admission = self.needs_admission();
        if needs_admission {
            self.admission = Admission::Unknown;
        }
        (core::mem::take(&mut self.log_lines), needs_admission)
    }
}

impl Outcome {
    pub(crate) fn of(stored: Result<(), CommitError>) -> Self {
        Self {
            stored,
            cookie: None,
            start: CommitStart::Nothing,
            is_late: false,
        }
    }
}
