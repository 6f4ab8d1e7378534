//! The committed corpus of the fuzz target `memcached`, on any toolchain.

#![allow(clippy::print_stdout)]

use std::{fs, path::Path};

#[test]
fn replies() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/memcached");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        // Shown only if the run fails.
        println!("{}", path.display());
        sessile_memcached::internals::check(&fs::read(&path).expect("a seed"));
        files += 1;
    }
    assert!(files > 0, "no seeds in {}", folder.display());
}
