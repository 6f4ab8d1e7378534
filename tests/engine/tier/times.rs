//! Times in L1: it expires no later than the store, and asks for a touch when its deadline moves.

use std::time::Duration;

use sessile::{
    ManualClock,
    tier::{StoredSession, Ticks},
};

use crate::support::{
    HOUR, MINUTE, Random, SECOND, TICK, builder,
    l1::{USER_KEY, installed, issue, l1, load, peek, stored},
};

#[test]
fn the_clock_begins_one_lifetime_after_zero() {
    let (l1, clock) = l1();
    assert_eq!(l1.now().since(Ticks::ZERO), l1.lifetime());
    let session = StoredSession {
        age: l1.lifetime(),
        ..stored(&l1, issue(&l1).id, 1)
    };
    l1.install(&session, b"data");
    clock.advance(MINUTE);
    assert_eq!(
        load(&l1, &session.id).unwrap().age(),
        l1.lifetime() + MINUTE
    );

    let system = builder(&clock)
        .clock(sessile::Clock::system())
        .build_l1(USER_KEY)
        .unwrap();
    let elapsed = system.now().since(Ticks::ZERO);
    assert!(elapsed >= system.lifetime() && elapsed < system.lifetime() + HOUR);
}

#[test]
fn caches_of_one_manual_clock_are_ahead_of_it_on_their_own() {
    let clock = ManualClock::new();
    let nodes = [1, 2].map(|hours| {
        let builder = builder(&clock).lifetime(hours * HOUR);
        builder.build_l1(USER_KEY).unwrap()
    });
    clock.advance(MINUTE);
    let shown = nodes.map(|node| node.now().since(Ticks::ZERO));
    assert_eq!(shown, [HOUR + MINUTE, 2 * HOUR + MINUTE]);
}

// TIME-6: docs/security-checklist.md
#[test]
fn spans_count_from_the_command_that_was_sent() {
    let (l1, clock) = l1();
    let session = stored(&l1, issue(&l1).id, 1);
    clock.advance(400 * TICK / 100);
    l1.install(&session, b"data");
    let record = peek(&l1, &session.id).unwrap().0;
    assert_eq!(record.age(), 4 * TICK);
    assert_eq!(record.expires_in(), 30 * MINUTE - 4 * TICK);
    assert_eq!(record.life_left(), 12 * HOUR - 4 * TICK);
    assert_eq!(record.read_at().since(session.sent_at), 4 * TICK);
}

// TIME-6: docs/security-checklist.md
#[test]
fn an_entry_expires_no_later_than_in_the_store() {
    let mut random = Random::new();
    for _ in 0..500 {
        let (l1, clock) = l1();
        let millis = |random: &mut Random, end| Duration::from_millis(random.below(end) as u64);
        clock.advance(millis(&mut random, 1_000));
        let (idle_left, life_left) = (millis(&mut random, 3_000), millis(&mut random, 3_000));
        let session = StoredSession {
            idle_left,
            life_left,
            ..stored(&l1, issue(&l1).id, 1)
        };
        let delay = millis(&mut random, 500);
        clock.advance(delay);
        l1.install(&session, b"data");
        let left = idle_left.min(life_left);
        clock.advance(left.saturating_sub(delay));
        assert!(peek(&l1, &session.id).is_none(), "the store has expired it");
    }
}

#[test]
fn a_use_asks_for_a_touch_once_in_a_sixteenth_of_the_timeout() {
    let (l1, clock) = l1();
    let issued = installed(&l1, 1, b"data");
    let mut touches = 0;
    for _ in 0..32 * 60 {
        clock.advance(SECOND);
        let record = load(&l1, &issued.id).unwrap();
        touches += u32::from(record.needs_touch());
        assert!(record.expires_in() > 30 * MINUTE * 15 / 16);
    }
    assert!((14..=18).contains(&touches), "{touches} in 32 minutes");
}

#[test]
fn a_local_cache_never_asks_for_a_touch() {
    let (cache, clock) = crate::support::cache();
    let made = crate::support::create(&cache, b"data");
    clock.advance(20 * MINUTE);
    let (record, _) = crate::support::load(&cache, &made.id).unwrap();
    assert_eq!(record.expires_in(), 30 * MINUTE);
    assert!(!record.needs_touch());
    assert_eq!(record.life_left(), 12 * HOUR - 20 * MINUTE);
}

#[test]
fn extreme_spans_are_capped() {
    let (l1, clock) = l1();
    let session = StoredSession {
        age: Duration::MAX,
        issued_ago: Duration::MAX,
        authenticated_ago: Duration::MAX,
        idle_timeout: Duration::MAX,
        idle_left: Duration::MAX,
        life_left: Duration::MAX,
        user: Some(l1.user_hash("ada")),
        sent_at: Ticks::new(u32::MAX),
        ..stored(&l1, issue(&l1).id, 1)
    };
    l1.install(&session, b"data");
    let record = load(&l1, &session.id).unwrap();
    assert_eq!(
        record.life_left(),
        l1.lifetime(),
        "no entry outlives the cache's lifetime"
    );
    assert_eq!(
        record.age(),
        l1.lifetime(),
        "the clock knows no earlier time"
    );
    l1.validate();
    clock.advance(l1.lifetime());
    assert!(load(&l1, &session.id).is_none());
    while l1.maintain(16).more {}
    assert!(l1.is_empty());

    let instant = StoredSession {
        idle_timeout: Duration::ZERO,
        ..stored(&l1, session.id, 1)
    };
    l1.install(&instant, b"data");
    assert!(load(&l1, &session.id).is_none());
}

#[test]
fn ticks_are_compared_and_added() {
    let start = Ticks::new(100);
    assert_eq!(start.after(5 * SECOND).get(), 150);
    assert_eq!(start.after(Duration::from_millis(199)).get(), 101);
    assert_eq!(start.after(Duration::MAX).get(), u32::MAX);
    assert!(start < start.after(Ticks::LENGTH));
    assert_eq!(start.since(start.after(SECOND)), Duration::ZERO);
}
