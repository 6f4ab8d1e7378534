//! The modules of the crate with the names and paths that each contains, without comments, literals
//! and unit tests. `syn` parses. Where it leaves tokens (macros, attributes), they are searched for
//! names and paths.

#![allow(dead_code, clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Attribute, ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

/// The modules of the crate by path, such as `shard::wheel`; the path of the root is empty.
pub(crate) type Sources = BTreeMap<String, Module>;

/// The names that a module contains.
#[derive(Default)]
pub(crate) struct Module {
    /// All identifiers, including those within paths.
    pub(crate) names: Vec<String>,
    /// The imports, each `use` tree expanded, and all paths of two or more segments.
    pub(crate) paths: Vec<Vec<String>>,
    /// The inline modules around the current position.
    inline: Vec<String>,
}

/// Reads the sources of this crate.
pub(crate) fn read_all() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (
            module_of(path.strip_prefix(&root).unwrap()),
            Module::parse(&text),
        )
    };
    files(&root).into_iter().map(read).collect()
}

/// Reads modules from pairs of path and text.
pub(crate) fn made_up(texts: &[(&str, &str)]) -> Sources {
    texts
        .iter()
        .map(|(module, text)| ((*module).to_owned(), Module::parse(text)))
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    });
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn module_of(path: &Path) -> String {
    let parts = path.with_extension("");
    let parts: Vec<_> = parts.iter().map(|part| part.to_str().unwrap()).collect();
    let parts = parts.join("::");
    parts
        .strip_suffix("::mod")
        .unwrap_or(if parts == "lib" { "" } else { &parts })
        .to_owned()
}

impl Module {
    fn parse(text: &str) -> Self {
        let mut module = Self::default();
        module.visit_file(&syn::parse_file(text).unwrap());
        module
    }

    /// Records the import that each leaf of a `use` tree makes; `above` is the path to the tree.
    fn add_imports(&mut self, tree: &UseTree, above: &[String]) {
        let below = |name: &Ident| [above, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_imports(&path.tree, &below(&path.ident)),
            UseTree::Group(group) => {
                group
                    .items
                    .iter()
                    .for_each(|tree| self.add_imports(tree, above));
            }
            UseTree::Glob(_) => self.paths.push(self.seen_from_file(above)),
            UseTree::Name(name) => self.paths.push(self.seen_from_file(&below(&name.ident))),
            UseTree::Rename(rename) => self.paths.push(self.seen_from_file(&below(&rename.ident))),
        }
    }

    /// Records the names in the tokens of a macro or an attribute, and in syntax unknown to `syn`.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        let mut tokens = tokens.into_iter();
        while let Some(token) = tokens.next() {
            if !matches!(&token, TokenTree::Ident(_) if colons == 2) && !is(&token, ':') {
                self.add_path(&std::mem::take(&mut path));
            }
            colons = if is(&token, ':') { colons + 1 } else { 0 };
            match token {
                TokenTree::Ident(name) if name == "use" => {
                    self.add_import(tokens.by_ref().take_while(|next| !is(next, ';')).collect());
                }
                TokenTree::Ident(name) => {
                    self.visit_ident(&name);
                    path.push(name.to_string());
                }
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        self.add_path(&path);
    }

    /// Records a `use` tree among tokens. One that a macro completes with its parameters does not
    /// parse.
    fn add_import(&mut self, tree: TokenStream) {
        if let Ok(tree) = syn::parse2(tree.clone()) {
            self.add_imports(&tree, &[]);
        }
        self.add_tokens(tree);
    }

    fn add_path(&mut self, path: &[String]) {
        if path.len() > 1 {
            self.paths.push(self.seen_from_file(path));
        }
    }

    /// Converts a path in an inline module to a path in the module of the file.
    fn seen_from_file(&self, path: &[String]) -> Vec<String> {
        let depth = self.inline.len();
        let steps = path.iter().take_while(|&part| part == "super").count();
        if depth == 0 || steps == 0 && path[0] != "self" {
            return path.to_owned();
        }
        let rest = &path[steps.max(1)..];
        match depth.checked_sub(steps) {
            Some(left) => [&["self".to_owned()], &self.inline[..left], rest].concat(),
            None => path[depth..].to_owned(),
        }
    }
}

impl<'a> Visit<'a> for Module {
    fn visit_ident(&mut self, name: &'a Ident) {
        self.names.push(name.to_string());
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.add_path(&names.collect::<Vec<_>>());
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        self.add_imports(&item.tree, &[]);
        visit::visit_item_use(self, item);
    }

    fn visit_item_mod(&mut self, item: &'a ItemMod) {
        if !item.attrs.iter().any(is_cfg_test) {
            self.inline.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.inline.pop();
        }
    }

    fn visit_token_stream(&mut self, tokens: &'a TokenStream) {
        self.add_tokens(tokens.clone());
    }
}

fn is(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    let condition = attribute.meta.require_list();
    attribute.path().is_ident("cfg") && condition.is_ok_and(|it| it.tokens.to_string() == "test")
}

/// Returns the innermost existing module that a path in another module leads to. A name re-exported
/// by the root is resolved to its source. Returns `None` for another crate, or for a name imported
/// elsewhere.
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
        let mut all = sources.get("")?.paths.iter();
        let has_it = all.find(|path| path.last().is_some_and(|last| last == name))?;
        resolve(sources, "", has_it)
    });
    Some(exported.unwrap_or_else(|| base.join("::")))
}

fn join(base: &[&str], last: &str) -> String {
    [base, &[last]].concat().join("::")
}
