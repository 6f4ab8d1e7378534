//! Giving memory back without being asked: by a call, or by a thread that the application starts.

use core::fmt;
use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
};

use super::SessionCache;
use crate::clock::TICK;

/// What one call of [`SessionCache::maintain`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaintenanceReport {
    /// Entries looked at.
    pub visited: usize,
    /// Sessions whose memory was given back.
    pub expired: usize,
    /// Whether more were due when the budget was spent.
    pub more: bool,
}

/// A thread that keeps a cache's memory free of expired sessions. It stops, and is waited for, when this
/// is dropped.
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
            // It holds nothing that a panic of it would leave undone.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for MaintenanceThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaintenanceThread(..)")
    }
}

/// Entries looked at between two looks at whether to stop.
const BUDGET: usize = 4_096;
