//! The tables of settings and what the code does without them.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderMap, StatusCode, header};
use sessile::{BuildError, Error, KeyError, KeyRing, SessionCache, SessionCacheBuilder, Timeouts};
use sessile_web::{SessionManager, adapter::ready};

use super::{read, rows};

/// The cells of a row, by its setting.
fn table(heading: &str) -> BTreeMap<String, Vec<String>> {
    let rows = rows(&read("docs/src/configuration.md"), heading);
    rows.into_iter()
        .map(|row| (row[0].trim_matches('`').to_owned(), row))
        .collect()
}

fn cache_table() -> BTreeMap<String, Vec<String>> {
    table("## The cache: `SessionCache::builder()`")
}

fn builder() -> SessionCacheBuilder {
    SessionCache::builder().keys(KeyRing::generate().unwrap())
}

fn rejected(builder: SessionCacheBuilder) -> BuildError {
    builder.build().unwrap_err()
}

fn duration(given: Duration) -> String {
    const MINUTE: f64 = 60.0;
    const YEAR: f64 = 365.0 * 24.0 * 60.0 * MINUTE;
    match given.as_secs_f64() {
        seconds if seconds >= YEAR => format!("{:.1} years", seconds / YEAR),
        seconds if seconds >= 60.0 * MINUTE => format!("{} h", seconds / 60.0 / MINUTE),
        seconds if seconds >= MINUTE => format!("{} min", seconds / MINUTE),
        seconds => format!("{seconds} s"),
    }
}

#[test]
fn defaults_of_the_cache() {
    let table = cache_table();
    let cache = builder().build().unwrap();
    let default = |setting: &str| table[setting][1].clone();
    let budget = cache.stats().memory.budget;
    assert_eq!(default("memory"), format!("{} MiB", budget >> 20));
    let size = cache.max_session_size();
    assert_eq!(default("max_session_size"), format!("{} KiB", size >> 10));
    assert_eq!(default("idle_timeout"), duration(cache.idle_timeout()));
    assert_eq!(default("lifetime"), duration(cache.lifetime()));
    assert_eq!(default("cookie_name"), format!("`{}`", cache.cookie_name()));
    assert_eq!(default("reserved_for_authenticated"), "0");

    let max: usize = default("max_sessions_per_user").parse().unwrap();
    let policy = format!("{:?}", sessile::SessionLimitPolicy::default());
    assert_eq!(default("session_limit_policy"), format!("`{policy}`"));
    for _ in 0..=max {
        let issued = cache.create(b"").unwrap();
        cache.sign_in(&issued.id, "ada").unwrap();
    }
    assert_eq!(cache.user_sessions("ada").len(), max);

    assert_eq!(default("events"), "0");
    assert!(cache.next_event().is_none());
    assert_eq!(default("admission"), "none");
    assert!(!cache.has_admission_hook());
}

#[test]
fn limits_of_the_cache() {
    let table = cache_table();
    let limits = |setting: &str| [table[setting][2].clone(), table[setting][3].clone()];
    let BuildError::MaxSessionSize { max, .. } = rejected(builder().max_session_size(0)) else {
        panic!("a size of 0 is rejected");
    };
    assert_eq!(
        limits("max_session_size"),
        ["1".to_owned(), max.to_string()]
    );

    let short = builder().idle_timeout(Duration::ZERO);
    let BuildError::Timeout { min, max, .. } = rejected(short) else {
        panic!("a timeout of 0 is rejected");
    };
    for setting in ["idle_timeout", "lifetime"] {
        assert_eq!(limits(setting), [duration(min), duration(max)]);
    }

    let BuildError::Memory { min, max, .. } = rejected(builder().memory(0)) else {
        panic!("no memory is rejected");
    };
    assert_eq!(
        limits("memory"),
        [
            format!("{} KiB with the other defaults", min >> 10),
            format!("{} GiB per shard", (max + (1 << 29)) >> 30)
        ]
    );

    let none = rejected(builder().max_sessions_per_user(0));
    assert_eq!(none, BuildError::MaxSessionsPerUser);
    assert_eq!(limits("max_sessions_per_user"), ["1", "none"]);

    let key = [b"0123456789abcdefghijklmnopqrstuv".as_slice()];
    let Err(KeyError::TooMany { max, .. }) = KeyRing::from_bytes(&key.repeat(99)) else {
        panic!("99 keys are rejected");
    };
    assert_eq!(limits("keys"), ["1".to_owned(), max.to_string()]);
}

