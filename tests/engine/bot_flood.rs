//! Floods of new sessions. Authenticated sessions are kept, sessions that returned their cookie
//! outlast those that never did, and every creation succeeds.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use crate::support::{SECOND, builder, create, create_many, opens, signed_in};
use sessile::{IssuedSession, ManualClock, SessionCache, SessionCacheBuilder};

const LEN: usize = 256;

/// A thousand sessions or slightly more in each shard.
fn settings(shards: u16) -> SessionCacheBuilder {
    let builder = builder(&ManualClock::new())
        .max_session_size(LEN)
        .shards(shards);
    builder.memory((512 << 10) * usize::from(shards))
}

/// Signs in half of the sessions that fit. Each user has a distinct name, so the shards hold about
/// the same number.
fn users(cache: &SessionCache) -> Vec<IssuedSession> {
    let user = |number: usize| signed_in(cache, &[1; LEN], &format!("user {number}"));
    (0..cache.capacity_for(LEN) / 2).map(user).collect()
}

/// Creates anonymous sessions whose cookie was returned, as a share of what fits.
fn visitors(cache: &SessionCache, share: usize) -> Vec<IssuedSession> {
    let all = create_many(cache, cache.capacity_for(LEN) / share, &[2; LEN]);
    assert!(all.iter().all(|issued| opens(cache, &issued.token)));
    all
}

fn lost(cache: &SessionCache, all: &[IssuedSession]) -> usize {
    all.iter()
        .filter(|issued| !opens(cache, &issued.token))
        .count()
}

/// Creates sessions whose cookie is never returned.
fn bots(cache: &SessionCache, number: usize) {
    for _ in 0..number {
        create(cache, &[3; LEN]);
    }
}

// OPS-2: docs/security-checklist.md
#[test]
fn a_flood_of_new_sessions_evicts_no_authenticated_and_no_returning_session() {
    for shards in [1, 4] {
        let cache = settings(shards).build().unwrap();
        let (users, visitors) = (users(&cache), visitors(&cache, 4));
        let capacity = cache.capacity_for(LEN);
        for number in 0..capacity * 10 {
            bots(&cache, 1);
            let user = &users[number % users.len()];
            assert!(
                opens(&cache, &user.token),
                "a user's session is lost after {number} creations"
            );
        }
        assert_eq!(
            (lost(&cache, &users), lost(&cache, &visitors)),
            (0, 0),
            "{shards} shards"
        );
        let stats = cache.stats();
        assert_eq!(
            (
                stats.evicted.authenticated,
                stats.evicted.anonymous,
                stats.full
            ),
            (0, 0, 0)
        );
        assert!(
            stats.evicted.probation > capacity as u64 * 9,
            "creations made the room"
        );
        cache.validate();
    }
}

// OPS-2: docs/security-checklist.md
#[test]
fn a_flood_evicts_no_idle_user() {
    let cache = settings(4).build().unwrap();
    let (users, visitors) = (users(&cache), visitors(&cache, 4));
    bots(&cache, cache.capacity_for(LEN) * 10);
    assert_eq!((lost(&cache, &users), lost(&cache, &visitors)), (0, 0));
}

// OPS-2: docs/security-checklist.md
#[test]
fn new_sessions_that_replay_their_cookie_evict_no_user() {
    for shards in [1, 4] {
        let cache = settings(shards).build().unwrap();
        let users = users(&cache);
        for number in 0..cache.capacity_for(LEN) * 10 {
            let issued = create(&cache, &[3; LEN]);
            (0..1 + number % 4)
                .for_each(|_| assert!(opens(&cache, &issued.token), "the session is stored"));
        }
        assert_eq!(lost(&cache, &users), 0);
        let stats = cache.stats();
        assert_eq!((stats.evicted.authenticated, stats.full), (0, 0));
        assert!(
            stats.evicted.anonymous > 0,
            "new sessions evicted each other"
        );
        cache.validate();
    }
}

#[test]
fn returning_sessions_outlast_newer_sessions_that_never_returned() {
    let cache = settings(1).build().unwrap();
    let visitors = visitors(&cache, 2);
    let capacity = cache.capacity_for(LEN);
    let bots = create_many(&cache, capacity - visitors.len(), &[3; LEN]);
    // As many visitors as there are bots: each evicts one of the older bots and no visitor.
    create_many(&cache, bots.len(), &[3; LEN]);
    assert_eq!(
        (lost(&cache, &visitors), lost(&cache, &bots)),
        (0, bots.len())
    );
}

// OPS-2: docs/security-checklist.md
#[test]
fn a_flood_from_many_threads_evicts_no_authenticated_session() {
    let cache = settings(4).build().unwrap();
    let (users, is_over) = (users(&cache), AtomicBool::new(false));
    let share = cache.capacity_for(LEN) * 10 / 3;
    thread::scope(|scope| {
        let flood: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| bots(&cache, share)))
            .collect();
        let active = scope.spawn(|| {
            let mut rounds = 0;
            while !is_over.load(SeqCst) || rounds == 0 {
                assert_eq!(lost(&cache, &users), 0, "during the flood");
                rounds += 1;
            }
        });
        let came_through: Vec<_> = flood
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        is_over.store(true, SeqCst);
        active.join().unwrap();
        assert!(
            came_through.iter().all(Result::is_ok),
            "every creation succeeded"
        );
    });
    assert_eq!(
        (lost(&cache, &users), cache.stats().evicted.authenticated),
        (0, 0)
    );
    cache.validate();
}

// OPS-2: docs/security-checklist.md
#[test]
fn a_user_who_signs_in_during_a_flood_keeps_the_session() {
    let clock = ManualClock::new();
    let cache = settings(4).clock(clock.clone()).build().unwrap();
    bots(&cache, cache.capacity_for(LEN) * 2);
    let mut users = Vec::new();
    for number in 0..cache.capacity_for(LEN) / 3 {
        users.push(signed_in(&cache, &[1; LEN], &format!("user {number}")));
        bots(&cache, 10);
        if number % 100 == 0 {
            clock.advance(SECOND);
        }
    }
    assert_eq!((lost(&cache, &users), cache.stats().full), (0, 0));
    cache.validate();
}

#[test]
fn a_flood_evicts_at_most_a_quarter_of_the_returning_sessions() {
    let cache = settings(1).build().unwrap();
    let visitors = visitors(&cache, 1);
    bots(&cache, cache.capacity_for(LEN) * 10);
    let lost = lost(&cache, &visitors);
    assert!(
        lost > 0 && lost * 4 <= visitors.len() + 4,
        "{lost} of {}",
        visitors.len()
    );
}
