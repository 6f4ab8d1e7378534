//! Ends that a node has accepted, and retirements of ids by its sign-ins.
//!
//! Owns the queue of ends that the store has not confirmed, and the logs of the ends and
//! retirements of the last 60 seconds. Invariant: while the process lives, an end that was accepted
//! is either confirmed by the store or in the queue, and what was confirmed is in a log until it is
//! too old to be lost by a failover. It does not know how an end is sent.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sessile::SessionId;

use crate::{
    protocol::{
        lock,
        log::{Log, is_old},
    },
    store::ServerTime,
};

/// The ends of one node.
#[derive(Default)]
pub(crate) struct Ends {
    state: Mutex<State>,
    /// The length of the queue, so that a read takes no lock while it is empty.
    queued: AtomicUsize,
}

#[derive(Default)]
struct State {
    queue: HashMap<[u8; 16], Queued>,
    log: Log<SessionId>,
    retired: Log<Retired>,
    next: u64,
    all: All,
}

/// The ends of all sessions.
#[derive(Default)]
struct All {
    /// The number of the last one that was accepted. Only its confirmation empties the queue: the
    /// bounds are estimates, so they do not tell which end a confirmation includes.
    number: u64,
    /// The store has not confirmed the last one. Sessions created until then are ended.
    queued: Option<ServerTime>,
    /// A call is in progress, so that the queue does not send it a second time: that would end
    /// sessions which were created after the first.
    is_in_progress: bool,
    confirmed: Option<(Duration, ServerTime)>,
}

/// A queued end. Its number gives the order.
#[derive(Clone, Copy)]
struct Queued {
    number: u64,
    id: SessionId,
    /// A call is in progress, so that the queue does not send it a second time.
    is_in_progress: bool,
}

/// The second half of a sign-in: an id that leads to another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retired {
    /// The id before the sign-in.
    pub(crate) id: SessionId,
    /// The id that it leads to.
    pub(crate) target: SessionId,
}

/// An end that did not fit into the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl Ends {
    /// Accepts an end: it is queued until [`confirm`](Self::confirm), and in progress until
    /// [`release`](Self::release).
    pub(crate) fn accept(&self, id: SessionId) -> Result<(), QueueFull> {
        let mut state = lock(&self.state);
        let is_known = state.queue.contains_key(&id.to_bytes());
        if state.queue.len() >= MAX_QUEUED && !is_known {
            return Err(QueueFull);
        }
        state.next += 1;
        let queued = Queued {
            number: state.next,
            id,
            is_in_progress: true,
        };
        state.queue.insert(id.to_bytes(), queued);
        self.publish_len(&state);
        Ok(())
    }

    /// Leaves an end to the queue, because its call failed.
    pub(crate) fn release(&self, id: &SessionId) {
        if let Some(queued) = lock(&self.state).queue.get_mut(&id.to_bytes()) {
            queued.is_in_progress = false;
        }
    }

    /// Moves an end from the queue to the log.
    pub(crate) fn confirm(&self, id: &SessionId, now: Duration) {
        let mut state = lock(&self.state);
        state.queue.remove(&id.to_bytes());
        state.log.push(*id, now);
        self.publish_len(&state);
    }

    /// Records a retirement that the store confirmed.
    pub(crate) fn retire(&self, retired: Retired, now: Duration) {
        lock(&self.state).retired.push(retired, now);
    }

    /// Returns true if an end of the id is not confirmed yet: then this node does not open it.
    pub(crate) fn is_queued(&self, id: &SessionId) -> bool {
        // Pairs with the store in `publish_len`. A thread that learns of the end after `accept`
        // returned sees it here.
        self.queued.load(Ordering::Acquire) > 0
            && lock(&self.state).queue.contains_key(&id.to_bytes())
    }

    /// Returns the number of ends that are not confirmed.
    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Ordering::Acquire)
    }

    /// Takes the queued ends that are not in progress, the earliest first, and marks them as in
    /// progress.
    pub(crate) fn take_queued(&self) -> Vec<SessionId> {
        let mut state = lock(&self.state);
        let waiting = state.queue.values_mut().filter(|end| !end.is_in_progress);
        let mut taken: Vec<_> = waiting
            .map(|end| {
                end.is_in_progress = true;
                *end
            })
            .collect();
        taken.sort_by_key(|end| end.number);
        taken.iter().map(|end| end.id).collect()
    }

    /// Returns the ends of the last 60 seconds that the store confirmed: a failover may have lost
    /// them.
    pub(crate) fn recent(&self, now: Duration) -> Vec<SessionId> {
        lock(&self.state).log.recent(now)
    }

    /// Returns the retirements of the last 60 seconds that the store confirmed.
    pub(crate) fn recent_retirements(&self, now: Duration) -> Vec<Retired> {
        lock(&self.state).retired.recent(now)
    }

    /// Accepts an end of all sessions that were created until `bound`, and returns its number. It
    /// is in progress until [`release_all`](Self::release_all).
    pub(crate) fn accept_all(&self, bound: ServerTime) -> u64 {
        let all = &mut lock(&self.state).all;
        all.number += 1;
        all.queued = all.queued.max(Some(bound));
        all.is_in_progress = true;
        all.number
    }

    /// Leaves an end of all sessions to the queue, because its call failed. Does nothing if another
    /// one was accepted since, which is in progress.
    pub(crate) fn release_all(&self, number: u64) {
        let all = &mut lock(&self.state).all;
        if all.number == number {
            all.is_in_progress = false;
        }
    }

    /// Takes the number and the bound of the queued end of all sessions, unless it is in progress,
    /// and marks it so.
    pub(crate) fn take_all(&self) -> Option<(u64, ServerTime)> {
        let all = &mut lock(&self.state).all;
        let bound = all.queued.filter(|_| !all.is_in_progress)?;
        all.is_in_progress = true;
        Some((all.number, bound))
    }

    /// Records the time that the store confirmed for an end of all sessions. One that was accepted
    /// later stays queued.
    pub(crate) fn confirm_all(&self, number: u64, cutoff: ServerTime, now: Duration) {
        let all = &mut lock(&self.state).all;
        if all.number == number {
            (all.queued, all.is_in_progress) = (None, false);
        }
        let latest = all.confirmed.map_or(cutoff, |(_, known)| known.max(cutoff));
        all.confirmed = Some((now, latest));
    }

    /// Returns true if an end of all sessions is not confirmed.
    pub(crate) fn is_all_queued(&self) -> bool {
        lock(&self.state).all.queued.is_some()
    }

    /// Returns the cutoff of an end of all sessions in the last 60 seconds.
    pub(crate) fn recent_all(&self, now: Duration) -> Option<ServerTime> {
        let (at, cutoff) = lock(&self.state).all.confirmed?;
        (!is_old(at, now)).then_some(cutoff)
    }

    fn publish_len(&self, state: &State) {
        // Pairs with the loads in `is_queued` and `queued`.
        self.queued.store(state.queue.len(), Ordering::Release);
    }
}

