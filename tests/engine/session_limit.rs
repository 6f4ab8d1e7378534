//! The session limit of a user, and the policies at the limit.

use crate::support::{
    MINUTE, PLAINLY, builder, cache, create, fill_with_users, filler, idle, load, opens, sign_in,
    signed_in,
};
use sessile::{
    BuildError, Error, IssuedSession, ManualClock, SessionLimitPolicy, stats::EvictionCounts,
};

use crate::users::{four_shards, labels, sign_in_often, signed_in_with};

#[test]
fn an_expired_session_is_neither_listed_nor_counted_nor_ended() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .max_sessions_per_user(3)
        .session_limit_policy(SessionLimitPolicy::Reject);
    let cache = cache.build().unwrap();
    for _ in 0..2 {
        let issued = create(&cache, b"");
        cache
            .sign_in_with(&issued.id, "ada", PLAINLY.timeouts(idle(MINUTE)))
            .unwrap();
    }
    signed_in_with(&cache, "ada", "long");
    let handles: Vec<_> = cache
        .user_sessions("ada")
        .iter()
        .map(|info| info.handle)
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
    let mut issued: Vec<_> = ["one", "two", "three"]
        .iter()
        .map(|label| {
            clock.advance(5 * MINUTE);
            signed_in_with(&cache, "ada", label)
        })
        .collect();
    clock.advance(5 * MINUTE);
    assert!(opens(&cache, &issued[0].token));
    issued.push(signed_in_with(&cache, "ada", "four"));
    assert!(
        !opens(&cache, &issued[1].token),
        "the least recently used session"
    );
    assert!([0, 2, 3].iter().all(|&at| opens(&cache, &issued[at].token)));
    let stats = cache.stats();
    assert_eq!(
        (stats.ended, stats.session_limit_hits, stats.evicted),
        (1, 1, EvictionCounts::default())
    );
    cache.validate();
}

// LIFE-7: docs/security-checklist.md
#[test]
fn among_equally_idle_sessions_the_oldest_sign_in_is_ended() {
    let (cache, _clock) = cache();
    let issued: Vec<_> = (0..40)
        .map(|n| signed_in(&cache, &filler(n, 8), "ada"))
        .collect();
    assert_eq!(cache.user_sessions("ada").len(), 32, "the default limit");
    let live = |issued: &IssuedSession| load(&cache, &issued.id).is_some();
    assert!(issued[8..].iter().all(live) && !issued[..8].iter().any(live));
}

// LIFE-7: docs/security-checklist.md
#[test]
fn a_sign_in_at_the_limit_can_be_denied_and_changes_nothing() {
    let clock = ManualClock::new();
    let cache = four_shards(&clock)
        .max_sessions_per_user(2)
        .session_limit_policy(SessionLimitPolicy::Reject);
    let cache = cache.build().unwrap();
    let issued = ["one", "two"].map(|label| signed_in_with(&cache, "ada", label));
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
    assert!(issued.iter().all(|issued| opens(&cache, &issued.token)));
    sign_in(&cache, &guests[0].id, "grace");
    assert!(cache.end(&issued[0].id));
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
    let oldest = signed_in(&cache, b"small", "ada");
    // For a moment it is stored twice, which exceeds the memory.
    let large = create(&cache, &[1; 2_500]);
    assert!(opens(&cache, &oldest.token));
    assert_eq!(cache.sign_in(&large.id, "ada").err(), Some(Error::Full));
    assert!(opens(&cache, &oldest.token) && opens(&cache, &large.token));
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
    assert!(users.iter().all(|issued| opens(&cache, &issued.token)));
    let times = if crate::support::is_long() {
        1_000_000
    } else {
        100_000
    };
    for n in 0..times {
        signed_in(&cache, &filler(n, 256), "the account");
    }
    assert!(users.iter().all(|issued| opens(&cache, &issued.token)));
    assert_eq!(cache.stats().evicted.authenticated, 0);
    assert_eq!(cache.user_sessions("the account").len(), 32);
    cache.validate();
}
