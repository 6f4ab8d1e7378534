//! Time in ticks of 100 ms since the clock was made.
//!
//! The system clock counts suspend and never goes back; a step of the wall clock does not move it.
//! The manual clock moves only by `advance`. Nothing here knows what a session is.

use std::{sync::Arc, time::Duration};

use crate::sync::{AtomicU32, AtomicU64, Relaxed};

/// The tick: what a deadline is counted in. The last one, after 13.6 years, is past every deadline.
pub(crate) type Tick = u32;

/// The length of a tick.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The clock that a cache reads: the machine's, or a [`ManualClock`].
///
/// Cheap to clone; clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

/// A clock that only [`advance`](Self::advance) moves, for tests of expiry that do not wait.
///
/// Cheap to clone; clones show the same time.
///
/// ```
/// use std::time::Duration;
/// use sessile::{KeyRing, ManualClock, SessionCache};
///
/// let clock = ManualClock::new();
/// let cache = SessionCache::builder()
///     .memory(4 << 20)
///     .idle_timeout(Duration::from_secs(60))
///     .keys(KeyRing::generate()?)
///     .clock(clock.clone())
///     .build()?;
/// let made = cache.create(b"hello")?;
/// let mut buffer = bytes::BytesMut::new();
///
/// clock.advance(Duration::from_secs(59));
/// assert!(cache.load(&made.id, &mut buffer).is_some());
/// clock.advance(Duration::from_secs(60));
/// assert!(cache.load(&made.id, &mut buffer).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

#[derive(Clone, Debug)]
enum Source {
    System(Arc<System>),
    Manual(ManualClock),
    /// Behind one pointer, so that a clock takes two words whichever it is.
    ManualAhead(Arc<(ManualClock, Duration)>),
}

impl Clock {
    /// Creates the machine's clock. On Linux it counts the time that the machine was suspended, at most one
    /// tick late after a resume; elsewhere it is the standard library's monotonic clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(Arc::new(System::new())))
    }

    /// Returns a clock that shows `span` more than this one. The difference is part of its start,
    /// so reading it takes no longer.
    pub(crate) fn ahead_by(&self, span: Duration) -> Self {
        Self(match &self.0 {
            Source::System(clock) => Source::System(Arc::new(clock.ahead_by(span))),
            Source::Manual(clock) => Source::ManualAhead(Arc::new((clock.clone(), span))),
            Source::ManualAhead(pair) => {
                let (clock, ahead) = &**pair;
                Source::ManualAhead(Arc::new((clock.clone(), ahead.saturating_add(span))))
            }
        })
    }

    #[inline]
    pub(crate) fn now(&self) -> Tick {
        match &self.0 {
            Source::System(clock) => clock.now(),
            Source::Manual(clock) => to_tick(clock.elapsed()),
            Source::ManualAhead(pair) => sum(pair),
        }
    }
}

/// Reads a manual clock that is ahead, out of the code of a hit.
#[cold]
fn sum((clock, ahead): &(ManualClock, Duration)) -> Tick {
    to_tick(clock.elapsed().saturating_add(*ahead))
}

impl ManualClock {
    /// Creates a clock at zero.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// Moves the clock forward by `by`. It stops at its end after 584 years.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        // `Relaxed`: the one word is all that the clones share; it orders nothing else.
        let _ = self
            .0
            .fetch_update(Relaxed, Relaxed, |now| Some(now.saturating_add(by)));
    }

    #[inline]
    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Self {
        Self(Source::Manual(clock))
    }
}

/// A span in whole ticks, rounded down; spans over 13.6 years count as never ending.
pub(crate) fn to_tick(span: Duration) -> Tick {
    Tick::try_from(span.as_millis() / TICK.as_millis()).unwrap_or(Tick::MAX)
}

/// The span of so many ticks.
pub(crate) fn to_duration(ticks: Tick) -> Duration {
    TICK * ticks
}

/// The coarse clock costs 6 ns and stands still in suspend, the boot clock costs 24 and does not:
/// the second is asked only when the first has moved since the last look.
#[derive(Debug)]
struct System {
    start: Duration,
    /// What it showed at its start.
    ahead: Duration,
    seen: AtomicU64,
    tick: AtomicU32,
}

impl System {
    fn new() -> Self {
        Self::starting(boot(), Duration::ZERO)
    }

    fn starting(start: Duration, ahead: Duration) -> Self {
        Self {
            start,
            ahead,
            seen: AtomicU64::new(0),
            tick: AtomicU32::new(to_tick(ahead)),
        }
    }

    fn ahead_by(&self, span: Duration) -> Self {
        Self::starting(self.start, self.ahead.saturating_add(span))
    }

    #[inline]
    fn now(&self) -> Tick {
        let coarse = coarse();
        if self.seen.load(Relaxed) != coarse {
            self.look(coarse);
        }
        self.tick.load(Relaxed)
    }

    /// A thread that sees another's `seen` before its `tick` still reads the tick of before; the next look
    /// mends that. `fetch_max` keeps the hand from going back.
    #[cold]
    fn look(&self, coarse: u64) {
        let elapsed = boot().saturating_sub(self.start);
        let tick = to_tick(elapsed.saturating_add(self.ahead));
        self.tick.fetch_max(tick, Relaxed);
        self.seen.store(coarse, Relaxed);
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn coarse() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    // Nanoseconds are less than 2^30: two readings are equal if these are.
    ((now.tv_sec as u64) << 30) | now.tv_nsec as u64
}

#[cfg(target_os = "linux")]
fn boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[cfg(not(target_os = "linux"))]
fn coarse() -> u64 {
    boot().as_millis() as u64
}

#[cfg(not(target_os = "linux"))]
fn boot() -> Duration {
    use std::{sync::LazyLock, time::Instant};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_round_down_and_saturate() {
        assert_eq!(to_tick(Duration::ZERO), 0);
        assert_eq!(to_tick(Duration::from_millis(199)), 1);
        assert_eq!(to_tick(Duration::MAX), Tick::MAX);
        assert_eq!(to_duration(15), Duration::from_millis(1_500));
    }

    #[test]
    fn a_manual_clock_adds_up_and_stops_at_its_end() {
        let clock = ManualClock::new();
        let shown = Clock::from(clock.clone());
        clock.advance(Duration::from_millis(50));
        assert_eq!(shown.now(), 0);
        clock.clone().advance(Duration::from_millis(50));
        assert_eq!(shown.now(), 1);
        clock.advance(Duration::MAX);
        assert_eq!(shown.now(), Tick::MAX);
    }

    #[test]
    fn the_system_clock_starts_at_zero_and_never_goes_back() {
        let clock = Clock::system();
        let mut last = clock.now();
        assert!(last < 600, "a fresh clock shows {last} ticks");
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn a_clock_that_is_ahead_shows_that_much_more() {
        let hour = Duration::from_secs(3_600);
        let clock = ManualClock::new();
        let ahead = Clock::from(clock.clone()).ahead_by(hour).ahead_by(TICK);
        assert_eq!(ahead.now(), 36_001);
        clock.advance(TICK);
        assert_eq!((ahead.now(), Clock::from(clock).now()), (36_002, 1));

        let system = Clock::system();
        let ahead = system.ahead_by(hour);
        let (before, shown) = (system.now(), ahead.now());
        assert!((before + 36_000..=system.now() + 36_000).contains(&shown));
    }
}
