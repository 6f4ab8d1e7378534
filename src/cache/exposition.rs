//! Statistics as text that Prometheus reads: its exposition format, version 0.0.4.
//!
//! One family of samples after the other, each with its help and its type before them. Names begin with
//! `sessile_`, say their unit, and those of counters end in `_total`. No label holds anything of an
//! application's, so none needs escaping.

use core::fmt;

use super::stats::{EvictionCounts, MemoryUsage, RejectionCounts, SessionCounts, Stats};

/// Statistics that are shown as text.
struct Exposition<'a>(&'a Stats);

impl Stats {
    /// The statistics in the text format that Prometheus reads, to be served as
    /// `text/plain; version=0.0.4`. It is written by `Display`, and only that of `String` allocates.
    ///
    /// ```
    /// use sessile::{KeyRing, SessionCache};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
    /// let text = cache.stats().prometheus().to_string();
    ///
    /// assert!(text.contains("\nsessile_memory_bytes{kind=\"budget\"} 8388608\n"));
    /// assert!(text.contains("\nsessile_rejected_total{cause=\"forged\"} 0\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prometheus(&self) -> impl fmt::Display {
        Exposition(self)
    }
}

impl fmt::Display for Exposition<'_> {
    /// Every field has its name here, so that none can be forgotten.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats {
            memory,
            sessions,
            hits,
            misses,
            rejected,
            created,
            admission_denied,
            saved,
            conflicts,
            rotated,
            signed_in,
            ended,
            session_limit_hits,
            expired,
            evicted,
            full,
            compactions,
            events_dropped,
            shard_resets,
        } = *self.0;
        write_memory(f, memory)?;
        write_sessions(f, sessions)?;
        let reads = [("hit", hits), ("miss", misses)];
        counters(f, "reads", "Reads by what came of them.", "result", &reads)?;
        write_rejected(f, rejected)?;
        counter(f, "created", "Sessions created.", created)?;
        counter(
            f,
            "admission_denied",
            "Sessions that the hook rejected to make.",
            admission_denied,
        )?;
        counter(f, "saved", "Saves that stored something.", saved)?;
        counter(f, "conflicts", "Saves rejected since another had come before.", conflicts)?;
        counter(f, "rotated", "Plain rotations.", rotated)?;
        counter(f, "signed_in", "Sign-ins.", signed_in)?;
        counter(f, "ended", "Sessions ended.", ended)?;
        counter(
            f,
            "session_limit_hits",
            "Sign-ins of users at their limit of sessions.",
            session_limit_hits,
        )?;
        counter(f, "expired", "Expired sessions whose memory was given back.", expired)?;
        write_evicted(f, evicted)?;
        counter(f, "full", "Writes rejected for want of room.", full)?;
        counter(f, "compactions", "Blocks compactions to make room.", compactions)?;
        counter(f, "dropped_events", "Events that did not fit the queue.", events_dropped)?;
        counter(
            f,
            "shard_resets",
            "Shards shard_resets after a mistake of the engine.",
            shard_resets,
        )
    }
}

fn write_memory(f: &mut fmt::Formatter<'_>, memory: MemoryUsage) -> fmt::Result {
    let MemoryUsage { budget, capacity, used, authenticated } = memory;
    let samples = [
        ("budget", budget as u64),
        ("capacity", capacity as u64),
        ("used", used as u64),
        ("authenticated", authenticated as u64),
    ];
    let help = "Memory: all, the part of it for sessions, of that used, of that with a user.";
    family(f, "sessile_memory_bytes", "gauge", help, "kind", &samples)
}

fn write_sessions(f: &mut fmt::Formatter<'_>, sessions: SessionCounts) -> fmt::Result {
    let SessionCounts { probation, anonymous, authenticated, aliases } = sessions;
    let samples = [
        ("probation", probation as u64),
        ("anonymous", anonymous as u64),
        ("authenticated", authenticated as u64),
    ];
    let help = "Sessions that are held, by class.";
    family(f, "sessile_sessions", "gauge", help, "class", &samples)?;
    let help = "Old ids of rotated sessions that are remembered.";
    family(f, "sessile_aliases", "gauge", help, "", &[("", aliases as u64)])
}

fn write_rejected(f: &mut fmt::Formatter<'_>, rejected: RejectionCounts) -> fmt::Result {
    let RejectionCounts { malformed, forged, unknown, expired, reused } = rejected;
    let samples = [
        ("malformed", malformed),
        ("forged", forged),
        ("unknown", unknown),
        ("expired", expired),
        ("reused", reused),
    ];
    counters(f, "rejected", "Tokens and ids that were rejected, by cause.", "cause", &samples)
}

fn write_evicted(f: &mut fmt::Formatter<'_>, evicted: EvictionCounts) -> fmt::Result {
    let EvictionCounts { aliases, probation, anonymous, authenticated } = evicted;
    let samples = [
        ("alias", aliases),
        ("probation", probation),
        ("anonymous", anonymous),
        ("authenticated", authenticated),
    ];
    counters(
        f,
        "evicted",
        "Sessions and aliases that went to make room, by class.",
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
    family(f, format_args!("sessile_{name}_total"), "counter", help, label, samples)
}

/// Writes samples of one name, told apart by a label if it has a name.
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
