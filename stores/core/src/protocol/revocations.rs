//! Revocations that a node has accepted.
//!
//! Owns the queue of revocations that the store has not confirmed, and the log of those of the last
//! 60 seconds. Invariant: while the process lives, a revocation that was accepted is either
//! confirmed by the store or in the queue, and a confirmed one is in the log until it is too old to
//! be lost by a failover. It does not know how a revocation is sent.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    ends::{MAX_QUEUED, QueueFull, REMEMBERED_FOR},
    lock,
};
use crate::revocation::Revocation;

/// The revocations of one node.
#[derive(Default)]
pub(crate) struct Revocations {
    state: Mutex<State>,
    queued: AtomicUsize,
    rejected: AtomicU64,
}

#[derive(Default)]
struct State {
    queue: HashMap<Name, Queued>,
    log: VecDeque<(Duration, Revocation)>,
    next: u64,
    next_attempt: Duration,
}

/// The name of a revocation: the key and `issued_before`. The store keeps one of each.
type Name = ([u8; 16], u64);

/// A queued revocation. Its number gives the order.
#[derive(Clone, Copy)]
struct Queued {
    number: u64,
    revocation: Revocation,
    /// A call is in progress, so that the queue does not send it a second time.
    is_in_progress: bool,
}

impl Revocations {
    /// Accepts a revocation: it is queued until [`confirm`](Self::confirm), and in progress until
    /// [`release`](Self::release).
    pub(crate) fn accept(&self, revocation: Revocation) -> Result<(), QueueFull> {
        let mut state = lock(&self.state);
        let known = state.queue.get(&name(&revocation));
        if state.queue.len() >= MAX_QUEUED && known.is_none() {
            // A counter orders nothing.
            self.rejected.fetch_add(1, Ordering::Relaxed);
            return Err(QueueFull);
        }
        let expires_at = known.map_or(0, |known| known.revocation.expires_at);
        let revocation = Revocation {
            expires_at: revocation.expires_at.max(expires_at),
            ..revocation
        };
        state.next += 1;
        let queued = Queued {
            number: state.next,
            revocation,
            is_in_progress: true,
        };
        state.queue.insert(name(&revocation), queued);
        self.publish_len(&state);
        Ok(())
    }

    /// Leaves revocations to the queue, because their call failed.
    pub(crate) fn release(&self, revocations: &[Revocation]) {
        let mut state = lock(&self.state);
        for revocation in revocations {
            if let Some(queued) = state.queue.get_mut(&name(revocation)) {
                queued.is_in_progress = false;
            }
        }
    }

    /// Moves revocations from the queue to the log. One that was accepted again with a later expiry
    /// since its call was sent stays in the queue.
    pub(crate) fn confirm(&self, revocations: &[Revocation], now: Duration) {
        let mut state = lock(&self.state);
        for revocation in revocations {
            let known = state.queue.get(&name(revocation));
            if known.is_some_and(|known| known.revocation.expires_at <= revocation.expires_at) {
                state.queue.remove(&name(revocation));
            }
            if state.log.len() >= MAX_QUEUED {
                state.log.pop_front();
            }
            state.log.push_back((now, *revocation));
        }
        self.publish_len(&state);
    }

    /// Returns the number of revocations that are not confirmed.
    pub(crate) fn queued(&self) -> usize {
        // Pairs with the store in `publish_len`.
        self.queued.load(Ordering::Acquire)
    }

    /// Returns the number of revocations that did not fit into the queue.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Returns all revocations that are not confirmed.
    pub(crate) fn unconfirmed(&self) -> Vec<Revocation> {
        let state = lock(&self.state);
        state
            .queue
            .values()
            .map(|queued| queued.revocation)
            .collect()
    }

    /// Takes the queued revocations that are not in progress, the earliest first, and marks them as
    /// in progress.
    pub(crate) fn take_queued(&self) -> Vec<Revocation> {
        let mut state = lock(&self.state);
        let waiting = state.queue.values_mut().filter(|one| !one.is_in_progress);
        let mut taken: Vec<_> = waiting
            .map(|queued| {
                queued.is_in_progress = true;
                *queued
            })
            .collect();
        taken.sort_by_key(|queued| queued.number);
        taken.iter().map(|queued| queued.revocation).collect()
    }

