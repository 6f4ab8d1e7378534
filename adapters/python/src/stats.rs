//! A cache's statistics as a dict of numbers.

use pyo3::{prelude::*, types::PyDict};
use sessile::stats::Stats;

/// Returns a dict with one item for each counter and gauge, named as in `Stats`. The fields of a
/// nested struct have its name as prefix.
pub(crate) fn dict<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    sizes(stats)
        .iter()
        .try_for_each(|(name, number)| dict.set_item(name, number))?;
    counts(stats)
        .iter()
        .try_for_each(|(name, number)| dict.set_item(name, number))?;
    Ok(dict)
}

fn sizes(stats: &Stats) -> [(&'static str, usize); 8] {
    [
        ("memory_budget", stats.memory.budget),
        ("memory_capacity", stats.memory.capacity),
        ("memory_used", stats.memory.used),
        ("memory_authenticated", stats.memory.authenticated),
        ("sessions_probation", stats.sessions.probation),
        ("sessions_anonymous", stats.sessions.anonymous),
        ("sessions_authenticated", stats.sessions.authenticated),
        ("sessions_aliases", stats.sessions.aliases),
    ]
}

fn counts(stats: &Stats) -> [(&'static str, u64); 24] {
    [
        ("hits", stats.hits),
        ("misses", stats.misses),
        ("rejected_malformed", stats.rejected.malformed),
        ("rejected_forged", stats.rejected.forged),
        ("rejected_unknown", stats.rejected.unknown),
        ("rejected_expired", stats.rejected.expired),
        ("rejected_reused", stats.rejected.reused),
        ("created", stats.created),
        ("admission_denied", stats.admission_denied),
        ("saved", stats.saved),
        ("conflicts", stats.conflicts),
        ("rotated", stats.rotated),
        ("signed_in", stats.signed_in),
        ("ended", stats.ended),
        ("session_limit_hits", stats.session_limit_hits),
        ("expired", stats.expired),
        ("evicted_aliases", stats.evicted.aliases),
        ("evicted_probation", stats.evicted.probation),
        ("evicted_anonymous", stats.evicted.anonymous),
        ("evicted_authenticated", stats.evicted.authenticated),
        ("full", stats.full),
        ("compactions", stats.compactions),
        ("events_dropped", stats.events_dropped),
        ("shard_resets", stats.shard_resets),
    ]
}
