//! Replaced ids of a session. They open it within the grace period of the rotation, count as reuse
//! afterwards, and can end the session as long as they are remembered.

use std::time::Duration;

use crate::support::{
    HOUR, MINUTE, PLAIN, SECOND, TICK, assert_gone, builder, cache, create, create_many, data,
    fill_with_users, having, idle, later, lifetime, load, opens, request, sign_in, signed_in,
};
use bytes::BytesMut;
use sessile::{
    EndReason, Error, Event, EventKind, IssuedSession, ManualClock, SessionCache, SessionId, Token,
    internals::cookie::Parts,
};

/// Number of replaced ids of a session that are remembered.
const ALIASES: usize = 8;
const GRACE: Duration = Duration::from_secs(10);

fn rotate(cache: &SessionCache, id: &SessionId, grace: Duration) -> IssuedSession {
    cache.rotate(id, grace).unwrap()
}

/// Creates a cache with many shards and an event queue.
fn watched(ends: bool) -> (SessionCache, ManualClock) {
    let clock = ManualClock::new();
    let settings = builder(&clock).memory(8 << 20).shards(8).events(1_000);
    (settings.end_reused(ends).build().unwrap(), clock)
}

fn drain(cache: &SessionCache) -> Vec<Event> {
    std::iter::from_fn(|| cache.next_event()).collect()
}

fn reused(cache: &SessionCache) -> Vec<Event> {
    drain(cache)
        .into_iter()
        .filter(|event| event.kind == EventKind::Reused)
        .collect()
}

/// Returns the token with one bit of its tag flipped.
fn forged(token: &Token) -> Token {
    let mut parts = Parts::parse(token.as_str().as_bytes()).unwrap();
    parts.tag[15] ^= 1;
    parts.encode()
}

fn home(made: &IssuedSession) -> u16 {
    Parts::parse(made.token.as_str().as_bytes()).unwrap().place
}

/// Returns a user whose sessions are in another shard.
fn user_elsewhere(cache: &SessionCache, made: &IssuedSession) -> String {
    let lives_elsewhere = |user: &String| {
        let probe = signed_in(cache, b"", user);
        assert!(cache.end(&probe.id));
        home(&probe) != home(made)
    };
    (0..)
        .map(|n| format!("user {n}"))
        .find(lives_elsewhere)
        .unwrap()
}

// LIFE-2: docs/security-checklist.md
#[test]
fn there_is_no_grace_period_by_default() {
    assert_eq!(Duration::ZERO, Duration::ZERO);
    let (cache, _clock) = cache();
    for grace in [
        Duration::ZERO,
        Duration::ZERO,
        TICK - Duration::from_nanos(1),
    ] {
        let old = create(&cache, b"data");
        let new = cache.rotate(&old.id, grace).unwrap();
        assert!(!opens(&cache, &old.token));
        assert_gone(&cache, &old.id, old.version);
        assert!(opens(&cache, &new.token));
    }
}

// LIFE-2: docs/security-checklist.md
#[test]
fn a_grace_period_ends_in_its_tick() {
    let (cache, clock) = cache();
    for grace in [TICK, GRACE, MINUTE] {
        let old = create(&cache, b"data");
        let new = rotate(&cache, &old.id, grace);
        clock.advance(grace - TICK);
        assert!(opens(&cache, &old.token));
        clock.advance(TICK);
        assert!(!opens(&cache, &old.token));
        assert_gone(&cache, &old.id, old.version);
        assert!(opens(&cache, &new.token));
    }
}

// LIFE-2: docs/security-checklist.md
#[test]
fn a_grace_period_longer_than_the_lifetime_is_an_error() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .idle_timeout(MINUTE)
        .lifetime(HOUR)
        .build()
        .unwrap();
    let made = create(&cache, b"data");
    for given in [HOUR + Duration::from_nanos(1), HOUR * 2, Duration::MAX] {
        let refused = Error::GraceTooLong { given, max: HOUR };
        assert_eq!(cache.rotate(&made.id, given).err(), Some(refused));
        assert!(refused.to_string().contains("3600"), "{refused}");
    }
    assert!(opens(&cache, &made.token), "nothing changed");
    assert_eq!(
        (cache.stats().rotated, cache.stats().sessions.aliases),
        (0, 0)
    );
    let new = rotate(&cache, &made.id, HOUR);
    assert!(opens(&cache, &made.token) && opens(&cache, &new.token));
}

