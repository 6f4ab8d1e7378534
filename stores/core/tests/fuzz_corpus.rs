//! The committed corpus of the fuzz target `record`, on any toolchain.

#![allow(clippy::print_stdout)]

#[path = "support/fuzz_record.rs"]
mod fuzz_record;

use std::{fs, path::Path};

// OPS-3: docs/security-checklist.md
#[test]
fn record() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/record");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        // Shown only if the run fails.
        println!("{}", path.display());
        fuzz_record::record(&fs::read(&path).expect("a seed"));
        files += 1;
    }
    assert!(files > 0, "no seeds in {}", folder.display());
}
