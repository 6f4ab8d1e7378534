//! Visitors who never come back, by the million: each makes a session and drops its cookie.
//!
//! Owns one wave at a time and its progress. A wave runs on a blocking thread, in slices; between
//! two slices it publishes how far it is, looks whether the shop is closing, and lets others run.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use sessile::{CreateOptions, SessionCache, Timeouts};

/// The robots of one shop.
#[derive(Debug)]
pub(crate) struct Robots {
    progress: Mutex<Progress>,
    timeouts: Timeouts,
    closing: AtomicBool,
}

/// How far the last wave is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) running: bool,
    /// How many a wave has.
    pub(crate) wave: u64,
    /// Sessions made for robots.
    pub(crate) released: u64,
    /// Robots that the cache had no room for.
    pub(crate) refused: u64,
    pub(crate) took: Duration,
}

impl Robots {
    /// None is released yet; a wave will have so many, with those timeouts.
    pub(crate) fn new(wave: u64, timeouts: Timeouts) -> Self {
        let progress = Progress {
            wave,
            ..Progress::default()
        };
        Self {
            progress: Mutex::new(progress),
            timeouts,
            closing: AtomicBool::new(false),
        }
    }

    /// Releases a wave and returns at once; whether it did, for there is only one at a time.
    ///
    /// Must be called on a tokio runtime.
    pub(crate) fn release(self: &Arc<Self>, cache: &SessionCache) -> bool {
        let mut progress = self.locked();
        if progress.running || self.closing.load(Relaxed) {
            return false;
        }
        let fresh = Progress {
            running: true,
            wave: progress.wave,
            ..Progress::default()
        };
        *progress = fresh;
        let (robots, cache) = (Arc::clone(self), cache.clone());
        drop(tokio::task::spawn_blocking(move || {
            robots.run(fresh, &cache);
        }));
        true
    }

    pub(crate) fn progress(&self) -> Progress {
        *self.locked()
    }

    /// Stops the wave within a slice and lets no other begin.
    pub(crate) fn close(&self) {
        // Nothing is handed over with the flag: late by a slice is soon enough.
        self.closing.store(true, Relaxed);
    }

    fn run(&self, mut progress: Progress, cache: &SessionCache) {
        let start = Instant::now();
        while progress.running {
            let left = progress.wave - progress.released - progress.refused;
            for _ in 0..left.min(SLICE) {
                progress.visit(cache, self.timeouts);
            }
            progress.running = left > SLICE && !self.closing.load(Relaxed);
            progress.took = start.elapsed();
            *self.locked() = progress;
            thread::yield_now();
        }
    }

    fn locked(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Robots come with 32 to 480 bytes each, 256 on average.
    fn visit(&mut self, cache: &SessionCache, timeouts: Timeouts) {
        let number = self.released + self.refused;
        let len = SHORTEST + (number * 37 % (LONGEST - SHORTEST + 1) as u64) as usize;
        let new = CreateOptions::new().timeouts(timeouts);
        match cache.create_with(&[b'r'; LONGEST][..len], new) {
            Ok(_) => self.released += 1,
            Err(_) => self.refused += 1,
        }
    }
}

const SHORTEST: usize = 32;
const LONGEST: usize = 480;

/// Robots between two looks around: about a millisecond.
const SLICE: u64 = 1_000;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use sessile::{KeyRing, SessionCache};
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn there_is_one_wave_at_a_time() {
        let cache = SessionCache::builder()
            .memory(4 << 20)
            .keys(KeyRing::generate().expect("the system has some"));
        let cache = cache.build().expect("that is enough");
        let robots = Arc::new(Robots::new(3, Timeouts::new()));
        let (begin, begun) = mpsc::channel();
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(1)
            .build();
        let runtime = runtime.expect("there are threads");
        // The one thread for waves has something else to do until we say so.
        let busy = runtime.spawn_blocking(move || begun.recv());
        let _inside = runtime.enter();
        assert!(robots.release(&cache));
        assert!(!robots.release(&cache), "the first has not even begun");

        begin.send(()).expect("it listens");
        runtime
            .block_on(busy)
            .expect("it ends")
            .expect("it is told");
        while robots.progress().running {
            thread::yield_now();
        }
        assert_eq!((robots.progress().released, cache.stats().created), (3, 3));
        assert!(robots.release(&cache), "and then the next may come");
        robots.close();
    }
}
