//! The event queue: its capacity, its memory, and its order under threads. It never blocks a verb.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use crate::support::{MINUTE, builder, cache, create, create_many, is_long, sign_in, signed_in};
use allocation_counter::measure;
use sessile::{BuildError, EndReason, EventKind, ManualClock, Version};

use crate::events::{cache_with_events, drain, handle, only_event};

#[test]
fn a_full_queue_drops_events_and_blocks_no_verb() {
    let clock = ManualClock::new();
    let cache = cache_with_events(&clock, 100);
    let first = create(&cache, b"data");
    let number = if is_long() { 10_000_000 } else { 100_000 };
    let counted = measure(|| {
        for _ in 0..number {
            let issued = cache.create(b"data").unwrap();
            assert!(cache.end(&issued.id));
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(cache.stats().events_dropped, number * 2 + 1 - 100);
    let events = drain(&cache);
    assert_eq!(events.len(), 100, "the oldest are kept");
    assert_eq!(events[0].handle, Some(handle(&cache, &first)));
    // The queue has room again.
    assert!(cache.end(&first.id));
    assert_eq!(
        only_event(&cache).kind,
        EventKind::Ended(EndReason::Requested)
    );
}

#[test]
fn emitting_and_taking_events_allocates_nothing() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(8 << 20)
        .shards(8)
        .events(1_000)
        .build()
        .unwrap();
    let run = || {
        let issued = cache.create(b"data").unwrap();
        let issued = cache.rotate(&issued.id, MINUTE).unwrap();
        let issued = cache.sign_in(&issued.id, "ada").unwrap();
        assert!(cache.save(&issued.id, Version::new(9), b"").is_err());
        assert!(cache.end(&issued.id));
        cache.end_all();
        iter::from_fn(|| cache.next_event()).count()
    };
    run();
    let mut events = 0;
    assert_eq!(measure(|| events = run()).count_total, 0);
    assert_eq!(events, 6);
}

#[test]
fn a_queue_of_size_zero_emits_and_drops_nothing() {
    let (cache, _clock) = cache();
    let issued = signed_in(&cache, b"data", "ada");
    assert!(cache.end(&issued.id));
    cache.end_all();
    assert!(cache.next_event().is_none());
    assert_eq!(cache.stats().events_dropped, 0);
}

#[test]
fn the_queue_is_allocated_from_the_memory_budget() {
    let clock = ManualClock::new();
    let room = |events| cache_with_events(&clock, events).stats().memory.capacity;
    let taken = room(0) - room(10_000);
    assert!((10_000 * 45..=10_000 * 72).contains(&taken), "{taken}");
}

#[test]
fn a_queue_larger_than_the_memory_is_rejected_without_overflow() {
    let clock = ManualClock::new();
    for shift in 0..50 {
        let rejected = builder(&clock).events(usize::MAX >> shift).build();
        if shift < 44 {
            let Err(BuildError::Memory {
                given, min: least, ..
            }) = rejected
            else {
                panic!("{shift}")
            };
            assert!(given == 2 << 20 && least > given, "{shift}");
        }
    }
    for events in 0..200 {
        let odd = usize::MAX / 64 + events - 100;
        assert!(matches!(
            builder(&clock).events(odd).build(),
            Err(BuildError::Memory { .. })
        ));
    }
}

/// Several threads use sessions while several others take events.
// LIFE-8: docs/security-checklist.md
#[test]
fn each_event_is_received_once_and_a_sessions_events_in_order() {
    let rounds = if is_long() { 50_000 } else { 2_000 };
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(16 << 20)
        .shards(8)
        .events(1 << 16)
        .build()
        .unwrap();
    let (done, taken) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut own = Vec::new();
                loop {
                    let was_done = done.load(SeqCst);
                    own.extend(iter::from_fn(|| cache.next_event()));
                    if was_done {
                        break;
                    }
                    thread::yield_now();
                }
                taken.lock().unwrap().extend(own);
            });
        }
        let users: Vec<_> = (0..3)
            .map(|n| {
                let cache = &cache;
                scope.spawn(move || {
                    for round in 0..rounds {
                        let issued = create(cache, b"data");
                        let issued = sign_in(cache, &issued.id, &format!("{n} {round}"));
                        assert!(cache.end(&issued.id));
                    }
                })
            })
            .collect();
        users.into_iter().for_each(|user| user.join().unwrap());
        done.store(true, SeqCst);
    });
    let taken = taken.into_inner().unwrap();
    let stats = cache.stats();
    let happened = stats.created + stats.signed_in + stats.ended;
    assert_eq!(happened, rounds * 9);
    assert_eq!(taken.len() as u64 + stats.events_dropped, happened);
    let mut counts = BTreeMap::new();
    for event in &taken {
        let name = (
            event.handle.unwrap().to_string(),
            format!("{:?}", event.kind),
        );
        *counts.entry(name).or_insert(0) += 1;
    }
    assert!(counts.values().all(|&count| count == 1));
}

// LIFE-8: docs/security-checklist.md
#[test]
fn the_events_of_a_session_come_in_the_order_in_which_they_happened() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(16 << 20)
        .shards(8)
        .events(1 << 18)
        .build()
        .unwrap();
    let rounds = if is_long() { 5_000 } else { 300 };
    for round in 0..rounds {
        let issued = create(&cache, b"data");
        let user = format!("user {round}");
        thread::scope(|scope| {
            scope.spawn(|| {
                if let Ok(issued) = cache.sign_in(&issued.id, &user) {
                    let _ = cache.rotate(&issued.id, MINUTE);
                }
            });
            scope.spawn(|| while !cache.end(&issued.id) {});
        });
    }
    // No event of a session precedes its creation or follows its end.
    let mut ended = BTreeSet::new();
    let mut there = BTreeSet::new();
    for event in drain(&cache) {
        let name = event.handle.unwrap().to_string();
        assert!(!ended.contains(&name), "{event:?}");
        match event.kind {
            EventKind::Created | EventKind::SignedIn => assert!(there.insert(name)),
            EventKind::Ended(_) => assert!(there.contains(&name) && ended.insert(name)),
            _ => assert!(there.contains(&name), "{event:?}"),
        }
    }
    assert_eq!(ended.len(), rounds);
    assert_eq!(cache.stats().events_dropped, 0);
}

#[test]
fn many_sessions_emit_events_in_order() {
    let clock = ManualClock::new();
    let cache = cache_with_events(&clock, 1_000);
    let issued = create_many(&cache, 300, b"");
    let handles: Vec<_> = issued
        .iter()
        .map(|issued| Some(handle(&cache, issued)))
        .collect();
    let emitted: Vec<_> = drain(&cache).iter().map(|event| event.handle).collect();
    assert_eq!(emitted, handles);
}
