//! Links of the Markdown files to files and headings of this repository.

use std::{
    collections::{HashMap, HashSet},
    path::{Component, Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::files::{files, read, root};

const FOLDERS: [&str; 7] = [
    "adapters", "benches", "docs", "examples", "stores", "tests", ".github",
];

/// The links and the headings of one page.
#[derive(Default)]
struct Page {
    /// Targets as written, with the line of each.
    links: Vec<(usize, String)>,
    /// Fragments that lead to a heading.
    anchors: HashSet<String>,
}

impl Page {
    fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut heading: Option<String> = None;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    let line = text[..range.start].matches('\n').count() + 1;
                    page.links.push((line, dest_url.into_string()));
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(part) | Event::Code(part) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                }
                Event::End(TagEnd::Heading(_)) => page.add_anchor(&heading.take().unwrap()),
                _ => {}
            }
        }
        page
    }

    /// A repeated heading gets a number, as on GitHub and in mdBook.
    fn add_anchor(&mut self, heading: &str) {
        let slug = slug(heading);
        let mut anchor = slug.clone();
        for number in 1.. {
            if self.anchors.insert(anchor) {
                break;
            }
            anchor = format!("{slug}-{number}");
        }
    }
}

/// Returns the fragment of a heading: lower case, hyphens for blanks, no punctuation.
fn slug(heading: &str) -> String {
    heading
        .chars()
        .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'))
        .map(|it| if it == ' ' { '-' } else { it })
        .flat_map(char::to_lowercase)
        .collect()
}

/// Returns `path` without `.` and `..`.
fn normalize(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            other => parts.push(other),
        }
    }
    parts
}

fn is_external(link: &str) -> bool {
    link.starts_with("https://") || link.starts_with("http://") || link.starts_with("mailto:")
}

/// Returns the reason why the link of the page at `from` leads nowhere, or `None`.
fn broken(pages: &HashMap<PathBuf, Page>, from: &Path, link: &str) -> Option<String> {
    // In crate documentation, a path of Rust.
    if is_external(link) || link.contains("::") {
        return None;
    }
    let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        from.to_owned()
    } else {
        normalize(&from.parent().unwrap().join(file))
    };
    if !root().join(&target).exists() {
        return Some(format!("no file {}", target.display()));
    }
    match pages.get(&target) {
        Some(page) if !fragment.is_empty() && !page.anchors.contains(fragment) => {
            Some(format!("no heading #{fragment} in {}", target.display()))
        }
        _ => None,
    }
}

/// Returns a message for each broken link of `pages`.
fn broken_links(pages: &HashMap<PathBuf, Page>) -> Vec<String> {
    let mut found = Vec::new();
    for (path, page) in pages {
        for (line, link) in &page.links {
            if let Some(reason) = broken(pages, path, link) {
                found.push(format!("{}:{line}: {link}: {reason}", path.display()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn links_inside_the_repository_resolve() {
    let paths = files(&FOLDERS, &["md"]);
    let pages = paths.into_iter().map(|path| {
        let page = Page::parse(&read(&path));
        (path, page)
    });
    let pages = pages.collect();
    let found = broken_links(&pages);
    assert!(
        found.is_empty(),
        "{} links:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn a_missing_file_and_a_missing_heading_are_found() {
    let text = "# One `two`, three\n\n[a](README.md#none) [b](none.md) [c](#one-two-three)\n\
                [d](README.md) [e](https://example.com/none)\n";
    let pages = HashMap::from([(PathBuf::from("README.md"), Page::parse(text))]);
    assert_eq!(
        broken_links(&pages),
        [
            "README.md:3: README.md#none: no heading #none in README.md",
            "README.md:3: none.md: no file none.md",
        ]
    );
}

#[test]
fn repeated_headings_have_numbers() {
    let page = Page::parse("## Added\n\n## Added\n");
    assert!(page.anchors.contains("added") && page.anchors.contains("added-1"));
}
