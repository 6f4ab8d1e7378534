//! Replaced ids after their grace period: reuse is detected, and an end by an old id still works.

use std::time::Duration;

use crate::support::{
    HOUR, MINUTE, PLAIN, assert_gone, builder, cache, create, having, load, opens, sign_in,
};
use sessile::{EndReason, Error, EventKind, ManualClock};

use crate::rotation::{
    GRACE, cache_with_events, drain, forged, place, reused, rotate, user_elsewhere,
};

// TERM-1: docs/security-checklist.md
#[test]
fn an_end_by_an_old_id_ends_the_session_after_the_grace_period() {
    let (cache, clock) = cache_with_events(false);
    for (grace, wait) in [
        (Duration::ZERO, MINUTE),
        (GRACE, GRACE),
        (GRACE, MINUTE * 29),
    ] {
        let old = create(&cache, b"data");
        let user = user_elsewhere(&cache, &old);
        let second = rotate(&cache, &old.id, grace);
        let third = sign_in(&cache, &second.id, &user);
        let newest = rotate(&cache, &third.id, grace);
        clock.advance(wait);
        assert!(opens(&cache, &newest.token));
        assert!(cache.end_by_token(old.token.as_str().as_bytes()));
        assert!(!opens(&cache, &newest.token));
        assert!(!cache.end(&old.id));
    }
}

// LIFE-2: docs/security-checklist.md
#[test]
fn an_old_id_is_forgotten_in_time() {
    let (cache, clock) = cache();
    let old = create(&cache, b"data");
    let new = rotate(&cache, &old.id, GRACE);
    // The grace period and the idle timeout; the session itself stays in use.
    clock.advance(GRACE);
    for _ in 0..3 {
        clock.advance(MINUTE * 10);
        assert!(opens(&cache, &new.token));
    }
    cache.maintain(usize::MAX);
    assert_eq!(cache.stats().sessions.aliases, 0);
    assert!(!opens(&cache, &old.token));
    assert_eq!(cache.stats().rejected.unknown, 1);
    assert!(!cache.end(&old.id));
    assert!(opens(&cache, &new.token));
}

// TERM-4: docs/security-checklist.md
#[test]
fn a_signed_out_cookie_is_rejected_permanently() {
    let (cache, clock) = cache_with_events(false);
    for by_old in [false, true] {
        let old = create(&cache, b"data");
        let new = rotate(&cache, &old.id, GRACE);
        let newest = sign_in(&cache, &new.id, "ada");
        let cookies = [old.token, new.token, newest.token];
        let by = if by_old { old.token } else { newest.token };
        assert!(cache.end_by_token(by.as_str().as_bytes()));
        // As long as the session would have lived, and longer.
        for _ in 0..30 {
            assert!(!cookies.iter().any(|token| opens(&cache, token)));
            assert!(
                !cookies
                    .iter()
                    .any(|token| cache.end_by_token(token.as_str().as_bytes()))
            );
            create(&cache, b"other");
            clock.advance(HOUR / 2);
            cache.maintain(usize::MAX);
        }
    }
}

#[test]
fn use_of_an_old_id_after_the_grace_period_is_reuse() {
    let (cache, clock) = cache_with_events(false);
    let old = create(&cache, b"data");
    let user = user_elsewhere(&cache, &old);
    let second = rotate(&cache, &old.id, GRACE);
    assert!(opens(&cache, &old.token));
    assert_eq!(
        (cache.stats().rejected.reused, reused(&cache).len()),
        (0, 0),
        "within the grace"
    );

    let mine = sign_in(&cache, &second.id, &user);
    assert_ne!(place(&mine), place(&old), "across shards");
    let (record, _) = load(&cache, &mine.id).unwrap();
    clock.advance(GRACE);
    for (times, token) in [old.token, second.token].iter().enumerate() {
        assert!(!opens(&cache, token));
        assert_eq!(cache.stats().rejected.reused as usize, times + 1);
        let [event] = reused(&cache)[..] else {
            panic!("expected one event")
        };
        assert_eq!(
            event.handle,
            Some(record.handle()),
            "the session's current handle"
        );
        assert_eq!((event.user(), event.at()), (record.user, GRACE));
    }
    assert!(load(&cache, &old.id).is_none(), "also by its id");
    assert_eq!(cache.stats().rejected.reused, 3);
    assert!(opens(&cache, &mine.token), "nothing else changes");
}

