//! Events: what happened to sessions, for whoever wants to watch.
//!
//! A bounded queue that the application drains. The engine never waits for it: what does not fit is dropped
//! and counted. An event is put there under the lock of its shard, so that those of one session come in
//! order; that is one slot of an array, and none that somebody is just taking something from.

use core::fmt;
use std::{sync::Arc, time::Duration};

use crossbeam::queue::ArrayQueue;

use crate::{
    clock::{Tick, to_duration},
    handle::Handle,
    id::UserHash,
    sync::{AtomicU64, Relaxed},
};

/// Something that happened to a session. It opens nothing, so it may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To which session; `None` if it happened to all of them.
    pub handle: Option<Handle>,
    tick: Tick,
    /// Of the end of all sessions, by how many ticks the cutoff is later: more than one after several in one tick.
    /// Three bytes of it fit where there is padding.
    cutoff_lead: [u8; 3],
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// It was created.
    Created,
    /// A user signed in to it. It has a new handle since, which is the event's.
    SignedIn,
    /// It got a new id.
    Rotated,
    /// An id was used that it had before, after the grace: somebody has a cookie that was replaced long ago.
    Reused,
    /// Its memory was given back because it had expired.
    Expired,
    /// It went to make room.
    Evicted,
    /// It was ended.
    Ended(EndReason),
    /// A save was refused because somebody else had saved.
    Conflict,
    /// A shard was emptied because a verb panicked in it, which is a mistake in this crate.
    ShardReset,
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// By its id or its cookie: a sign-out.
    Requested,
    /// By its handle, or by a name's: from a list of devices, or all of a user's at once.
    UserRevoked,
    /// Its user signed in elsewhere, and has as many sessions as permitted.
    SessionLimit,
    /// An old id of it was used, and the cache ends such sessions.
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

    /// The end of all sessions that were created before a tick.
    pub(crate) fn of_all(cutoff: Tick, tick: Tick) -> Self {
        let [a, b, c, _] = cutoff.saturating_sub(tick).min(MAX_LEAD).to_le_bytes();
        Self {
            cutoff_lead: [a, b, c],
            ..Self::new(EventKind::Ended(EndReason::Global), None, tick)
        }
    }

    /// Who was signed in to the session, if anybody was.
    #[must_use]
    pub fn user(&self) -> Option<UserHash> {
        self.handle.and_then(|handle| handle.user())
    }

    /// When the session was created, since the cache's clock began to run; compared with [`cutoff`](Self::cutoff).
    /// After several ends of all in one tick of 100 ms it may be some ticks later than [`at`](Self::at).
    #[must_use]
    pub fn created(&self) -> Option<Duration> {
        self.handle.map(|handle| to_duration(handle.created()))
    }

    /// Of the end of all sessions: those that were [created](Self::created) before have ended, and no others. An event
    /// of one that was created at the same time as the end may come before or behind it.
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

    /// When it happened, since the cache's clock began to run.
    #[must_use]
    pub fn at(&self) -> Duration {
        to_duration(self.tick)
    }
}

/// Where events are put, if anybody wants them. Clones are the same queue.
#[derive(Clone)]
pub(crate) struct EventQueue(Option<Arc<Queue>>);

struct Queue {
    events: ArrayQueue<Event>,
    /// Less than it has slots, so that none is waited for: an `ArrayQueue` that is full but for a slot that is
    /// being taken from has whoever puts something there spin.
    limit: usize,
    dropped: AtomicU64,
}

impl EventQueue {
    /// A queue of so many events; none at all for 0.
    pub(crate) fn new(limit: usize) -> Self {
        let queue = || Queue {
            events: ArrayQueue::new(limit + MAX_CONSUMERS),
            limit,
            dropped: AtomicU64::new(0),
        };
        Self((limit > 0).then(|| Arc::new(queue())))
    }

    /// What a queue of so many events takes, in bytes.
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

    /// Notes an event, made only if somebody wants it.
    #[inline]
    pub(crate) fn push(&self, event: impl FnOnce() -> Event) {
        if let Some(queue) = &self.0 {
            let is_full = queue.events.len() >= queue.limit;
            if is_full || queue.events.push(event()).is_err() {
                queue.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// The oldest event.
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

/// The most that three bytes can say: so many ends of all in one tick.
const MAX_LEAD: Tick = (1 << 24) - 1;
/// As many threads may be taking events out, each in the midst of it.
const MAX_CONSUMERS: usize = 64;
/// An event, and the stamp that `ArrayQueue` keeps beside it.
const SLOT_BYTES: usize = size_of::<Event>() + size_of::<usize>();
const _: () = assert!(
    size_of::<Event>() == 48,
    "an event and its stamp take less than 64 bytes"
);
