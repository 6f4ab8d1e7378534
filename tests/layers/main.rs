//! Dependencies between modules: the order of the layers, and the documented "does not know" of
//! each part. Both are checked against the sources.

#![allow(clippy::unwrap_used)]

mod sources;

use sources::{Module, Sources, made_up, read_all, resolve};

/// From the lowest layer to the highest. A module may import modules of its own layer and of lower
/// ones; a module that is not listed belongs to its parent's layer.
const LAYERS: [&[&str]; 10] = [
    &["sync", "error", "id", "clock", "handle", "events"],
    &["cookie::header", "cookie::token", "cookie::well_known"],
    &["cookie::keys", "cookie::set_cookie"],
    &["cookie"],
    &[
        "shard::region",
        "shard::seqlock",
        "shard::list",
        "shard::tlsf",
        "shard::header",
        "shard::entry",
    ],
    &[
        "shard::index",
        "shard::wheel",
        "shard::eviction",
        "shard::user_index",
    ],
    &["shard"],
    &["config"],
    &["cache"],
    &[""],
];

/// Modules, crates, or names in paths that a module and its submodules must not use.
const UNKNOWN: [(&str, &[&str]); 13] = [
    (
        "cookie::header",
        &[
            "id",
            "cookie::token",
            "cookie::keys",
            "hmac",
            "sha2",
            "hkdf",
            "subtle",
            "zeroize",
        ],
    ),
    (
        "cookie::token",
        &[
            "cookie::keys",
            "clock",
            "sync",
            "hmac",
            "sha2",
            "hkdf",
            "getrandom",
        ],
    ),
    (
        "cookie::set_cookie",
        &["cookie::keys", "clock", "sync", "id"],
    ),
    ("cookie", &["shard", "config", "cache", "clock"]),
    ("clock", &["id", "error"]),
    ("shard::wheel", &["id", "cookie", "shard::entry", "sync"]),
    ("shard::index", &["clock", "cookie", "shard::entry", "sync"]),
    (
        "shard::tlsf",
        &["clock", "id", "cookie", "shard::entry", "sync"],
    ),
    (
        "shard::list",
        &["clock", "id", "cookie", "shard::entry", "sync"],
    ),
    ("shard::user_index", &["clock", "cookie", "sync"]),
    ("shard::region", &["clock", "id", "cookie"]),
    (
        "shard::seqlock",
        &["clock", "id", "cookie", "shard::entry", "shard::index"],
    ),
    (
        "shard",
        &["thread", "Arc", "Lock", "ReadWriteLock", "config", "cache"],
    ),
];

/// Names that only `sync` may use.
const LOCKS_AND_ATOMICS: [&str; 5] = ["parking_lot", "atomic", "Mutex", "RwLock", "loom"];

/// Returns all violations in the sources.
fn offences(sources: &Sources) -> Vec<String> {
    let mut all = Vec::new();
    for (module, Module { names, paths, .. }) in sources {
        let here = if module.is_empty() { "lib" } else { module };
        for path in paths {
            let target = resolve(sources, module, path);
            let text = path.join("::");
            if let Some(target) = &target
                && layer(target) > layer(module)
            {
                all.push(format!("{here} imports {text}, which is of a higher layer"));
            }
            let unknown = UNKNOWN.iter().filter(|(of, _)| is_within(module, of));
            for name in unknown.flat_map(|(_, names)| *names) {
                let is_module = target
                    .as_ref()
                    .is_some_and(|target| is_within(target, name));
                let is_named = path.last().unwrap() == name;
                let is_elsewhere = target.is_none() && path.iter().any(|part| part == name);
                if is_module || is_named || is_elsewhere {
                    all.push(format!("{here} names {text}, and is to know no {name}"));
                }
            }
        }
        for word in names.iter().map(String::as_str) {
            if module != "sync" && LOCKS_AND_ATOMICS.contains(&word) {
                all.push(format!("{here} names {word}, which only sync may"));
            }
            let is_shard = is_within(module, "shard") && module != "shard::region";
            if is_shard && word.starts_with("Atomic") {
                all.push(format!("{here} names {word}, which only region may"));
            }
        }
    }
    all
}

