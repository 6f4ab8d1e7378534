//! A cache's statistics as a dict of numbers.

use pyo3::{prelude::*, types::PyDict};
use sessile::stats::Stats;

/// One number a name; those of a group have its name in front.
pub(crate) fn dict<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let sizes = [
        ("memory_budget", stats.memory.budget),
        ("memory_capacity", stats.memory.capacity),
        ("memory_used", stats.memory.used),
        ("sessions_probation", stats.sessions.probation),
        ("sessions_anonymous", stats.sessions.anonymous),
        ("sessions_authenticated", stats.sessions.authenticated),
        ("sessions_aliases", stats.sessions.aliases),
    ];
    let counts = [
        ("hits", stats.hits),
        ("misses", stats.misses),
        ("refused_malformed", stats.rejected.malformed),
        ("refused_forged", stats.rejected.forged),
        ("refused_unknown", stats.rejected.unknown),
        ("refused_expired", stats.rejected.expired),
        ("refused_reused", stats.rejected.reused),
        ("created", stats.created),
        ("saved", stats.saved),
        ("conflicts", stats.conflicts),
        ("rotated", stats.rotated),
        ("signed_in", stats.signed_in),
        ("ended", stats.ended),
        ("limited", stats.session_limit_hits),
        ("expired", stats.expired),
        ("evicted_aliases", stats.evicted.aliases),
        ("evicted_probation", stats.evicted.probation),
        ("evicted_anonymous", stats.evicted.anonymous),
        ("evicted_authenticated", stats.evicted.authenticated),
        ("full", stats.full),
        ("events_dropped", stats.events_dropped),
        ("emptied", stats.shard_resets),
    ];
    sizes.iter().try_for_each(|(name, number)| dict.set_item(name, number))?;
    counts.iter().try_for_each(|(name, number)| dict.set_item(name, number))?;
    Ok(dict)
}
