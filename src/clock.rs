//! Time in ticks of 100 ms since the clock was created.
//!
//! The system clock counts time in suspend and never goes back; setting the wall clock does not
//! change it. The manual clock is moved only by `advance`. This module does not know what a session
//! is.

use std::{sync::Arc, time::Duration};

use crate::sync::{AtomicU32, AtomicU64, Relaxed};

/// A time or a span in ticks. The last value, 13.6 years, is after every deadline.
pub(crate) type Tick = u32;

/// The length of a tick.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The clock of a cache: the system's, or a [`ManualClock`].
///
/// Cheap to clone; clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

/// A clock that is moved only by [`advance`](Self::advance), for tests of expiry that do not wait.
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
    /// Creates a clock that follows the system's. On Linux it counts the time in suspend, at most
    /// one tick late after a resume. Elsewhere it is the standard library's monotonic clock.
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

    /// Advances the clock by `by`. It stops after 584 years.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        // `Relaxed`: the clones share only this word, and it orders nothing else.
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

/// Converts a span to whole ticks, rounded down. A span over 13.6 years becomes `Tick::MAX`.
pub(crate) fn to_tick(span: Duration) -> Tick {
    Tick::try_from(span.as_millis() / TICK.as_millis()).unwrap_or(Tick::MAX)
}

/// Converts ticks to a span.
pub(crate) fn to_duration(ticks: Tick) -> Duration {
    TICK * ticks
}

/// The system clock.
///
/// The coarse clock takes 6 ns to read and stops in suspend. The boot clock takes 24 ns and does
/// not stop. The boot clock is read only when the coarse clock has moved since the last reading.
#[derive(Debug)]
struct System {
    start: Duration,
    /// The time that the clock showed at its start.
    ahead: Duration,
    last_coarse: AtomicU64,
    tick: AtomicU32,
}

impl System {
    fn new() -> Self {
        Self::starting(boot_time(), Duration::ZERO)
    }

    fn starting(start: Duration, ahead: Duration) -> Self {
        Self {
            start,
            ahead,
            last_coarse: AtomicU64::new(0),
            tick: AtomicU32::new(to_tick(ahead)),
        }
    }

    fn ahead_by(&self, span: Duration) -> Self {
        Self::starting(self.start, self.ahead.saturating_add(span))
    }

    #[inline]
    fn now(&self) -> Tick {
        let coarse = coarse_time();
        if self.last_coarse.load(Relaxed) != coarse {
            self.refresh(coarse);
        }
        self.tick.load(Relaxed)
    }

    /// Reads the boot clock.
    ///
    /// All accesses are relaxed. A thread that sees another thread's `last_coarse` before its
    /// `tick` returns the previous tick, and the next refresh corrects that. `fetch_max` keeps the
    /// time from going back when an older reading is stored late.
    #[cold]
    fn refresh(&self, coarse: u64) {
        let elapsed = boot_time().saturating_sub(self.start);
        let tick = to_tick(elapsed.saturating_add(self.ahead));
        self.tick.fetch_max(tick, Relaxed);
        self.last_coarse.store(coarse, Relaxed);
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn coarse_time() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    // Nanoseconds are below 2^30, so two values are equal only if the readings are.
    ((now.tv_sec as u64) << 30) | now.tv_nsec as u64
}

#[cfg(target_os = "linux")]
fn boot_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[cfg(not(target_os = "linux"))]
fn coarse_time() -> u64 {
    boot_time().as_millis() as u64
}

#[cfg(not(target_os = "linux"))]
fn boot_time() -> Duration {
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
