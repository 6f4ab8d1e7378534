//! The texts of all errors: each names the setting or argument, the value and the limit.

#![allow(clippy::print_stdout)]

use core::{fmt::Display, mem};
use std::{collections::HashSet, time::Duration};

use super::{BuildError, CookieError, Error, HandleError, KeyError};

const SOURCE: &str = include_str!("../error.rs");
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Asserts that the texts are those of all variants of an enum of `error.rs`.
fn check<E: Display>(name: &str, texts: &[(E, &str)]) {
    let variants = texts.iter().map(|(error, _)| mem::discriminant(error));
    let covered = variants.collect::<HashSet<_>>().len();
    assert_eq!(covered, variants_of(name), "variants of {name} with a text");
    for (error, text) in texts {
        assert_eq!(error.to_string(), *text);
    }
}

/// Returns the number of variants that the source declares.
fn variants_of(name: &str) -> usize {
    let start = format!("pub enum {name} {{\n");
    let (_, body) = SOURCE.split_once(&start).expect("the enum is in error.rs");
    let (body, _) = body.split_once("\n}").expect("the enum ends");
    let is_variant = |line: &&str| {
        let name = line.strip_prefix("    ");
        name.is_some_and(|name| name.starts_with(|first: char| first.is_ascii_uppercase()))
    };
    body.lines().filter(is_variant).count()
}

#[test]
fn texts_of_error() {
    check(
        "Error",
        &[
            (Error::Gone, "session does not exist, or no longer exists"),
            (
                Error::Rotated,
                "session id is no longer current; the current one was sent with an earlier response",
            ),
            (
                Error::GraceTooLong {
                    given: HOUR,
                    max: MINUTE,
                },
                "`grace` must be at most 60s (`lifetime`), got 3600s",
            ),
            (
                Error::Conflict,
                "session was changed since that version was read; load it again",
            ),
            (
                Error::Full,
                "cache is full and no session can be evicted; increase `memory`",
            ),
            (
                Error::AdmissionDenied,
                "session creation is denied by the admission hook (`admission`)",
            ),
            (
                Error::TooLarge { given: 20, max: 16 },
                "`data` must be at most 16 bytes (`max_session_size`), got 20",
            ),
            (Error::EmptyUser, "`user` must not be empty"),
            (
                Error::LabelTooLong { given: 50, max: 48 },
                "`label` must be at most 48 bytes, got 50",
            ),
            (
                Error::TooManySessions,
                "user has reached `max_sessions_per_user`; end one of the sessions first",
            ),
            (
                Error::LifetimeOver,
                "`timeouts` of the sign-in have already passed; renew the lifetime, or count it from now",
            ),
            (
                Error::Entropy,
                "the operating system returned no random bytes",
            ),
            (
                Error::Unreachable,
                "session store cannot be reached; try again later",
            ),
            (
                Error::Unsupported {
                    verb: "the list of a user's sessions",
                },
                "session store does not support the list of a user's sessions",
            ),
        ],
    );
}

#[test]
fn texts_of_build_error() {
    check(
        "BuildError",
        &[
            (
                BuildError::Memory {
                    given: 5,
                    min: 6,
                    max: 7,
                },
                "`memory` must be between 6 and 7 bytes, got 5",
            ),
            (
                BuildError::MaxSessionSize { given: 0, max: 7 },
                "`max_session_size` must be between 1 and 7 bytes, got 0",
            ),
            (
                BuildError::MaxSessionsPerUser,
                "`max_sessions_per_user` must be at least 1, got 0; use `None` for no limit",
            ),
            (
                BuildError::ReservedForAuthenticated { given: 8, max: 7 },
                "`reserved_for_authenticated` must be at most 7 bytes, got 8",
            ),
            (
                BuildError::Timeout {
                    setting: "lifetime",
                    given: SECOND,
                    min: MINUTE,
                    max: HOUR,
                },
                "`lifetime` must be between 60s and 3600s, got 1s",
            ),
            (
                BuildError::Contradiction {
                    idle_timeout: HOUR,
                    lifetime: MINUTE,
                },
                "`idle_timeout` must be at most `lifetime`, which is 60s, got 3600s",
            ),
            (
                BuildError::NoKeys,
                "`keys` must be set to a key ring, such as `KeyRing::from_env(\"SESSILE_KEYS\")`",
            ),
            (
                BuildError::from(KeyError::Repeated {
                    position: 2,
                    first: 1,
                }),
                "`keys`: key 2 duplicates key 1; remove it",
            ),
            (
                BuildError::from(CookieError::TooLong {
                    setting: "name",
                    given: 9,
                    max: 8,
                }),
                "`cookie_name`: `name` must be at most 8 bytes, got 9",
            ),
            (
                BuildError::Allocation { given: 5 },
                "cannot allocate 5 bytes (`memory`); use less",
            ),
            (
                BuildError::Shards {
                    given: 512,
                    max: 256,
                },
                "a tiered cache must have at most 256 shards, got 512",
            ),
            (
                BuildError::Entropy,
                "the operating system returned no random bytes",
            ),
        ],
    );
}

