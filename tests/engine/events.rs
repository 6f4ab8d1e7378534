//! Events of sessions: their order, and a queue that never blocks a verb.

use std::time::Duration;

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use crate::support::{
    HOUR, MINUTE, PLAIN, PLAINLY, SECOND, builder, cache, create, create_many, is_long, load,
    opens, sign_in, signed_in,
};
use allocation_counter::measure;
use sessile::{
    BuildError, EndReason, Error, Event, EventKind, Handle, IssuedSession, ManualClock,
    SessionCache, SessionLimitPolicy, UserHash, Version,
};

fn watched(clock: &ManualClock, limit: usize) -> SessionCache {
    builder(clock).events(limit).build().unwrap()
}

fn drain(cache: &SessionCache) -> Vec<Event> {
    iter::from_fn(|| cache.next_event()).collect()
}

/// Returns the kind and the handle of the only event.
fn only(cache: &SessionCache) -> Event {
    let [event] = drain(cache)[..] else {
        panic!("expected one event")
    };
    event
}

fn handle(cache: &SessionCache, made: &IssuedSession) -> Handle {
    load(cache, &made.id).unwrap().0.handle()
}

fn user(cache: &SessionCache, made: &IssuedSession) -> Option<UserHash> {
    load(cache, &made.id).unwrap().0.user
}

// LIFE-8: docs/security-checklist.md
#[test]
fn a_session_emits_events_from_its_creation_to_its_end() {
    let clock = ManualClock::new();
    let cache = watched(&clock, 100);
    clock.advance(MINUTE);
    let first = create(&cache, b"data");
    let anonymous = handle(&cache, &first);
    let event = only(&cache);
    assert_eq!(
        (event.kind, event.handle),
        (EventKind::Created, Some(anonymous))
    );
    assert_eq!((event.user(), event.at()), (None, MINUTE));

    clock.advance(SECOND);
    let second = cache.rotate(&first.id, Duration::ZERO).unwrap();
    let event = only(&cache);
    assert_eq!(
        (event.kind, event.handle),
        (EventKind::Rotated, Some(anonymous)),
        "the same name"
    );
    assert_eq!(event.at(), MINUTE + SECOND);

    let third = sign_in(&cache, &second.id, "ada");
    let named = handle(&cache, &third);
    let event = only(&cache);
    assert_eq!(
        (event.kind, event.handle),
        (EventKind::SignedIn, Some(named))
    );
    assert!(named != anonymous && event.user().is_some() && event.user() == user(&cache, &third));

    assert_eq!(
        cache.save(&third.id, crate::support::later(third.version, 1), b"late"),
        Err(Error::Conflict)
    );
    assert_eq!(
        cache.end_if_unchanged(&third.id, crate::support::later(third.version, 1)),
        Err(Error::Conflict)
    );
    let whats: Vec<_> = drain(&cache)
        .iter()
        .map(|event| (event.kind, event.handle))
        .collect();
    assert_eq!(whats, [(EventKind::Conflict, Some(named)); 2]);

    assert!(!opens(&cache, &first.token));
    let event = only(&cache);
    assert_eq!((event.kind, event.handle), (EventKind::Reused, Some(named)));

    assert!(cache.end(&third.id));
    let event = only(&cache);
    assert_eq!(
        (event.kind, event.handle),
        (EventKind::Ended(EndReason::Requested), Some(named))
    );
    assert!(!cache.end(&third.id) && !opens(&cache, &first.token));
    assert!(drain(&cache).is_empty(), "an absent session emits no event");
    assert_eq!(cache.stats().events_dropped, 0);
}

// LIFE-8: docs/security-checklist.md
#[test]
fn internal_changes_emit_no_event() {
    let (clock, data) = (ManualClock::new(), [1; 5_000]);
    let cache = watched(&clock, 100);
    let made = signed_in(&cache, b"data", "ada");
    drain(&cache);
    assert!(opens(&cache, &made.token));
    let version = cache.save(&made.id, made.version, b"more").unwrap();
    let version = cache.save(&made.id, version, &data).unwrap();
    cache.touch(&made.id).unwrap();
    cache.set_timeouts(&made.id, version, PLAIN).unwrap();
    assert_eq!(cache.user_sessions("ada").len(), 1);
    cache.maintain(100);
    assert!(drain(&cache).is_empty());
}