    /// Returns the time at which the queue is sent again, or `None` if it is empty.
    pub(crate) fn next_attempt(&self) -> Option<Duration> {
        (self.queued() > 0).then(|| lock(&self.state).next_attempt)
    }

    /// Returns true if the queue has to be sent now, and sets the time of the next attempt.
    pub(crate) fn begin_attempt(&self, now: Duration) -> bool {
        if self.next_attempt().is_none_or(|at| now < at) {
            return false;
        }
        lock(&self.state).next_attempt = now + RETRY;
        true
    }

    /// Returns the revocations of the last 60 seconds that the store confirmed: a failover may have
    /// lost them.
    pub(crate) fn recent(&self, now: Duration) -> Vec<Revocation> {
        let mut state = lock(&self.state);
        let is_old = |at: Duration| now.saturating_sub(at) > REMEMBERED_FOR;
        while state.log.front().is_some_and(|(at, _)| is_old(*at)) {
            state.log.pop_front();
        }
        state
            .log
            .iter()
            .map(|(_, revocation)| *revocation)
            .collect()
    }

    fn publish_len(&self, state: &State) {
        // Pairs with the load in `queued`.
        self.queued.store(state.queue.len(), Ordering::Release);
    }
}

fn name(revocation: &Revocation) -> Name {
    (revocation.key, revocation.issued_before)
}

/// The time between two attempts to send the queue.
const RETRY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(number: u32) -> Revocation {
        let mut key = [0; 16];
        key[..4].copy_from_slice(&number.to_le_bytes());
        Revocation {
            key,
            issued_before: u64::MAX,
            expires_at: 1_000,
        }
    }

    #[test]
    fn a_revocation_stays_queued_until_it_is_confirmed() {
        let revocations = Revocations::default();
        revocations.accept(revocation(1)).expect("room");
        assert!(
            revocations.take_queued().is_empty(),
            "a call is in progress"
        );
        revocations.release(&[revocation(1)]);
        assert_eq!(revocations.take_queued(), [revocation(1)]);
        assert!(revocations.take_queued().is_empty());
        revocations.confirm(&[revocation(1)], Duration::ZERO);
        assert_eq!(revocations.queued(), 0);
        assert_eq!(revocations.recent(REMEMBERED_FOR), [revocation(1)]);
        let later = REMEMBERED_FOR + Duration::from_millis(1);
        assert!(revocations.recent(later).is_empty());
    }

    #[test]
    fn a_later_expiry_is_sent_even_if_the_earlier_one_is_confirmed_meanwhile() {
        let revocations = Revocations::default();
        revocations.accept(revocation(1)).expect("room");
        let later = Revocation {
            expires_at: 2_000,
            ..revocation(1)
        };
        revocations.accept(later).expect("room");
        revocations.confirm(&[revocation(1)], Duration::ZERO);
        revocations.release(&[revocation(1)]);
        assert_eq!(revocations.take_queued(), [later]);
    }

    #[test]
    fn a_full_queue_rejects_new_revocations_and_keeps_the_others() {
        let revocations = Revocations::default();
        for number in 0..MAX_QUEUED as u32 {
            revocations.accept(revocation(number)).expect("room");
        }
        assert_eq!(revocations.accept(revocation(u32::MAX)), Err(QueueFull));
        assert_eq!(revocations.accept(revocation(0)), Ok(()), "it is there");
        assert_eq!(revocations.queued(), MAX_QUEUED);
        assert_eq!(revocations.rejected(), 1);
    }

    #[test]
    fn attempts_have_a_pause_between_them() {
        let revocations = Revocations::default();
        assert!(!revocations.begin_attempt(RETRY), "the queue is empty");
        revocations.accept(revocation(1)).expect("room");
        assert!(revocations.begin_attempt(RETRY));
        assert_eq!(revocations.next_attempt(), Some(2 * RETRY));
        assert!(!revocations.begin_attempt(RETRY));
        assert!(revocations.begin_attempt(2 * RETRY));
    }
}
