//! `end_all`: no earlier session opens, later sessions do, and the memory is reclaimed lazily.

use std::{
    hint,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use crate::support::{
    HOUR, MINUTE, SECOND, TICK, assert_gone, builder, cache, create, create_many, data, is_long,
    lifetime, load, opens, sign_in, signed_in,
};
use sessile::{
    Error, IssuedSession, ManualClock, SessionCache, internals::region::WORD, stats::EvictionCounts,
};

const MARK: u64 = 0x6d61_726b_6564_2121;

/// Returns `words` marked words of data.
fn marked(words: usize) -> Vec<u8> {
    MARK.to_le_bytes().repeat(words)
}

fn sharded(clock: &ManualClock) -> SessionCache {
    builder(clock).memory(8 << 20).shards(8).build().unwrap()
}

/// Creates anonymous sessions, some of which returned their cookie, authenticated sessions and
/// rotated ones.
fn all_kinds(cache: &SessionCache, number: usize) -> Vec<IssuedSession> {
    let make = |n: usize| {
        let issued = create(cache, &marked(n % 20));
        match n % 4 {
            0 => issued,
            1 => {
                assert!(opens(cache, &issued.token));
                issued
            }
            2 => sign_in(cache, &issued.id, &format!("user {}", n % 64)),
            _ => cache.rotate(&issued.id, MINUTE).unwrap(),
        }
    };
    (0..number).map(make).collect()
}

// TERM-5: docs/security-checklist.md
#[test]
fn end_all_ends_every_earlier_session_and_no_later_one() {
    let clock = ManualClock::new();
    let cache = sharded(&clock);
    let mut ended: Vec<IssuedSession> = Vec::new();
    for round in 0..40 {
        let before = all_kinds(&cache, 40);
        assert!(
            before.iter().all(|issued| opens(&cache, &issued.token)),
            "sessions of round {round}"
        );
        cache.end_all();
        ended.extend(&before);
        assert!(!ended.iter().any(|issued| opens(&cache, &issued.token)));
        // Many of the calls fall into one tick.
        if round % 8 == 7 {
            clock.advance(TICK * (round / 8));
        }
    }
    let after = all_kinds(&cache, 40);
    assert!(after.iter().all(|issued| opens(&cache, &issued.token)));
    ended
        .iter()
        .take(100)
        .for_each(|issued| assert_gone(&cache, &issued.id, issued.version));
    assert!(!ended.iter().any(|issued| cache.end(&issued.id)));
    assert_eq!(cache.len(), after.len());
    cache.validate();
}

// TERM-5: docs/security-checklist.md
#[test]
fn end_all_on_empty_cache_keeps_later_sessions() {
    let (cache, clock) = cache();
    for _ in 0..10 {
        cache.end_all();
    }
    clock.advance(SECOND);
    let issued = create(&cache, b"data");
    assert!(opens(&cache, &issued.token));
    clock.advance(MINUTE);
    assert!(opens(&cache, &issued.token));
    assert_eq!(load(&cache, &issued.id).unwrap().0.age(), MINUTE);
    cache.end_all();
    assert!(!opens(&cache, &issued.token));
}

// TERM-5: docs/security-checklist.md
#[test]
fn end_all_empties_the_lists_of_users_and_the_counts_at_once() {
    let clock = ManualClock::new();
    let cache = sharded(&clock);
    let before = all_kinds(&cache, 160);
    let handles: Vec<_> = before
        .iter()
        .map(|issued| load(&cache, &issued.id).unwrap().0.handle())
        .collect();
    let stats = cache.stats();
    cache.end_all();
    assert_eq!((cache.len(), cache.is_empty()), (0, true));
    let after = cache.stats();
    let sessions = after.sessions;
    assert_eq!(
        [
            sessions.probation,
            sessions.anonymous,
            sessions.authenticated
        ],
        [0; 3]
    );
    assert_eq!(after.ended, stats.ended + before.len() as u64);
    assert_eq!(
        (after.expired, after.evicted),
        (0, EvictionCounts::default())
    );
    for user in (0..64).map(|n| format!("user {n}")) {
        assert!(cache.user_sessions(&user).is_empty());
        assert_eq!(cache.end_user_sessions(&user, None), 0);
    }
    assert!(!handles.iter().any(|handle| cache.end_by_handle(handle)));
    // A second call finds no session.
    cache.end_all();
    assert_eq!(cache.stats().ended, after.ended);
    cache.maintain(usize::MAX);
    assert_eq!(
        (cache.stats().ended, cache.stats().expired),
        (after.ended, 0)
    );
    cache.validate();
}

// TERM-5: docs/security-checklist.md
#[test]
fn the_limit_of_a_user_excludes_sessions_ended_by_end_all() {
    let clock = ManualClock::new();
    let settings = builder(&clock)
        .max_sessions_per_user(2)
        .session_limit_policy(sessile::SessionLimitPolicy::Reject);
    let cache = settings.build().unwrap();
    signed_in(&cache, b"", "ada");
    signed_in(&cache, b"", "ada");
    let third = create(&cache, b"");
    assert_eq!(
        cache.sign_in(&third.id, "ada").err(),
        Some(Error::TooManySessions)
    );
    cache.end_all();
    assert_eq!(cache.sign_in(&third.id, "ada").err(), Some(Error::Gone));
    signed_in(&cache, b"", "ada");
    signed_in(&cache, b"", "ada");
    assert_eq!(cache.user_sessions("ada").len(), 2);
    cache.validate();
}

// TERM-5: docs/security-checklist.md
#[test]
fn an_alias_opens_no_session_after_end_all() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .events(100)
        .end_reused(true)
        .build()
        .unwrap();
    let old = create(&cache, b"data");
    let new = cache.rotate(&old.id, MINUTE).unwrap();
    cache.end_all();
    for issued in [&old, &new] {
        assert!(!opens(&cache, &issued.token));
        assert_gone(&cache, &issued.id, issued.version);
        assert!(!cache.end_by_token(issued.token.as_str().as_bytes()));
    }
    clock.advance(MINUTE);
    assert!(!opens(&cache, &old.token));
    let whats: Vec<_> = std::iter::from_fn(|| cache.next_event())
        .map(|event| event.kind)
        .collect();
    assert!(!whats.contains(&sessile::EventKind::Reused), "{whats:?}");
    cache.validate();
}

