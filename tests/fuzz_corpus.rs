//! Replays the committed corpora of the fuzz targets through the same functions, on any toolchain.

#![allow(clippy::print_stdout)]

#[path = "support/fuzz_cookie.rs"]
mod fuzz_cookie;
#[path = "support/fuzz_engine.rs"]
mod fuzz_engine;
#[path = "support/fuzz_heap.rs"]
mod fuzz_heap;
#[path = "support/fuzz_wheel.rs"]
mod fuzz_wheel;

use std::{fs, path::Path};

/// Runs every file of a target's corpus through the function that the target fuzzes.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        // Shown only if the run fails.
        println!("{}", path.display());
        run(&fs::read(&path).expect("a seed"));
        files += 1;
    }
    assert!(files > 0, "no seeds in {}", folder.display());
}

#[test]
fn header() {
    replay("header", fuzz_cookie::header);
}

#[test]
fn token() {
    replay("token", fuzz_cookie::token);
}

#[test]
fn heap() {
    replay("heap", fuzz_heap::heap);
}

#[test]
fn wheel() {
    replay("wheel", fuzz_wheel::wheel);
}

#[test]
fn engine() {
    replay("engine", fuzz_engine::engine);
}
