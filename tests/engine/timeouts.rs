//! Timeouts: the tick from which a session is rejected, and when its memory is reclaimed.

use std::time::Duration;

use crate::support::{
    HOUR, MINUTE, PLAIN, PLAINLY, SECOND, TICK, assert_gone, builder, cache, create, data, having,
    idle, is_long, lifetime, load, opens, sign_in,
};
use proptest::prelude::*;
use sessile::{Error, IssuedSession, ManualClock, SessionCache};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Creates a cache with these timeouts.
fn with_timeouts(idle_timeout: Duration, lifetime: Duration) -> (SessionCache, ManualClock) {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .idle_timeout(idle_timeout)
        .lifetime(lifetime)
        .build();
    (cache.unwrap(), clock)
}

// TIME-1: docs/security-checklist.md
#[test]
fn a_session_is_rejected_from_its_deadline_independent_of_the_wheel() {
    let own = Duration::from_secs(77);
    for timeouts in [idle(own), lifetime(own), idle(own).lifetime(own)] {
        for (after, is_there) in [(own - TICK, true), (own, false), (own + TICK, false)] {
            let (cache, clock) = cache();
            let read: [fn(&SessionCache, &IssuedSession) -> bool; 3] = [
                |cache, issued| opens(cache, &issued.token),
                |cache, issued| load(cache, &issued.id).is_some(),
                |cache, issued| cache.touch(&issued.id).is_ok(),
            ];
            let issued = read.map(|_| cache.create_with(b"data", having(timeouts)).unwrap());
            clock.advance(after);
            for (read, issued) in read.iter().zip(&issued) {
                assert_eq!(
                    read(&cache, issued),
                    is_there,
                    "{timeouts:?} after {after:?}"
                );
            }
            assert_eq!(cache.len(), 3, "`maintain` was not called");
        }
    }
}

// TIME-1: docs/security-checklist.md
#[test]
fn a_fraction_of_a_tick_is_rounded_down() {
    let (cache, clock) = cache();
    clock.advance(TICK - Duration::from_nanos(1));
    let issued = cache.create_with(b"data", having(idle(SECOND))).unwrap();
    clock.advance(Duration::from_nanos(1));
    clock.advance(SECOND - TICK * 2);
    assert!(opens(&cache, &issued.token));
    clock.advance(SECOND - TICK * 2);
    assert!(opens(&cache, &issued.token));
    clock.advance(SECOND);
    assert!(
        !opens(&cache, &issued.token),
        "no later than a second after its last use"
    );
}

#[test]
fn a_timeout_is_counted_in_whole_ticks() {
    for extra in [0, 1, 50, 99] {
        let (cache, clock) = with_timeouts(SECOND * 2 + Duration::from_millis(extra), HOUR);
        let issued = create(&cache, b"data");
        clock.advance(SECOND * 2 - TICK);
        assert!(cache.touch(&issued.id).is_ok());
        clock.advance(SECOND * 2 - Duration::from_nanos(1));
        assert!(cache.touch(&issued.id).is_ok());
        clock.advance(SECOND * 2);
        assert_gone(&cache, &issued.id, issued.version);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if is_long() { 20_000 } else { 300 }))]

    // TIME-1: docs/security-checklist.md
    #[test]
    fn a_session_expires_between_15_16_of_the_timeout_and_its_end(
        ticks in prop_oneof![16..100_u32, 100..10_000_u32, 10_000..7 * 864_000_u32],
        is_own in any::<bool>(),
        steps in proptest::collection::vec(
            (prop_oneof![0..1_100_u32, 55..70_u32, 930..945_u32, 990..1_001_u32], 0..100_u64, 0..5_u8),
            1..60,
        ),
    ) {
        let timeout = TICK * ticks;
        let (cache, clock) = with_timeouts(if is_own { DAY * 7 } else { timeout }, YEAR * 13);
        let mut issued = cache.create_with(b"data", having(if is_own { idle(timeout) } else { PLAIN })).unwrap();
        let mut version = issued.version;
        for (thousandths, millis, verb) in steps {
            let pause = timeout * thousandths / 1_000 + Duration::from_millis(millis);
            clock.advance(pause);
            let is_there = match verb {
                0 => opens(&cache, &issued.token),
                1 => load(&cache, &issued.id).is_some(),
                2 => cache.touch(&issued.id).is_ok(),
                3 => cache.rotate(&issued.id, Duration::ZERO).map(|new| issued = new).is_ok(),
                _ => cache.save(&issued.id, version, b"more").map(|next| version = next).is_ok(),
            };
            prop_assert!(is_there || pause * 16 >= timeout * 15, "rejected after {:?}", pause);
            prop_assert!(!is_there || pause < timeout, "not rejected after {:?}", pause);
            if !is_there {
                return Ok(());
            }
        }
        cache.validate();
    }
}

