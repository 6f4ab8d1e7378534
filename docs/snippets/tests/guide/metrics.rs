//! The metrics reference and the text for Prometheus.

use std::collections::BTreeMap;

use sessile::{KeyRing, SessionCache};

use super::{read, rows};

#[test]
fn the_reference_lists_exactly_the_metrics_with_their_types() {
    let builder = SessionCache::builder().memory(1 << 20);
    let cache = builder.keys(KeyRing::generate().unwrap()).build().unwrap();
    let text = cache.stats().prometheus().to_string();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let emitted: BTreeMap<_, _> = types
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (format!("`{name}`"), kind.to_owned()))
        .collect();
    let rows = rows(&read("docs/src/operations.md"), "## Metrics");
    let listed: BTreeMap<_, _> = rows
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    assert_eq!(listed, emitted);
}