// LIFE-2: docs/security-checklist.md
#[test]
fn within_the_grace_the_old_id_is_the_same_session() {
    let (cache, _clock) = cache();
    let old = create(&cache, b"data");
    let new = rotate(&cache, &old.id, GRACE);
    let [(by_old, old_data), (by_new, new_data)] =
        [&old.id, &new.id].map(|id| load(&cache, id).unwrap());
    assert_eq!((old_data, by_old.version), (new_data, by_new.version));
    assert_eq!(by_old.handle(), by_new.handle());

    let version = cache
        .save(&old.id, by_old.version, b"by the old id")
        .unwrap();
    assert_eq!(data(&cache, &new.id).unwrap(), b"by the old id");
    assert_eq!(
        cache.save(&new.id, by_new.version, b"late"),
        Err(Error::Conflict)
    );
    assert_eq!(
        cache.save(&new.id, version, &[7; 2_000]),
        Ok(later(version, 1))
    );
    assert_eq!(data(&cache, &old.id).unwrap(), [7; 2_000]);
    assert_eq!(
        cache.save(&old.id, later(version, 1), &[8; 9_000]),
        Ok(later(version, 2)),
        "the session may move"
    );
    assert_eq!(data(&cache, &new.id).unwrap(), [8; 9_000]);
    assert_eq!(cache.len(), 1);
    assert_eq!(
        cache.stats().rejected,
        sessile::stats::RejectionCounts::default()
    );
    cache.validate();
}

// LIFE-2: docs/security-checklist.md
#[test]
fn a_touch_by_the_old_id_keeps_the_session_alive() {
    let (cache, clock) = cache();
    let old = create(&cache, b"data");
    let new = rotate(&cache, &old.id, MINUTE * 25);
    for _ in 0..2 {
        clock.advance(MINUTE * 12);
        cache.touch(&old.id).unwrap();
    }
    clock.advance(MINUTE * 12);
    assert_eq!(cache.touch(&old.id), Err(Error::Gone), "the grace is over");
    assert!(opens(&cache, &new.token));
}

// LIFE-2: docs/security-checklist.md
#[test]
fn a_client_with_only_the_old_id_is_issued_no_new_one() {
    let (cache, clock) = cache();
    let old = create(&cache, b"data");
    let new = rotate(&cache, &old.id, GRACE);
    for _ in 0..3 {
        assert_eq!(
            cache.rotate(&old.id, Duration::ZERO).err(),
            Some(Error::Rotated)
        );
        assert_eq!(cache.rotate(&old.id, GRACE).err(), Some(Error::Rotated));
        assert_eq!(
            cache.sign_in(&old.id, "mallory").err(),
            Some(Error::Rotated)
        );
    }
    assert_eq!(cache.stats().rotated, 1);
    let (record, _) = request(&cache, old.token.as_str()).unwrap();
    assert!(
        record.id == old.id && record.id != new.id,
        "the record does not contain the new id"
    );
    assert!(record.user.is_none());
    clock.advance(GRACE);
    assert_eq!(
        cache.rotate(&old.id, Duration::ZERO).err(),
        Some(Error::Gone)
    );
    assert_eq!(cache.sign_in(&old.id, "mallory").err(), Some(Error::Gone));
}

// LIFE-2: docs/security-checklist.md
#[test]
fn in_a_chain_each_id_opens_as_long_as_every_grace_on_its_way() {
    let (cache, clock) = cache();
    let first = create(&cache, b"data");
    let mut chain = vec![first];
    for _ in 0..ALIASES {
        chain.push(rotate(&cache, &chain[chain.len() - 1].id, GRACE));
    }
    assert!(chain.iter().all(|made| opens(&cache, &made.token)));
    let (newest, older) = chain.split_last().unwrap();
    for old in older {
        assert_eq!(
            cache.rotate(&old.id, Duration::ZERO).err(),
            Some(Error::Rotated)
        );
    }
    // A rotation without a grace period cuts off all earlier ids.
    let last = rotate(&cache, &newest.id, Duration::ZERO);
    assert!(!chain.iter().any(|made| opens(&cache, &made.token)));
    assert!(opens(&cache, &last.token));

    // So does the shortest grace period.
    let long = create(&cache, b"data");
    let short = rotate(&cache, &long.id, MINUTE);
    let last = rotate(&cache, &short.id, SECOND);
    clock.advance(SECOND - TICK);
    assert!(opens(&cache, &long.token) && opens(&cache, &short.token));
    clock.advance(TICK);
    assert!(!opens(&cache, &long.token) && !opens(&cache, &short.token));
    assert!(opens(&cache, &last.token));
    cache.validate();
}

