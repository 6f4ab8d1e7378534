//! The metrics reference and the text for Prometheus.

use std::collections::BTreeMap;

use sessile::{KeyRing, SessionCache};

use sessile_jwt::{Algorithm, Revocations, VerificationKey, Verifier};

use super::{read, rows};

/// Returns the metrics in a text for Prometheus with their types.
fn types(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (format!("`{name}`"), kind.to_owned()))
        .collect()
}

/// Returns the metrics of a page's table with their types.
fn listed(page: &str) -> BTreeMap<String, String> {
    rows(page, "## Metrics")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect()
}

#[test]
fn the_reference_lists_exactly_the_metrics_with_their_types() {
    let builder = SessionCache::builder().memory(1 << 20);
    let cache = builder.keys(KeyRing::generate().unwrap()).build().unwrap();
    let text = cache.stats().prometheus().to_string();
    assert_eq!(listed(&read("docs/src/operations.md")), types(&text));
}

#[test]
fn the_page_of_jwts_lists_its_metrics_and_every_cause() {
    let page = read("docs/jwt.md");
    let verifier = Verifier::builder()
        .algorithms([Algorithm::Hs256])
        .key(VerificationKey::hmac(Algorithm::Hs256, &[7; 32]).unwrap())
        .revocations(Revocations::in_memory(1).unwrap())
        .build()
        .unwrap();
    let text = verifier.prometheus();
    assert_eq!(listed(&page), types(&text));
    let (_, stated) = page.split_once("\nCauses: ").unwrap();
    let (stated, _) = stated.split_once(" for 503").unwrap();
    let stated: Vec<_> = stated.split('`').skip(1).step_by(2).collect();
    let labels = text.lines().filter_map(|line| line.split('"').nth(1));
    assert_eq!(stated, labels.collect::<Vec<_>>());
}