// TERM-8: docs/security-checklist.md
#[test]
fn maintenance_frees_and_wipes_the_memory_within_its_budget() {
    let (cache, _clock) = cache();
    all_kinds(&cache, 1_000);
    assert!(
        cache.count(MARK) > 1_000,
        "the search finds data that is stored"
    );
    cache.end_all();
    let mut visited = 0;
    loop {
        let used = cache.stats().memory.used;
        let done = cache.maintain(64);
        assert!(done.visited <= 64 && done.expired == 0, "{done:?}");
        visited += done.visited;
        cache.validate();
        if !done.more {
            break;
        }
        assert!(cache.stats().memory.used < used);
    }
    assert_eq!(visited, 1_000);
    assert_eq!(cache.count(MARK), 0);
    assert_eq!(
        (cache.len(), cache.stats().sessions.aliases),
        (0, 500),
        "aliases remain"
    );
}

// TERM-8: docs/security-checklist.md
#[test]
fn writes_free_the_memory_without_maintenance() {
    let (cache, _clock) = cache();
    all_kinds(&cache, 1_000);
    cache.end_all();
    for _ in 0..600 {
        let issued = create(&cache, b"");
        assert!(cache.end(&issued.id));
    }
    assert_eq!(cache.count(MARK), 0);
    cache.validate();
}

// OPS-2: docs/security-checklist.md
#[test]
fn a_full_cache_evicts_ended_sessions_first() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(128 << 10)
        .max_session_size(2 << 10)
        .build()
        .unwrap();
    let number = cache.capacity_for(256) / 2;
    create_many(&cache, number, &marked(32));
    cache.end_all();
    let half: Vec<_> = create_many(&cache, number / 4, &[1; 256]);
    let rotated: Vec<_> = half
        .iter()
        .map(|issued| cache.rotate(&issued.id, HOUR).unwrap())
        .collect();
    while cache.count(MARK) > 0 {
        create(&cache, &[2; 256]);
        assert_eq!(cache.stats().evicted, EvictionCounts::default());
    }
    assert!(
        half.iter()
            .chain(&rotated)
            .all(|issued| opens(&cache, &issued.token))
    );
    cache.validate();
}

// OPS-2: docs/security-checklist.md
#[test]
fn a_cache_full_of_ended_sessions_has_room_for_new_ones() {
    for len in [0, 256] {
        let clock = ManualClock::new();
        let cache = builder(&clock)
            .memory(128 << 10)
            .max_session_size(2 << 10)
            .build()
            .unwrap();
        for n in 0..cache.capacity_for(len) * 2 {
            signed_in(&cache, &marked(len / WORD), &n.to_string());
        }
        let before = cache.stats().evicted;
        cache.end_all();
        let number = cache.capacity_for(len) * 7 / 8;
        let guests = create_many(&cache, number, &[1; 2_048][..len]);
        let now = cache.stats().evicted;
        let sessions = |of: EvictionCounts| [of.probation, of.anonymous, of.authenticated];
        assert_eq!(
            sessions(now),
            sessions(before),
            "no live session is evicted"
        );
        assert!(guests.iter().all(|issued| opens(&cache, &issued.token)));
        assert!(cache.create(&[3; 2 << 10]).is_ok());
        cache.validate();
    }
}

