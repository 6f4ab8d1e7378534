//! Counters of the traffic with the store, and their text for Prometheus.
//!
//! Owns the counters. It does not know what raised one.

use std::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::protocol::channel::Cause;

/// A kind of call, by which calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Read,
    Write,
    Touch,
    End,
    Revoke,
}

/// The counters of one node.
#[derive(Default)]
pub(crate) struct Metrics {
    calls: [AtomicU64; VERBS.len()],
    unreachable: [AtomicU64; VERBS.len()],
    fences: [AtomicU64; CAUSES.len()],
    bad_records: AtomicU64,
    ends_rejected: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len()],
    seconds_count: AtomicU64,
    seconds_sum_micros: AtomicU64,
}

/// Gauges that are taken at the moment of a report.
pub(crate) struct Gauges {
    pub(crate) in_flight: usize,
    pub(crate) below_floor: u64,
    pub(crate) lease_remaining: Duration,
    pub(crate) channel_lag: Duration,
    pub(crate) ends_queued: usize,
    pub(crate) touches_dropped: u64,
    pub(crate) is_up: bool,
    pub(crate) revocations_queued: usize,
    pub(crate) revocations_rejected: u64,
    /// `None` if no revocations are mirrored.
    pub(crate) are_revocations_current: Option<bool>,
}

impl Metrics {
    /// Counts a call that took `span`.
    pub(crate) fn call(&self, verb: Verb, span: Duration) {
        add(&self.calls[verb as usize]);
        add(&self.seconds_count);
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.seconds_sum_micros.fetch_add(micros, Ordering::Relaxed);
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            if span <= *bound {
                add(bucket);
            }
        }
    }

    /// Counts a call that failed because the store cannot be reached.
    pub(crate) fn unreachable(&self, verb: Verb) {
        add(&self.unreachable[verb as usize]);
    }

    /// Counts a fence.
    pub(crate) fn fence(&self, cause: Cause) {
        add(&self.fences[cause as usize]);
    }

    /// Returns the number of fences of all causes.
    pub(crate) fn fences(&self) -> u64 {
        self.fences.iter().map(get).sum()
    }

    /// Counts a record that cannot be decoded.
    pub(crate) fn bad_record(&self) {
        add(&self.bad_records);
    }

    /// Counts an end that did not fit into the queue.
    pub(crate) fn end_rejected(&self) {
        add(&self.ends_rejected);
    }

    /// Writes the metrics in the text format of Prometheus.
    pub(crate) fn write(&self, out: &mut String, gauges: &Gauges) -> fmt::Result {
        for (name, count) in CALLS.iter().zip(&self.calls) {
            let help = "Calls to the store.";
            family(out, name, "counter", help)?;
            writeln!(out, "{PREFIX}{name} {}", get(count))?;
        }
        self.write_labelled(out)?;
        self.write_seconds(out)?;
        for (name, help, count) in self.plain(gauges) {
            family(out, name, "counter", help)?;
            writeln!(out, "{PREFIX}{name} {count}")?;
        }
        write_gauges(out, gauges)
    }

    fn write_labelled(&self, out: &mut String) -> fmt::Result {
        let name = "unreachable_total";
        family(out, name, "counter", "Calls without an answer.")?;
        for (verb, count) in VERBS.iter().zip(&self.unreachable) {
            writeln!(out, "{PREFIX}{name}{{verb=\"{verb}\"}} {}", get(count))?;
        }
        let name = "fences_total";
        family(out, name, "counter", "Fences by their cause.")?;
        for (cause, count) in CAUSES.iter().zip(&self.fences) {
            writeln!(out, "{PREFIX}{name}{{cause=\"{cause}\"}} {}", get(count))?;
        }
        Ok(())
    }

    fn write_seconds(&self, out: &mut String) -> fmt::Result {
        let name = "seconds";
        family(out, name, "histogram", "Time until a call was answered.")?;
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            let bound = bound.as_secs_f64();
            writeln!(
                out,
                "{PREFIX}{name}_bucket{{le=\"{bound}\"}} {}",
                get(bucket)
            )?;
        }
        let count = get(&self.seconds_count);
        let sum = Duration::from_micros(get(&self.seconds_sum_micros)).as_secs_f64();
        writeln!(out, "{PREFIX}{name}_bucket{{le=\"+Inf\"}} {count}")?;
        writeln!(
            out,
            "{PREFIX}{name}_sum {sum}\n{PREFIX}{name}_count {count}"
        )
    }

    fn plain(&self, gauges: &Gauges) -> [(&'static str, &'static str, u64); 5] {
        [
            (
                "below_floor_total",
                "Results that were older than a message.",
                gauges.below_floor,
            ),
            (
                "touches_dropped_total",
                "Uses that did not fit into the queue.",
                gauges.touches_dropped,
            ),
            (
                "bad_records_total",
                "Records that cannot be decoded.",
                get(&self.bad_records),
            ),
            (
                "ends_rejected_total",
                "Ends that did not fit into the queue.",
                get(&self.ends_rejected),
            ),
            (
                "revocations_rejected_total",
                "Revocations that did not fit into the queue.",
                gauges.revocations_rejected,
            ),
        ]
    }
}

fn write_gauges(out: &mut String, gauges: &Gauges) -> fmt::Result {
    let is_current = gauges.are_revocations_current.map(flag);
    let values = gauges.values().into_iter().chain(is_current);
    for ((name, help), value) in GAUGES.iter().zip(values) {
        family(out, name, "gauge", help)?;
        writeln!(out, "{PREFIX}{name} {value}")?;
    }
    Ok(())
}

impl Gauges {
    /// Returns the values of [`GAUGES`], except that of the last one.
    fn values(&self) -> [f64; GAUGES.len() - 1] {
        [
            self.in_flight as f64,
            self.lease_remaining.as_secs_f64(),
            self.channel_lag.as_secs_f64(),
            self.ends_queued as f64,
            flag(self.is_up),
            self.revocations_queued as f64,
        ]
    }
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(
        out,
        "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}"
    )
}

fn add(counter: &AtomicU64) {
    // A counter orders nothing.
    counter.fetch_add(1, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

const PREFIX: &str = "sessile_store_";
/// In the order of [`Verb`].
const VERBS: [&str; 5] = ["read", "write", "touch", "end", "revoke"];
const _: () = assert!(Verb::Revoke as usize + 1 == VERBS.len());
/// In the order of [`Verb`].
const CALLS: [&str; VERBS.len()] = [
    "reads_total",
    "writes_total",
    "touches_total",
    "ends_total",
    "revocations_total",
];
/// In the order of [`Cause`].
const CAUSES: [&str; 3] = ["channel_lost", "unanswered", "data_lost"];
const _: () = assert!(Cause::DataLost as usize + 1 == CAUSES.len());
/// The name of each gauge, and its help.
const GAUGES: [(&str, &str); 7] = [
    ("in_flight_operations", "Calls in progress."),
    ("lease_remaining_seconds", "Time until L1 stops answering."),
    (
        "channel_lag_seconds",
        "Time from the last save to its message.",
    ),
    ("ends_queued", "Ends that are not confirmed."),
    ("up", "1 if the channel is up."),
    ("revocations_queued", "Revocations that are not confirmed."),
    (
        "revocations_current",
        "1 if the copy of all revocations may be used.",
    ),
];
const BOUNDS: [Duration; 9] = [
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_millis(1_000),
];
