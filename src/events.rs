//! Events: a bounded queue of what happened to sessions, which the application drains.
//!
//! The queue never blocks the engine: events that do not fit are dropped and counted. An event is
//! pushed under the lock of its shard, so the events of one session are in order. A push writes one
//! slot of an array, and never a slot from which another thread is taking an event.

use core::fmt;
use std::{sync::Arc, time::Duration};

use crossbeam::queue::ArrayQueue;

use crate::{
    clock::{Tick, to_duration},
    handle::Handle,
    id::UserHash,
    sync::{AtomicU64, Relaxed},
};

/// An event of a session. It contains no secret, so it may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Event {
    /// The kind of event.
    pub kind: EventKind,
    /// The handle of the session; `None` if the event concerns all sessions.
    pub handle: Option<Handle>,
    tick: Tick,
    /// For the end of all sessions, the number of ticks by which the cutoff is after `tick`. It is
    /// above one after several such ends in one tick. Three bytes fit into padding.
    cutoff_lead: [u8; 3],
}

/// The kind of an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// The session was created.
    Created,
    /// A user signed in to the session. The session's handle changed, and the event has the new
    /// one.
    SignedIn,
    /// The session's id was rotated.
    Rotated,
    /// A previous id of the session was used after its grace period: a client holds a cookie that
    /// was replaced long ago.
    Reused,
    /// The session expired and its memory was reclaimed.
    Expired,
    /// The session was evicted to make room.
    Evicted,
    /// The session was ended.
    Ended(EndReason),
    /// A save failed because the session had been saved concurrently.
    Conflict,
    /// A shard was reset because an operation panicked in it, which is a bug in sessile.
    ShardReset,
}

/// The reason why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// The session was ended by its id or its cookie, as on a sign-out.
    Requested,
    /// The session was ended by its handle, or with all sessions of its user.
    UserRevoked,
    /// The user signed in elsewhere and had reached the limit of sessions.
    SessionLimit,
    /// A previous id of the session was used, and the cache ends such sessions.
    Reused,
    /// All sessions were ended.
    Global,
}

impl Event {
    pub(crate) fn new(kind: EventKind, handle: Option<Handle>, tick: Tick) -> Self {
        Self {
            kind,
            handle,
            tick,
            cutoff_lead: [0; 3],
        }
    }

    /// Creates the event of the end of all sessions that were created before `cutoff`.
    pub(crate) fn of_all(cutoff: Tick, tick: Tick) -> Self {
        let [a, b, c, _] = cutoff.saturating_sub(tick).min(MAX_LEAD).to_le_bytes();
        Self {
            cutoff_lead: [a, b, c],
            ..Self::new(EventKind::Ended(EndReason::Global), None, tick)
        }
    }

    /// Returns the user who was signed in to the session, if there was one.
    #[must_use]
    pub fn user(&self) -> Option<UserHash> {
        self.handle.and_then(|handle| handle.user())
    }

    /// Returns when the session was created, as a span since the cache's clock started. Compare it
    /// with [`cutoff`](Self::cutoff).
    ///
    /// After several ends of all sessions in one tick of 100 ms, it may be some ticks later than
    /// [`at`](Self::at).
    #[must_use]
    pub fn created(&self) -> Option<Duration> {
        self.handle.map(|handle| to_duration(handle.created()))
    }

    /// Returns the cutoff of an end of all sessions: exactly the sessions that were
    /// [created](Self::created) before it have ended. `None` for other events.
    ///
    /// The event of a session that was created concurrently may be before or after this one.
    ///
    /// ```
    /// use sessile::{KeyRing, SessionCache};
    ///
    /// let settings = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = settings.events(1_000).build()?;
    /// cache.create(b"")?;
    /// cache.end_all();
    /// cache.create(b"")?;
    ///
    /// let [first, end, second] = [(); 3].map(|()| cache.next_event().expect("three events"));
    /// assert!(first.created() < end.cutoff());
    /// assert!(second.created() >= end.cutoff());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn cutoff(&self) -> Option<Duration> {
        let [a, b, c] = self.cutoff_lead;
        let is_of_all = self.kind == EventKind::Ended(EndReason::Global);
        is_of_all.then(|| to_duration(self.tick + Tick::from_le_bytes([a, b, c, 0])))
    }

    /// Returns when the event happened, as a span since the cache's clock started.
    #[must_use]
    pub fn at(&self) -> Duration {
        to_duration(self.tick)
    }
}

/// The queue of a cache's events, if the application requested one. Clones share it.
#[derive(Clone)]
pub(crate) struct EventQueue(Option<Arc<Queue>>);

struct Queue {
    events: ArrayQueue<Event>,
    /// The maximum number of events, which is below the number of slots. A push into an
    /// `ArrayQueue` whose last slot is just being emptied would spin.
    limit: usize,
    dropped: AtomicU64,
}

impl EventQueue {
    /// Creates a queue of at most `limit` events, or none for 0.
    pub(crate) fn new(limit: usize) -> Self {
        let queue = || Queue {
            events: ArrayQueue::new(limit + MAX_CONSUMERS),
            limit,
            dropped: AtomicU64::new(0),
        };
        Self((limit > 0).then(|| Arc::new(queue())))
    }

    /// Returns the size of a queue of `limit` events in bytes.
    pub(crate) fn footprint(limit: usize) -> usize {
        let slots = limit
            .saturating_add(MAX_CONSUMERS)
            .saturating_mul(SLOT_BYTES);
        if limit == 0 {
            0
        } else {
            slots.saturating_add(size_of::<Queue>())
        }
    }

    /// Pushes an event, which is only created if there is a queue. If the queue is full, the event
    /// is dropped and counted.
    #[inline]
    pub(crate) fn push(&self, event: impl FnOnce() -> Event) {
        if let Some(queue) = &self.0 {
            let is_full = queue.events.len() >= queue.limit;
            if is_full || queue.events.push(event()).is_err() {
                // `Relaxed`: a counter for the statistics, which orders nothing else.
                queue.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// Removes and returns the oldest event.
    pub(crate) fn next(&self) -> Option<Event> {
        self.0.as_ref()?.events.pop()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |queue| queue.dropped.load(Relaxed))
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventQueue(..)")
    }
}

/// The maximum of three bytes: the number of ends of all sessions in one tick that are
/// distinguished.
const MAX_LEAD: Tick = (1 << 24) - 1;
/// The number of threads that may take events out concurrently before a push can spin.
const MAX_CONSUMERS: usize = 64;
/// The size of an event and of the stamp that `ArrayQueue` stores beside it.
const SLOT_BYTES: usize = size_of::<Event>() + size_of::<usize>();
const _: () = assert!(
    size_of::<Event>() == 48,
    "an event and its stamp take less than 64 bytes"
);
