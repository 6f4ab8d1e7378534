//! Users: their sessions as a list, ending all of them, and the details of a sign-in.

use std::time::Duration;

use std::{
    mem,
    sync::Mutex,
    thread::{self, ScopedJoinHandle},
};

use crate::rotation::user_elsewhere;
use crate::support::{
    HOUR, MINUTE, PLAINLY, SECOND, builder, cache, create, create_many, filler, having, lifetime,
    load, opens, sign_in, signed_in,
};
use sessile::{Error, Handle, IssuedSession, ManualClock, SessionCache, SessionCacheBuilder};

/// Creates a cache of four shards, so that some operations span shards.
pub(crate) fn four_shards(clock: &ManualClock) -> SessionCacheBuilder {
    builder(clock).memory(8 << 20).shards(4)
}

pub(crate) fn labels(cache: &SessionCache, user: &str) -> Vec<String> {
    cache
        .user_sessions(user)
        .into_iter()
        .map(|info| info.label)
        .collect()
}

pub(crate) fn signed_in_with(cache: &SessionCache, user: &str, label: &str) -> IssuedSession {
    let issued = create(cache, b"data");
    cache
        .sign_in_with(&issued.id, user, PLAINLY.label(label))
        .unwrap()
}

pub(crate) fn sign_in_often(cache: &SessionCache, times: usize) {
    (0..times).for_each(|_| assert!(load(cache, &signed_in(cache, b"", "ada").id).is_some()));
}

pub(crate) fn handle(cache: &SessionCache, issued: &IssuedSession) -> Handle {
    load(cache, &issued.id).unwrap().0.handle()
}

