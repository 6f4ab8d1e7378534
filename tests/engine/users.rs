//! Users: their sessions as a list, ending one or all, session limits, and the details of a
//! sign-in.

use std::time::Duration;

use std::{
    collections::HashSet,
    mem,
    sync::Mutex,
    thread::{self, ScopedJoinHandle},
};

use crate::support::{
    HOUR, MINUTE, PLAINLY, SECOND, builder, cache, create, create_many, fill_with_users, filler,
    having, idle, lifetime, load, opens, sign_in, signed_in,
};
use sessile::{
    BuildError, Error, Handle, HandleError, IssuedSession, ManualClock, SessionCache,
    SessionCacheBuilder, SessionLimitPolicy, stats::EvictionCounts,
};

/// Creates a cache of four shards, so that some operations span shards.
fn four_shards(clock: &ManualClock) -> SessionCacheBuilder {
    builder(clock).memory(8 << 20).shards(4)
}

fn labels(cache: &SessionCache, user: &str) -> Vec<String> {
    cache
        .user_sessions(user)
        .into_iter()
        .map(|device| device.label)
        .collect()
}

fn signed_in_with(cache: &SessionCache, user: &str, label: &str) -> IssuedSession {
    let made = create(cache, b"data");
    cache
        .sign_in_with(&made.id, user, PLAINLY.label(label))
        .unwrap()
}

fn sign_in_often(cache: &SessionCache, times: usize) {
    (0..times).for_each(|_| assert!(load(cache, &signed_in(cache, b"", "ada").id).is_some()));
}

fn handle(cache: &SessionCache, made: &IssuedSession) -> Handle {
    load(cache, &made.id).unwrap().0.handle()
}

// LIFE-8: docs/security-checklist.md
#[test]
fn the_list_of_sessions_has_times_assurance_levels_and_labels() {
    let (cache, clock) = cache();
    let made = create(&cache, b"");
    clock.advance(MINUTE);
    let with = PLAINLY.assurance_level(3).label("Firefox on Linux");
    let laptop = cache.sign_in_with(&made.id, "ada", with).unwrap();
    clock.advance(MINUTE);
    signed_in_with(&cache, "ada", "phone");
    signed_in_with(&cache, "grace", "tablet");
    clock.advance(10 * MINUTE);
    assert!(opens(&cache, &laptop.token));
    clock.advance(MINUTE);
    let devices = cache.user_sessions("ada");
    assert_eq!(
        labels(&cache, "ada"),
        ["Firefox on Linux", "phone"],
        "most recently seen first"
    );
    let [laptop, phone] = [&devices[0], &devices[1]];
    assert_eq!((laptop.assurance_level, phone.assurance_level), (3, 0));
    assert_eq!(
        (laptop.age(), laptop.authenticated_for()),
        (13 * MINUTE, 12 * MINUTE)
    );
    assert_eq!(
        (phone.age(), phone.authenticated_for()),
        (11 * MINUTE, 11 * MINUTE)
    );
    assert_eq!(
        (laptop.last_seen(), phone.last_seen()),
        (MINUTE, 11 * MINUTE)
    );
    assert_eq!(cache.user_sessions("unknown").len(), 0);
    assert_eq!(cache.user_sessions("").len(), 0);
}

// LIFE-8: docs/security-checklist.md
#[test]
fn last_seen_is_exact_to_a_sixteenth_of_the_timeout_to_the_very_end() {
    let clock = ManualClock::new();
    // For the second half of the time the idle deadline is later than the end of the lifetime.
    let cache = builder(&clock)
        .idle_timeout(HOUR)
        .lifetime(2 * HOUR)
        .build()
        .unwrap();
    let made = signed_in(&cache, b"", "ada");
    for _ in 0..119 {
        clock.advance(MINUTE);
        assert!(opens(&cache, &made.token));
        let seen = cache.user_sessions("ada")[0].last_seen();
        assert!(seen <= HOUR / 16, "{seen:?}");
    }
    clock.advance(MINUTE);
    assert!(cache.user_sessions("ada").is_empty());
}

