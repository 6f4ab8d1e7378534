//! Times during which the machine ran nothing, for bounds that hold on a machine that runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// Measures pauses until it is dropped.
pub struct Pauses {
    micros: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Pauses {
    pub fn watch() -> Self {
        let pauses = Self {
            micros: Arc::default(),
            is_over: Arc::default(),
        };
        let (micros, is_over) = (Arc::clone(&pauses.micros), Arc::clone(&pauses.is_over));
        thread::spawn(move || {
            while !is_over.load(Relaxed) {
                let began = Instant::now();
                thread::sleep(STEP);
                let extra = began.elapsed().saturating_sub(STEP);
                if extra > MIN_PAUSE {
                    micros.fetch_add(extra.as_micros() as u64, Relaxed);
                }
            }
        });
        pauses
    }

    /// Returns the sum of all pauses.
    pub fn total(&self) -> Duration {
        // The watch may have to run first.
        thread::sleep(2 * STEP);
        Duration::from_micros(self.micros.load(Relaxed))
    }
}

impl Drop for Pauses {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
    }
}

const STEP: Duration = Duration::from_millis(20);
const MIN_PAUSE: Duration = Duration::from_millis(100);
