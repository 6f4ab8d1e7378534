//! The state of a session while an operation waits for the store.
//!
//! The operation takes the state out of its lock, so that no lock is held while it waits. It leaves
//! a view: the session as it will be if the operation succeeds. Until the state is put back
//! * verbs that do not wait read and change the view, and the changes are added to the state then,
//! * operations of other clones of the session wait.
//!
//! So no change is lost, and none blocks a thread. An operation that is dropped puts the state back
//! too. The module does not know the operation.

use core::{
    ops::{Deref, DerefMut},
    task::{Poll, Waker},
};
use std::future::poll_fn;

use crate::{
    Session,
    perform::{Operation, Outcome},
    state::{Live, Request, State, Stored},
};

/// Operations that are in progress or wait for their turn.
#[derive(Default)]
pub(crate) struct Progress {
    /// The state was taken: this one is the view.
    pub(crate) is_busy: bool,
    waiting: Vec<Waker>,
}

/// A state that was taken out of its lock.
struct Taken<'a> {
    session: &'a Session,
    state: State,
}

impl Session {
    /// Performs an operation that may wait.
    pub(crate) async fn perform_taken(&self, mut operation: Operation) -> Outcome {
        loop {
            let has_to_load = self.state().has_to_load(self.request());
            if has_to_load {
                // A failure is kept in the state.
                let _ = self.load().await;
            }
            let Some((mut taken, begun)) = self.take_state(operation).await else {
                return Outcome::of(Ok(()));
            };
            operation = begun;
            let outcome = taken.perform(self.request(), operation).await;
            let (log_lines, needs_admission) = taken.take_requests();
            drop(taken);
            log_lines.emit();
            if !needs_admission {
                return outcome;
            }
            self.ask_admission();
        }
    }

    /// Waits until no operation is in progress, and takes the state. Returns `None` if the
    /// operation has nothing to do.
    async fn take_state(&self, operation: Operation) -> Option<(Taken<'_>, Operation)> {
        self.when_free(|state| {
            let operation = state.begin_operation(self.request(), operation)?;
            let mut view = state.view(self.request());
            core::mem::swap(state, &mut view);
            let taken = Taken {
                session: self,
                state: view,
            };
            Some((taken, operation))
        })
        .await
    }

    /// Waits until no operation is in progress, and calls `act` while the state is locked.
    pub(crate) async fn when_free<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut act = Some(act);
        poll_fn(|context| {
            let mut state = self.state();
            let is_busy = state.progress.is_busy;
            match act.take_if(|_| !is_busy) {
                Some(act) => Poll::Ready(act(&mut state)),
                None => {
                    state.progress.wait(context.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn put_back(&self, mut state: State) {
        let mut current = self.state();
        core::mem::swap(&mut *current, &mut state);
        let waiting = current.absorb(state);
        drop(current);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Progress {
    fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|other| other.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.session.put_back(core::mem::take(&mut self.state));
    }
}

impl Deref for Taken<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Taken<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl State {
    /// Returns the view of a state that is about to be taken: its changes are in the data, so that
    /// the changes of the view are those that were made since.
    fn view(&mut self, request: &Request) -> Self {
        Self {
            is_used: self.is_used,
            committed: self.committed,
            detached: self.detached,
            stored: self.stored_view(request),
            has_form: self.has_form,
            is_blind: self.is_blind,
            form: self.form,
            reserved: self.reserved,
            progress: Progress {
                is_busy: true,
                waiting: core::mem::take(&mut self.progress.waiting),
            },
            ..Self::default()
        }
    }

    fn stored_view(&mut self, request: &Request) -> Stored {
        let mut view = match &self.stored {
            Stored::Unread => return Stored::Unread,
            Stored::Failed => return Stored::Failed,
            Stored::Live(live) => live.clone(),
            Stored::Loaded(live) => (**live).clone(),
            Stored::Absent | Stored::Ended | Stored::Replaced(_) => match self.new_view(request) {
                Some(live) => live,
                None => return Stored::Absent,
            },
        };
        if let Ok(data) = self.changes.applied_to(&view.data) {
            view.data = data;
        }
        view.authenticated |= self.pending.sign_in.is_some();
        Stored::Live(view)
    }

    /// Returns the session that the operation is about to create, if it has something to store.
    fn new_view(&mut self, request: &Request) -> Option<Live> {
        if self.changes.is_empty() && self.pending.is_none() {
            return None;
        }
        let issued = self.reserve(request.manager.cache()).ok()?;
        Some(Live {
            id: issued.id,
            version: issued.version,
            authenticated: false,
            record: None,
            data: crate::encoding::Pairs::default(),
            is_foreign: false,
        })
    }

    /// Adds what happened to the view, and returns the operations that wait.
    fn absorb(&mut self, view: Self) -> Vec<Waker> {
        self.changes.append(view.changes);
        let pending = view.pending;
        if pending.sign_in.is_some() {
            self.pending.sign_in = pending.sign_in;
        }
        self.pending.rotate |= pending.rotate;
        self.pending.keep = pending.keep.or(self.pending.keep);
        self.is_used |= view.is_used;
        self.committed |= view.committed;
        self.has_form |= view.has_form;
        self.resend_cookie |= view.resend_cookie;
        self.is_blind |= view.is_blind;
        if view.detached {
            (self.detached, self.committed) = (true, false);
        }
        self.progress = Progress::default();
        view.progress.waiting
    }
}