fn layer(module: &str) -> usize {
    let own = LAYERS.iter().position(|layer| layer.contains(&module));
    own.unwrap_or_else(|| layer(module.rsplit_once("::").map_or("", |(parent, _)| parent)))
}

fn is_within(module: &str, of: &str) -> bool {
    module == of
        || module
            .strip_prefix(of)
            .is_some_and(|rest| rest.starts_with("::"))
}

#[test]
fn each_layer_uses_only_lower_layers() {
    let sources = read_all();
    let count: usize = sources.values().map(|module| module.paths.len()).sum();
    assert!(
        sources.len() >= 20 && count > 200,
        "{} files, {count} paths",
        sources.len()
    );
    for module in LAYERS
        .concat()
        .iter()
        .chain(UNKNOWN.iter().map(|(of, _)| of))
    {
        assert!(
            sources.contains_key(*module),
            "module {module} does not exist; correct the table"
        );
    }
    assert_eq!(offences(&sources), [""; 0]);
}

#[test]
fn every_rule_detects_a_violation() {
    let broken = [
        (
            "shard::wheel",
            "use crate::id::Id;",
            "wheel names crate::id::Id, and is to know no id",
        ),
        (
            "shard::wheel",
            "use crate::{clock::Tick, cookie::{self, Tag}};",
            "know no cookie",
        ),
        (
            "shard::wheel",
            "fn f() { super::entry::g() }",
            "know no shard::entry",
        ),
        ("shard::index", "use crate::clock::{self};", "know no clock"),
        (
            "shard::tlsf",
            "use super::eviction::Queue;",
            "of a higher layer",
        ),
        (
            "shard::tlsf",
            "fn f(shard: &super::Shard) {}",
            "tlsf imports super::Shard",
        ),
        (
            "shard::ops::make_room",
            "use std::sync::Arc;",
            "know no Arc",
        ),
        (
            "shard::ops::make_room",
            "use crate::sync::Lock;",
            "know no Lock",
        ),
        (
            "shard",
            "fn f() { std::thread::yield_now() }",
            "know no thread",
        ),
        (
            "shard",
            "use crate::config::SessionCacheBuilder;",
            "of a higher layer",
        ),
        (
            "shard",
            "use crate::SessionCache;",
            "shard imports crate::SessionCache",
        ),
        (
            "shard::entry",
            "use crate::sync::AtomicU64;",
            "names AtomicU64, which only region may",
        ),
        (
            "cookie::header",
            "use subtle::ConstantTimeEq;",
            "know no subtle",
        ),
        (
            "cookie::header",
            "use super::token::Parts;",
            "know no cookie::token",
        ),
        (
            "cookie::token",
            "use crate::cache::SessionCache;",
            "of a higher layer",
        ),
        (
            "cookie::token",
            "use super::keys::{self as other, Keys};",
            "know no cookie::keys",
        ),
        (
            "cookie",
            "use crate::shard::region::Region;",
            "of a higher layer",
        ),
        ("clock", "use crate::id::*;", "know no id"),
        ("error", "use crate::cookie::Tag;", "of a higher layer"),
        ("config", "use crate::internals;", "of a higher layer"),
        (
            "config",
            "use crate::cache::SessionCache;",
            "of a higher layer",
        ),
        (
            "cache",
            "use core::sync::atomic::AtomicBool;",
            "names atomic, which only sync may",
        ),
        (
            "cache::write",
            "use std::{io, sync::{Arc, Mutex}};",
            "names Mutex, which only sync may",
        ),
        (
            "clock",
            "static NOW: parking_lot::RwLock<u32> = todo();",
            "names parking_lot, which only sync may",
        ),
        (
            "cache",
            "#[cfg(sessile_loom)] use loom::thread;",
            "names loom, which only sync may",
        ),
        (
            "shard::wheel",
            "fn f() { assert!(crate::id::is_free()) }",
            "know no id",
        ),
        (
            "shard::tlsf",
            "thread_local! { static NOW: crate::clock::Clock = f(a::b); }",
            "no clock",
        ),
        (
            "shard::index",
            "m! { use crate::{clock::Tick, id}; }",
            "know no clock",
        ),
        (
            "cache",
            "#[derive(Mutex)] struct A;",
            "names Mutex, which only sync may",
        ),
        (
            "cache",
            "fn f(map: &Map<u8, Vec<std::sync::Mutex<u8>>>) {}",
            "names Mutex",
        ),
        (
            "error",
            "#[cfg(test)] use crate::cookie::Tag;",
            "of a higher layer",
        ),
        (
            "shard::tlsf",
            "mod a { mod b { use super::super::super::Shard; } }",
            "of a higher layer",
        ),
        (
            "cache",
            "mod a { use super::super::sync::Mutex; }",
            "names Mutex",
        ),
    ];
    for (module, text, expected) in broken {
        let found = offences(&with(module, text));
        assert!(
            found.iter().any(|each| each.contains(expected)),
            "{module}: {text}: {found:?}"
        );
    }
}