#[test]
fn texts_of_cookie_error() {
    let given = || "a b".to_owned();
    check(
        "CookieError",
        &[
            (
                CookieError::Name { given: given() },
                "`name` must be letters, digits and any of !#$%&'*+-.^_`|~, got \"a b\"",
            ),
            (
                CookieError::Path { given: given() },
                "`path` must begin with `/` and be visible ASCII without `;`, got \"a b\"",
            ),
            (
                CookieError::Domain { given: given() },
                "`domain` must be a host name such as \"example.org\", got \"a b\"",
            ),
            (
                CookieError::MaxAge {
                    given: Duration::ZERO,
                },
                "`max_age` must be whole seconds, from 1 to 34560000 (400 days), got 0ns",
            ),
            (
                CookieError::TooLong {
                    setting: "path",
                    given: 9,
                    max: 8,
                },
                "`path` must be at most 8 bytes, got 9",
            ),
            (
                CookieError::Contradiction {
                    setting: "secure",
                    given: "false".to_owned(),
                    must: "true",
                    because: "`Partitioned`",
                },
                "`secure` must be true for `Partitioned`, got false",
            ),
        ],
    );
}

#[test]
fn texts_of_key_error() {
    let variable = || "KEYS".to_owned();
    check(
        "KeyError",
        &[
            (
                KeyError::NoKey,
                "key ring is empty; add a key; make one with `openssl rand -base64 32`",
            ),
            (
                KeyError::TooMany { given: 17, max: 16 },
                "key ring must have at most 16 keys, got 17",
            ),
            (
                KeyError::Base64 { position: 2 },
                "key 2 must be base64; make one with `openssl rand -base64 32`",
            ),
            (
                KeyError::Short {
                    position: 2,
                    given: 6,
                },
                "key 2 must be at least 32 bytes, got 6; make one with `openssl rand -base64 32`",
            ),
            (
                KeyError::Repeated {
                    position: 2,
                    first: 1,
                },
                "key 2 duplicates key 1; remove it",
            ),
            (
                KeyError::WellKnown {
                    position: 2,
                    origin: "the alphabet",
                },
                "key 2 is publicly known or guessable (the alphabet); use a random key; \
             make one with `openssl rand -base64 32`",
            ),
            (
                KeyError::SameNumber {
                    position: 2,
                    first: 1,
                },
                "key 2 has the key number of key 1; use another key; make one with `openssl rand -base64 32`",
            ),
            (
                KeyError::UsedNumber { position: 2 },
                "key 2 has the key number of an earlier key; use another key; \
             make one with `openssl rand -base64 32`",
            ),
            (
                KeyError::Unset {
                    variable: variable(),
                },
                "KEYS is not set; set it to a key, or to several separated by commas; \
             make one with `openssl rand -base64 32`",
            ),
            (
                KeyError::NotText {
                    variable: variable(),
                },
                "KEYS must be base64 text; make one with `openssl rand -base64 32`",
            ),
            (
                KeyError::Entropy,
                "the operating system returned no random bytes",
            ),
        ],
    );
}

#[test]
fn texts_of_handle_error() {
    check(
        "HandleError",
        &[
            (
                HandleError::Length { given: 51 },
                "handle must be 52 hexadecimal digits, got 51 bytes",
            ),
            (
                HandleError::Digit { position: 9 },
                "byte 9 of the handle must be a digit, 0 to 9 or a to f in lower case",
            ),
        ],
    );
}
