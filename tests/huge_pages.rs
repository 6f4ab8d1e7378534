//! Huge pages are requested for a cache's memory by default, and for no other memory.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod support;

use std::{fs, path::Path};

use sessile::{ManualClock, SessionCache, SessionCacheBuilder};
use support::rings::ring;

const BUDGET: usize = 37 << 20;

/// A single test, since it inspects all memory of its process.
#[test]
fn huge_pages_are_requested_unless_disabled() {
    if !Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        return;
    }
    assert_eq!(advised(), 0, "no other memory is advised");
    let cache = build(|settings| settings);
    assert!(
        advised().abs_diff(BUDGET) <= BUDGET / 50,
        "{} bytes",
        advised()
    );
    drop(cache);
    assert_eq!(advised(), 0, "the memory is unmapped");
    let cache = build(|settings| settings.huge_pages(false));
    assert_eq!(advised(), 0);
    drop(cache);
}

fn build(with: impl FnOnce(SessionCacheBuilder) -> SessionCacheBuilder) -> SessionCache {
    let settings = SessionCache::builder()
        .memory(BUDGET)
        .clock(ManualClock::new());
    with(settings.keys(ring(&[1]))).build().unwrap()
}

/// Returns the bytes of all mappings with requested huge pages, which the kernel marks `hg`.
fn advised() -> usize {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let value = |line: &str, of: &str| line.strip_prefix(of).map(|value| value.trim().to_owned());
    let mut sizes = maps.lines().filter_map(|line| value(line, "Size:"));
    let flags = maps.lines().filter_map(|line| value(line, "VmFlags:"));
    flags
        .map(|flags| (flags, sizes.next().unwrap()))
        .fold(0, |sum, (flags, size)| {
            let size = size.strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10;
            if flags.split(' ').any(|flag| flag == "hg") {
                sum + size
            } else {
                sum
            }
        })
}