// TIME-2: docs/security-checklist.md
#[test]
fn no_activity_extends_the_lifetime() {
    let own = HOUR * 3;
    for (timeouts, end) in [(PLAIN, HOUR * 12), (lifetime(own), own)] {
        let (cache, clock) = cache();
        let mut issued = cache.create_with(b"data", having(timeouts)).unwrap();
        let mut version = issued.version;
        let steps = (end.as_secs() / 600) as u32;
        for step in 1..steps {
            clock.advance(MINUTE * 10);
            match step % 5 {
                0 => assert!(opens(&cache, &issued.token)),
                1 => assert_eq!(cache.touch(&issued.id), Ok(())),
                2 => version = cache.save(&issued.id, version, b"more").unwrap(),
                3 => issued = cache.rotate(&issued.id, Duration::ZERO).unwrap(),
                _ => issued = sign_in(&cache, &issued.id, "alice"),
            }
        }
        clock.advance(MINUTE * 10 - TICK);
        assert_eq!(load(&cache, &issued.id).unwrap().0.expires_in(), TICK);
        clock.advance(TICK);
        assert_gone(&cache, &issued.id, version);
    }
}

// TIME-2: docs/security-checklist.md
#[test]
fn timeouts_of_a_session_are_capped_by_those_of_the_cache() {
    for span in [HOUR * 12, HOUR * 13, YEAR * 14, Duration::MAX] {
        let (cache, clock) = cache();
        let longest = idle(span).lifetime(span);
        let mut issued = cache.create_with(b"data", having(longest)).unwrap();
        for step in 1..12 * 3 {
            clock.advance(MINUTE * 20);
            match step % 3 {
                0 => {
                    issued.version = cache
                        .set_timeouts(&issued.id, issued.version, longest)
                        .unwrap();
                }
                1 => {
                    issued = cache
                        .sign_in_with(&issued.id, "alice", PLAINLY.timeouts(longest))
                        .unwrap();
                }
                _ => assert!(opens(&cache, &issued.token)),
            }
        }
        clock.advance(MINUTE * 20);
        assert_gone(&cache, &issued.id, issued.version);

        let issued = cache.create_with(b"data", having(longest)).unwrap();
        clock.advance(MINUTE * 30 - TICK);
        assert!(
            cache
                .set_timeouts(&issued.id, issued.version, longest)
                .is_ok()
        );
        clock.advance(MINUTE * 30);
        assert_gone(&cache, &issued.id, issued.version);
    }
}

// TIME-3: docs/security-checklist.md
#[test]
fn a_clock_jump_expires_exactly_the_sessions_that_are_due() {
    for (jump, timeout, is_there) in [
        (HOUR, HOUR * 2, true),
        (HOUR, HOUR, false),
        (HOUR * 8, HOUR * 8 + TICK, true),
        (HOUR * 8, MINUTE * 30, false),
        (YEAR, YEAR * 2, true),
        (YEAR, DAY * 30, false),
        (YEAR * 13, YEAR * 13 + TICK, true),
    ] {
        let (cache, clock) = with_timeouts(timeout, YEAR * 13 + HOUR);
        let all: Vec<_> = (0..100).map(|n| create(&cache, &[n])).collect();
        clock.advance(jump);
        let found = all
            .iter()
            .filter(|issued| opens(&cache, &issued.token))
            .count();
        assert_eq!(
            found,
            if is_there { 100 } else { 0 },
            "{jump:?} with {timeout:?}"
        );
        cache.maintain(usize::MAX);
        assert_eq!(cache.len(), found);
        cache.validate();
        // Later sessions expire on time.
        let issued = create(&cache, b"after");
        clock.advance(timeout.min(HOUR) - TICK);
        assert!(opens(&cache, &issued.token));
        clock.advance(timeout);
        assert!(!opens(&cache, &issued.token));
        cache.maintain(usize::MAX);
        assert!(cache.is_empty() && cache.stats().memory.used == 0);
    }
}

// TIME-3: docs/security-checklist.md
#[test]
fn maintenance_after_eight_hours_visits_only_due_sessions() {
    let (cache, clock) = with_timeouts(DAY, DAY * 2);
    clock.advance(HOUR * 8);
    assert_eq!(
        cache.maintain(usize::MAX).visited,
        0,
        "an empty wheel visits nothing"
    );
    let long: Vec<_> = (0..100).map(|n| create(&cache, &[n])).collect();
    for n in 0..1_000 {
        cache
            .create_with(b"short", having(idle(MINUTE + SECOND * n)))
            .unwrap();
    }
    clock.advance(HOUR * 8);
    let done = cache.maintain(usize::MAX);
    assert_eq!((done.expired, done.more), (1_000, false));
    assert!(
        done.visited <= 1_100,
        "{done:?}: an entry was visited twice"
    );
    assert_eq!(cache.maintain(usize::MAX).visited, 0);
    assert!(long.iter().all(|issued| opens(&cache, &issued.token)));
    assert_eq!(cache.len(), 100);
}