/// The most ends that wait for the store.
pub(crate) const MAX_QUEUED: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::log::REMEMBERED_FOR;

    fn id(number: u32) -> SessionId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        SessionId::from_parts(bytes, 0)
    }

    #[test]
    fn an_end_stays_queued_until_it_is_confirmed() {
        let ends = Ends::default();
        ends.accept(id(1)).expect("room");
        assert!(ends.is_queued(&id(1)) && !ends.is_queued(&id(2)));
        assert!(ends.take_queued().is_empty(), "a call is in progress");
        ends.release(&id(1));
        assert_eq!(ends.take_queued(), [id(1)]);
        assert!(ends.take_queued().is_empty());
        ends.confirm(&id(1), Duration::ZERO);
        assert_eq!((ends.queued(), ends.is_queued(&id(1))), (0, false));
        assert_eq!(ends.recent(REMEMBERED_FOR), [id(1)]);
        let later = REMEMBERED_FOR + Duration::from_millis(1);
        assert!(ends.recent(later).is_empty());
    }

    #[test]
    fn a_retirement_is_asserted_again_for_a_minute() {
        let ends = Ends::default();
        let retired = Retired {
            id: id(1),
            target: id(2),
        };
        ends.retire(retired, Duration::ZERO);
        assert_eq!(ends.recent_retirements(REMEMBERED_FOR), [retired]);
        assert!(ends.recent(REMEMBERED_FOR).is_empty(), "it is not an end");
        assert!(ends.recent_retirements(2 * REMEMBERED_FOR).is_empty());
    }

    #[test]
    fn a_full_queue_rejects_new_ends_and_keeps_the_others() {
        let ends = Ends::default();
        for number in 0..MAX_QUEUED as u32 {
            ends.accept(id(number)).expect("room");
        }
        assert_eq!(ends.accept(id(u32::MAX)), Err(QueueFull));
        assert_eq!(ends.accept(id(0)), Ok(()), "it is there already");
        assert_eq!(ends.queued(), MAX_QUEUED);
    }

    #[test]
    fn the_end_of_all_is_asserted_again_for_a_minute() {
        let ends = Ends::default();
        let number = ends.accept_all(ServerTime(4));
        assert!(ends.is_all_queued());
        assert_eq!(ends.take_all(), None, "a call is in progress");
        ends.release_all(number);
        assert_eq!(ends.take_all(), Some((number, ServerTime(4))));
        assert_eq!(ends.take_all(), None);
        ends.confirm_all(number, ServerTime(5), Duration::ZERO);
        ends.confirm_all(number, ServerTime(3), Duration::ZERO);
        assert!(!ends.is_all_queued());
        assert_eq!(ends.recent_all(Duration::ZERO), Some(ServerTime(5)));
        assert_eq!(ends.recent_all(REMEMBERED_FOR * 2), None);
    }

    #[test]
    fn an_end_of_all_that_was_accepted_later_stays_queued() {
        let ends = Ends::default();
        let first = ends.accept_all(ServerTime(4));
        let second = ends.accept_all(ServerTime(3));
        ends.release_all(first);
        assert_eq!(ends.take_all(), None, "the second is in progress");
        ends.confirm_all(first, ServerTime(9), Duration::ZERO);
        assert!(ends.is_all_queued());
        ends.release_all(second);
        assert_eq!(ends.take_all(), Some((second, ServerTime(4))));
        ends.confirm_all(second, ServerTime(9), Duration::ZERO);
        assert!(!ends.is_all_queued());
    }
}