// LIFE-8: docs/security-checklist.md
#[test]
fn the_record_has_the_user_and_the_assurance_level() {
    let (cache, _clock) = cache();
    let guest = create(&cache, b"");
    let record = load(&cache, &guest.id).unwrap().0;
    assert_eq!(
        (record.assurance_level, record.user, record.handle().user()),
        (0, None, None)
    );
    let ada = cache
        .sign_in_with(&guest.id, "ada", PLAINLY.assurance_level(255))
        .unwrap();
    let record = load(&cache, &ada.id).unwrap().0;
    assert_eq!(
        (record.assurance_level, record.handle().user()),
        (255, record.user)
    );
    let again = sign_in(&cache, &ada.id, "ada");
    assert_eq!(
        load(&cache, &again.id).unwrap().0.assurance_level,
        0,
        "each sign-in sets it"
    );
}

// LIFE-8: docs/security-checklist.md
#[test]
fn the_details_of_a_sign_in_survive_saves_and_rotation() {
    let (cache, _clock) = cache();
    for len in 0..=48 {
        let label = &"a label that is as long as a label may be: 48 by."[..len];
        let with = PLAINLY.assurance_level(len as u8).label(label);
        let made = cache
            .sign_in_with(&create(&cache, b"data").id, "ada", with)
            .unwrap();
        create(&cache, b"in the way");
        for data in [&[7; 300][..], &[8; 2_000], &[9; 3], b""] {
            let version = load(&cache, &made.id).unwrap().0.version;
            cache.save(&made.id, version, data).unwrap();
            assert_eq!(load(&cache, &made.id).unwrap().1, data);
            cache.validate();
        }
        let made = cache.rotate(&made.id, Duration::ZERO).unwrap();
        let device = &cache.user_sessions("ada")[0];
        assert_eq!(
            (device.label.as_str(), device.assurance_level),
            (label, len as u8)
        );
        assert!(cache.end(&made.id));
        cache.validate();
    }
}

#[test]
fn a_label_that_is_too_long_is_refused_before_anything_is_done() {
    let (cache, _clock) = cache();
    let made = create(&cache, b"data");
    for len in [49, 63, 64, 1 << 20] {
        let label = "x".repeat(len);
        let error = cache
            .sign_in_with(&made.id, "ada", PLAINLY.label(&label))
            .unwrap_err();
        assert_eq!(
            error,
            Error::LabelTooLong {
                given: len,
                max: 48
            }
        );
        assert!(error.to_string().contains(&len.to_string()));
    }
    let label = "é".repeat(24);
    let made = cache
        .sign_in_with(&made.id, "ada", PLAINLY.label(&label))
        .unwrap();
    assert_eq!(labels(&cache, "ada"), [label]);
    assert!(opens(&cache, &made.token));
}

#[test]
fn users_with_odd_names_are_users() {
    let (cache, _clock) = cache();
    let megabyte = "a".repeat(1 << 20);
    let other = "a".repeat((1 << 20) - 1);
    let names = [
        "a", "A", "a ", " a", "\0", "\0\0", "é", "e\u{301}", "🦀", &megabyte, &other,
    ];
    for name in names {
        signed_in_with(&cache, name, "here");
    }
    for name in names {
        assert_eq!(cache.user_sessions(name).len(), 1);
        assert_eq!(cache.end_user_sessions(name, None), 1);
    }
    let made = create(&cache, b"");
    assert_eq!(cache.sign_in(&made.id, "").err(), Some(Error::EmptyUser));
    assert_eq!((cache.end_user_sessions("", None), cache.len()), (0, 1));
}

// TERM-7: docs/security-checklist.md
#[test]
fn a_list_shows_no_id_and_its_handles_open_nothing() {
    let clock = ManualClock::new();
    let cache = four_shards(&clock).build().unwrap();
    for n in 0..50 {
        let user = format!("user {n}");
        let made = signed_in_with(&cache, &user, "a label");
        let device = &cache.user_sessions(&user)[0];
        let shown = format!("{device:?} {}", device.handle);
        let bytes = base64_simd::URL_SAFE_NO_PAD
            .decode_to_vec(made.token.as_str())
            .unwrap();
        let secrets = bytes[4..].chunks(4).map(|part| {
            [
                u32::from_be_bytes(part.try_into().unwrap()),
                u32::from_le_bytes(part.try_into().unwrap()),
            ]
        });
        for word in secrets.flatten() {
            assert!(!shown.contains(&format!("{word:08x}")), "{shown}");
        }
        let text = device.handle.to_string();
        for value in [&text[..], &text[..48], &text[4..]] {
            assert!(
                cache
                    .open_token(value.as_bytes(), &mut bytes::BytesMut::new())
                    .is_none()
            );
        }
    }
}