// LIFE-8: docs/security-checklist.md
#[test]
fn the_list_of_sessions_has_times_assurance_levels_and_labels() {
    let (cache, clock) = cache();
    let issued = create(&cache, b"");
    clock.advance(MINUTE);
    let with = PLAINLY.assurance_level(3).label("Firefox on Linux");
    let laptop = cache.sign_in_with(&issued.id, "ada", with).unwrap();
    clock.advance(MINUTE);
    signed_in_with(&cache, "ada", "phone");
    signed_in_with(&cache, "grace", "tablet");
    clock.advance(10 * MINUTE);
    assert!(opens(&cache, &laptop.token));
    clock.advance(MINUTE);
    let sessions = cache.user_sessions("ada");
    assert_eq!(
        labels(&cache, "ada"),
        ["Firefox on Linux", "phone"],
        "most recently seen first"
    );
    let [laptop, phone] = [&sessions[0], &sessions[1]];
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
fn last_seen_is_exact_to_a_sixteenth_of_the_timeout_until_the_end() {
    let clock = ManualClock::new();
    // For the second half of the time the idle deadline is later than the end of the lifetime.
    let cache = builder(&clock)
        .idle_timeout(HOUR)
        .lifetime(2 * HOUR)
        .build()
        .unwrap();
    let issued = signed_in(&cache, b"", "ada");
    for _ in 0..119 {
        clock.advance(MINUTE);
        assert!(opens(&cache, &issued.token));
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
        let issued = cache
            .sign_in_with(&create(&cache, b"data").id, "ada", with)
            .unwrap();
        create(&cache, b"in the way");
        for data in [&[7; 300][..], &[8; 2_000], &[9; 3], b""] {
            let version = load(&cache, &issued.id).unwrap().0.version;
            cache.save(&issued.id, version, data).unwrap();
            assert_eq!(load(&cache, &issued.id).unwrap().1, data);
            cache.validate();
        }
        let issued = cache.rotate(&issued.id, Duration::ZERO).unwrap();
        let info = &cache.user_sessions("ada")[0];
        assert_eq!(
            (info.label.as_str(), info.assurance_level),
            (label, len as u8)
        );
        assert!(cache.end(&issued.id));
        cache.validate();
    }
}

#[test]
fn a_too_long_label_is_rejected_before_any_change() {
    let (cache, _clock) = cache();
    let issued = create(&cache, b"data");
    for len in [49, 63, 64, 1 << 20] {
        let label = "x".repeat(len);
        let error = cache
            .sign_in_with(&issued.id, "ada", PLAINLY.label(&label))
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
    let issued = cache
        .sign_in_with(&issued.id, "ada", PLAINLY.label(&label))
        .unwrap();
    assert_eq!(labels(&cache, "ada"), [label]);
    assert!(opens(&cache, &issued.token));
}

#[test]
fn any_non_empty_string_is_a_user_name() {
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
    let issued = create(&cache, b"");
    assert_eq!(cache.sign_in(&issued.id, "").err(), Some(Error::EmptyUser));
    assert_eq!((cache.end_user_sessions("", None), cache.len()), (0, 1));
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
    assert!(theirs.iter().all(|issued| !opens(&cache, &issued.token)));
    assert!(
        others
            .iter()
            .chain(&guests)
            .all(|issued| opens(&cache, &issued.token))
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
    assert!(ada.iter().all(|issued| !opens(&cache, &issued.token)));
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

// TERM-5: docs/security-checklist.md
#[test]
fn an_id_from_before_another_user_signed_in_excepts_no_session() {
    for is_presented in [false, true] {
        let clock = ManualClock::new();
        let cache = four_shards(&clock).build().unwrap();
        let first = signed_in(&cache, b"", "ada");
        let second = sign_in(&cache, &first.id, &user_elsewhere(&cache, &first));
        let third = sign_in(&cache, &second.id, "ada");
        if is_presented {
            // Its alias leads directly to the session now.
            assert!(!opens(&cache, &first.token));
        }
        assert_eq!(cache.end_user_sessions("ada", Some(&first.id)), 1);
        assert!(!opens(&cache, &third.token));
    }
}

#[test]
fn similar_names_spread_over_the_chains() {
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
    // On average at most one session and one alias per chain; sixteen entries in one occur once in
    // 10^9 chains (Poisson).
    assert!(cache.longest_chain() <= 15, "{}", cache.longest_chain());
}

#[test]
fn a_sign_in_renews_the_lifetime_on_request() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .idle_timeout(4 * HOUR)
        .lifetime(4 * HOUR)
        .build()
        .unwrap();
    let left = |issued: &IssuedSession| load(&cache, &issued.id).unwrap().0.expires_in();
    let renewing = PLAINLY.renew_lifetime(true);
    // A per-session lifetime keeps its length, however often it restarts.
    let mut issued = cache.create_with(b"", having(lifetime(HOUR))).unwrap();
    for _ in 0..8 {
        clock.advance(HOUR / 2);
        issued = cache.sign_in_with(&issued.id, "ada", renewing).unwrap();
        assert_eq!(left(&issued), HOUR);
    }
    clock.advance(HOUR / 2);
    issued = cache.rotate(&issued.id, Duration::ZERO).unwrap();
    assert_eq!(left(&issued), HOUR / 2, "a rotation keeps the lifetime");
    issued = sign_in(&cache, &issued.id, "ada");
    assert_eq!(
        left(&issued),
        HOUR / 2,
        "a sign-in without `renew_lifetime` keeps it"
    );
    issued = cache
        .sign_in_with(&issued.id, "ada", renewing.timeouts(lifetime(2 * HOUR)))
        .unwrap();
    assert_eq!(left(&issued), 2 * HOUR);
    clock.advance(HOUR);
    cache
        .set_timeouts(&issued.id, issued.version, lifetime(90 * MINUTE))
        .unwrap();
    assert_eq!(
        left(&issued),
        30 * MINUTE,
        "the lifetime counts from the renewing sign-in"
    );
    let more = renewing.timeouts(lifetime(1_000 * HOUR));
    issued = cache.sign_in_with(&issued.id, "ada", more).unwrap();
    assert_eq!(
        left(&issued),
        4 * HOUR,
        "capped by the lifetime of the cache"
    );
    clock.advance(4 * HOUR - SECOND / 10);
    assert!(opens(&cache, &issued.token));
    clock.advance(SECOND / 10);
    assert!(!opens(&cache, &issued.token));
}

/// One user with 10^5 sessions; other threads sign in, rotate and sign in again concurrently.
// TERM-5: docs/security-checklist.md
#[test]
fn no_session_issued_before_end_user_sessions_survives_it() {
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
    let all_issued = Mutex::new(many);
    let keep = |issued: IssuedSession| all_issued.lock().unwrap().push(issued);
    let mut ended = 0;
    thread::scope(|scope| {
        let work = |worker| {
            for _ in 0..if crate::support::is_long() {
                40_000
            } else {
                4_000
            } {
                let issued = signed_in(&cache, b"", "ada");
                keep(issued);
                let next = match worker {
                    0 => cache.rotate(&issued.id, Duration::ZERO),
                    _ => cache.sign_in(&issued.id, "ada"),
                };
                next.map(keep)
                    .unwrap_or_else(|error| assert_eq!(error, Error::Gone));
            }
        };
        let workers = [0, 1, 2].map(|worker| scope.spawn(move || work(worker)));
        while !workers.iter().all(ScopedJoinHandle::is_finished) {
            let before = mem::take(&mut *all_issued.lock().unwrap());
            ended += cache.end_user_sessions("ada", None);
            assert!(
                before.iter().all(|issued| !opens(&cache, &issued.token)),
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
