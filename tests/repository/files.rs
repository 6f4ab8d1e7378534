//! The tracked text files of the repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The top folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files below `folders` and at the top of the repository whose extension is one of
/// `extensions`, with paths relative to the top, in order.
pub(crate) fn files(folders: &[&str], extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    list(root(), extensions, false, &mut found);
    for folder in folders {
        list(&root().join(folder), extensions, true, &mut found);
    }
    found.sort();
    found
}

fn list(folder: &Path, extensions: &[&str], recursive: bool, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let extension = path.extension().and_then(|it| it.to_str());
        if path.is_dir() && recursive && !is_output(&path) {
            list(&path, extensions, recursive, found);
        } else if path.is_file() && extension.is_some_and(|it| extensions.contains(&it)) {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
}

/// Returns true for folders that builds and tools create.
fn is_output(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|it| it.to_str()).unwrap();
    name.starts_with('.') || ["target", "__pycache__", "book", "node_modules"].contains(&name)
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}