// TERM-7: docs/security-checklist.md
#[test]
fn a_user_ends_one_of_their_sessions() {
    let clock = ManualClock::new();
    let cache = four_shards(&clock).build().unwrap();
    let [phone, laptop] = ["phone", "laptop"].map(|label| signed_in_with(&cache, "ada", label));
    let grace = signed_in_with(&cache, "grace", "desk");
    let lost = cache
        .user_sessions("ada")
        .into_iter()
        .find(|device| device.label == "phone")
        .unwrap();
    assert_eq!(lost.handle, handle(&cache, &phone));
    let before = cache.stats().ended;
    assert!(cache.end_by_handle(&lost.handle));
    assert!(!cache.end_by_handle(&lost.handle), "once");
    assert_eq!(cache.stats().ended, before + 1);
    assert!(!opens(&cache, &phone.token) && opens(&cache, &laptop.token));
    assert!(opens(&cache, &grace.token));
    assert_eq!(labels(&cache, "ada"), ["laptop"]);
}

#[test]
fn a_handle_stays_through_rotation_and_is_new_after_a_sign_in() {
    let clock = ManualClock::new();
    let cache = four_shards(&clock).build().unwrap();
    let mut seen = HashSet::new();
    let made = create(&cache, b"data");
    assert!(seen.insert(handle(&cache, &made)));
    assert!(
        !cache.end_by_handle(&handle(&cache, &made)),
        "the session is anonymous"
    );
    let mut made = sign_in(&cache, &made.id, "ada");
    for _ in 0..5 {
        let own = handle(&cache, &made);
        assert!(seen.insert(own));
        made = cache.rotate(&made.id, Duration::ZERO).unwrap();
        assert_eq!(handle(&cache, &made), own);
        cache.save(&made.id, made.version, &[1; 4_000]).unwrap();
        assert_eq!(handle(&cache, &made), own);
        made = sign_in(&cache, &made.id, "ada");
        assert!(
            !cache.end_by_handle(&own),
            "the old handle names the old session"
        );
    }
    assert!(cache.end_by_handle(&handle(&cache, &made)));
    // Created in one tick for one user: the handles still differ.
    sign_in_often(&cache, 20);
    let all: HashSet<_> = cache
        .user_sessions("ada")
        .iter()
        .map(|device| device.handle)
        .collect();
    assert_eq!(all.len(), 20);
}

#[test]
fn serde_reads_and_writes_a_handle_as_its_text() {
    let (cache, _) = cache();
    let handle = handle(&cache, &signed_in(&cache, b"", "ada"));
    let json = serde_json::to_string(&handle).unwrap();
    assert_eq!(json, format!("\"{handle}\""));
    assert_eq!(serde_json::from_str::<Handle>(&json).unwrap(), handle);
    let error = serde_json::from_str::<Handle>("\"0\"").unwrap_err();
    let cause = HandleError::Length { given: 1 }.to_string();
    assert!(error.to_string().contains(&cause));
    assert!(serde_json::from_str::<Handle>("52").is_err());
}

