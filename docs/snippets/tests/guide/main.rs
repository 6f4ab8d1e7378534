//! Checks the guide against the code: pages, settings, metrics, errors, and the security checklist.

#![allow(clippy::unwrap_used)]

mod checklist;
mod errors;
mod metrics;
mod pages;
mod settings;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns a path in the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// Returns the text of a file in the repository.
fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the rows of the tables under a heading, without the header, as trimmed cells.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = page
        .split_once(&format!("{heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading:?}"));
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with('|'));
    let cells = lines.map(|line| {
        let line = line.trim_matches('|');
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    });
    cells.skip(2).collect()
}
