//! The copy of a store's revocations in this process, and the time for which it may be used.
//!
//! ```text
//!  Stale ─ load begins ─▶ Loading(generation) ─ all pages taken ─▶ Loaded(generation)
//!    ▲                        │ a page failed                          │
//!    └──────── the sink is full, or the data is lost ◀─────────────────┘
//! ```
//!
//! Owns the sink, the state of loading, and the end of the lease under which the sink may be asked.
//! Invariant: before that end the sink has every revocation that the store confirmed more than one
//! lease earlier, and every one whose message has arrived. A load counts only in the generation in
//! which it began: the subscription was confirmed before, so what the pages lack arrives as a
//! message. It does not know how a page travels.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sessile::tier::Ticks;

use super::lock;
use crate::revocation::{Revocation, RevocationSink, RevocationsFull};

/// The mirror of one node.
pub(crate) struct Mirror {
    sink: OnceLock<Arc<dyn RevocationSink>>,
    /// Changes under the lock of `state` only.
    current_until: AtomicU32,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    is_full: bool,
    next_load: Duration,
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Stale,
    /// Pages are being taken. `is_missing`: the sink had no room for a revocation meanwhile.
    Loading {
        generation: u64,
        is_missing: bool,
    },
    Loaded {
        generation: u64,
    },
}

/// The result of giving a revocation to the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The sink has it, or there is no sink.
    Kept,
    /// The sink has no room, for the first time since the last complete load.
    BecameFull,
    /// The sink still has no room.
    StaysFull,
}

impl Mirror {
    /// Sets the sink. Returns false if there is one.
    pub(crate) fn set_sink(&self, sink: Arc<dyn RevocationSink>) -> bool {
        self.sink.set(sink).is_ok()
    }

    /// Returns true if there is a sink.
    pub(crate) fn is_on(&self) -> bool {
        self.sink.get().is_some()
    }

    /// Returns true if the sink has no room.
    pub(crate) fn is_full(&self) -> bool {
        lock(&self.state).is_full
    }

    /// Gives a revocation to the sink. Without room for it the mirror is not current.
    pub(crate) fn apply(&self, revocation: &Revocation) -> Applied {
        let Some(sink) = self.sink.get() else {
            return Applied::Kept;
        };
        match sink.revoked(revocation) {
            Ok(()) => Applied::Kept,
            Err(RevocationsFull) => self.fill(),
        }
    }

    fn fill(&self) -> Applied {
        let mut state = lock(&self.state);
        self.revoke(&state);
        match &mut state.phase {
            Phase::Loading { is_missing, .. } => *is_missing = true,
            phase => *phase = Phase::Stale,
        }
        if std::mem::replace(&mut state.is_full, true) {
            Applied::StaysFull
        } else {
            Applied::BecameFull
        }
    }

    /// Returns the end of the time in which the sink may be asked. It must be taken *before* the
    /// sink is asked: a lease that began after a load must not cover a look into the sink before
    /// it.
    #[inline]
    pub(crate) fn current_until(&self) -> Ticks {
        // Pairs with the addition in `extend`: a reader that sees the new end sees what the sink
        // received before.
        Ticks::new(self.current_until.load(Ordering::Acquire))
    }

    /// Extends that time, if all revocations were loaded in this generation.
    pub(crate) fn extend(&self, generation: u64, until: Ticks) {
        let state = lock(&self.state);
        if state.phase == (Phase::Loaded { generation }) {
            // Pairs with the load in `current_until`.
            self.current_until.fetch_max(until.get(), Ordering::Release);
        }
    }

    /// The store lost its data, or messages: the sink may lack some, so it must not be asked.
    pub(crate) fn void(&self) {
        let mut state = lock(&self.state);
        self.revoke(&state);
        state.phase = Phase::Stale;
    }

    /// Ends the lease. `_locked` shows that the caller holds the lock.
    fn revoke(&self, _locked: &State) {
        self.current_until.store(0, Ordering::Release);
    }

    /// Returns the time of the next load, or `None` if none is needed in this generation.
    pub(crate) fn next_load(&self, generation: u64) -> Option<Duration> {
        self.sink.get()?;
        let state = lock(&self.state);
        state.needs_load(generation).then_some(state.next_load)
    }

    /// Begins a load in a generation, if one is due. Returns true if the caller has to load.
    pub(crate) fn begin_load(&self, generation: u64, now: Duration) -> bool {
        if self.next_load(generation).is_none_or(|at| now < at) {
            return false;
        }
        lock(&self.state).phase = Phase::Loading {
            generation,
            is_missing: false,
        };
        true
    }

    /// Ends a load: `is_complete` if all pages were taken. Returns true if the sink has everything.
    pub(crate) fn end_load(&self, generation: u64, is_complete: bool, now: Duration) -> bool {
        let mut state = lock(&self.state);
        let is_missing = match state.phase {
            Phase::Loading {
                generation: begun,
                is_missing,
            } if begun == generation => is_missing,
            // Another load has begun, or the data was lost.
            _ => return false,
        };
        if is_complete && !is_missing {
            state.phase = Phase::Loaded { generation };
            (state.is_full, state.pause) = (false, MIN_PAUSE);
            return true;
        }
        state.phase = Phase::Stale;
        state.next_load = now + state.pause;
        let longest = if is_missing {
            MAX_PAUSE_FULL
        } else {
            MAX_PAUSE
        };
        state.pause = (2 * state.pause).min(longest);
        false
    }
}

