//! No thread reads a session that ended or an id that was rotated away. No test here sleeps or
//! reads a clock: a flag is set after the verb has returned and is read before another verb is
//! called.

use std::time::Duration;

use std::{
    hint,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
};

use crate::support::{builder, cache, create, data, field, is_long, opens, sign_in};
use bytes::BytesMut;
use sessile::{Error, IssuedSession, ManualClock, SessionCache, internals::cookie::Parts};

fn sharded() -> SessionCache {
    builder(&ManualClock::new())
        .memory(8 << 20)
        .shards(8)
        .build()
        .unwrap()
}

/// Runs readers of one session, some by token and some by id, while `change` is called once.
/// Asserts that no read that begins after `change` returned succeeds. Returns the result of
/// `change` and the number of successful reads.
fn race<R>(
    cache: &SessionCache,
    issued: &IssuedSession,
    readers: usize,
    change: impl FnOnce() -> R,
) -> (R, usize) {
    let (done, hits, calls) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let header = field(cache, issued.token.as_str());
    let read = |by_id: bool| {
        let mut buffer = BytesMut::with_capacity(64);
        let mut after = 0;
        while after < 3 {
            let was_done = done.load(SeqCst);
            let found = match by_id {
                true => cache.load(&issued.id, &mut buffer),
                false => cache.open([&header[..]], &mut buffer),
            };
            assert!(!(was_done && found.is_some()), "read after the change");
            assert!(
                found.is_none() || &buffer[..] == b"the data",
                "what was written"
            );
            hits.fetch_add(usize::from(found.is_some()), SeqCst);
            calls.fetch_add(1, SeqCst);
            after += usize::from(was_done);
        }
    };
    let answer = thread::scope(|scope| {
        for reader in 0..readers {
            scope.spawn(move || read(reader % 4 == 0));
        }
        // Until all readers have begun.
        while calls.load(SeqCst) < readers {
            hint::spin_loop();
            thread::yield_now();
        }
        let answer = change();
        done.store(true, SeqCst);
        answer
    });
    (answer, hits.load(SeqCst))
}

fn rounds() -> usize {
    if is_long() { 2_000 } else { 40 }
}

// LIFE-1: docs/security-checklist.md
#[test]
fn the_old_token_is_rejected_once_rotate_has_returned() {
    let (cache, _clock) = cache();
    for _ in 0..rounds() {
        let issued = create(&cache, b"the data");
        let (rotated, hits) = race(&cache, &issued, 64, || {
            cache.rotate(&issued.id, Duration::ZERO).unwrap()
        });
        assert!(hits > 0, "some reads succeeded before the change");
        assert!(!opens(&cache, &issued.token));
        assert_ne!(rotated.token, issued.token);
        assert_eq!(data(&cache, &rotated.id).unwrap(), b"the data");
        assert!(opens(&cache, &rotated.token));
        assert!(cache.end(&rotated.id));
    }
    cache.validate();
}

// LIFE-1: docs/security-checklist.md
#[test]
fn the_old_token_is_rejected_once_sign_in_has_returned() {
    let cache = sharded();
    let place = |issued: &IssuedSession| {
        Parts::parse(issued.token.as_str().as_bytes())
            .unwrap()
            .place
    };
    let mut crossed = 0;
    for round in 0..rounds() {
        let issued = create(&cache, b"the data");
        let user = format!("user {round}");
        let (signed_in, _) = race(&cache, &issued, 64, || sign_in(&cache, &issued.id, &user));
        assert!(!opens(&cache, &issued.token));
        assert_eq!(data(&cache, &signed_in.id).unwrap(), b"the data");
        crossed += usize::from(place(&issued) != place(&signed_in));
    }
    assert!(
        crossed > rounds() / 2,
        "most sessions moved to another shard"
    );
    cache.validate();
}

