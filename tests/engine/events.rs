//! Events of sessions: their kinds, their reasons and their order.

use std::time::Duration;

use std::{collections::BTreeSet, iter};

use crate::support::{
    HOUR, MINUTE, PLAIN, PLAINLY, SECOND, builder, create, load, opens, sign_in, signed_in,
};
use sessile::{
    EndReason, Error, Event, EventKind, Handle, IssuedSession, ManualClock, SessionCache,
    SessionLimitPolicy, UserHash,
};

pub(crate) fn cache_with_events(clock: &ManualClock, limit: usize) -> SessionCache {
    builder(clock).events(limit).build().unwrap()
}

pub(crate) fn drain(cache: &SessionCache) -> Vec<Event> {
    iter::from_fn(|| cache.next_event()).collect()
}

/// Returns the kind and the handle of the only event.
pub(crate) fn only_event(cache: &SessionCache) -> Event {
    let [event] = drain(cache)[..] else {
        panic!("expected one event")
    };
    event
}

pub(crate) fn handle(cache: &SessionCache, issued: &IssuedSession) -> Handle {
    load(cache, &issued.id).unwrap().0.handle()
}

fn user(cache: &SessionCache, issued: &IssuedSession) -> Option<UserHash> {
    load(cache, &issued.id).unwrap().0.user
}

// LIFE-8: docs/security-checklist.md
#[test]
fn a_session_emits_events_from_its_creation_to_its_end() {
    let clock = ManualClock::new();
    let cache = cache_with_events(&clock, 100);
    clock.advance(MINUTE);
    let first = create(&cache, b"data");
    let anonymous = handle(&cache, &first);
    let event = only_event(&cache);
    assert_eq!(
        (event.kind, event.handle),
        (EventKind::Created, Some(anonymous))
    );
    assert_eq!((event.user(), event.at()), (None, MINUTE));

    clock.advance(SECOND);
    let second = cache.rotate(&first.id, Duration::ZERO).unwrap();
    let event = only_event(&cache);
    assert_eq!(
        (event.kind, event.handle),
        (EventKind::Rotated, Some(anonymous)),
        "the same name"
    );
    assert_eq!(event.at(), MINUTE + SECOND);

    let third = sign_in(&cache, &second.id, "ada");
    let named = handle(&cache, &third);
    let event = only_event(&cache);
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
    let kinds: Vec<_> = drain(&cache)
        .iter()
        .map(|event| (event.kind, event.handle))
        .collect();
    assert_eq!(kinds, [(EventKind::Conflict, Some(named)); 2]);

    assert!(!opens(&cache, &first.token));
    let event = only_event(&cache);
    assert_eq!((event.kind, event.handle), (EventKind::Reused, Some(named)));

    assert!(cache.end(&third.id));
    let event = only_event(&cache);
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
    let cache = cache_with_events(&clock, 100);
    let issued = signed_in(&cache, b"data", "ada");
    drain(&cache);
    assert!(opens(&cache, &issued.token));
    let version = cache.save(&issued.id, issued.version, b"more").unwrap();
    let version = cache.save(&issued.id, version, &data).unwrap();
    cache.touch(&issued.id).unwrap();
    cache.set_timeouts(&issued.id, version, PLAIN).unwrap();
    assert_eq!(cache.user_sessions("ada").len(), 1);
    cache.maintain(100);
    assert!(drain(&cache).is_empty());
}

// LIFE-8: docs/security-checklist.md
#[test]
fn an_end_event_has_its_reason() {
    let clock = ManualClock::new();
    let cache = cache_with_events(&clock, 100);
    type End<'a> = &'a dyn Fn(&IssuedSession);
    let ends: [(EndReason, End<'_>); 5] = [
        (EndReason::Requested, &|issued| {
            assert!(cache.end(&issued.id));
        }),
        (EndReason::Requested, &|issued| {
            assert!(cache.end_by_token(issued.token.as_str().as_bytes()));
        }),
        (EndReason::Requested, &|issued| {
            cache.end_if_unchanged(&issued.id, issued.version).unwrap();
        }),
        (EndReason::UserRevoked, &|_| {
            assert_eq!(cache.end_user_sessions("ada", None), 1);
        }),
        (EndReason::UserRevoked, &|issued| {
            assert!(cache.end_by_handle(&handle(&cache, issued)));
        }),
    ];
    for (reason, end) in ends {
        let issued = signed_in(&cache, b"data", "ada");
        let handle = handle(&cache, &issued);
        drain(&cache);
        end(&issued);
        let event = only_event(&cache);
        assert_eq!(
            (event.kind, event.handle),
            (EventKind::Ended(reason), Some(handle))
        );
        assert_eq!(event.user(), handle.user());
    }
}

/// The end of the least recently used session precedes the sign-in that caused it.
// LIFE-8: docs/security-checklist.md
#[test]
fn an_end_at_the_session_limit_precedes_the_sign_in() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .events(100)
        .max_sessions_per_user(2)
        .build()
        .unwrap();
    let oldest = signed_in(&cache, b"", "ada");
    let handle = handle(&cache, &oldest);
    clock.advance(HOUR / 4);
    signed_in(&cache, b"", "ada");
    drain(&cache);
    signed_in(&cache, b"", "ada");
    let kinds: Vec<_> = drain(&cache).iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::Created,
            EventKind::Ended(EndReason::SessionLimit),
            EventKind::SignedIn
        ]
    );
    assert!(!cache.end_by_handle(&handle));
}

// LIFE-8: docs/security-checklist.md
#[test]
fn end_all_emits_one_event() {
    let clock = ManualClock::new();
    let cache = cache_with_events(&clock, 100);
    clock.advance(HOUR / 4);
    signed_in(&cache, b"", "ada");
    create(&cache, b"");
    drain(&cache);
    cache.end_all();
    let event = only_event(&cache);
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
    let cache = cache_with_events(&clock, 100);
    let all: Vec<_> = (0..3)
        .map(|n| signed_in(&cache, b"data", &format!("user {n}")))
        .collect();
    let handles: BTreeSet<_> = all
        .iter()
        .map(|issued| handle(&cache, issued).to_string())
        .collect();
    clock.advance(HOUR);
    drain(&cache);
    assert!(
        !all.iter().any(|issued| opens(&cache, &issued.token)),
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
    let emitted: BTreeSet<_> = events
        .iter()
        .map(|event| event.handle.unwrap().to_string())
        .collect();
    assert_eq!((events.len(), emitted), (3, handles));
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
        let issued = create(&cache, &[1; 256]);
        if n % 3 == 0 {
            sign_in(&cache, &issued.id, &format!("user {n}"));
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
    for issued in secrets {
        let parts = sessile::internals::cookie::Parts::parse(issued.token.as_str().as_bytes());
        let parts = parts.unwrap();
        assert!(!text.contains(issued.token.as_str()));
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
