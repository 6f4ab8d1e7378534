//! A barrier that spins instead of calling the operating system, so that threads continue at the
//! same moment.

#![allow(dead_code)]

use std::{
    hint,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

/// A point at which each of several threads arrives once.
#[derive(Default)]
pub(crate) struct Barrier(AtomicUsize);

impl Barrier {
    /// Waits until `threads` threads have arrived. There may be more of them than cores.
    pub(crate) fn wait_for(&self, threads: usize) {
        self.0.fetch_add(1, SeqCst);
        while !self.spin(threads, LONG_WAIT) {
            thread::yield_now();
        }
    }

    /// Waits for `threads` threads for a bounded time only: on a busy machine one of them is often
    /// not scheduled. A thread that arrives late finds the others' arrivals and catches up.
    pub(crate) fn wait_briefly_for(&self, threads: usize) {
        self.0.fetch_add(1, SeqCst);
        self.spin(threads, SHORT_WAIT);
    }

    /// Returns true if `threads` threads arrived within `turns` turns.
    fn spin(&self, threads: usize, mut turns: u32) -> bool {
        while self.0.load(SeqCst) < threads {
            if turns == 0 {
                return false;
            }
            turns -= 1;
            hint::spin_loop();
        }
        true
    }
}

/// Turns of a wait: some 300 µs, and some 15 µs, which is long enough for several verbs.
const LONG_WAIT: u32 = 20_000;
const SHORT_WAIT: u32 = 1_000;
