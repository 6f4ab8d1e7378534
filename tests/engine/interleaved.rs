//! Verbs that are interrupted between their start and their decision by `end_all`, a passing
//! deadline or a change of keys. The source of random bytes triggers the interruption on the same
//! thread, so each run is the same.

use std::time::Duration;

use std::{
    cell::{Cell, RefCell},
    iter,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
};

use crate::support::{
    HOUR, MINUTE, NEW, PLAIN, PLAINLY, SECOND, TICK, builder, create, create_many, idle, load,
    opens, rings::ring, sign_in,
};
use bytes::BytesMut;
use sessile::{
    EndReason, Error, Event, EventKind, KeyError, ManualClock, SessionCache, SessionCacheBuilder,
};

thread_local! {
    static INTERRUPTION: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// Random bytes; an armed action runs before they are drawn.
fn interrupted(bytes: &mut [u8]) -> Result<(), Error> {
    let interruption = INTERRUPTION.take();
    interruption.into_iter().for_each(|act| act());
    for byte in bytes {
        NEXT.set(NEXT.get() + 1);
        *byte = (NEXT.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    }
    Ok(())
}

/// Runs `act` inside the next verb that draws an id.
fn interrupt_with(act: impl FnOnce() + 'static) {
    INTERRUPTION.set(Some(Box::new(act)));
}

fn interruptible(clock: &ManualClock) -> SessionCacheBuilder {
    builder(clock)
        .memory(8 << 20)
        .shards(4)
        .events(10_000)
        .entropy(interrupted)
}

fn drain(cache: &SessionCache) -> Vec<Event> {
    iter::from_fn(|| cache.next_event()).collect()
}

/// Asserts that every session that was created is stored or was removed in one of three ways.
fn assert_balanced(cache: &SessionCache) {
    let stats = cache.stats();
    let evicted = stats.evicted;
    let evicted = evicted.probation + evicted.anonymous + evicted.authenticated;
    assert_eq!(
        stats.created,
        cache.len() as u64 + stats.ended + stats.expired + evicted
    );
}

/// Returns the sessions that are live according to the events.
fn live_sessions(events: &[Event]) -> usize {
    let mut alive: Vec<Event> = Vec::new();
    let cutoffs: Vec<_> = events.iter().filter_map(Event::cutoff).collect();
    for event in events {
        match event.kind {
            EventKind::Created => alive.push(*event),
            EventKind::Ended(EndReason::Global) => {}
            EventKind::Ended(_) | EventKind::Expired | EventKind::Evicted => {
                alive.retain(|created| created.handle != event.handle);
            }
            _ => {}
        }
    }
    let is_after = |event: &&Event| {
        cutoffs
            .iter()
            .all(|cutoff| event.created() >= Some(*cutoff))
    };
    alive.iter().filter(is_after).count()
}

#[test]
fn a_session_whose_creation_end_all_interrupts_opens() {
    let clock = ManualClock::new();
    let cache = interruptible(&clock).build().unwrap();
    for with in [NEW, NEW.user("ada")] {
        let other = create(&cache, b"");
        let all = cache.clone();
        interrupt_with(move || all.end_all());
        let issued = cache.create_with(b"data", with).unwrap();
        assert!(opens(&cache, &issued.token) && !opens(&cache, &other.token));
        assert_balanced(&cache);
        cache.validate();
        assert!(cache.end(&issued.id));
    }
    assert_eq!((cache.len(), live_sessions(&drain(&cache))), (0, 0));
}

#[test]
fn events_show_which_sessions_end_all_ended() {
    let clock = ManualClock::new();
    let cache = interruptible(&clock).build().unwrap();
    for round in 0..50 {
        let all = cache.clone();
        interrupt_with(move || all.end_all());
        create(&cache, b"");
        create_many(&cache, round % 3, b"");
        if round % 7 == 0 {
            cache.end_all();
        }
        if round % 5 == 0 {
            clock.advance(TICK);
        }
    }
    let events = drain(&cache);
    assert_eq!(live_sessions(&events), cache.len());
    assert!(
        events
            .iter()
            .all(|event| event.cutoff().is_some() == event.handle.is_none())
    );
    assert_balanced(&cache);
}

#[test]
fn a_sign_in_that_end_all_interrupts_fails_and_is_counted_as_an_end() {
    let clock = ManualClock::new();
    let cache = interruptible(&clock).build().unwrap();
    for user in 0..20 {
        let issued = create(&cache, b"data");
        let all = cache.clone();
        interrupt_with(move || all.end_all());
        let answer = cache.sign_in(&issued.id, &format!("user {user}"));
        assert_eq!(answer.err(), Some(Error::Gone));
        assert_balanced(&cache);
    }
    assert!(cache.is_empty());
}

#[test]
fn a_session_that_a_read_saw_expired_was_live_again() {
    let clock = ManualClock::new();
    let cache = interruptible(&clock).build().unwrap();
    type Verb = fn(&SessionCache, &sessile::SessionId) -> Option<Error>;
    let verbs: [Verb; 3] = [
        |cache, id| cache.rotate(id, Duration::ZERO).err(),
        |cache, id| cache.rotate(id, MINUTE).err(),
        |cache, id| cache.sign_in(id, "ada").err(),
    ];
    for verb in verbs {
        let issued = cache
            .create_with(b"data", NEW.timeouts(idle(MINUTE)))
            .unwrap();
        clock.advance(MINUTE - SECOND);
        let (reader, time) = (cache.clone(), clock.clone());
        interrupt_with(move || {
            time.advance(2 * SECOND);
            assert!(
                reader.load(&issued.id, &mut BytesMut::new()).is_none(),
                "it has expired"
            );
        });
        assert_eq!(verb(&cache, &issued.id), Some(Error::Gone));
        assert!(load(&cache, &issued.id).is_none());
        cache.maintain(usize::MAX);
        assert_balanced(&cache);
    }
    assert!(cache.user_sessions("ada").is_empty());
}

#[test]
fn a_rotation_does_not_restore_a_session_that_ended_during_it() {
    let clock = ManualClock::new();
    let cache = interruptible(&clock).build().unwrap();
    let issued = create(&cache, b"data");
    let other = cache.clone();
    interrupt_with(move || assert!(other.end(&issued.id)));
    assert_eq!(
        cache.rotate(&issued.id, Duration::ZERO).err(),
        Some(Error::Gone)
    );
    assert!(cache.is_empty());
}

#[test]
fn a_token_is_rejected_only_if_keys_were_replaced_since_its_verb_began() {
    let clock = ManualClock::new();
    let cache = builder(&clock).memory(8 << 20).shards(4).build().unwrap();
    let (begun, done, is_over) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicBool::new(false),
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..20_000 {
                begun.fetch_add(1, SeqCst);
                cache.set_keys(&ring(&[1 + turn % 2])).unwrap();
                done.fetch_add(1, SeqCst);
                if turn % 8 == 0 {
                    thread::yield_now();
                }
            }
            is_over.store(true, SeqCst);
        });
        let mut issued = create(&cache, b"data");
        for turn in 0.. {
            if is_over.load(SeqCst) {
                break;
            }
            let number = done.load(SeqCst);
            issued = match turn % 3 {
                0 => create(&cache, b"data"),
                1 => cache.rotate(&issued.id, Duration::ZERO).unwrap(),
                _ => sign_in(&cache, &issued.id, "ada"),
            };
            // Keys that are replaced just before the verb returns cannot be distinguished from keys
            // replaced just after it. A test inside the crate, where the verb can be interrupted,
            // covers that it signs again.
            let is_open = opens(&cache, &issued.token);
            assert!(
                is_open || begun.load(SeqCst) > number,
                "no keys were replaced after the verb began"
            );
        }
    });
    cache.validate();
}