#[test]
fn a_handle_reads_back_from_its_text_and_from_no_other() {
    let (cache, clock) = cache();
    clock.advance(HOUR);
    let handle = handle(&cache, &signed_in(&cache, b"", "ada"));
    let text = handle.to_string();
    assert_eq!((text.len(), text.parse()), (52, Ok(handle)));
    assert_eq!(format!("{handle:?}"), format!("Handle({text})"));
    for len in [0, 1, 51, 53, 1_000] {
        let wrong = text.chars().cycle().take(len).collect::<String>();
        assert_eq!(
            wrong.parse::<Handle>(),
            Err(HandleError::Length { given: len })
        );
    }
    for (at, wrong) in [
        (0, "A"),
        (20, "g"),
        (51, " "),
        (30, "+"),
        (7, "-"),
        (9, "\0"),
    ] {
        let mut damaged = text.clone();
        damaged.replace_range(at..=at, wrong);
        let error = damaged.parse::<Handle>().unwrap_err();
        assert_eq!(error, HandleError::Digit { position: at + 1 });
        assert!(error.to_string().contains(&(at + 1).to_string()));
    }
    let wide = "é".repeat(26);
    assert_eq!(
        wide.parse::<Handle>(),
        Err(HandleError::Digit { position: 1 })
    );
    // A handle that parses may name no session, and a shard that does not exist.
    for at in 0..52 {
        let mut other = text.clone();
        other.replace_range(
            at..=at,
            if text.as_bytes()[at] == b'f' {
                "0"
            } else {
                "f"
            },
        );
        assert!(!cache.end_by_handle(&other.parse().unwrap()), "{other}");
    }
    for digit in ["0", "f"] {
        assert!(!cache.end_by_handle(&digit.repeat(52).parse().unwrap()));
    }
    assert!(cache.end_by_handle(&handle));
}

// TERM-5: docs/security-checklist.md
#[test]
fn end_user_sessions_ends_all_of_one_user_and_no_others() {
    let clock = ManualClock::new();
    let cache = four_shards(&clock).build().unwrap();
    let theirs: Vec<_> = (0..20).map(|_| signed_in(&cache, b"", "ada")).collect();
    let others: Vec<_> = (0..200)
        .map(|n| signed_in(&cache, b"", &n.to_string()))
        .collect();
    let guests = create_many(&cache, 50, b"");
    assert_eq!(cache.end_user_sessions("ada", None), 20);
    assert_eq!(cache.end_user_sessions("ada", None), 0);
    assert!(theirs.iter().all(|made| !opens(&cache, &made.token)));
    assert!(
        others
            .iter()
            .chain(&guests)
            .all(|made| opens(&cache, &made.token))
    );
    assert_eq!(cache.stats().ended, 20);
    cache.validate();
}

// TERM-5: docs/security-checklist.md
#[test]
fn end_user_sessions_can_except_one_session() {
    let clock = ManualClock::new();
    let cache = four_shards(&clock).build().unwrap();
    let guest = create(&cache, b"");
    let grace = signed_in(&cache, b"", "grace");
    let mut ada: Vec<_> = (0..5).map(|_| signed_in(&cache, b"", "ada")).collect();
    let mine = ada.pop().unwrap();
    assert_eq!(cache.end_user_sessions("ada", Some(&mine.id)), 4);
    assert!(opens(&cache, &mine.token));
    assert!(ada.iter().all(|made| !opens(&cache, &made.token)));
    // By earlier ids, through rotations and sign-ins of the same user.
    let first = mine.id;
    let mut last = mine;
    for step in 0..6 {
        let next = if step % 2 == 0 {
            cache.rotate(&last.id, Duration::ZERO)
        } else {
            cache.sign_in(&last.id, "ada")
        };
        last = next.unwrap();
        signed_in(&cache, b"", "ada");
        assert_eq!(cache.end_user_sessions("ada", Some(&first)), 1);
        assert!(opens(&cache, &last.token));
    }
    // An exception that belongs to another user, or to no user, is ignored.
    for other in [&grace.id, &guest.id, &ada[0].id] {
        let again = signed_in(&cache, b"", "ada");
        cache.end_user_sessions("ada", Some(other));
        assert!(!opens(&cache, &again.token));
    }
    assert!(!opens(&cache, &last.token));
    assert!(opens(&cache, &grace.token) && opens(&cache, &guest.token));
}

#[test]
fn what_has_expired_is_neither_listed_nor_counted_nor_ended() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .max_sessions_per_user(3)
        .session_limit_policy(SessionLimitPolicy::Reject);
    let cache = cache.build().unwrap();
    for _ in 0..2 {
        let made = create(&cache, b"");
        cache
            .sign_in_with(&made.id, "ada", PLAINLY.timeouts(idle(MINUTE)))
            .unwrap();
    }
    signed_in_with(&cache, "ada", "long");
    let handles: Vec<_> = cache
        .user_sessions("ada")
        .iter()
        .map(|device| device.handle)
        .collect();
    clock.advance(MINUTE);
    assert_eq!(labels(&cache, "ada"), ["long"]);
    assert_eq!(
        handles
            .iter()
            .filter(|handle| cache.end_by_handle(handle))
            .count(),
        1
    );
    for _ in 0..3 {
        signed_in(&cache, b"", "ada");
    }
    assert_eq!(cache.end_user_sessions("ada", None), 3);
    assert_eq!((cache.len(), cache.stats().ended), (0, 4));
    cache.validate();
}