// LIFE-1: docs/security-checklist.md
#[test]
fn no_id_from_before_a_sign_in_opens_the_session_of_the_user() {
    // An attacker planted the first id: a sign-in ends its grace period.
    let (cache, clock) = watched(false);
    for round in 0..100 {
        let planted = create(&cache, b"data");
        let second = rotate(&cache, &planted.id, HOUR);
        let third = rotate(&cache, &second.id, HOUR);
        let user = format!("user {round}");
        let mine = sign_in(&cache, &third.id, &user);
        // Nor does a later grace period, in the user's own shard.
        let newest = rotate(&cache, &mine.id, HOUR);
        for old in [&planted, &second, &third] {
            assert!(!opens(&cache, &old.token), "round {round}");
            assert_gone(&cache, &old.id, old.version);
        }
        assert!(opens(&cache, &mine.token) && opens(&cache, &newest.token));
        clock.advance(SECOND);
    }
    cache.validate();
}

// LIFE-2: docs/security-checklist.md
#[test]
fn neither_id_opens_a_session_past_its_deadline() {
    let (cache, clock) = cache();
    for (timeouts, life) in [(idle(MINUTE), MINUTE), (lifetime(MINUTE), MINUTE)] {
        let old = cache.create_with(b"data", having(timeouts)).unwrap();
        let new = rotate(&cache, &old.id, HOUR);
        clock.advance(life - TICK);
        assert!(cache.stats().sessions.aliases > 0);
        clock.advance(TICK);
        assert!(!opens(&cache, &new.token) && !opens(&cache, &old.token));
        assert_gone(&cache, &old.id, old.version);
        assert_gone(&cache, &new.id, new.version);
        assert_eq!(
            cache.rotate(&old.id, Duration::ZERO).err(),
            Some(Error::Gone)
        );
        clock.advance(HOUR * 2);
        cache.maintain(usize::MAX);
        assert_eq!((cache.len(), cache.stats().sessions.aliases), (0, 0));
    }
    cache.validate();
}

// LIFE-2: docs/security-checklist.md
#[test]
fn a_session_that_ended_opens_by_no_id_within_the_grace() {
    let (cache, _clock) = cache();
    for by_old in [false, true] {
        let old = create(&cache, b"data");
        let new = rotate(&cache, &old.id, GRACE);
        assert!(cache.end(if by_old { &old.id } else { &new.id }));
        for made in [&old, &new] {
            assert!(!opens(&cache, &made.token));
            assert_gone(&cache, &made.id, made.version);
            assert!(!cache.end(&made.id));
        }
    }
    assert!(cache.is_empty());
}

// TERM-1: docs/security-checklist.md
#[test]
fn an_end_by_an_old_id_is_followed_after_the_grace_too() {
    let (cache, clock) = watched(false);
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

// OPS-2: docs/security-checklist.md
#[test]
fn aliases_are_evicted_before_sessions_and_become_unknown() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(128 << 10)
        .max_session_size(2 << 10)
        .build()
        .unwrap();
    let old = create_many(&cache, cache.capacity_for(256) / 3, &[1; 256]);
    let new: Vec<_> = old
        .iter()
        .map(|made| rotate(&cache, &made.id, HOUR))
        .collect();
    assert!(old.iter().all(|made| opens(&cache, &made.token)));
    while cache.stats().sessions.aliases > 0 {
        assert_eq!(cache.stats().evicted.probation, 0);
        create(&cache, &[2; 256]);
    }
    assert_eq!(cache.stats().evicted.aliases as usize, old.len());
    for (old, new) in old.iter().zip(&new) {
        assert!(!opens(&cache, &old.token));
        assert_gone(&cache, &old.id, old.version);
        assert!(!cache.end(&old.id), "the owner is no longer known");
        assert!(opens(&cache, &new.token));
    }
    let refused = cache.stats().rejected;
    assert_eq!(
        (refused.unknown as usize, refused.reused),
        (old.len() * 2, 0)
    );
    cache.validate();
}