#[test]
fn keys_are_replaced_a_thousand_times_and_no_retired_tag_is_accepted() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().unwrap();
    let kept_for = cache.lifetime() + cache.idle_timeout();
    let (mut rejected, mut number, mut old) = (0, 1, Vec::new());
    for turn in 0..1_000 {
        let issued = create(&cache, b"data");
        assert!(opens(&cache, &issued.token));
        old.push((issued, cache.rotate(&issued.id, Duration::ZERO).unwrap()));
        loop {
            number += 1;
            match cache.set_keys(&ring(&[number])) {
                Ok(()) => break,
                // Another key of the last day has that number: draw again.
                Err(KeyError::UsedNumber { position: 1 }) => rejected += 1,
                Err(error) => panic!("{error}"),
            }
        }
        for (first, second) in old.iter().rev().take(20) {
            assert!(
                !opens(&cache, &first.token) && !opens(&cache, &second.token),
                "turn {turn}"
            );
        }
        clock.advance(HOUR);
    }
    let hours = kept_for.as_secs() as usize / 3_600 + 2;
    assert!(
        rejected < 1_000 * hours / 256 * 2,
        "{rejected} of a thousand"
    );
    assert_eq!(cache.stats().rejected.reused, 0);
}

#[test]
fn a_renewed_lifetime_was_forgotten_at_the_next_sign_in() {
    let clock = ManualClock::new();
    let hundred = 100 * HOUR;
    let settings = builder(&clock).memory(8 << 20).shards(4);
    let cache = settings
        .idle_timeout(hundred)
        .lifetime(hundred)
        .build()
        .unwrap();
    for label in [
        "",
        "a label of some words",
        "of the longest that there are: it has 48 bytes, ",
    ] {
        let issued = create(&cache, b"data");
        clock.advance(90 * HOUR);
        let renewed = cache
            .sign_in_with(&issued.id, "ada", PLAINLY.renew_lifetime(true))
            .unwrap();
        clock.advance(20 * HOUR);
        let stepped = cache
            .sign_in_with(&renewed.id, "ada", PLAINLY.label(label))
            .unwrap();
        cache
            .set_timeouts(&stepped.id, stepped.version, PLAIN.lifetime(hundred))
            .unwrap();
        let (record, data) =
            load(&cache, &stepped.id).expect("its lifetime counts from the sign-in");
        assert_eq!((record.expires_in(), &data[..]), (80 * HOUR, &b"data"[..]));
        // The fields stored beside it survive a save that moves the session, and a rotation.
        let version = cache
            .save(&stepped.id, record.version, &[7; 3_000])
            .unwrap();
        let version = cache.save(&stepped.id, version, b"less").unwrap();
        let rotated = cache.rotate(&stepped.id, Duration::ZERO).unwrap();
        let version = cache
            .set_timeouts(&rotated.id, version, PLAIN.lifetime(50 * HOUR))
            .unwrap();
        let (record, data) = load(&cache, &rotated.id).unwrap();
        assert_eq!((record.expires_in(), &data[..]), (30 * HOUR, &b"less"[..]));
        assert_eq!(record.version, version);
        assert_eq!(cache.user_sessions("ada")[0].label, label);
        let again = sign_in(&cache, &rotated.id, "ada");
        cache
            .set_timeouts(&again.id, again.version, PLAIN.lifetime_from_now(hundred))
            .unwrap();
        assert_eq!(
            load(&cache, &again.id).unwrap().0.expires_in(),
            80 * HOUR,
            "the cap still applies"
        );
        cache.validate();
        assert!(cache.end(&again.id));
    }
}