// LIFE-7: docs/security-checklist.md
#[test]
fn a_sign_in_at_the_limit_ends_the_session_idle_for_longest() {
    let clock = ManualClock::new();
    let cache = four_shards(&clock)
        .max_sessions_per_user(3)
        .build()
        .unwrap();
    let mut made: Vec<_> = ["one", "two", "three"]
        .iter()
        .map(|label| {
            clock.advance(5 * MINUTE);
            signed_in_with(&cache, "ada", label)
        })
        .collect();
    clock.advance(5 * MINUTE);
    assert!(opens(&cache, &made[0].token));
    made.push(signed_in_with(&cache, "ada", "four"));
    assert!(
        !opens(&cache, &made[1].token),
        "the least recently used session"
    );
    assert!([0, 2, 3].iter().all(|&at| opens(&cache, &made[at].token)));
    let stats = cache.stats();
    assert_eq!(
        (stats.ended, stats.session_limit_hits, stats.evicted),
        (1, 1, EvictionCounts::default())
    );
    cache.validate();
}

// LIFE-7: docs/security-checklist.md
#[test]
fn of_sessions_idle_for_equally_long_the_oldest_sign_in_ends() {
    let (cache, _clock) = cache();
    let made: Vec<_> = (0..40)
        .map(|n| signed_in(&cache, &filler(n, 8), "ada"))
        .collect();
    assert_eq!(cache.user_sessions("ada").len(), 32, "the default limit");
    let live = |made: &IssuedSession| load(&cache, &made.id).is_some();
    assert!(made[8..].iter().all(live) && !made[..8].iter().any(live));
}

// LIFE-7: docs/security-checklist.md
#[test]
fn a_sign_in_at_the_limit_can_be_denied_and_changes_nothing() {
    let clock = ManualClock::new();
    let cache = four_shards(&clock)
        .max_sessions_per_user(2)
        .session_limit_policy(SessionLimitPolicy::Reject);
    let cache = cache.build().unwrap();
    let made = ["one", "two"].map(|label| signed_in_with(&cache, "ada", label));
    let guests: Vec<_> = (0..8).map(|_| create(&cache, b"data")).collect();
    for guest in &guests {
        let before = cache.stats();
        let error = cache.sign_in(&guest.id, "ada").unwrap_err();
        assert_eq!(error, Error::TooManySessions);
        assert!(error.to_string().contains("max_sessions_per_user"));
        assert_eq!(
            cache.stats().session_limit_hits,
            before.session_limit_hits + 1
        );
        assert_eq!(cache.stats().memory, before.memory);
        assert!(opens(&cache, &guest.token), "the session is unchanged");
    }
    assert!(made.iter().all(|made| opens(&cache, &made.token)));
    sign_in(&cache, &guests[0].id, "grace");
    assert!(cache.end(&made[0].id));
    sign_in(&cache, &guests[1].id, "ada");
    cache.validate();
}

// LIFE-7: docs/security-checklist.md
#[test]
fn signing_in_again_does_not_count_twice() {
    for session_limit_policy in [
        SessionLimitPolicy::EndLeastRecentlyUsed,
        SessionLimitPolicy::Reject,
    ] {
        let clock = ManualClock::new();
        let cache = four_shards(&clock)
            .max_sessions_per_user(2)
            .session_limit_policy(session_limit_policy);
        let cache = cache.build().unwrap();
        let other = signed_in(&cache, b"", "ada");
        let mut mine = signed_in(&cache, b"", "ada");
        for _ in 0..5 {
            mine = sign_in(&cache, &mine.id, "ada");
            assert!(opens(&cache, &other.token));
        }
        mine = sign_in(&cache, &mine.id, "grace");
        assert_eq!(
            cache.user_sessions("ada").len(),
            1,
            "a session that changed its user is not counted"
        );
        sign_in(&cache, &mine.id, "ada");
        assert_eq!(cache.user_sessions("ada").len(), 2);
        assert_eq!(cache.stats().session_limit_hits, 0);
    }
}

