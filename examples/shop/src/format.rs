//! Formats numbers for people. The module does not know the meaning of the numbers.

use std::time::Duration;

/// Separates thousands by commas: `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats bytes as MiB with one decimal: `61.4 MiB`.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Formats a short span: `640 ns`, `12.4 µs`, `3.1 ms`.
pub(crate) fn instant(span: Duration) -> String {
    match span.as_nanos() {
        nanos @ 0..10_000 => format!("{} ns", thousands(nanos as u64)),
        nanos @ 10_000..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        nanos => format!("{:.1} ms", nanos as f64 / 1e6),
    }
}

/// Formats the time since an event: `just now`, `42 s ago`, `3 d 04 h ago`.
pub(crate) fn ago(past: Duration) -> String {
    match past.as_secs() {
        0..2 => "just now".into(),
        _ => format!("{} ago", span(past)),
    }
}

/// Formats a long span in whole seconds: `42 s`, `3 min 07 s`, `2 h 05 min`, `3 d 04 h`.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (hours @ 24.., ..) if hours % 24 == 0 => format!("{} d", hours / 24),
        (hours @ 24.., ..) => format!("{} d {:02} h", hours / 24, hours % 24),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_they_are_written() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(mebibytes(64 << 20), "64.0 MiB");
        assert_eq!(mebibytes(0), "0.0 MiB");
    }

    #[test]
    fn spans_read_in_the_unit_that_fits() {
        assert_eq!(instant(Duration::from_nanos(42)), "42 ns");
        assert_eq!(instant(Duration::from_nanos(9_999)), "9,999 ns");
        assert_eq!(instant(Duration::from_nanos(12_440)), "12.4 µs");
        assert_eq!(instant(Duration::from_micros(3_100)), "3.1 ms");
        assert_eq!(span(Duration::from_secs(42)), "42 s");
        assert_eq!(span(Duration::from_secs(1800)), "30 min");
        assert_eq!(span(Duration::from_secs(187)), "3 min 07 s");
        assert_eq!(span(Duration::from_secs(7500)), "2 h 05 min");
        assert_eq!(span(Duration::from_secs(7200)), "2 h");
        assert_eq!(span(Duration::from_secs(30 * 86_400)), "30 d");
        assert_eq!(
            span(Duration::from_secs(86_400 + 3 * 3600 + 59)),
            "1 d 03 h"
        );
        assert_eq!(ago(Duration::from_millis(1_900)), "just now");
        assert_eq!(ago(Duration::from_secs(187)), "3 min 07 s ago");
    }
}