impl State {
    fn needs_load(&self, current: u64) -> bool {
        match self.phase {
            Phase::Stale => true,
            Phase::Loading { generation, .. } | Phase::Loaded { generation } => {
                generation != current
            }
        }
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            sink: OnceLock::new(),
            current_until: AtomicU32::new(0),
            state: Mutex::new(State {
                phase: Phase::Stale,
                is_full: false,
                next_load: Duration::ZERO,
                pause: MIN_PAUSE,
            }),
        }
    }
}

/// The pause after the first load that failed.
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause after a page that was not answered.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a load that did not fit: each reads the whole list, and only time makes
/// room.
const MAX_PAUSE_FULL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A sink with room for a number of revocations.
    struct Room(AtomicUsize);

    impl RevocationSink for Room {
        fn revoked(&self, _: &Revocation) -> Result<(), RevocationsFull> {
            let less = |room: usize| room.checked_sub(1);
            let left = self
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            left.map(drop).map_err(|_| RevocationsFull)
        }
    }

    fn mirror(room: usize) -> Mirror {
        let mirror = Mirror::default();
        assert!(mirror.set_sink(Arc::new(Room(AtomicUsize::new(room)))));
        mirror
    }

    fn loaded(room: usize, generation: u64) -> Mirror {
        let mirror = mirror(room);
        assert!(mirror.begin_load(generation, Duration::ZERO));
        assert!(mirror.end_load(generation, true, Duration::ZERO));
        mirror
    }

    const REVOCATION: Revocation = Revocation {
        key: [1; 16],
        issued_before: u64::MAX,
        expires_at: 9,
    };
    const UNTIL: Ticks = Ticks::new(50);

    #[test]
    fn a_mirror_has_one_sink_and_needs_none() {
        let mirror = Mirror::default();
        assert_eq!(mirror.next_load(1), None);
        assert_eq!(mirror.apply(&REVOCATION), Applied::Kept);
        assert!(mirror.set_sink(Arc::new(Room(AtomicUsize::new(1)))));
        assert!(!mirror.set_sink(Arc::new(Room(AtomicUsize::new(1)))));
        assert_eq!(mirror.next_load(1), Some(Duration::ZERO));
    }

    #[test]
    fn the_lease_covers_a_mirror_that_was_loaded_in_its_generation_only() {
        let mirror = mirror(9);
        mirror.extend(1, UNTIL);
        assert_eq!(mirror.current_until(), Ticks::ZERO, "nothing was loaded");
        assert!(mirror.begin_load(1, Duration::ZERO));
        assert!(!mirror.begin_load(1, Duration::ZERO), "one is in progress");
        mirror.extend(1, UNTIL);
        assert_eq!(mirror.current_until(), Ticks::ZERO, "the load is not over");
        assert!(mirror.end_load(1, true, Duration::ZERO));
        mirror.extend(1, UNTIL);
        assert_eq!(mirror.current_until(), UNTIL);
        mirror.extend(3, Ticks::new(90));
        assert_eq!(mirror.current_until(), UNTIL, "not loaded since the fence");
    }

    #[test]
    fn a_load_from_before_a_fence_proves_nothing() {
        let mirror = mirror(9);
        assert!(mirror.begin_load(1, Duration::ZERO));
        assert!(mirror.begin_load(3, Duration::ZERO), "after a fence");
        assert!(!mirror.end_load(1, true, Duration::ZERO));
        assert!(mirror.end_load(3, true, Duration::ZERO));
    }

    #[test]
    fn lost_data_ends_the_lease_at_once() {
        let mirror = loaded(9, 1);
        mirror.extend(1, UNTIL);
        mirror.void();
        assert_eq!(mirror.current_until(), Ticks::ZERO);
        mirror.extend(1, UNTIL);
        assert_eq!(mirror.current_until(), Ticks::ZERO);
        assert!(mirror.next_load(1).is_some());
    }

    #[test]
    fn a_full_sink_ends_the_lease_until_a_load_fits() {
        let mirror = loaded(0, 1);
        mirror.extend(1, UNTIL);
        assert_eq!(mirror.apply(&REVOCATION), Applied::BecameFull);
        assert_eq!(mirror.current_until(), Ticks::ZERO);
        assert!(mirror.begin_load(1, Duration::ZERO));
        assert_eq!(mirror.apply(&REVOCATION), Applied::StaysFull);
        assert!(!mirror.end_load(1, true, Duration::ZERO), "one is missing");
        assert!(mirror.is_full());
        assert!(!mirror.begin_load(1, MIN_PAUSE / 2), "after a pause only");
        assert!(mirror.begin_load(1, MIN_PAUSE));
        assert!(mirror.end_load(1, true, MIN_PAUSE));
        assert!(!mirror.is_full());
    }

    #[test]
    fn pauses_between_failed_loads_double_up_to_a_limit() {
        let mirror = mirror(9);
        let mut now = Duration::ZERO;
        for pause in [100, 200, 400, 800, 1_000, 1_000] {
            assert!(mirror.begin_load(1, now));
            assert!(!mirror.end_load(1, false, now));
            let at = mirror.next_load(1).expect("a load is needed");
            assert_eq!((at - now).as_millis(), pause);
            now = at;
        }
    }
}
