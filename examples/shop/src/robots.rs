//! A load generator: robots that each create a session and never return the cookie.
//!
//! Owns one wave at a time and its progress. A wave runs on a blocking thread, in batches. After
//! each batch it publishes its progress, stops if the shop is closing, and yields.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use sessile::{CreateOptions, Error, IssuedSession, Timeouts};
use sessile_tower::Cache;

/// The robots of a shop.
#[derive(Debug)]
pub(crate) struct Robots {
    progress: Mutex<Progress>,
    timeouts: Timeouts,
    closing: AtomicBool,
}

/// The progress of the last wave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) running: bool,
    /// The number of robots of a wave.
    pub(crate) wave: u64,
    /// The number of sessions created.
    pub(crate) released: u64,
    /// The number of sessions that the cache had no space for.
    pub(crate) rejected: u64,
    pub(crate) took: Duration,
}

impl Robots {
    /// Creates the robots. `wave` is the number of robots of a wave, `timeouts` those of their
    /// sessions.
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

    /// Releases a wave in the background. Returns false if one is running already or the shop is
    /// closing.
    ///
    /// Must be called on a tokio runtime.
    pub(crate) fn release(self: &Arc<Self>, cache: &Cache) -> bool {
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

    /// Stops the current wave after its batch, and prevents further ones.
    pub(crate) fn close(&self) {
        // The flag publishes no other data, and a delay of one batch is check_name.
        self.closing.store(true, Relaxed);
    }

    fn run(&self, mut progress: Progress, cache: &Cache) {
        let start = Instant::now();
        while progress.running {
            let left = progress.wave - progress.released - progress.rejected;
            for _ in 0..left.min(BATCH) {
                progress.visit(cache, self.timeouts);
            }
            progress.running = left > BATCH && !self.closing.load(Relaxed);
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
    /// Creates a session of 32 to 480 bytes, 256 on average.
    fn visit(&mut self, cache: &Cache, timeouts: Timeouts) {
        let number = self.released + self.rejected;
        let len = MIN_LEN + (number * 37 % (MAX_LEN - MIN_LEN + 1) as u64) as usize;
        let new = CreateOptions::new().timeouts(timeouts);
        match create(cache, &[b'r'; MAX_LEN][..len], new) {
            Ok(_) => self.released += 1,
            Err(_) => self.rejected += 1,
        }
    }
}

/// Creates a session. It blocks with a store: a wave has a thread of its own.
fn create(cache: &Cache, data: &[u8], new: CreateOptions<'_>) -> Result<IssuedSession, Error> {
    match cache {
        Cache::Tiered(cache) => cache.blocking().create_with(data, new),
        Cache::Local(cache) => cache.create_with(data, new),
    }
}

const MIN_LEN: usize = 32;
const MAX_LEN: usize = 480;

/// The robots of a batch, which takes about a millisecond.
const BATCH: u64 = 1_000;

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
        let cache = Cache::from(cache.build().expect("that is enough"));
        let robots = Arc::new(Robots::new(3, Timeouts::new()));
        let (begin, begun) = mpsc::channel();
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(1)
            .build();
        let runtime = runtime.expect("there are threads");
        // The only blocking thread is busy until the test releases it.
        let busy = runtime.spawn_blocking(move || begun.recv());
        let _inside = runtime.enter();
        assert!(robots.release(&cache));
        assert!(!robots.release(&cache), "the first has not even begun");

        begin.send(()).expect("it listens");
        runtime
            .block_on(busy)
            .expect("it ends")
            .expect("the sender is alive");
        while robots.progress().running {
            thread::yield_now();
        }
        assert_eq!((robots.progress().released, cache.stats().created), (3, 3));
        assert!(robots.release(&cache), "and then the next may come");
        robots.close();
    }
}
