//! Reads Rust well enough to say which modules a file names: `use` trees and paths, without comments,
//! strings and unit tests.

#![allow(dead_code, clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Each module of the crate, `shard::wheel` for one and nothing for the root, and its words.
pub(crate) type Sources = BTreeMap<String, Vec<String>>;

/// The crate's own.
pub(crate) fn read_all() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (module_of(path.strip_prefix(&root).unwrap()), words(&text))
    };
    files(&root).into_iter().map(read).collect()
}

/// Those of made-up texts.
pub(crate) fn made_up(texts: &[(&str, &str)]) -> Sources {
    texts.iter().map(|(module, text)| ((*module).to_owned(), words(text))).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn module_of(path: &Path) -> String {
    let parts = path.with_extension("");
    let parts: Vec<_> = parts.iter().map(|part| part.to_str().unwrap()).collect();
    let parts = parts.join("::");
    parts.strip_suffix("::mod").unwrap_or(if parts == "lib" { "" } else { &parts }).to_owned()
}

/// The words of a text: identifiers, `::`, and other characters one by one.
fn words(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(len) = literal(rest) {
            len
        } else {
            let is_part = |each: char| each.is_alphanumeric() || each == '_';
            let len = match rest.find(|each| !is_part(each)).unwrap_or(rest.len()) {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                len => len,
            };
            if !first.is_whitespace() {
                all.push(rest[..len].to_owned());
            }
            len
        };
        rest = &rest[len..];
    }
    without_unit_tests(&all)
}

/// The length of the text or character literal at the start, if there is one; of a lifetime its quote.
fn literal(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
    if let Some(hashes) = hashes.filter(|hashes| text[1 + hashes..].starts_with('"')) {
        let start = hashes + 2;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
    }
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let is_lifetime = quote == '\'' && !text[1..].starts_with('\\') && {
        let mut after = text[1..].chars().skip(1);
        after.next() != Some('\'')
    };
    if is_lifetime {
        return Some(1);
    }
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, each)| {
        let ends = each == quote && !is_escaped;
        is_escaped = each == '\\' && !is_escaped;
        ends
    });
    Some(end.map_or(text.len(), |(at, _)| at + 1))
}

/// Leaves out `#[cfg(test)] mod … { … }`.
fn without_unit_tests(words: &[String]) -> Vec<String> {
    const MARK: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < words.len() {
        if words[at..].iter().take(MARK.len()).eq(MARK) {
            at += words[at..].iter().position(|word| word == "{").unwrap();
            let mut depth = 0;
            while depth > 0 || words[at] == "{" {
                depth += i32::from(words[at] == "{") - i32::from(words[at] == "}");
                at += 1;
                if depth == 0 {
                    break;
                }
            }
        } else {
            kept.push(words[at].clone());
            at += 1;
        }
    }
    kept
}

/// All paths in a module, those of `use` trees written out.
pub(crate) fn paths(words: &[String]) -> Vec<Vec<String>> {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < words.len() {
        if words[at] == "use" {
            at = tree(words, at + 1, &[], &mut all);
        } else if is_name(&words[at]) {
            let (path, next) = path(words, at);
            if path.len() > 1 {
                all.push(path);
            }
            at = next;
        } else {
            at += 1;
        }
    }
    all
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The path at a place, and the place behind it.
fn path(words: &[String], mut at: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    while at < words.len() && is_name(&words[at]) {
        path.push(words[at].clone());
        at += 1;
        let goes_on = words.get(at).is_some_and(|word| word == "::");
        if !goes_on {
            break;
        }
        at += 1;
    }
    (path, at)
}

/// The paths of a `use` tree, and the place behind it.
fn tree(words: &[String], at: usize, above: &[String], all: &mut Vec<Vec<String>>) -> usize {
    let (own, mut at) = path(words, at);
    let here = [above, &own].concat();
    match words.get(at).map(String::as_str) {
        Some("{") => {
            at += 1;
            while words[at] != "}" {
                at = tree(words, at, &here, all);
                at += usize::from(words[at] == ",");
            }
            at + 1
        }
        Some("*") => {
            all.push(here);
            at + 1
        }
        Some("as") => {
            all.push(here);
            at + 2
        }
        _ => {
            all.push(here);
            at
        }
    }
}

/// The module that a path in another leads to: the innermost that there is. A name of the root is
/// where the root has it from. None for another crate, or for a name that was brought in elsewhere.
pub(crate) fn resolve(sources: &Sources, from: &str, path: &[String]) -> Option<String> {
    let mut base: Vec<&str> = from.split("::").filter(|part| !part.is_empty()).collect();
    let mut rest = path.iter().map(String::as_str).peekable();
    match *rest.peek()? {
        "crate" => {
            base.clear();
            rest.next();
        }
        "self" => drop(rest.next()),
        "super" => {
            while rest.next_if_eq(&"super").is_some() {
                base.pop();
            }
        }
        child if sources.contains_key(&join(&base, child)) => {}
        _ => return None,
    }
    while let Some(part) = rest.next_if(|part| sources.contains_key(&join(&base, part))) {
        base.push(part);
    }
    let from_root = rest.next().filter(|_| base.is_empty() && !from.is_empty());
    let exported = from_root.and_then(|name| {
        let all = paths(sources.get("")?);
        let has_it = all.iter().find(|path| path.last().is_some_and(|last| last == name))?;
        resolve(sources, "", has_it)
    });
    Some(exported.unwrap_or_else(|| base.join("::")))
}

fn join(base: &[&str], last: &str) -> String {
    [base, &[last]].concat().join("::")
}