#[test]
fn allowed_code_breaks_no_rule() {
    let fine = [
        (
            "shard::wheel",
            "//! Knows no crate::id::Id.\nuse crate::clock::Tick; /* use crate::id::Id; */",
        ),
        (
            "shard::wheel",
            "const A: &str = \"use crate::id::Id;\"; const B: char = '\"'; use super::list;",
        ),
        (
            "shard::wheel",
            "#[cfg(test)]\nmod tests { use super::*; use crate::id::Id; fn f() {} }",
        ),
        (
            "shard::wheel",
            "fn f<'a>(x: &'a str) -> &'a str { r#\"crate::id::Id\"# }",
        ),
        ("shard::region", "use crate::sync::{AtomicU64, Relaxed};"),
        (
            "shard::ops::make_room",
            "use super::{Shard, entry::Entry}; use crate::clock::Tick;",
        ),
        (
            "shard::entry",
            "use crate::{cookie::Tag, id::Id}; use super::tlsf::Heap;",
        ),
        (
            "cookie::keys",
            "use super::{token::Parts, well_known}; use crate::Error; use hmac::Hmac;",
        ),
        (
            "sync",
            "mod lock { use super::*; use super::Fence; fn f() { self::g(); super::g() } }",
        ),
        (
            "shard::region",
            "mod a { mod b { use super::super::Line; fn f() { super::Line } } }",
        ),
        ("config", "use crate::{clock::Clock, shard::Plan, Error};"),
        (
            "cache::write",
            "use super::Inner; use crate::config::Timeouts; use std::sync::Arc;",
        ),
        (
            "cache",
            "mod route; use route::Route; use crate::{SessionId, shard::entry::Times};",
        ),
        (
            "sync",
            "use core::sync::atomic::AtomicU64; use parking_lot::Mutex; use loom::sync::RwLock;",
        ),
    ];
    for (module, text) in fine {
        assert_eq!(offences(&with(module, text)), [""; 0], "{module}: {text}");
    }
}

/// Returns a crate whose modules are empty except one.
fn with(module: &str, text: &str) -> Sources {
    let root =
        "pub use cache::SessionCache; pub use error::{BuildError, Error}; pub use id::SessionId;";
    let mut all: Vec<_> = LAYERS.concat().into_iter().map(|each| (each, "")).collect();
    all.extend([
        ("shard::ops::make_room", ""),
        ("cache::write", ""),
        ("", root),
        (module, text),
    ]);
    made_up(&all)
}