#[test]
fn limits_of_labels_and_handles_on_the_errors_page() {
    let page = read("docs/errors.md");
    let cache = builder().build().unwrap();
    let issued = cache.create(b"").unwrap();
    let label = "x".repeat(100);
    let options = sessile::SignInOptions::new().label(&label);
    let Err(Error::LabelTooLong { max, .. }) = cache.sign_in_with(&issued.id, "ada", options)
    else {
        panic!("a label of 100 bytes is rejected");
    };
    assert!(page.contains(&format!("the label is longer than {max} bytes")));
    let handle = cache.load(&issued.id, &mut bytes::BytesMut::new()).unwrap();
    let length = handle.handle().to_string().len();
    assert!(page.contains(&format!("the text does not have {length} characters")));
}

#[test]
fn the_sizes_of_memory_are_those_of_a_cache() {
    for row in rows(&read("docs/src/memory.md"), "## Sizing") {
        let memory = match row[0].split_once(' ').unwrap() {
            (number, "MiB") => number.parse::<usize>().unwrap() << 20,
            (number, _) => number.parse::<usize>().unwrap() << 30,
        };
        let cache = builder().memory(memory).build().unwrap();
        for (cell, len) in row[1..].iter().zip([256, 1024, 4096]) {
            let stated: f64 = cell.replace(',', "").parse().unwrap();
            let actual = cache.capacity_for(len) as f64;
            // The number of shards, which depends on the cores, changes it slightly.
            assert!((stated / actual - 1.0).abs() < 0.02, "{cell}: {actual}");
        }
    }
}

#[test]
fn the_table_of_the_manager_has_its_setters() {
    let table = table("## The manager: `SessionManager::builder(cache)`");
    let source = read("adapters/web/src/builder.rs");
    let setters = source.lines().filter_map(|line| {
        let (name, rest) = line
            .trim()
            .strip_prefix("pub fn ")?
            .split_once(['(', '<'])?;
        let is_setter = rest.contains("mut self");
        is_setter.then(|| name.to_owned())
    });
    let setters: Vec<_> = setters.collect();
    assert!(setters.len() > 10, "{setters:?}");
    for setter in &setters {
        assert!(
            table.contains_key(setter),
            "configuration.md lacks {setter}"
        );
    }
    assert_eq!(table.len(), setters.len());
}

#[test]
fn the_table_of_the_cache_has_its_setters() {
    let table = cache_table();
    let source = read("src/config.rs");
    let (_, implementation) = source.split_once("impl SessionCacheBuilder {").unwrap();
    let mut is_hidden = false;
    for line in implementation.lines() {
        is_hidden |= line.contains("#[doc(hidden)]");
        let Some(name) = line.trim().strip_prefix("pub fn ") else {
            continue;
        };
        let (name, _) = name.split_once('(').unwrap();
        assert!(
            is_hidden || table.contains_key(name),
            "configuration.md lacks {name}"
        );
        is_hidden = false;
    }
}

#[test]
fn the_page_of_jwts_has_the_setters_of_both_builders() {
    let page = read("docs/jwt.md");
    let listed = rows(&page, "## Settings").into_iter();
    let listed: Vec<_> = listed
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    let mut setters = Vec::new();
    for file in ["verifier", "revocations"] {
        let source = read(&format!("adapters/jwt/src/{file}/build.rs"));
        let names = source.lines().filter_map(|line| {
            let name = line.trim().strip_prefix("pub fn ")?;
            name.contains("mut self, ")
                .then(|| name.split('(').next().unwrap().to_owned())
        });
        setters.extend(names);
    }
    assert!(setters.len() > 10, "{setters:?}");
    for setter in &setters {
        assert!(listed.contains(setter), "docs/jwt.md lacks {setter}");
    }
    for setting in &listed {
        assert!(
            setters.contains(setting) || setting == "capacity",
            "{setting} is not a setter"
        );
    }
}

#[test]
fn defaults_of_the_manager() {
    let table = table("## The manager: `SessionManager::builder(cache)`");
    let default = |setting: &str| table[setting][1].trim_matches('`').to_owned();
    let cache = builder().build().unwrap();
    let explicit = SessionManager::builder(cache.clone())
        .partitioned(false)
        .persistent_cookies(false)
        .touch_always(false)
        .timeouts(Timeouts::new())
        .replaced_window(Duration::from_secs(60))
        .identity_keys(Vec::<String>::new());
    let manager = SessionManager::new(cache);
    assert_eq!(explicit.build().unwrap(), manager);

    let session = manager.begin(&HeaderMap::new());
    session.insert("a", 1).unwrap();
    let mut headers = HeaderMap::new();
    ready(SessionManager::commit(
        &session,
        StatusCode::OK,
        &mut headers,
    ))
    .unwrap();
    let cookie = headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; Secure; SameSite=Lax"));

    let stated = [
        "same_site",
        "path",
        "partitioned",
        "persistent_cookies",
        "touch_always",
        "replaced_window",
        "identity_keys",
    ]
    .map(default);
    assert_eq!(stated, ["Lax", "/", "off", "off", "off", "60 s", "none"]);
}