#[test]
fn a_rotation_for_whose_old_id_there_is_no_room_is_a_rotation_all_the_same() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(128 << 10)
        .max_session_size(2 << 10)
        .build()
        .unwrap();
    let old = fill_with_users(&cache, 256);
    let new: Vec<_> = old
        .iter()
        .map(|made| rotate(&cache, &made.id, GRACE))
        .collect();
    assert!(new.iter().all(|made| opens(&cache, &made.token)));
    let remembered = old.iter().filter(|made| opens(&cache, &made.token)).count();
    assert_eq!(remembered, cache.stats().sessions.aliases);
    assert!(
        remembered < old.len() / 4,
        "authenticated sessions leave little room for aliases"
    );
    assert_eq!(cache.stats().evicted.authenticated, 0);
    cache.validate();
}

// TERM-4: docs/security-checklist.md
#[test]
fn a_signed_out_cookie_is_rejected_permanently() {
    let (cache, clock) = watched(false);
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
            create(&cache, b"somebody else");
            clock.advance(HOUR / 2);
            cache.maintain(usize::MAX);
        }
    }
}

#[test]
fn an_old_id_that_is_used_after_the_grace_shows() {
    let (cache, clock) = watched(false);
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
    assert_ne!(home(&mine), home(&old), "across shards");
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
fn a_session_whose_old_id_is_used_ends_if_that_is_wished() {
    for across in [false, true] {
        let (cache, clock) = watched(true);
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
fn a_forged_token_with_an_old_id_is_forged_and_ends_nothing() {
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
            let refused = cache.stats().rejected;
            assert_eq!((refused.forged, refused.reused), (before + 4, 0));
            assert!(drain(&cache).is_empty());
            assert!(opens(&cache, &new.token), "it has not ended");
        }
    }
}

#[test]
fn an_old_id_says_nothing_of_a_session_that_expired() {
    let (cache, clock) = watched(true);
    let old = cache
        .create_with(b"data", having(PLAIN.idle_timeout(MINUTE)))
        .unwrap();
    rotate(&cache, &old.id, Duration::ZERO);
    clock.advance(MINUTE);
    drain(&cache);
    assert!(!opens(&cache, &old.token));
    assert!(reused(&cache).is_empty());
}

#[test]
fn a_grace_costs_no_allocation_beyond_the_buffer() {
    let (cache, _clock) = cache();
    let old = create(&cache, b"data");
    let mut buffer = BytesMut::with_capacity(64);
    assert!(cache.load(&old.id, &mut buffer).is_some());
    let new = rotate(&cache, &old.id, GRACE);
    let counted = allocation_counter::measure(|| {
        assert!(cache.load(&old.id, &mut buffer).is_some());
        assert!(cache.load(&new.id, &mut buffer).is_some());
    });
    assert_eq!(counted.count_total, 0);
}

/// Regression: applied to any grace period of the first id, since the alias in the middle leads on.
// TERM-1: docs/security-checklist.md
#[test]
fn of_the_ids_that_a_session_had_no_later_one_is_forgotten_before_an_earlier_one() {
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
fn an_end_if_by_an_old_id_within_its_grace_ended_the_session() {
    let (cache, _clock) = cache();
    let old = create(&cache, b"");
    let new = rotate(&cache, &old.id, GRACE);
    assert!(cache.end_if_unchanged(&old.id, old.version).is_err());
    assert!(opens(&cache, &new.token));
}

#[test]
fn end_if_tells_an_old_id_from_one_whose_session_is_gone() {
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
fn an_old_id_within_its_grace_was_counted_as_reused_where_the_session_had_ended() {
    let (cache, _clock) = cache();
    let old = create(&cache, b"data");
    let new = rotate(&cache, &old.id, GRACE);
    assert!(cache.end(&new.id));
    assert!(!opens(&cache, &old.token));
    let refused = cache.stats().rejected;
    assert_eq!((refused.unknown, refused.reused), (1, 0));
}
