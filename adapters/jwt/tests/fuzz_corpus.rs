//! The committed corpus of the fuzz target `jwt`, on any toolchain.

#![allow(clippy::print_stdout)]

#[path = "support/fuzz_jwt.rs"]
mod fuzz_jwt;

use std::{fs, path::Path};

// JWT-5: docs/security-checklist.md
#[test]
fn jwt() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/jwt");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        // Shown only if the run fails.
        println!("{}", path.display());
        fuzz_jwt::jwt(&fs::read(&path).expect("a seed"));
        files += 1;
    }
    assert!(files > 0, "no seeds in {}", folder.display());
}
