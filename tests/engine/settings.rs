//! Settings of the builder. Errors name the setting, the given value and the accepted values.

use std::{error::Error as _, time::Duration};

use crate::support::{
    HOUR, MINUTE, SECOND, TICK, builder, create, data, opens,
    rings::{key, ring},
    sign_in,
};
use sessile::{
    BuildError, CookieError, KeyError, KeyRing, ManualClock, SessionCache, SessionCacheBuilder,
};

fn settings() -> SessionCacheBuilder {
    builder(&ManualClock::new())
}

/// Asserts that the error's text names all of `names`.
fn rejected(settings: SessionCacheBuilder, names: &[&str]) -> BuildError {
    let error = settings.build().unwrap_err();
    let text = error.to_string();
    assert!(
        names.iter().all(|name| text.contains(name)),
        "{text:?} names {names:?}"
    );
    error
}

#[test]
fn too_little_memory_is_rejected_and_the_named_minimum_is_accepted() {
    for shards in [None, Some(1), Some(4), Some(64)] {
        for largest in [1, 7, 100, 1_000, 4_096, 16_384, 100_000, 1 << 20] {
            let settings = |memory: usize| {
                let all = SessionCache::builder()
                    .keys(ring(&[1]))
                    .clock(ManualClock::new());
                let all = all.memory(memory).max_session_size(largest);
                shards.map_or_else(|| all.clone(), |shards| all.clone().shards(shards))
            };
            let BuildError::Memory {
                given: 0,
                min: least,
                max: most,
            } = rejected(settings(0), &["`memory`", " bytes, got 0"])
            else {
                panic!("expected an error about `memory`");
            };
            let numbers = [(least - 1).to_string(), least.to_string(), most.to_string()];
            rejected(
                settings(least - 1),
                &["`memory`", &numbers[0], &numbers[1], &numbers[2]],
            );
            let cache = settings(least).build().unwrap();
            holds_the_largest(&cache);
            let fair = largest + largest / 8 + (20 << 10);
            assert!(
                least < usize::from(shards.unwrap_or(1)) * fair + (16 << 10),
                "{least}"
            );
        }
    }
}

/// Returns true if one session of the maximum size can be stored, anonymous and authenticated,
/// evicting others if needed.
fn holds_the_largest(cache: &SessionCache) {
    let largest = vec![0xa5; cache.max_session_size()];
    assert!(cache.capacity_for(largest.len()) >= 1);
    for _ in 0..3 {
        let issued = create(cache, &largest);
        assert_eq!(data(cache, &issued.id).unwrap(), largest);
        cache.validate();
    }
    let small = create(cache, b"");
    if let Ok(user) = cache.sign_in(&small.id, "alice") {
        // The session's block takes the rest, or the other session occupies the space.
        let saved = cache.save(&user.id, user.version, &largest);
        assert!(saved.is_ok() || data(cache, &user.id).unwrap().is_empty());
    }
    cache.validate();
}

#[test]
fn memory_that_cannot_be_addressed_is_rejected() {
    for memory in [usize::MAX, usize::MAX - 1, usize::MAX / 2, 1 << 48, 1 << 42] {
        for shards in [None, Some(1), Some(32_768)] {
            let settings = settings().memory(memory);
            let settings = match shards {
                Some(shards) => settings.shards(shards),
                None => SessionCache::builder().memory(memory).keys(ring(&[1])),
            };
            if shards == Some(32_768) && memory <= 1 << 48 {
                continue; // Addressable, but no machine has that much memory.
            }
            let error = rejected(settings, &["`memory`", &memory.to_string()]);
            assert!(matches!(error, BuildError::Memory { max: most, .. } if most < memory));
        }
    }
}

