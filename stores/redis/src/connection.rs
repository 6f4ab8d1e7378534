//! A connection, and the calls on it that the server did not answer.
//!
//! Owns their number. Invariant: a call counts if no answer arrived on its connection since it
//! began, and if no `WAIT` before it may have delayed its answer. It does not know what a call
//! does.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use redis::aio::MultiplexedConnection;

/// A connection and its calls.
pub(crate) struct Connection {
    pub(crate) client: MultiplexedConnection,
    pub(crate) calls: Calls,
}

/// The calls of a connection.
#[derive(Default)]
pub(crate) struct Calls(Mutex<State>);

#[derive(Default)]
struct State {
    answers: u64,
    /// Calls in a row that the server did not answer.
    unanswered: u32,
    /// The time until which `WAIT` commands may delay other answers.
    delayed_until: Option<Instant>,
}

/// A call that began.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    began: Instant,
    answers: u64,
}

impl Connection {
    pub(crate) fn new(client: MultiplexedConnection) -> Self {
        let calls = Calls::default();
        Self { client, calls }
    }
}

impl Calls {
    pub(crate) fn begin(&self, now: Instant) -> Call {
        let state = self.state();
        Call {
            began: now,
            answers: state.answers,
        }
    }

    /// Records an answer.
    pub(crate) fn answered(&self) {
        let mut state = self.state();
        state.answers += 1;
        state.unanswered = 0;
    }

    /// Records that a call ended without an answer. Returns the number of such calls in a row.
    pub(crate) fn unanswered(&self, call: Call) -> u32 {
        let mut state = self.state();
        let is_delayed = state.delayed_until.is_some_and(|until| call.began < until);
        if state.answers == call.answers && !is_delayed {
            state.unanswered += 1;
        }
        state.unanswered
    }

    /// Records a `WAIT` command that takes at most `timeout`. The server executes it after earlier
    /// ones whose callers stopped waiting.
    pub(crate) fn begin_wait(&self, now: Instant, timeout: Duration) {
        let mut state = self.state();
        let begins = state.delayed_until.map_or(now, |until| until.max(now));
        state.delayed_until = begins.checked_add(timeout);
    }

    /// Records that the last `WAIT` command was answered, and so all before it.
    pub(crate) fn end_wait(&self) {
        self.answered();
        self.state().delayed_until = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of it is complete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn calls_count_until_one_is_answered() {
        let (calls, now) = (Calls::default(), Instant::now());
        for number in 1..=2 {
            assert_eq!(calls.unanswered(calls.begin(now)), number);
        }
        calls.answered();
        assert_eq!(calls.unanswered(calls.begin(now)), 1);
    }

    #[test]
    fn a_call_does_not_count_if_another_was_answered_since_it_began() {
        let (calls, now) = (Calls::default(), Instant::now());
        let slow = calls.begin(now);
        calls.answered();
        assert_eq!(calls.unanswered(slow), 0);
    }

    #[test]
    fn a_call_does_not_count_if_a_wait_may_have_delayed_it() {
        let (calls, now) = (Calls::default(), Instant::now());
        for _ in 0..3 {
            calls.begin_wait(now, SECOND);
        }
        let behind = calls.begin(now + 2 * SECOND);
        assert_eq!(calls.unanswered(behind), 0);
        let later = calls.begin(now + 3 * SECOND);
        assert_eq!(calls.unanswered(later), 1, "all three are over");
    }

    #[test]
    fn the_answer_of_a_wait_ends_all_before_it() {
        let (calls, now) = (Calls::default(), Instant::now());
        for _ in 0..3 {
            calls.begin_wait(now, SECOND);
        }
        let behind = calls.begin(now);
        calls.end_wait();
        assert_eq!(calls.unanswered(behind), 0, "an answer arrived since");
        assert_eq!(calls.unanswered(calls.begin(now)), 1);
        calls.begin_wait(now, SECOND);
        assert_eq!(calls.unanswered(calls.begin(now)), 1, "one is in progress");
    }
}
