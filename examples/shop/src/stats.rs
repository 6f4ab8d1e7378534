//! The figures of `/stats`: those of the engine, the memory of the process, and the time of a
//! lookup.
//!
//! Owns the instruments. The reads of the [`probe`] are not included in the hits. The module owns
//! the texts of the figures and does not know the page.

mod chart;
mod journal;
mod probe;
mod report;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use sessile_tower::Cache;

pub(crate) use chart::{HEIGHT, INTERVAL, WIDTH};
pub(crate) use journal::EVENT_QUEUE_LEN;
pub(crate) use report::{LATEST, Report};

use crate::robots::Progress;
use chart::{Chart, Sample};
use journal::Journal;
use probe::Probe;

/// The instruments of a shop.
#[derive(Debug)]
pub(crate) struct Instruments {
    started: Instant,
    chart: Mutex<Chart>,
    journal: Mutex<Journal>,
    probe: Probe,
}

impl Instruments {
    /// Creates the instruments for a cache of `budget` bytes.
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

    /// Records the memory for the chart, and the events since the last sample.
    pub(crate) fn sample(&self, cache: &Cache) {
        self.journal().drain(cache);
        let used = cache.stats().memory.used as u64;
        self.chart().push(Sample {
            used,
            resident: resident(),
        });
    }

    /// Reads every instrument. `you` is the name of the signed-in user who requests the report.
    pub(crate) fn read(&self, cache: &Cache, robots: Progress, you: Option<&str>) -> Report {
        let seen = self.probe.measure_with(cache);
        let uptime = self.started.elapsed();
        let mut journal = self.journal();
        journal.drain(cache);
        Report {
            engine: seen.stats,
            lookup: seen.lookup,
            capacity: cache.capacity_for(probe::SIZE) as u64,
            resident: resident(),
            uptime,
            events: journal.events(uptime),
            lines: self.chart().lines(),
            robots,
            store: cache.store_health(),
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

/// Returns the resident memory of the process in bytes; `None` on systems other than Linux.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
