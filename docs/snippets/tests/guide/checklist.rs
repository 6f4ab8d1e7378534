//! The ids of the security checklist and those that tests name.

use std::{collections::BTreeSet, fs, path::Path};

use super::{read, repository, rows};

const GROUPS: [&str; 10] = [
    "ID", "LIFE", "TIME", "DOC", "TERM", "COOK", "PARSE", "SIGN", "JWT", "OPS",
];
const FOLDERS: [&str; 6] = ["src", "tests", "adapters", "examples", "fuzz", "stores"];

/// Returns the ids in a text.
fn ids(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let is_id = |word: &&str| {
        word.split_once('-').is_some_and(|(group, number)| {
            GROUPS.contains(&group)
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    words.filter(is_id).map(str::to_owned).collect()
}

/// Adds the ids that source files below a folder name.
fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    let Ok(files) = fs::read_dir(folder) else {
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        let is_source = path
            .extension()
            .is_some_and(|extension| extension == "rs" || extension == "py");
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if is_source {
            found.extend(ids(&fs::read_to_string(&path).unwrap_or_default()));
        }
    }
}

fn of_tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in FOLDERS {
        collect(&repository(folder), &mut found);
    }
    found
}

/// Returns the ids that have a row.
fn of_rows(checklist: &str) -> BTreeSet<String> {
    let first_cells = checklist
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .filter(|cell| !cell.contains([',', ' ']));
    first_cells.flat_map(ids).collect()
}

#[test]
fn tests_name_only_ids_that_have_a_row() {
    let listed = of_rows(&read("docs/security-checklist.md"));
    assert!(listed.len() > 50, "{listed:?}");
    let unknown: Vec<_> = of_tests().difference(&listed).cloned().collect();
    assert!(unknown.is_empty(), "no row for {unknown:?}");
}

#[test]
fn rows_have_a_test_or_a_reason_why_not() {
    let checklist = read("docs/security-checklist.md");
    let without: BTreeSet<_> = rows(&checklist, "## Rows without a test")
        .iter()
        .flat_map(|row| ids(&row[0]))
        .collect();
    let tested = of_tests();
    for id in of_rows(&checklist) {
        assert!(
            tested.contains(&id) || without.contains(&id),
            "{id} has no test: name it in a test, or list it under \"Rows without a test\""
        );
    }
    let stale: Vec<_> = without.intersection(&tested).collect();
    assert!(
        stale.is_empty(),
        "{stale:?} have a test: remove them from \"Rows without a test\""
    );
}

#[test]
fn the_security_model_names_only_ids_that_have_a_row() {
    let listed = of_rows(&read("docs/security-checklist.md"));
    let named = ids(&read("docs/src/security-model.md"));
    assert!(named.is_subset(&listed), "{:?}", named.difference(&listed));
}