// LIFE-7: docs/security-checklist.md
#[test]
fn a_limit_of_zero_is_an_error_and_the_largest_is_unlimited() {
    let clock = ManualClock::new();
    let error = builder(&clock)
        .max_sessions_per_user(0)
        .build()
        .unwrap_err();
    assert_eq!(error, BuildError::MaxSessionsPerUser);
    assert_eq!(
        error.to_string(),
        "`max_sessions_per_user` must be at least 1, got 0; use `None` for no limit"
    );
    let cache = builder(&clock)
        .max_sessions_per_user(None)
        .session_limit_policy(SessionLimitPolicy::Reject);
    let cache = cache.build().unwrap();
    sign_in_often(&cache, 1_000);
    assert_eq!(cache.user_sessions("ada").len(), 1_000);
    let cache = builder(&clock).max_sessions_per_user(1).build().unwrap();
    sign_in_often(&cache, 5);
    assert_eq!(cache.user_sessions("ada").len(), 1);
    cache.validate();
}

// LIFE-7: docs/security-checklist.md
#[test]
fn a_sign_in_that_does_not_fit_ends_no_session() {
    let clock = ManualClock::new();
    let least = match builder(&clock).memory(1).max_session_size(4 << 10).build() {
        Err(BuildError::Memory { min: least, .. }) => least,
        other => panic!("{other:?}"),
    };
    let cache = builder(&clock)
        .memory(least)
        .max_session_size(4 << 10)
        .max_sessions_per_user(1);
    let cache = cache.build().unwrap();
    let stalest = signed_in(&cache, b"small", "ada");
    // For a moment it is stored twice, which exceeds the memory.
    let large = create(&cache, &[1; 2_500]);
    assert!(opens(&cache, &stalest.token));
    assert_eq!(cache.sign_in(&large.id, "ada").err(), Some(Error::Full));
    assert!(opens(&cache, &stalest.token) && opens(&cache, &large.token));
    assert_eq!(
        (cache.stats().ended, cache.stats().session_limit_hits),
        (0, 0)
    );
    cache.validate();
}

// LIFE-7: docs/security-checklist.md
#[test]
fn the_limit_comes_before_any_eviction() {
    let clock = ManualClock::new();
    let cache = builder(&clock).memory(128 << 10).max_session_size(2 << 10);
    let cache = cache.max_sessions_per_user(2).build().unwrap();
    let mut last = fill_with_users(&cache, 256).into_iter().rev();
    let mut next = || sign_in(&cache, &last.next().unwrap().id, "ada");
    let (one, two) = (next(), next());
    let evicted = cache.stats().evicted.authenticated;
    let third = next();
    assert!(!opens(&cache, &one.token) && opens(&cache, &two.token) && opens(&cache, &third.token));
    assert_eq!(
        cache.stats().evicted.authenticated,
        evicted,
        "the ended session's block was large enough"
    );
    cache.validate();
}

/// One million sign-ins with `SESSILE_LONG=1`.
// OPS-2: docs/security-checklist.md
#[test]
fn many_sign_ins_to_one_account_evict_no_other_users_session() {
    let (cache, _clock) = cache();
    let users: Vec<_> = (0..cache.capacity_for(256) / 4)
        .map(|n| signed_in(&cache, &filler(n, 256), &format!("user {n}")))
        .collect();
    assert!(users.iter().all(|made| opens(&cache, &made.token)));
    let times = if crate::support::is_long() {
        1_000_000
    } else {
        100_000
    };
    for n in 0..times {
        signed_in(&cache, &filler(n, 256), "the account");
    }
    assert!(users.iter().all(|made| opens(&cache, &made.token)));
    assert_eq!(cache.stats().evicted.authenticated, 0);
    assert_eq!(cache.user_sessions("the account").len(), 32);
    cache.validate();
}

