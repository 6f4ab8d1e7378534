//! Memory of expired sessions is reclaimed completely, soon after their deadlines, with at most as
//! many visits as the caller allows. Visits are counted; nothing is timed.

use std::time::Duration;

use crate::support::{
    HOUR, MINUTE, PLAIN, PLAINLY, Random, SECOND, TICK, builder, cache, create, create_many,
    having, idle, is_long, lifetime, opens, sign_in,
};
use sessile::{ManualClock, SessionCache};

/// Creates a cache with memory for `sessions` empty sessions, with some to spare.
fn cache_for(sessions: usize, shards: u16) -> (SessionCache, ManualClock) {
    let clock = ManualClock::new();
    let memory = sessions * 400 + (1 << 20) * usize::from(shards);
    let cache = builder(&clock)
        .memory(memory)
        .shards(shards)
        .build()
        .unwrap();
    assert!(cache.capacity_for(0) >= sessions);
    (cache, clock)
}

// TIME-5: docs/security-checklist.md
#[test]
fn sessions_due_in_one_tick_are_freed_within_the_budget() {
    let number = if is_long() { 1_000_000 } else { 100_000 };
    for (shards, budget) in [(1, 997), (4, 10_000)] {
        let (cache, clock) = cache_for(number, shards);
        create_many(&cache, number, b"");
        assert_eq!(cache.len(), number);
        clock.advance(cache.idle_timeout());
        let (mut calls, mut expired) = (0, 0);
        loop {
            let done = cache.maintain(budget);
            calls += 1;
            expired += done.expired;
            assert!(done.visited <= budget && done.expired <= done.visited);
            assert_eq!(done.more, expired < number);
            if !done.more {
                break;
            }
            assert_eq!(done.visited, budget, "the whole budget was used");
        }
        assert_eq!(expired, number);
        assert!(calls <= number.div_ceil(budget) + 1, "{calls} calls");
        assert_eq!((cache.len(), cache.stats().memory.used), (0, 0));
        assert_eq!(cache.stats().expired as usize, number);
        cache.validate();
    }
}

// TIME-5: docs/security-checklist.md
#[test]
fn writes_alone_free_memory() {
    let (cache, clock) = cache();
    let full = crate::support::fill(&cache, 256).len();
    clock.advance(cache.idle_timeout());
    create_many(&cache, full, &[1; 256]);
    let stats = cache.stats();
    assert_eq!((cache.len(), stats.expired as usize), (full, full));
    assert_eq!(
        stats.evicted,
        Default::default(),
        "no live session was evicted"
    );
}

// TIME-5: docs/security-checklist.md
#[test]
fn each_write_frees_two_expired_sessions() {
    let (cache, clock) = cache();
    let kept = create(&cache, b"");
    create_many(&cache, 100, b"");
    clock.advance(cache.idle_timeout() - TICK);
    assert!(opens(&cache, &kept.token));
    clock.advance(TICK);
    create_many(&cache, 25, b"");
    assert!(cache.stats().expired >= 49);
    let mut version = kept.version;
    (0..30).for_each(|_| version = cache.save(&kept.id, version, b"").unwrap());
    assert_eq!((cache.stats().expired, cache.len()), (100, 26));
}

// TIME-5: docs/security-checklist.md
#[test]
fn a_sign_in_evicts_no_live_session_while_one_has_expired() {
    let (cache, clock) = cache();
    let guest = create(&cache, &[1; 256]);
    let capacity = cache.capacity_for(256);
    create_many(&cache, capacity / 2, &[1; 256]);
    clock.advance(cache.idle_timeout() / 2);
    assert!(opens(&cache, &guest.token));
    create_many(&cache, capacity - cache.len(), &[1; 256]);
    clock.advance(cache.idle_timeout() / 2);
    let signed_in = sign_in(&cache, &guest.id, "alice");
    assert!(opens(&cache, &signed_in.token));
    let stats = cache.stats();
    assert!(stats.expired > 0);
    assert_eq!(stats.evicted, Default::default());
}

// TIME-5: docs/security-checklist.md
#[test]
fn a_budget_of_zero_visits_nothing_and_returns_that_more_is_due() {
    let (cache, clock) = cache_for(1_000, 2);
    create_many(&cache, 100, b"");
    clock.advance(HOUR);
    let done = cache.maintain(0);
    assert_eq!((done.visited, done.expired, done.more), (0, 0, true));
    let visits: Vec<_> = (0..100).map(|_| cache.maintain(1).visited).collect();
    assert_eq!(visits, [1; 100]);
    assert!(!cache.maintain(usize::MAX).more && cache.is_empty());
}

