//! Every page is in the summary, and every page with Rust examples is tested.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use super::{read, repository};

fn pages() -> BTreeSet<String> {
    let files = fs::read_dir(repository("docs/src")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "SUMMARY.md").collect()
}

#[test]
fn summary_lists_every_page_once() {
    let summary = read("docs/src/SUMMARY.md");
    for page in pages() {
        assert_eq!(summary.matches(&format!("({page})")).count(), 1, "{page}");
    }
    assert_eq!(summary.matches(".md)").count(), pages().len());
}

#[test]
fn rust_examples_of_every_page_are_tested() {
    let tested = read("docs/snippets/src/lib.rs");
    for page in pages() {
        if read(&format!("docs/src/{page}")).contains("```rust") {
            assert!(
                tested.contains(&format!("\"{page}\"")),
                "add {page} to docs/snippets/src/lib.rs"
            );
        }
    }
}

#[test]
fn lines_of_prose_are_at_most_100_columns() {
    let root_pages = [
        "architecture.md",
        "errors.md",
        "jwt.md",
        "security-checklist.md",
    ];
    let root_pages = root_pages.map(|page| format!("docs/{page}"));
    let pages = pages().into_iter().map(|page| format!("docs/src/{page}"));
    for page in pages.chain(root_pages) {
        let text = read(&page);
        let mut is_code = false;
        for (at, line) in text.lines().enumerate() {
            is_code ^= line.trim_start().starts_with("```");
            let is_prose = !is_code && !line.starts_with('|');
            assert!(
                !is_prose || line.chars().count() <= 100,
                "{page}:{} is longer than 100 columns",
                at + 1
            );
        }
    }
}

/// Passes where mdbook is not installed.
#[test]
fn the_book_builds() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book");
    let mut mdbook = Command::new("mdbook");
    mdbook.arg("build").arg(repository("docs"));
    let Ok(output) = mdbook.arg("--dest-dir").arg(target).output() else {
        return;
    };
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(!log.contains("[WARN]") && !log.contains("[ERROR]"), "{log}");
}
