//! The settings of L1, and its events.

use sessile::{
    BuildError, EndReason, Error, EventKind, ManualClock, SessionLimitPolicy,
    tier::{PARTITIONS, StoredSession},
};

use crate::support::{
    HOUR, MINUTE, SECOND, builder, filler,
    l1::{USER_KEY, installed, issue, l1, stored, stored_of},
};

#[test]
fn more_shards_than_partitions_are_rejected() {
    let clock = ManualClock::new();
    let build = |shards| {
        builder(&clock)
            .memory(256 << 20)
            .shards(shards)
            .build_l1(USER_KEY)
    };
    assert!(build(256).is_ok());
    let error = build(512).unwrap_err();
    assert_eq!(
        error,
        BuildError::Shards {
            given: 512,
            max: PARTITIONS
        }
    );
    assert_eq!(
        error.to_string(),
        "a tiered cache must have at most 256 shards, got 512"
    );
    assert!(
        builder(&clock)
            .memory(256 << 20)
            .shards(512)
            .build()
            .is_ok(),
        "a local one may"
    );
}

#[test]
fn a_lifetime_of_years_is_rejected() {
    let clock = ManualClock::new();
    let year = 365 * 24 * HOUR;
    assert!(
        builder(&clock)
            .lifetime(3 * year)
            .build_l1(USER_KEY)
            .is_ok()
    );
    let error = builder(&clock)
        .lifetime(4 * year)
        .build_l1(USER_KEY)
        .unwrap_err();
    assert!(matches!(
        error,
        BuildError::Timeout {
            setting: "lifetime",
            ..
        }
    ));
    assert!(
        builder(&clock).lifetime(4 * year).build().is_ok(),
        "a local one may"
    );
}

#[test]
fn other_settings_are_checked_as_of_a_local_cache() {
    let clock = ManualClock::new();
    let build = |memory| {
        builder(&clock)
            .memory(memory)
            .build_l1(USER_KEY)
            .unwrap_err()
    };
    assert!(matches!(build(1), BuildError::Memory { given: 1, .. }));
    let no_keys = sessile::SessionCache::builder()
        .build_l1(USER_KEY)
        .unwrap_err();
    assert_eq!(no_keys, BuildError::NoKeys);
    let BuildError::Memory { min, .. } = build(1) else {
        panic!("it was one")
    };
    let least = builder(&clock).memory(min).build_l1(USER_KEY).unwrap();
    let (session, _) = stored_of(&least, "ada", 1);
    let largest = vec![1; least.max_session_size()];
    assert_eq!(
        least.install(&session, &largest),
        sessile::tier::Installed::Stored
    );
}

#[test]
fn settings_are_told() {
    let builder = builder(&ManualClock::new())
        .max_sessions_per_user(5)
        .session_limit_policy(SessionLimitPolicy::Reject)
        .end_reused(true)
        .idle_timeout(MINUTE)
        .lifetime(HOUR)
        .max_session_size(1_000)
        .admission(|key| key == b"friend");
    let l1 = builder.build_l1(USER_KEY).unwrap();
    assert_eq!(l1.max_sessions_per_user(), Some(5));
    assert_eq!(l1.session_limit_policy(), SessionLimitPolicy::Reject);
    assert!(l1.end_reused() && l1.has_admission_hook());
    assert_eq!((l1.idle_timeout(), l1.lifetime()), (MINUTE, HOUR));
    assert_eq!(
        (l1.max_session_size(), l1.cookie_name()),
        (1_000, "__Host-session")
    );
    assert_eq!(l1.admit(b"friend"), Ok(()));
    assert_eq!(l1.admit(b"foe"), Err(Error::AdmissionDenied));
    assert_eq!(l1.stats().admission_denied, 1);
}

#[test]
fn what_happens_in_l1_alone_is_no_event() {
    let clock = ManualClock::new();
    let l1 = builder(&clock)
        .memory(64 << 10)
        .events(100)
        .build_l1(USER_KEY)
        .unwrap();
    for n in 0..1_000 {
        l1.install(&stored(&l1, issue(&l1).id, 1), &filler(n, 100));
    }
    let brief = StoredSession {
        idle_left: SECOND,
        ..stored(&l1, issue(&l1).id, 1)
    };
    l1.install(&brief, b"");
    clock.advance(HOUR);
    while l1.maintain(100).more {}
    l1.invalidate_all();
    let stats = l1.stats();
    assert!(stats.evicted.anonymous > 0 && stats.expired > 0);
    assert_eq!((stats.created, stats.events_dropped), (0, 0));
    assert!(l1.next_event().is_none());
}

#[test]
fn events_of_the_tiered_cache_go_through_the_queue() {
    let clock = ManualClock::new();
    let l1 = builder(&clock).events(2).build_l1(USER_KEY).unwrap();
    let (session, _) = stored_of(&l1, "ada", 1);
    clock.advance(MINUTE);
    l1.emit(EventKind::SignedIn, Some(session.handle()));
    l1.emit(EventKind::Ended(EndReason::Global), None);
    l1.emit(EventKind::Created, None);
    let first = l1.next_event().unwrap();
    assert_eq!(
        (first.kind, first.user()),
        (EventKind::SignedIn, session.user)
    );
    assert_eq!((first.handle, first.at()), (Some(session.handle()), MINUTE));
    assert_eq!(
        l1.next_event().unwrap().kind,
        EventKind::Ended(EndReason::Global)
    );
    assert!(l1.next_event().is_none());
    assert_eq!(l1.stats().events_dropped, 1);
}

#[test]
fn memory_is_that_of_a_local_cache_and_one_word_a_session() {
    let clock = ManualClock::new();
    let local = builder(&clock).build().unwrap();
    let l1 = builder(&clock).build_l1(USER_KEY).unwrap();
    assert_eq!(l1.stats().memory, local.stats().memory);
    local.create(&filler(0, 256)).unwrap();
    installed(&l1, 1, &filler(0, 256));
    let [l1_used, local_used] = [l1.stats(), local.stats()].map(|stats| stats.memory.used);
    assert_eq!(l1_used, local_used + 8);
    assert_eq!(l1.capacity_for(256), local.capacity_for(264));
}

#[test]
fn maintenance_and_statistics_are_those_of_a_cache() {
    let (l1, _clock) = l1();
    installed(&l1, 1, b"data");
    let text = l1.stats().prometheus().to_string();
    assert!(
        text.contains("\nsessile_sessions{class=\"anonymous\"} 1\n"),
        "{text}"
    );
    let thread = l1.start_maintenance().unwrap();
    drop(thread);
    let mut bytes = [0; 64];
    l1.fill_random(&mut bytes).unwrap();
    assert_ne!(bytes, [0; 64]);
    assert_eq!(l1.clone(), l1);
}