/// Regression: a partially emptied slot of the wheel was forgotten until all lower slots were
/// empty.
// TIME-5: docs/security-checklist.md
#[test]
fn a_rescheduled_session_delays_no_other_in_its_slot() {
    let (cache, clock) = cache();
    for ticks in [90, 70] {
        cache
            .create_with(b"in one slot of 64 ticks", having(idle(TICK * ticks)))
            .unwrap();
    }
    clock.advance(TICK * 64);
    cache.maintain(1);
    clock.advance(TICK * 6);
    assert_eq!(cache.maintain(10).expired, 1);
    clock.advance(TICK * 20);
    assert_eq!(cache.maintain(10).expired, 1);
}

// TIME-5: docs/security-checklist.md
#[test]
fn memory_is_freed_within_a_tick_for_any_deadlines() {
    let mut random = Random::new();
    let (cache, clock) = cache_for(3_000, 1);
    let mut due: Vec<Duration> = Vec::new();
    let mut now = Duration::ZERO;
    for _ in 0..2_000 {
        let digits = random.below(15) as u32;
        let own = TICK * (1 + random.below(1 << digits) as u32);
        cache.create_with(b"", having(idle(own))).unwrap();
        due.push(now + own.min(cache.idle_timeout()));
        let farthest = if random.below(10) == 0 { 700 } else { 3 };
        let step = TICK * random.below(farthest) as u32;
        clock.advance(step);
        now += step;
        let mut visited = 0;
        while cache.maintain(3).more {
            visited += 3;
            assert!(visited < 100_000, "the loop terminates");
        }
        due.retain(|each| *each > now);
        assert_eq!(cache.len(), due.len());
    }
    cache.validate();
}

// TIME-5: docs/security-checklist.md
#[test]
fn a_touched_session_is_visited_again_and_kept() {
    let (cache, clock) = cache();
    let issued = create(&cache, b"kept");
    for _ in 0..20 {
        clock.advance(MINUTE * 29);
        assert!(opens(&cache, &issued.token));
        let done = cache.maintain(100);
        assert!(
            (done.expired, done.visited) <= (0, 8),
            "about one visit per level: {done:?}"
        );
        assert_eq!(cache.len(), 1);
    }
    clock.advance(MINUTE * 30);
    while cache.maintain(100).more {}
    assert!(cache.is_empty());
}

#[test]
fn a_shortened_deadline_frees_the_memory_when_it_is_reached() {
    let span = SECOND * 20;
    for deadlines in [idle(span), lifetime(span), idle(span).lifetime(span)] {
        let (cache, clock) = cache();
        let issued = [(); 3].map(|()| create(&cache, b"data"));
        assert!(
            cache
                .set_timeouts(&issued[0].id, issued[0].version, deadlines)
                .is_ok()
        );
        cache
            .sign_in_with(&issued[1].id, "alice", PLAINLY.timeouts(deadlines))
            .unwrap();
        let used_by_one = cache.stats().memory.used / 3;
        clock.advance(span - TICK);
        assert_eq!(cache.maintain(100).expired, 0);
        clock.advance(TICK);
        assert_eq!(cache.maintain(100).expired, 2, "{deadlines:?}");
        assert_eq!(cache.len(), 1);
        assert!(cache.stats().memory.used < used_by_one * 3);
        assert!(opens(&cache, &issued[2].token));
        cache.validate();
    }
}

#[test]
fn a_lengthened_deadline_keeps_the_session() {
    let (cache, clock) = cache();
    let issued = cache.create_with(b"data", having(idle(MINUTE))).unwrap();
    assert!(
        cache
            .set_timeouts(&issued.id, issued.version, idle(MINUTE * 5))
            .is_ok()
    );
    clock.advance(MINUTE * 5 - TICK);
    cache.maintain(100);
    assert!(opens(&cache, &issued.token));
    let longer = sign_in(&cache, &issued.id, "alice");
    clock.advance(MINUTE * 5 - TICK);
    cache.maintain(100);
    assert!(opens(&cache, &longer.token), "its own timeout is kept");
    assert!(
        cache
            .set_timeouts(&longer.id, longer.version, PLAIN)
            .is_ok()
    );
    clock.advance(MINUTE * 5);
    assert!(
        !opens(&cache, &longer.token),
        "an omitted timeout is unchanged"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_maintenance_thread_stops_when_its_handle_is_dropped() {
    let threads = || {
        let names = std::fs::read_dir("/proc/self/task").unwrap();
        let names = names.filter_map(|task| std::fs::read(task.unwrap().path().join("comm")).ok());
        names.filter(|name| name == b"sessile\n").count()
    };
    let (cache, clock) = cache();
    assert_eq!(threads(), 0, "no thread starts without a request");
    let handle = cache.start_maintenance().unwrap();
    create_many(&cache, 100, b"");
    clock.advance(HOUR);
    while !cache.is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(threads(), 1);
    drop(handle);
    assert_eq!(threads(), 0);
}