#[test]
fn reuse_ends_the_session_if_configured() {
    for across in [false, true] {
        let (cache, clock) = cache_with_events(true);
        let old = create(&cache, b"data");
        let mut new = rotate(&cache, &old.id, GRACE);
        if across {
            let user = user_elsewhere(&cache, &old);
            new = sign_in(&cache, &new.id, &user);
        } else {
            assert!(opens(&cache, &old.token));
            assert!(opens(&cache, &new.token), "not within the grace");
        }
        let handle = load(&cache, &new.id).unwrap().0.handle();
        clock.advance(GRACE);
        drain(&cache);
        assert!(!opens(&cache, &old.token));
        assert!(!opens(&cache, &new.token));
        assert_gone(&cache, &new.id, new.version);
        let whats: Vec<_> = drain(&cache)
            .iter()
            .map(|event| (event.kind, event.handle.unwrap()))
            .collect();
        assert_eq!(
            whats,
            [
                (EventKind::Reused, handle),
                (EventKind::Ended(EndReason::Reused), handle)
            ]
        );
        // The alias no longer names a session.
        assert!(!opens(&cache, &old.token));
        assert!(drain(&cache).is_empty());
        cache.validate();
    }
}

// ID-4: docs/security-checklist.md
#[test]
fn a_forged_token_with_an_old_id_is_rejected_and_ends_nothing() {
    for verify_first in [false, true] {
        let clock = ManualClock::new();
        let settings = builder(&clock)
            .events(100)
            .end_reused(true)
            .verify_first(verify_first);
        let cache = settings.build().unwrap();
        let old = create(&cache, b"data");
        let new = rotate(&cache, &old.id, GRACE);
        for wait in [Duration::ZERO, GRACE] {
            clock.advance(wait);
            drain(&cache);
            let before = cache.stats().rejected.forged;
            for token in [&old.token, &new.token] {
                let forged = forged(token);
                assert!(!opens(&cache, &forged));
                assert!(!cache.end_by_token(forged.as_str().as_bytes()));
            }
            let rejected = cache.stats().rejected;
            assert_eq!((rejected.forged, rejected.reused), (before + 4, 0));
            assert!(drain(&cache).is_empty());
            assert!(opens(&cache, &new.token), "it has not ended");
        }
    }
}

#[test]
fn an_old_id_of_an_expired_session_is_not_reuse() {
    let (cache, clock) = cache_with_events(true);
    let old = cache
        .create_with(b"data", having(PLAIN.idle_timeout(MINUTE)))
        .unwrap();
    rotate(&cache, &old.id, Duration::ZERO);
    clock.advance(MINUTE);
    drain(&cache);
    assert!(!opens(&cache, &old.token));
    assert!(reused(&cache).is_empty());
}

/// Regression: applied to any grace period of the first id, since the alias in the middle leads on.
// TERM-1: docs/security-checklist.md
#[test]
fn no_id_is_forgotten_before_an_earlier_id_of_its_session() {
    let (cache, clock) = cache();
    let first = create(&cache, b"data");
    let second = rotate(&cache, &first.id, HOUR);
    let newest = rotate(&cache, &second.id, Duration::ZERO);
    clock.advance(MINUTE * 20);
    assert!(opens(&cache, &newest.token));
    cache.maintain(usize::MAX);
    assert_eq!(cache.stats().sessions.aliases, 2, "both are remembered");
    assert!(
        cache.end(&first.id),
        "an end by the oldest id ends the session"
    );
    assert!(!opens(&cache, &newest.token));
}

#[test]
fn end_if_unchanged_by_an_old_id_within_its_grace_ended_the_session() {
    let (cache, _clock) = cache();
    let old = create(&cache, b"");
    let new = rotate(&cache, &old.id, GRACE);
    assert!(cache.end_if_unchanged(&old.id, old.version).is_err());
    assert!(opens(&cache, &new.token));
}

#[test]
fn end_if_unchanged_distinguishes_an_old_id_from_an_ended_session() {
    let (cache, clock) = cache();
    let old = create(&cache, b"");
    let new = rotate(&cache, &old.id, GRACE);
    let end_old = || cache.end_if_unchanged(&old.id, old.version);
    assert_eq!(end_old(), Err(Error::Rotated), "within the grace");
    clock.advance(GRACE);
    assert_eq!(end_old(), Err(Error::Rotated), "and after it");
    let signed_in = cache.sign_in(&new.id, "ada").unwrap();
    assert_eq!(
        cache.end_if_unchanged(&new.id, new.version),
        Err(Error::Rotated),
        "perhaps in another shard"
    );
    assert_eq!(
        cache.end_if_unchanged(&signed_in.id, signed_in.version),
        Ok(())
    );
    assert_eq!(
        cache.end_if_unchanged(&signed_in.id, signed_in.version),
        Err(Error::Gone)
    );
    assert_eq!(
        end_old(),
        Err(Error::Rotated),
        "in each state of the session"
    );
    clock.advance(cache.idle_timeout());
    cache.maintain(usize::MAX);
    assert_eq!(end_old(), Err(Error::Gone), "until it is forgotten");
}

#[test]
fn an_old_id_within_its_grace_was_counted_as_reused_after_the_session_ended() {
    let (cache, _clock) = cache();
    let old = create(&cache, b"data");
    let new = rotate(&cache, &old.id, GRACE);
    assert!(cache.end(&new.id));
    assert!(!opens(&cache, &old.token));
    let rejected = cache.stats().rejected;
    assert_eq!((rejected.unknown, rejected.reused), (1, 0));
}