// LIFE-8: docs/security-checklist.md
#[test]
fn an_end_event_has_its_reason() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .events(100)
        .max_sessions_per_user(2)
        .build()
        .unwrap();
    type End<'a> = &'a dyn Fn(&IssuedSession);
    let ends: [(EndReason, End<'_>); 5] = [
        (EndReason::Requested, &|made| assert!(cache.end(&made.id))),
        (EndReason::Requested, &|made| {
            assert!(cache.end_by_token(made.token.as_str().as_bytes()));
        }),
        (EndReason::Requested, &|made| {
            cache.end_if_unchanged(&made.id, made.version).unwrap();
        }),
        (EndReason::UserRevoked, &|_| {
            assert_eq!(cache.end_user_sessions("ada", None), 1);
        }),
        (EndReason::UserRevoked, &|made| {
            assert!(cache.end_by_handle(&handle(&cache, made)));
        }),
    ];
    for (why, end) in ends {
        let made = signed_in(&cache, b"data", "ada");
        let handle = handle(&cache, &made);
        drain(&cache);
        end(&made);
        let event = only(&cache);
        assert_eq!(
            (event.kind, event.handle),
            (EventKind::Ended(why), Some(handle))
        );
        assert_eq!(event.user(), handle.user());
    }
    // The end of the least recently used session precedes the sign-in that caused it.
    let stalest = signed_in(&cache, b"", "ada");
    let handle = handle(&cache, &stalest);
    clock.advance(HOUR / 4);
    signed_in(&cache, b"", "ada");
    drain(&cache);
    signed_in(&cache, b"", "ada");
    let whats: Vec<_> = drain(&cache).iter().map(|event| event.kind).collect();
    assert_eq!(
        whats,
        [
            EventKind::Created,
            EventKind::Ended(EndReason::SessionLimit),
            EventKind::SignedIn
        ]
    );
    assert!(!cache.end_by_handle(&handle));

    cache.end_all();
    let event = only(&cache);
    assert_eq!(
        (event.kind, event.handle),
        (EventKind::Ended(EndReason::Global), None)
    );
    assert_eq!((event.user(), event.at()), (None, HOUR / 4));
    cache.maintain(usize::MAX);
    assert!(drain(&cache).is_empty(), "their ends were one event");
}

// LIFE-8: docs/security-checklist.md
#[test]
fn a_sign_in_that_fails_emits_no_event() {
    let clock = ManualClock::new();
    let settings = builder(&clock)
        .events(100)
        .max_sessions_per_user(1)
        .session_limit_policy(SessionLimitPolicy::Reject);
    let cache = settings.build().unwrap();
    signed_in(&cache, b"", "ada");
    let guest = create(&cache, b"");
    drain(&cache);
    assert_eq!(
        cache.sign_in(&guest.id, "ada").err(),
        Some(Error::TooManySessions)
    );
    assert_eq!(cache.sign_in(&guest.id, "").err(), Some(Error::EmptyUser));
    assert!(drain(&cache).is_empty());
}

// LIFE-8: docs/security-checklist.md
#[test]
fn an_expiry_emits_one_event_whichever_call_finds_it() {
    let clock = ManualClock::new();
    let cache = watched(&clock, 100);
    let all: Vec<_> = (0..3)
        .map(|n| signed_in(&cache, b"data", &format!("user {n}")))
        .collect();
    let handles: BTreeSet<_> = all
        .iter()
        .map(|made| handle(&cache, made).to_string())
        .collect();
    clock.advance(HOUR);
    drain(&cache);
    assert!(
        !all.iter().any(|made| opens(&cache, &made.token)),
        "a read frees nothing"
    );
    assert!(drain(&cache).is_empty());
    assert!(!cache.end(&all[0].id));
    assert_eq!(cache.end_user_sessions("user 1", None), 0);
    cache.maintain(usize::MAX);
    let events = drain(&cache);
    assert!(
        events
            .iter()
            .all(|event| event.kind == EventKind::Expired && event.at() == HOUR)
    );
    let told: BTreeSet<_> = events
        .iter()
        .map(|event| event.handle.unwrap().to_string())
        .collect();
    assert_eq!((events.len(), told), (3, handles));
}

// LIFE-8: docs/security-checklist.md
#[test]
fn evictions_emit_events() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(4 << 20)
        .events(40_000)
        .build()
        .unwrap();
    let mut there: BTreeSet<String> = BTreeSet::new();
    for n in 0..cache.capacity_for(256) * 2 {
        let made = create(&cache, &[1; 256]);
        if n % 3 == 0 {
            sign_in(&cache, &made.id, &format!("user {n}"));
        }
    }
    let mut evicted = 0;
    for event in drain(&cache) {
        let name = event.handle.unwrap().to_string();
        match event.kind {
            EventKind::Created => assert!(there.insert(name)),
            EventKind::Evicted => {
                assert!(there.remove(&name), "its creation was emitted before");
                evicted += 1;
            }
            EventKind::SignedIn => drop(there.insert(name)),
            other => panic!("{other:?}"),
        }
    }
    let counted = cache.stats().evicted;
    assert_eq!(
        counted.probation + counted.anonymous + counted.authenticated,
        evicted
    );
}