proptest! {
    // TIME-4: docs/security-checklist.md
    #[test]
    fn any_deadlines_at_any_time_are_counted_without_overflow(
        start in prop_oneof![Just(0), 0..u64::MAX],
        own in (proptest::option::of(span()), proptest::option::of(span())),
        verb in 0..3_u8,
        wait in 0..18_000_u32,
        later in prop_oneof![0..20_000_u32, 0..500_000_u32],
    ) {
        let (cache, clock) = cache();
        clock.advance(Duration::from_nanos(start));
        let began = (start / 100_000_000).min(u64::from(u32::MAX));
        let (own_idle, own_life) = own;
        let own = own_idle.map_or(PLAIN, |span| PLAIN.idle_timeout(span));
        let own = own_life.map_or(own, |span| own.lifetime(span));
        let issued = cache.create_with(b"data", having(if verb == 0 { own } else { PLAIN })).unwrap();
        let wait = if verb == 0 || began + 500_000 > u64::from(u32::MAX) { 0 } else { wait };
        clock.advance(TICK * wait);
        let id = match verb {
            0 => Some(issued.id),
            1 => cache.set_timeouts(&issued.id, issued.version, own).ok().map(|_| issued.id),
            _ => cache.sign_in_with(&issued.id, "alice", PLAINLY.timeouts(own)).ok().map(|issued| issued.id),
        };
        clock.advance(TICK * later);
        let ticks = |span: Duration, most: u64| u64::try_from(span.as_millis() / 100).unwrap_or(most).min(most);
        let [most_idle, most_life] = [18_000, 432_000];
        let idle = wait as u64 + own_idle.map_or(most_idle, |span| ticks(span, most_idle));
        let life = own_life.map_or(most_life, |span| ticks(span, most_life));
        let passed = wait as u64 + u64::from(later);
        let never_ends = began + passed >= u64::from(u32::MAX);
        let expected = passed < idle.min(life) && !never_ends;
        prop_assert_eq!(id.is_some_and(|id| load(&cache, &id).is_some()), expected);
        cache.maintain(10);
        cache.validate();
    }
}

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        Just(TICK - Duration::from_nanos(1)),
        (0..50_000_000_u64).prop_map(Duration::from_millis),
        any::<u64>().prop_map(Duration::from_nanos),
        any::<u64>().prop_map(Duration::from_secs),
    ]
}

// TIME-4: docs/security-checklist.md
#[test]
fn a_timeout_of_zero_ends_a_session_at_once() {
    for none in [
        Duration::ZERO,
        Duration::from_nanos(1),
        TICK - Duration::from_nanos(1),
    ] {
        for timeouts in [idle(none), lifetime(none)] {
            let (cache, _clock) = cache();
            let born_dead = cache.create_with(b"data", having(timeouts)).unwrap();
            let cut = create(&cache, b"data");
            assert!(cache.set_timeouts(&cut.id, cut.version, timeouts).is_ok());
            let guest = create(&cache, b"data");
            let rejected = cache.sign_in_with(&guest.id, "alice", PLAINLY.timeouts(timeouts));
            assert_eq!(
                rejected.err(),
                Some(Error::LifetimeOver),
                "the session would not open"
            );
            assert!(opens(&cache, &guest.token) && cache.end(&guest.id));
            for issued in [born_dead, cut] {
                assert!(!opens(&cache, &issued.token));
                assert_gone(&cache, &issued.id, issued.version);
            }
            cache.maintain(10);
            assert!(cache.is_empty());
            cache.validate();
        }
    }
}

// TIME-4: docs/security-checklist.md
#[test]
fn nothing_overflows_at_the_end_of_the_clock() {
    let most = TICK * (u32::MAX - 1);
    let (cache, clock) = with_timeouts(most, most);
    let issued = create(&cache, b"data");
    clock.advance(most - TICK);
    assert!(opens(&cache, &issued.token));
    let late = create(&cache, b"late");
    clock.advance(TICK);
    assert!(
        !opens(&cache, &issued.token),
        "at its lifetime, to the tick"
    );
    assert_eq!(data(&cache, &late.id).unwrap(), b"late");
    for _ in 0..3 {
        clock.advance(Duration::MAX);
        let last = cache
            .create_with(b"last", having(idle(Duration::MAX).lifetime(Duration::MAX)))
            .unwrap();
        for issued in [&issued, &late, &last] {
            assert!(
                !opens(&cache, &issued.token),
                "the clock has reached its end"
            );
            assert_gone(&cache, &issued.id, issued.version);
            assert!(!cache.end(&issued.id));
        }
        cache.maintain(usize::MAX);
        cache.validate();
        assert!(cache.is_empty());
    }
}