// TERM-5: docs/security-checklist.md
#[test]
fn sessions_that_expired_before_end_all_are_freed_once() {
    let (cache, clock) = cache();
    create_many(&cache, 100, &marked(3));
    clock.advance(HOUR);
    cache.end_all();
    assert_eq!(cache.len(), 0);
    let done = cache.maintain(usize::MAX);
    assert_eq!((done.visited, done.more), (100, false));
    let stats = cache.stats();
    assert_eq!(stats.ended + stats.expired, 100);
    assert_eq!(cache.count(MARK), 0);
    cache.validate();
}

/// Runs threads that create sessions while one thread calls `end_all`.
// TERM-5: docs/security-checklist.md
#[test]
fn no_session_returned_to_another_thread_before_end_all_survives_it() {
    let rounds = if is_long() { 2_000 } else { 100 };
    let clock = ManualClock::new();
    let cache = sharded(&clock);
    for round in 0..rounds {
        let answered = Mutex::new(Vec::new());
        let done = AtomicBool::new(false);
        let (before, after) = thread::scope(|scope| {
            for n in 0..3 {
                let (cache, answered, done) = (&cache, &answered, &done);
                scope.spawn(move || {
                    while !done.load(SeqCst) {
                        let issued = create(cache, b"data");
                        let issued = match n {
                            0 => issued,
                            1 => cache.sign_in(&issued.id, "ada").unwrap_or(issued),
                            _ => cache.rotate(&issued.id, HOUR).unwrap_or(issued),
                        };
                        answered.lock().unwrap().push(issued);
                    }
                });
            }
            while answered.lock().unwrap().len() < 10 {
                thread::yield_now();
            }
            let before = std::mem::take(&mut *answered.lock().unwrap());
            cache.end_all();
            assert!(
                !before.iter().any(|issued| opens(&cache, &issued.token)),
                "round {round}"
            );
            let after = create_many(&cache, 10, b"after");
            done.store(true, SeqCst);
            (before, after)
        });
        for issued in &before {
            assert!(!opens(&cache, &issued.token));
            assert_eq!(cache.touch(&issued.id), Err(Error::Gone));
        }
        assert!(
            after
                .iter()
                .all(|issued| data(&cache, &issued.id).unwrap() == b"after")
        );
        clock.advance(TICK * (round % 2));
        if round % 8 == 0 {
            cache.validate();
        }
    }
    assert_eq!(cache.stats().shard_resets, 0);
}

/// The thread that calls `end_all` may be preempted at any point, also after it read the clock.
/// If it was preempted, it pauses until the main thread has checked the cache.
// TERM-5: docs/security-checklist.md
#[test]
fn an_interrupted_end_all_leaves_every_shard_consistent() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().unwrap();
    let (done, waits, rounds) = (
        AtomicBool::new(false),
        AtomicBool::new(false),
        AtomicUsize::new(0),
    );
    let end_all = || {
        while !done.load(SeqCst) {
            let before = rounds.load(SeqCst);
            cache.end_all();
            waits.store(rounds.load(SeqCst) > before + 1, SeqCst);
            while waits.load(SeqCst) && !done.load(SeqCst) {
                thread::yield_now();
            }
        }
    };
    let interrupts = if is_long() { 5_000 } else { 40 };
    let mut seen = 0;
    thread::scope(|scope| {
        scope.spawn(end_all);
        // Keep the cores busy, so that the thread is preempted often.
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    hint::spin_loop();
                }
            });
        }
        let finish = SetOnDrop(&done);
        for _ in 0..5_000_000 {
            rounds.fetch_add(1, SeqCst);
            // More ticks than there are ends during the test; each end takes one tick.
            clock.advance(MINUTE);
            let issued = create(&cache, b"data");
            if waits.load(SeqCst) {
                assert!(opens(&cache, &issued.token) || cache.touch(&issued.id).is_err());
                cache.validate();
                seen += 1;
                if seen == interrupts {
                    break;
                }
                waits.store(false, SeqCst);
            }
        }
        drop(finish);
    });

    assert_eq!(cache.stats().shard_resets, 0);
}

/// Releases the other threads even if this one panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// If several calls fall into one tick, later sessions get a creation time in a future tick.
// TIME-2: docs/security-checklist.md
#[test]
fn renewing_the_lifetime_after_end_all_does_not_exceed_it() {
    let (cache, clock) = cache();
    (0..10).for_each(|_| cache.end_all());
    let issued = create(&cache, b"data");
    cache
        .set_timeouts(&issued.id, issued.version, lifetime(MINUTE))
        .unwrap();
    clock.advance(MINUTE);
    assert!(!opens(&cache, &issued.token));
}