#[test]
fn timeouts_out_of_range_are_rejected() {
    const LEAST: Duration = Duration::from_millis(1_600);
    let most = TICK * (u32::MAX - 1);
    let none = Duration::from_nanos(1);
    for wrong in [
        Duration::ZERO,
        none,
        LEAST - none,
        most + none,
        Duration::MAX,
    ] {
        let was = format!("{wrong:?}");
        let texts = [&was[..], "1.6s", "429496729.4s"];
        let names = ["`idle_timeout`"]
            .into_iter()
            .chain(texts)
            .collect::<Vec<_>>();
        let error = rejected(settings().lifetime(most).idle_timeout(wrong), &names);
        let expected = BuildError::Timeout {
            setting: "idle_timeout",
            given: wrong,
            min: LEAST,
            max: most,
        };
        assert_eq!(error, expected);
        let names = ["`lifetime`"].into_iter().chain(texts).collect::<Vec<_>>();
        let error = rejected(settings().lifetime(wrong).idle_timeout(SECOND * 2), &names);
        assert!(matches!(
            error,
            BuildError::Timeout {
                setting: "lifetime",
                ..
            }
        ));
    }
    for right in [LEAST, SECOND * 2, HOUR, most] {
        let cache = settings()
            .lifetime(right)
            .idle_timeout(right)
            .build()
            .unwrap();
        assert_eq!((cache.idle_timeout(), cache.lifetime()), (right, right));
        assert!(opens(&cache, &create(&cache, b"").token));
    }
}

#[test]
fn an_idle_timeout_over_the_lifetime_is_rejected() {
    let error = rejected(
        settings().idle_timeout(HOUR + SECOND).lifetime(HOUR),
        &["`idle_timeout`", "3601s", "at most", "`lifetime`", "3600s"],
    );
    let expected = BuildError::Contradiction {
        idle_timeout: HOUR + SECOND,
        lifetime: HOUR,
    };
    assert_eq!(error, expected);
    // The default of one setting exceeds the value of the other.
    rejected(
        settings().lifetime(MINUTE),
        &["`idle_timeout`", "1800s", "`lifetime`", "60s"],
    );
    rejected(
        settings().idle_timeout(HOUR * 13),
        &["`idle_timeout`", "46800s", "43200s"],
    );
}

#[test]
fn a_max_session_size_of_zero_or_too_much_is_rejected() {
    let most = (1 << 24) - 1;
    for wrong in [0, most + 1, usize::MAX] {
        let names = [
            "`max_session_size`",
            &wrong.to_string(),
            " 1 ",
            &most.to_string(),
        ];
        let error = rejected(settings().max_session_size(wrong), &names);
        assert_eq!(
            error,
            BuildError::MaxSessionSize {
                given: wrong,
                max: most
            }
        );
    }
    let cache = settings()
        .memory(40 << 20)
        .max_session_size(most)
        .build()
        .unwrap();
    let largest = vec![0x5a; most];
    let issued = create(&cache, &largest);
    assert!(data(&cache, &issued.id).unwrap() == largest);
    cache.validate();
}

#[test]
fn a_reservation_without_room_for_the_largest_anonymous_session_is_rejected() {
    for shards in [1, 2, 8] {
        for largest in [1, 100, 4_096] {
            let memory = (64 << 10) * usize::from(shards);
            let settings = settings()
                .memory(memory)
                .shards(shards)
                .max_session_size(largest);
            let reserved = |bytes| settings.clone().reserved_for_authenticated(bytes);
            let wrong = reserved(usize::MAX);
            let BuildError::ReservedForAuthenticated {
                given: usize::MAX,
                max: most,
            } = rejected(
                wrong,
                &[
                    "`reserved_for_authenticated`",
                    &usize::MAX.to_string(),
                    "at most",
                ],
            )
            else {
                panic!("expected an error about `reserved_for_authenticated`");
            };
            let numbers = [(most + 1).to_string(), most.to_string()];
            for given in [most + 1, memory, memory * 2] {
                let text = given.to_string();
                rejected(
                    reserved(given),
                    &["`reserved_for_authenticated`", &text, &numbers[1]],
                );
            }
            for right in [0, 1, most / 2, most] {
                let cache = reserved(right).build().unwrap();
                holds_the_largest(&cache);
                let memory = cache.stats().memory;
                assert!(memory.used - memory.authenticated <= memory.capacity - right);
            }
            let capacity = settings.clone().build().unwrap().stats().memory.capacity;
            let fair = usize::from(shards) * (largest + 256);
            assert!(
                (capacity - fair..capacity).contains(&most),
                "{most} of {capacity}"
            );
        }
    }
}

