//! Where threads wait for each other without the operating system, so that they go on at the same moment.

#![allow(dead_code)]

use std::{
    hint,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

/// A point at which each of some threads arrives once.
#[derive(Default)]
pub(crate) struct Meeting(AtomicUsize);

impl Meeting {
    /// Waits until so many have come. There may be more of them than cores.
    pub(crate) fn wait_for(&self, threads: usize) {
        self.0.fetch_add(1, SeqCst);
        while !self.spin(threads, MANY) {
            thread::yield_now();
        }
    }

    /// Waits for so many, but not for one that is not at work now: on a busy machine that would be
    /// most of the time. Whoever comes late finds the others there and catches up.
    pub(crate) fn wait_briefly_for(&self, threads: usize) {
        self.0.fetch_add(1, SeqCst);
        self.spin(threads, FEW);
    }

    /// Whether so many came within so many turns.
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

/// Turns of a wait: some 300 µs, and some 15 µs, in which several verbs are done.
const MANY: u32 = 20_000;
const FEW: u32 = 1_000;
