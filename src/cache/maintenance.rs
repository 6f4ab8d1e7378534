//! Frees the memory of expired sessions, by a call or by a thread that the application starts.

use core::fmt;
use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
};

use super::SessionCache;
use crate::clock::TICK;

/// The result of one call of [`SessionCache::maintain`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaintenanceReport {
    /// Entries visited.
    pub visited: usize,
    /// Expired sessions whose memory was freed.
    pub expired: usize,
    /// True if more entries were due when the budget was spent.
    pub more: bool,
}

/// A thread that frees the memory of expired sessions. Dropping this stops and joins the thread.
pub struct MaintenanceThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MaintenanceThread {
    pub(super) fn start(cache: SessionCache) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let work = move || {
            loop {
                let more = cache.maintain(BUDGET).more;
                let pause = if more {
                    std::time::Duration::ZERO
                } else {
                    TICK
                };
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new()
            .name("sessile".to_owned())
            .spawn(work)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for MaintenanceThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread leaves nothing to clean up.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for MaintenanceThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaintenanceThread(..)")
    }
}

/// Entries visited between two checks for the stop signal.
const BUDGET: usize = 4_096;
