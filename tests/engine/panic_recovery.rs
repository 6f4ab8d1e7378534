//! A panic inside a verb, which would be a bug in sessile, costs the sessions of one shard and
//! nothing else.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::{
        Once,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use crate::support::{
    HOUR, MINUTE, assert_gone, builder, create, create_many, data, is_long, opens, sign_in,
};
use bytes::BytesMut;
use sessile::{EventKind, IssuedSession, ManualClock, SessionCache, internals::cookie::Parts};

const MARK: u64 = 0x6d61_726b_6564_2121;

fn sharded() -> (SessionCache, ManualClock) {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(8 << 20)
        .shards(4)
        .events(10_000)
        .build()
        .unwrap();
    (cache, clock)
}

fn place(issued: &IssuedSession) -> u16 {
    Parts::parse(issued.token.as_str().as_bytes())
        .unwrap()
        .place
}

/// Makes a verb panic in the shard of a session.
fn panic_in(cache: &SessionCache, issued: &IssuedSession) {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |info| {
            let is_ours = info.payload().downcast_ref::<&str>() == Some(&"requested by a test");
            if !is_ours {
                hook(info);
            }
        }));
    });
    let caught = catch_unwind(AssertUnwindSafe(|| cache.panic_in(&issued.id)));
    assert!(caught.is_err(), "the caller receives the panic");
}

/// Creates sessions of all kinds, with marked data.
fn all_kinds(cache: &SessionCache) -> Vec<IssuedSession> {
    let make = |(n, issued): (usize, IssuedSession)| match n % 3 {
        0 => issued,
        1 => sign_in(cache, &issued.id, &format!("user {n}")),
        _ => cache.rotate(&issued.id, MINUTE).unwrap(),
    };
    let all = create_many(cache, 400, &MARK.to_le_bytes().repeat(9));
    all.into_iter().enumerate().map(make).collect()
}

#[test]
fn a_panic_resets_its_shard_and_no_other() {
    let (cache, clock) = sharded();
    clock.advance(HOUR);
    let all = all_kinds(&cache);
    let (lost, left): (Vec<&IssuedSession>, Vec<&IssuedSession>) = all
        .iter()
        .partition(|&issued| place(issued) == place(&all[0]));
    assert!(!lost.is_empty() && !left.is_empty());
    panic_in(&cache, &all[0]);

    assert_eq!(cache.stats().shard_resets, 1);
    assert_eq!(cache.len(), left.len());
    assert_eq!(
        cache.count(MARK),
        left.len() * 9,
        "no data is left in the memory"
    );
    assert!(left.iter().all(|issued| opens(&cache, &issued.token)));
    for issued in lost {
        assert!(!opens(&cache, &issued.token));
        assert_gone(&cache, &issued.id, issued.version);
        assert!(!cache.end(&issued.id));
    }
    let emptied: Vec<_> = std::iter::from_fn(|| cache.next_event())
        .filter(|event| event.kind == EventKind::ShardReset)
        .collect();
    assert_eq!(emptied.len(), 1);
    assert_eq!((emptied[0].handle, emptied[0].user()), (None, None));
    cache.validate();
}

#[test]
fn a_reset_shard_works_like_a_new_one() {
    let (cache, clock) = sharded();
    for round in 1..20 {
        let all = all_kinds(&cache);
        assert!(all.iter().all(|issued| opens(&cache, &issued.token)));
        panic_in(&cache, &all[round]);
        assert_eq!(cache.stats().shard_resets as usize, round);
        cache.validate();
        clock.advance(MINUTE);
    }
    // Its wheel, its index, its memory and its lists.
    clock.advance(HOUR);
    while cache.maintain(usize::MAX).more {}
    assert_eq!((cache.len(), cache.stats().memory.used), (0, 0));
    let mut full = 0;
    while cache.stats().evicted.probation == 0 {
        create(&cache, &[1; 256]);
        full += 1;
    }
    assert!(full > cache.capacity_for(256) * 9 / 10, "{full}");
    cache.validate();
}

#[test]
fn a_reset_shard_keeps_the_revocation_cutoff() {
    let (cache, _clock) = sharded();
    let old = all_kinds(&cache);
    cache.end_all();
    let new = all_kinds(&cache);
    panic_in(&cache, &new[0]);
    assert!(!old.iter().any(|issued| opens(&cache, &issued.token)));
    let issued = create_many(&cache, 100, b"data");
    assert!(issued.iter().all(|issued| opens(&cache, &issued.token)));
    cache.end_all();
    assert!(cache.is_empty());
    cache.validate();
}

#[test]
fn concurrent_reads_return_written_data_or_miss() {
    let (cache, _clock) = sharded();
    let rounds = if is_long() { 2_000 } else { 50 };
    for _ in 0..rounds {
        let all = create_many(&cache, 40, &[7; 300]);
        let (done, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut buffer = BytesMut::with_capacity(512);
                    while !done.load(SeqCst) {
                        for issued in &all {
                            let found = cache.load(&issued.id, &mut buffer).is_some();
                            assert!(if found {
                                buffer[..] == [7; 300]
                            } else {
                                buffer.is_empty()
                            });
                        }
                        reads.fetch_add(1, SeqCst);
                    }
                });
            }
            let wait = || {
                let seen = reads.load(SeqCst);
                while reads.load(SeqCst) < seen + 3 {
                    thread::yield_now();
                }
            };
            wait();
            panic_in(&cache, &all[0]);
            wait();
            done.store(true, SeqCst);
        });
        for issued in &all {
            let is_lost = place(issued) == place(&all[0]);
            assert_eq!(data(&cache, &issued.id).is_none(), is_lost);
            cache.end(&issued.id);
        }
        cache.validate();
    }
    assert_eq!(cache.stats().shard_resets, rounds);
}