#[test]
fn names_spread_over_the_chains_whatever_they_are() {
    let (cache, _clock) = cache();
    let full = cache.capacity_for(256);
    let padding = "x".repeat(64);
    for n in 0..full / 2 {
        signed_in(
            &cache,
            &filler(n, 200),
            &format!("{padding}{:b}{padding}", n),
        );
    }
    // On average at most one per chain; eleven in one occur once in 10^8 chains (Poisson).
    assert!(cache.longest_chain() <= 10, "{}", cache.longest_chain());
}

#[test]
fn the_lifetime_is_renewed_if_that_is_asked_for() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .idle_timeout(4 * HOUR)
        .lifetime(4 * HOUR)
        .build()
        .unwrap();
    let left = |made: &IssuedSession| load(&cache, &made.id).unwrap().0.expires_in();
    let renewing = PLAINLY.renew_lifetime(true);
    // A per-session lifetime keeps its length, however often it restarts.
    let mut made = cache.create_with(b"", having(lifetime(HOUR))).unwrap();
    for _ in 0..8 {
        clock.advance(HOUR / 2);
        made = cache.sign_in_with(&made.id, "ada", renewing).unwrap();
        assert_eq!(left(&made), HOUR);
    }
    clock.advance(HOUR / 2);
    made = cache.rotate(&made.id, Duration::ZERO).unwrap();
    assert_eq!(left(&made), HOUR / 2, "a rotation keeps the lifetime");
    made = sign_in(&cache, &made.id, "ada");
    assert_eq!(
        left(&made),
        HOUR / 2,
        "a sign-in without `renew_lifetime` keeps it"
    );
    made = cache
        .sign_in_with(&made.id, "ada", renewing.timeouts(lifetime(2 * HOUR)))
        .unwrap();
    assert_eq!(left(&made), 2 * HOUR);
    clock.advance(HOUR);
    cache
        .set_timeouts(&made.id, made.version, lifetime(90 * MINUTE))
        .unwrap();
    assert_eq!(
        left(&made),
        30 * MINUTE,
        "the lifetime counts from the renewing sign-in"
    );
    let more = renewing.timeouts(lifetime(1_000 * HOUR));
    made = cache.sign_in_with(&made.id, "ada", more).unwrap();
    assert_eq!(left(&made), 4 * HOUR, "capped by the lifetime of the cache");
    clock.advance(4 * HOUR - SECOND / 10);
    assert!(opens(&cache, &made.token));
    clock.advance(SECOND / 10);
    assert!(!opens(&cache, &made.token));
}

/// One user with 10^5 sessions; other threads sign in, rotate and sign in again concurrently.
// TERM-5: docs/security-checklist.md
#[test]
fn no_session_issued_before_the_end_of_all_survives_it() {
    let cache = SessionCache::builder()
        .memory(256 << 20)
        .shards(4)
        .clock(ManualClock::new());
    let cache = cache
        .keys(crate::support::rings::ring(&[1]))
        .max_sessions_per_user(None);
    let cache = cache.build().unwrap();
    let many: Vec<_> = (0..100_000)
        .map(|_| signed_in(&cache, b"", "ada"))
        .collect();
    let issued = Mutex::new(many);
    let keep = |made: IssuedSession| issued.lock().unwrap().push(made);
    let mut ended = 0;
    thread::scope(|scope| {
        let work = |worker| {
            for _ in 0..if crate::support::is_long() {
                40_000
            } else {
                4_000
            } {
                let made = signed_in(&cache, b"", "ada");
                keep(made);
                let next = match worker {
                    0 => cache.rotate(&made.id, Duration::ZERO),
                    _ => cache.sign_in(&made.id, "ada"),
                };
                next.map(keep)
                    .unwrap_or_else(|error| assert_eq!(error, Error::Gone));
            }
        };
        let workers = [0, 1, 2].map(|worker| scope.spawn(move || work(worker)));
        while !workers.iter().all(ScopedJoinHandle::is_finished) {
            let before = mem::take(&mut *issued.lock().unwrap());
            ended += cache.end_user_sessions("ada", None);
            assert!(
                before.iter().all(|made| !opens(&cache, &made.token)),
                "a session survived"
            );
        }
    });
    assert!(ended >= 100_000, "{ended}");
    cache.end_user_sessions("ada", None);
    assert_eq!(
        (cache.len(), cache.user_sessions("ada").len()),
        (0, 0),
        "no session is left"
    );
    cache.validate();
}
