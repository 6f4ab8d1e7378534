//! Statistics in the text exposition format of Prometheus, version 0.0.4.
//!
//! Each family of samples follows its `HELP` and `TYPE` lines. Names begin with `sessile_` and
//! contain their unit, and names of counters end in `_total`. Labels contain no application values,
//! so none needs escaping.

use core::fmt;

use super::stats::{EvictionCounts, MemoryUsage, RejectionCounts, SessionCounts, Stats};

/// Statistics, displayed as text.
struct Exposition<'a>(&'a Stats);

impl Stats {
    /// Returns the statistics in the text format of Prometheus, to be served as `text/plain;
    /// version=0.0.4`. Formatting does not allocate.
    ///
    /// ```
    /// use sessile::{KeyRing, SessionCache};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
    /// let text = cache.stats().prometheus().to_string();
    ///
    /// assert!(text.contains("\nsessile_memory_budget_bytes 8388608\n"));
    /// assert!(text.contains("\nsessile_rejected_total{cause=\"forged\"} 0\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prometheus(&self) -> impl fmt::Display {
        Exposition(self)
    }
}

impl fmt::Display for Exposition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.0;
        write_memory(f, stats.memory)?;
        write_sessions(f, stats.sessions)?;
        let reads = [("hit", stats.hits), ("miss", stats.misses)];
        counters(f, "reads", "Session reads by result.", "result", &reads)?;
        write_rejected(f, stats.rejected)?;
        write_evicted(f, stats.evicted)?;
        let plain = plain_counters(stats);
        plain
            .iter()
            .try_for_each(|(name, help, value)| counter(f, name, help, *value))
    }
}

/// Returns the name, the help and the value of each counter without a label.
///
/// Every field of the statistics is destructured, so that a new field without a family does not
/// compile.
fn plain_counters(stats: &Stats) -> [(&'static str, &'static str, u64); 13] {
    let Stats {
        memory: _,
        sessions: _,
        hits: _,
        misses: _,
        rejected: _,
        created,
        admission_denied,
        saved,
        conflicts,
        rotated,
        signed_in,
        ended,
        session_limit_hits,
        expired,
        evicted: _,
        full,
        compactions,
        events_dropped,
        shard_resets,
    } = *stats;
    [
        ("created", "Sessions created.", created),
        (
            "admission_denied",
            "Session creations denied by the admission hook.",
            admission_denied,
        ),
        ("saved", "Saves that stored data.", saved),
        (
            "conflicts",
            "Saves rejected because of a concurrent save.",
            conflicts,
        ),
        ("rotated", "Session ids rotated, without sign-ins.", rotated),
        ("signed_in", "Sign-ins.", signed_in),
        ("ended", "Sessions ended.", ended),
        (
            "session_limit_hits",
            "Sign-ins of users who had reached max_sessions_per_user.",
            session_limit_hits,
        ),
        (
            "expired",
            "Expired sessions whose memory was freed.",
            expired,
        ),
        (
            "full",
            "Writes that failed because the cache was full.",
            full,
        ),
        (
            "compactions",
            "Memory blocks moved to make room.",
            compactions,
        ),
        (
            "dropped_events",
            "Events dropped because the queue was full.",
            events_dropped,
        ),
        (
            "shard_resets",
            "Shards reset after an internal panic.",
            shard_resets,
        ),
    ]
}

/// Writes one family per value: capacities and current use in one family would have no meaningful
/// sum.
fn write_memory(f: &mut fmt::Formatter<'_>, memory: MemoryUsage) -> fmt::Result {
    let MemoryUsage {
        budget,
        capacity,
        used,
        authenticated,
    } = memory;
    [
        ("budget", "Memory that the cache was built with.", budget),
        ("capacity", "Memory available to sessions.", capacity),
        ("used", "Memory used by sessions.", used),
        (
            "authenticated",
            "Memory used by authenticated sessions.",
            authenticated,
        ),
    ]
    .iter()
    .try_for_each(|(part, help, bytes)| {
        let name = format_args!("sessile_memory_{part}_bytes");
        family(f, name, "gauge", help, "", &[("", *bytes as u64)])
    })
}

fn write_sessions(f: &mut fmt::Formatter<'_>, sessions: SessionCounts) -> fmt::Result {
    let SessionCounts {
        probation,
        anonymous,
        authenticated,
        aliases,
    } = sessions;
    let samples = [
        ("probation", probation as u64),
        ("anonymous", anonymous as u64),
        ("authenticated", authenticated as u64),
    ];
    let help = "Stored sessions, by class.";
    family(f, "sessile_sessions", "gauge", help, "class", &samples)?;
    let help = "Remembered ids of rotated sessions.";
    family(
        f,
        "sessile_aliases",
        "gauge",
        help,
        "",
        &[("", aliases as u64)],
    )
}

fn write_rejected(f: &mut fmt::Formatter<'_>, rejected: RejectionCounts) -> fmt::Result {
    let RejectionCounts {
        malformed,
        forged,
        unknown,
        expired,
        reused,
    } = rejected;
    let samples = [
        ("malformed", malformed),
        ("forged", forged),
        ("unknown", unknown),
        ("expired", expired),
        ("reused", reused),
    ];
    counters(
        f,
        "rejected",
        "Rejected tokens and ids, by cause.",
        "cause",
        &samples,
    )
}

fn write_evicted(f: &mut fmt::Formatter<'_>, evicted: EvictionCounts) -> fmt::Result {
    let EvictionCounts {
        aliases,
        probation,
        anonymous,
        authenticated,
    } = evicted;
    let samples = [
        ("alias", aliases),
        ("probation", probation),
        ("anonymous", anonymous),
        ("authenticated", authenticated),
    ];
    counters(
        f,
        "evicted",
        "Entries evicted, by class.",
        "class",
        &samples,
    )
}

fn counter(f: &mut fmt::Formatter<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    counters(f, name, help, "", &[("", value)])
}

fn counters(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    help: &str,
    label: &str,
    samples: &[(&str, u64)],
) -> fmt::Result {
    family(
        f,
        format_args!("sessile_{name}_total"),
        "counter",
        help,
        label,
        samples,
    )
}

/// Writes the samples of one name, with `label` and their class unless `label` is empty.
fn family(
    f: &mut fmt::Formatter<'_>,
    name: impl fmt::Display,
    kind: &str,
    help: &str,
    label: &str,
    samples: &[(&str, u64)],
) -> fmt::Result {
    writeln!(f, "# HELP {name} {help}")?;
    writeln!(f, "# TYPE {name} {kind}")?;
    for (class, value) in samples {
        if label.is_empty() {
            writeln!(f, "{name} {value}")?;
        } else {
            writeln!(f, "{name}{{{label}=\"{class}\"}} {value}")?;
        }
    }
    Ok(())
}
