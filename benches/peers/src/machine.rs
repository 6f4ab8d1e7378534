//! The environment of a measurement: machine, date, compiler and versions, for the head of a
//! report.

use std::{
    fs, thread,
    time::{SystemTime, UNIX_EPOCH},
};

/// Returns one line on the machine and one on the versions.
pub(crate) fn describe() -> [String; 2] {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let processor =
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let shared = match fs::read_to_string("/proc/cpuinfo") {
        Ok(text) if text.contains(" hypervisor") => ", a virtual machine",
        _ => "",
    };
    let machine = format!(
        "{}: {processor}, {cores} cores, {} of memory{shared}; {} {}; {}; huge pages: {}; load: {}",
        today(),
        memory(),
        std::env::consts::OS,
        kernel.trim(),
        env!("BENCH_RUSTC"),
        huge_pages(),
        load(),
    );
    [machine, format!("Versions: {}", versions())]
}

/// Returns the resident memory of this process in bytes, if the system reports it. The rolled-up
/// map is exact; the counters behind `statm` lag by some pages for each core.
pub(crate) fn resident() -> Option<usize> {
    let kilobytes = field("/proc/self/smaps_rollup", "Rss")?;
    kilobytes
        .trim_end_matches(" kB")
        .trim()
        .parse::<usize>()
        .ok()
        .map(|kilobytes| kilobytes << 10)
}

fn versions() -> String {
    let version = |name: &&str| {
        let entry = format!("name = \"{name}\"\nversion = \"");
        // The last of several versions is the newest, which this package depends on.
        let (_, rest) = LOCK.rsplit_once(&entry)?;
        rest.split_once('"')
            .map(|(version, _)| format!("{name} {version}"))
    };
    PEERS
        .iter()
        .filter_map(version)
        .collect::<Vec<_>>()
        .join(", ")
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':')
        .map(|(_, value)| value.trim().to_owned())
}

fn memory() -> String {
    let kilobytes = field("/proc/meminfo", "MemTotal");
    let kilobytes = kilobytes.and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.map_or_else(
        || "?".into(),
        |kilobytes| format!("{} GiB", (kilobytes + (1 << 19)) >> 20),
    )
}

fn huge_pages() -> String {
    let setting =
        fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let chosen = setting
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or("unknown", |(chosen, _)| chosen).to_owned()
}

/// Load of the last minute when the run began. If it is not near zero, other processes disturbed
/// the figures.
fn load() -> String {
    let average = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    average.split(' ').next().unwrap_or("unknown").to_owned()
}

fn today() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (year, month, day) = civil(now.as_secs() / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// Returns the date `days` days after 1 January 1970 (Hinnant's `civil_from_days`, for days from
/// then on).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // Months from March on, so that the leap day is the last day of the year.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    match month {
        0..10 => (era * 400 + year, month + 3, day),
        _ => (era * 400 + year + 1, month - 9, day),
    }
}

const PEERS: [&str; 12] = [
    "dashmap",
    "papaya",
    "quick_cache",
    "moka",
    "scc",
    "cookie",
    "sha2",
    "axum",
    "tower-sessions",
    "tower-sessions-moka-store",
    "tower-sessions-redis-store",
    "redis",
];
const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_513), (2026, 3, 1));
    }

    #[test]
    fn every_peer_has_a_version() {
        assert_eq!(versions().split(", ").count(), PEERS.len());
    }
}