#[test]
fn a_queue_that_nobody_drains_costs_nobody_anything() {
    let clock = ManualClock::new();
    let cache = watched(&clock, 100);
    let first = create(&cache, b"data");
    let number = if is_long() { 10_000_000 } else { 100_000 };
    let counted = measure(|| {
        for _ in 0..number {
            let made = cache.create(b"data").unwrap();
            assert!(cache.end(&made.id));
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(cache.stats().events_dropped, number * 2 + 1 - 100);
    let events = drain(&cache);
    assert_eq!(events.len(), 100, "the oldest are kept");
    assert_eq!(events[0].handle, Some(handle(&cache, &first)));
    // The queue has room again.
    assert!(cache.end(&first.id));
    assert_eq!(only(&cache).kind, EventKind::Ended(EndReason::Requested));
}

#[test]
fn noting_and_taking_events_allocates_nothing() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(8 << 20)
        .shards(8)
        .events(1_000)
        .build()
        .unwrap();
    let run = || {
        let made = cache.create(b"data").unwrap();
        let made = cache.rotate(&made.id, MINUTE).unwrap();
        let made = cache.sign_in(&made.id, "ada").unwrap();
        assert!(cache.save(&made.id, Version::new(9), b"").is_err());
        assert!(cache.end(&made.id));
        cache.end_all();
        iter::from_fn(|| cache.next_event()).count()
    };
    run();
    let mut events = 0;
    assert_eq!(measure(|| events = run()).count_total, 0);
    assert_eq!(events, 6);
}

#[test]
fn without_room_for_events_there_are_none_and_none_is_dropped() {
    let (cache, _clock) = cache();
    let made = signed_in(&cache, b"data", "ada");
    assert!(cache.end(&made.id));
    cache.end_all();
    assert!(cache.next_event().is_none());
    assert_eq!(cache.stats().events_dropped, 0);
}

#[test]
fn the_queue_is_carved_out_of_the_memory() {
    let clock = ManualClock::new();
    let room = |events| watched(&clock, events).stats().memory.capacity;
    let taken = room(0) - room(10_000);
    assert!((10_000 * 45..=10_000 * 72).contains(&taken), "{taken}");
}

#[test]
fn a_queue_larger_than_the_memory_is_refused_and_nothing_overflows() {
    let clock = ManualClock::new();
    for shift in 0..50 {
        let refused = builder(&clock).events(usize::MAX >> shift).build();
        if shift < 44 {
            let Err(BuildError::Memory {
                given, min: least, ..
            }) = refused
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

// ID-7: docs/security-checklist.md
#[test]
fn no_event_shows_an_id_a_token_or_a_name() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(8 << 20)
        .shards(8)
        .events(1_000)
        .build()
        .unwrap();
    let (name, mut secrets) = ("ada@example.org", Vec::new());
    for _ in 0..20 {
        let first = create(&cache, b"data");
        let second = cache.rotate(&first.id, Duration::ZERO).unwrap();
        let third = cache
            .sign_in_with(&second.id, name, PLAINLY.label("her phone"))
            .unwrap();
        assert!(!opens(&cache, &first.token));
        secrets.extend([first, second, third]);
    }
    cache.end_user_sessions(name, None);
    cache.end_all();
    let text = drain(&cache)
        .iter()
        .map(|event| format!("{event:?}\n"))
        .collect::<String>();
    assert!(
        text.contains("SignedIn") && text.contains("Reused"),
        "{text}"
    );
    for made in secrets {
        let parts = sessile::internals::cookie::Parts::parse(made.token.as_str().as_bytes());
        let parts = parts.unwrap();
        assert!(!text.contains(made.token.as_str()));
        for secret in [parts.id, parts.tag] {
            let words = secret.as_chunks::<8>().0.iter().copied();
            for word in words {
                let (one, other) = (u64::from_le_bytes(word), u64::from_be_bytes(word));
                for spelt in [
                    format!("{one:016x}"),
                    format!("{other:016x}"),
                    one.to_string(),
                    other.to_string(),
                    format!("{:?}", &word),
                ] {
                    assert!(!text.contains(spelt.trim_matches(['[', ']'])), "{spelt}");
                }
            }
        }
    }
    // "ada" alone may occur among random hexadecimal digits.
    assert!(!text.contains("ada@") && !text.contains("example.org") && !text.contains("phone"));
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
                        let made = create(cache, b"data");
                        let made = sign_in(cache, &made.id, &format!("{n} {round}"));
                        assert!(cache.end(&made.id));
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
        let made = create(&cache, b"data");
        let user = format!("user {round}");
        thread::scope(|scope| {
            scope.spawn(|| {
                if let Ok(made) = cache.sign_in(&made.id, &user) {
                    let _ = cache.rotate(&made.id, MINUTE);
                }
            });
            scope.spawn(|| while !cache.end(&made.id) {});
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
fn many_sessions_tell_of_themselves_in_order() {
    let clock = ManualClock::new();
    let cache = watched(&clock, 1_000);
    let made = create_many(&cache, 300, b"");
    let handles: Vec<_> = made.iter().map(|made| Some(handle(&cache, made))).collect();
    let told: Vec<_> = drain(&cache).iter().map(|event| event.handle).collect();
    assert_eq!(told, handles);
}