// LIFE-1: docs/security-checklist.md
#[test]
fn one_of_two_concurrent_rotations_fails() {
    let cache = sharded();
    for round in 0..rounds() * 10 {
        let issued = create(&cache, b"the data");
        let user = format!("user {round}");
        let (one, two) = thread::scope(|scope| {
            let one = scope.spawn(|| cache.rotate(&issued.id, Duration::ZERO));
            let two = scope.spawn(|| match round % 2 {
                0 => cache.rotate(&issued.id, Duration::ZERO),
                _ => cache.sign_in(&issued.id, &user),
            });
            (one.join().unwrap(), two.join().unwrap())
        });
        let [won, lost] = if one.is_ok() { [one, two] } else { [two, one] };
        assert_eq!(lost.err(), Some(Error::Gone));
        assert!(opens(&cache, &won.unwrap().token));
    }
    assert_eq!(cache.len(), rounds() * 10, "no session was duplicated");
    cache.validate();
}

// LIFE-3: docs/security-checklist.md
#[test]
fn no_save_restores_a_session_that_another_thread_ended() {
    let cache = sharded();
    for _ in 0..rounds() {
        let issued = create(&cache, b"the data");
        let (done, saved) = (AtomicBool::new(false), AtomicUsize::new(0));
        let load_and_save = || {
            let mut buffer = BytesMut::with_capacity(64);
            loop {
                let was_done = done.load(SeqCst);
                let Some(record) = cache.load(&issued.id, &mut buffer) else {
                    return;
                };
                assert!(!was_done, "loaded after its end");
                match cache.save(&issued.id, record.version, b"the data, again") {
                    Ok(_) => saved.fetch_add(1, SeqCst),
                    Err(Error::Conflict | Error::Gone) => 0,
                    Err(other) => panic!("{other}"),
                };
            }
        };
        thread::scope(|scope| {
            (0..3).for_each(|_| drop(scope.spawn(load_and_save)));
            while saved.load(SeqCst) < 3 {
                thread::yield_now();
            }
            assert!(cache.end(&issued.id));
            done.store(true, SeqCst);
        });
        assert!(data(&cache, &issued.id).is_none());
        assert!(cache.is_empty());
    }
    cache.validate();
}

// TERM-1: docs/security-checklist.md
#[test]
fn no_thread_reads_a_session_once_end_has_returned() {
    let cache = sharded();
    for _ in 0..rounds() {
        let issued = create(&cache, b"the data");
        let (was_there, hits) = race(&cache, &issued, 16, || cache.end(&issued.id));
        assert!(was_there && hits > 0);
    }
    assert_eq!((cache.len(), cache.stats().ended as usize), (0, rounds()));
    cache.validate();
}

// TERM-1: docs/security-checklist.md
#[test]
fn an_end_by_the_old_id_ends_the_new_one() {
    let cache = sharded();
    for round in 0..rounds() {
        let first = create(&cache, b"the data");
        let issued = match round % 2 {
            0 => cache.rotate(&first.id, Duration::ZERO).unwrap(),
            _ => sign_in(&cache, &first.id, &format!("user {round}")),
        };
        let (was_there, _) = race(&cache, &issued, 16, || cache.end(&first.id));
        assert!(was_there);
    }
    assert!(cache.is_empty());
    cache.validate();
}

// TERM-1: docs/security-checklist.md
#[test]
fn after_concurrent_end_and_rotate_no_id_opens_the_session() {
    let cache = sharded();
    for round in 0..rounds() * 10 {
        let issued = create(&cache, b"the data");
        let user = format!("user {round}");
        let (moved, ended) = thread::scope(|scope| {
            let moved = scope.spawn(|| match round % 2 {
                0 => cache.rotate(&issued.id, Duration::ZERO),
                _ => cache.sign_in(&issued.id, &user),
            });
            let ended = scope.spawn(|| cache.end(&issued.id));
            (moved.join().unwrap(), ended.join().unwrap())
        });
        assert!(ended, "the session existed until the end");
        assert!(!opens(&cache, &issued.token));
        assert!(!moved.is_ok_and(|moved| opens(&cache, &moved.token)));
        assert!(cache.is_empty());
    }
    cache.validate();
}

// TERM-1: docs/security-checklist.md
#[test]
fn one_of_many_concurrent_ends_returns_true() {
    let cache = sharded();
    for _ in 0..rounds() {
        let issued = create(&cache, b"the data");
        let ends = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| ends.fetch_add(usize::from(cache.end(&issued.id)), SeqCst));
            }
        });
        assert_eq!(ends.into_inner(), 1);
    }
}
