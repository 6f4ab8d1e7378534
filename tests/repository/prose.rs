//! Words and phrases that the house style replaces: `tests/prose.txt` lists the patterns, and
//! `tests/prose-allowed.txt` the lines that may match one.

use std::path::Path;

use regex::Regex;

use crate::files::{files, read};

const FOLDERS: [&str; 5] = ["src", "adapters", "stores", "docs", ".github"];

/// A pattern, and a sentence that it must match.
struct Rule {
    pattern: Regex,
    example: String,
}

/// Reads the rules: a line with a pattern, after a comment line with its example.
fn rules() -> Vec<Rule> {
    let text = read(Path::new("tests/prose.txt"));
    let mut rules = Vec::new();
    let mut example = None;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# e.g. ") {
            example = Some(comment.to_owned());
        } else if !line.starts_with('#') {
            rules.push(Rule {
                pattern: Regex::new(line).unwrap(),
                example: example
                    .take()
                    .unwrap_or_else(|| panic!("`{line}` has no example")),
            });
        }
    }
    rules
}

/// Reads the exceptions: a path and a part of the line, with a colon between.
fn allowed() -> Vec<(String, String)> {
    read(Path::new("tests/prose-allowed.txt"))
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(": ").unwrap())
        .map(|(path, part)| (path.to_owned(), part.to_owned()))
        .collect()
}

/// Returns a message for each line of `text` that matches a rule.
fn matches(rules: &[Rule], path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for rule in rules.iter().filter(|rule| rule.pattern.is_match(line)) {
            found.push(format!(
                "{path}:{number}: `{}` in: {}",
                rule.pattern,
                line.trim()
            ));
        }
    }
    found
}

#[test]
fn no_line_matches_a_pattern() {
    let (rules, allowed) = (rules(), allowed());
    let mut found = Vec::new();
    for path in files(&FOLDERS, &["rs", "py", "pyi", "md", "toml", "sh", "yml"]) {
        let text = read(&path);
        let path = path.to_str().unwrap();
        found.extend(matches(&rules, path, &text).into_iter().filter(|message| {
            !allowed
                .iter()
                .any(|(file, part)| file == path && message.contains(part))
        }));
    }
    assert!(
        found.is_empty(),
        "{} lines:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn each_pattern_finds_its_example() {
    for rule in rules() {
        let text = format!("first line\n{}\n", rule.example);
        let pattern = rule.pattern.to_string();
        let found = matches(&[rule], "file.rs", &text);
        assert_eq!(found.len(), 1, "`{pattern}` does not find its example");
        assert!(found[0].starts_with("file.rs:2: "), "{}", found[0]);
    }
}

#[test]
fn plain_sentences_match_no_pattern() {
    let text = "/// Returns true if a user is signed in.\n/// Whatever-named files are skipped.\n\
                // What a client sends is not trusted.\n";
    assert!(matches(&rules(), "file.rs", text).is_empty());
}

/// Each exception is still needed, and there are few of them.
#[test]
fn exceptions_are_few_and_in_use() {
    let allowed = allowed();
    assert!(allowed.len() <= 10, "{} exceptions", allowed.len());
    let rules = rules();
    for (path, part) in allowed {
        let found = matches(&rules, &path, &read(Path::new(&path)));
        assert!(
            found.iter().any(|message| message.contains(&part)),
            "{path}: {part}"
        );
    }
}
