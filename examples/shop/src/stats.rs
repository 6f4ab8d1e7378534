//! What `/stats` shows: the engine's own figures beside what the process and one lookup cost.
//!
//! Owns the instruments. Each measures what its name says and counts itself out: the lookups of the
//! [`probe`] are not in the hits. Knows the texts of the figures, not the page that holds them.

mod chart;
mod journal;
mod probe;
mod report;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use sessile::SessionCache;

pub(crate) use chart::{HEIGHT, INTERVAL, WIDTH};
pub(crate) use journal::KEPT;
pub(crate) use report::{LATEST, Report};

use crate::robots::Progress;
use chart::{Chart, Sample};
use journal::Journal;
use probe::Probe;

/// The instruments of one shop.
#[derive(Debug)]
pub(crate) struct Instruments {
    started: Instant,
    chart: Mutex<Chart>,
    journal: Mutex<Journal>,
    probe: Probe,
}

impl Instruments {
    /// For a cache of that many bytes.
    pub(crate) fn new(budget: usize) -> Self {
        let chart = Mutex::new(Chart::new(budget as u64));
        let journal = Mutex::new(Journal::default());
        Self {
            started: Instant::now(),
            chart,
            journal,
            probe: Probe::default(),
        }
    }

    /// Takes a sample of the memory for the chart, and the events that came since the last one.
    pub(crate) fn sample(&self, cache: &SessionCache) {
        self.journal().listen(cache);
        let used = cache.stats().memory.used as u64;
        self.chart().push(Sample {
            used,
            resident: resident(),
        });
    }

    /// Reads every instrument. `you` is the name of whoever asks and is signed in.
    pub(crate) fn read(&self, cache: &SessionCache, robots: Progress, you: Option<&str>) -> Report {
        let seen = self.probe.observe(cache);
        let uptime = self.started.elapsed();
        let mut journal = self.journal();
        journal.listen(cache);
        Report {
            engine: seen.stats,
            lookup: seen.lookup,
            capacity: cache.capacity_for(probe::SIZE) as u64,
            resident: resident(),
            uptime,
            happened: journal.happened(uptime),
            lines: self.chart().lines(),
            robots,
            you: you.map(str::to_owned),
        }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chart(&self) -> MutexGuard<'_, Chart> {
        self.chart.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process's resident memory in bytes, where the system tells (Linux).
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