#[test]
fn an_invalid_cookie_name_is_rejected() {
    for wrong in [
        "", "a b", "a;b", "a=b", "a\r\nb", "é", "a,b", "\"a\"", "a\0",
    ] {
        let error = rejected(
            settings().cookie_name(wrong),
            &["cookie_name", &format!("{wrong:?}")],
        );
        assert!(
            matches!(&error, BuildError::CookieName(CookieError::Name { given }) if given == wrong)
        );
        assert!(error.source().is_none(), "the text contains the cause");
    }
    let long = "n".repeat(5_000);
    let error = rejected(
        settings().cookie_name(long),
        &["cookie_name", "5000", "must be at most"],
    );
    assert!(matches!(
        error,
        BuildError::CookieName(CookieError::TooLong { .. })
    ));
    for right in ["sid", "__Host-session", "__Secure-a", "!#$%&'*+-.^_`|~"] {
        let cache = settings().cookie_name(right).build().unwrap();
        assert_eq!(cache.cookie_name(), right);
        assert!(opens(&cache, &create(&cache, b"").token), "{right}");
    }
}

#[test]
fn missing_keys_are_rejected() {
    let error = rejected(
        SessionCache::builder(),
        &["`keys`", "must be set", "KeyRing::from_env"],
    );
    assert_eq!(error, BuildError::NoKeys);
    assert_eq!(
        format!("{error:?}"),
        error.to_string(),
        "`main` prints it in `Debug`"
    );
}

// SIGN-3: docs/security-checklist.md
#[test]
fn invalid_keys_are_rejected_before_the_builder() {
    let text = |keys: &[&[u8]]| KeyRing::from_bytes(keys).unwrap_err().to_string();
    for (wrong, names) in [
        (text(&[]), ["key ring is empty", "add a key"]),
        (text(&[b""]), ["key 1 must be at least 32 bytes", "got 0"]),
        (
            text(&[&key(1), &key(2)[..31]]),
            ["key 2 must be at least 32 bytes", "got 31"],
        ),
        (
            text(&[&key(1), &key(2), &key(1)]),
            ["key 3 duplicates key 1", "remove it"],
        ),
        (
            text(&[&[0; 32]]),
            ["key 1 is publicly known or guessable", "use a random key"],
        ),
        (
            text(&[b"keyboard cat keyboard cat keyboard cat"]),
            ["publicly known", "use a random key"],
        ),
    ] {
        assert!(
            names.iter().all(|name| wrong.contains(name)),
            "{wrong:?} names {names:?}"
        );
    }
    let cache = settings().build().unwrap();
    assert_eq!(cache.set_keys(&ring(&[1, 2])), Ok(()));
    assert!(matches!(KeyRing::from_base64(" "), Err(KeyError::NoKey)));
}

#[test]
fn defaults_are_as_documented() {
    let cache = SessionCache::builder()
        .keys(ring(&[1]))
        .clock(ManualClock::new())
        .build()
        .unwrap();
    assert_eq!(cache.stats().memory.budget, 64 << 20);
    assert_eq!(cache.max_session_size(), 16 << 10);
    assert_eq!(
        (cache.idle_timeout(), cache.lifetime()),
        (MINUTE * 30, HOUR * 12)
    );
    assert_eq!(cache.cookie_name(), "__Host-session");
    let memory = cache.stats().memory;
    assert!(memory.used == 0 && memory.capacity < memory.budget);
    assert!(memory.capacity > memory.budget / 100 * 80);
    // 360 bytes per session, and its share of the index.
    assert!(
        cache.capacity_for(256) > (64 << 20) / 375,
        "{}",
        cache.capacity_for(256)
    );
    assert!(cache.is_empty());
}

#[test]
fn clones_share_one_cache() {
    let cache = settings().build().unwrap();
    let other = cache.clone();
    let issued = create(&cache, b"seen by both");
    let issued = sign_in(&other, &issued.id, "alice");
    assert!(opens(&cache, &issued.token) && opens(&other, &issued.token));
    assert!(other.end(&issued.id));
    assert!(cache.is_empty());
}

#[test]
fn debug_shows_the_settings_and_no_key() {
    let text = format!("{:?}", settings().memory(12_345_678).cookie_name("sid"));
    for part in ["12345678", "16384", "1800s", "43200s", "\"sid\""] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("keys") && !text.contains("Key"), "{text}");
    let text = format!("{:?}", settings().build().unwrap());
    assert!(
        text.contains("__Host-session") && text.contains("2097152"),
        "{text}"
    );
}
