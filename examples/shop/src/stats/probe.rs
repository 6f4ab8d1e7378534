//! Measures the time of one lookup when a report is requested.
//!
//! Owns a session in the shop's cache, if that is a local one, and reads it repeatedly, so it
//! measures a session that is in the processor's caches. Its reads are subtracted from the hits, so
//! that requesting the figures does not change them.

use std::{
    hint::black_box,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use sessile::{SessionCache, SessionId, stats::Stats};
use sessile_tower::Cache;

/// The length of the probe's session, in bytes.
pub(crate) const SIZE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Probe(Mutex<State>);

/// The result of a measurement: the engine's figures without the probe's reads, and the time of a
/// lookup if the cache has space for the probe's session.
#[derive(Debug)]
pub(super) struct Measurement {
    pub(super) stats: Stats,
    pub(super) lookup: Option<Duration>,
}

#[derive(Debug, Default)]
struct State {
    session: Option<SessionId>,
    reads: u64,
    buffer: BytesMut,
}

impl Probe {
    /// Measures and reads the figures under one lock, so that concurrent reports do not include
    /// each other's reads.
    pub(super) fn measure_with(&self, cache: &Cache) -> Measurement {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lookup = cache.local().and_then(|cache| state.measure(cache));
        let mut stats = cache.stats();
        stats.hits = stats.hits.saturating_sub(state.reads);
        Measurement { stats, lookup }
    }
}

impl State {
    /// Returns the median of the rounds, so that an interruption by the system does not matter.
    fn measure(&mut self, cache: &SessionCache) -> Option<Duration> {
        let session = self.session(cache)?;
        let mut rounds = [Duration::ZERO; ROUNDS];
        for round in &mut rounds {
            let start = Instant::now();
            for _ in 0..READS {
                let found = cache.load(black_box(&session), &mut self.buffer)?;
                self.reads += 1;
                black_box((found.version, &self.buffer[..]));
            }
            *round = start.elapsed() / READS;
        }
        rounds.sort_unstable();
        Some(rounds[ROUNDS / 2])
    }

    /// Returns the probe's session. It is created at the first call, and again after it expired or
    /// was evicted.
    fn session(&mut self, cache: &SessionCache) -> Option<SessionId> {
        let kept = self
            .session
            .filter(|session| cache.load(session, &mut self.buffer).is_some());
        self.reads += u64::from(kept.is_some());
        self.session = kept.or_else(|| {
            let made = cache.create(&[b'p'; SIZE]);
            made.ok().map(|made| made.id)
        });
        self.session
    }
}

const ROUNDS: usize = 16;
const READS: u32 = 64;
