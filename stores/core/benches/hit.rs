//! A hit of a tiered cache, beside a hit of a local cache in the same run.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use sessile::{KeyRing, SessionCache, Token};
use sessile_store::{LookUp, MemoryStore, StoreExt};

fn hits(criterion: &mut Criterion) {
    let keys = KeyRing::generate().expect("random bytes");
    let builder = || SessionCache::builder().memory(64 << 20).keys(keys.clone());
    let local = builder().build().expect("settings that can be used");
    let tiered = builder().store(MemoryStore::new()).expect("a store");
    let blocking = tiered.blocking();
    let header = |token: &Token| format!("{}={}", local.cookie_name(), token.as_str());
    let data = [7; 256];
    let of_local: Vec<_> = (0..SESSIONS)
        .map(|_| header(&local.create(&data).expect("room").token))
        .collect();
    let of_tiered: Vec<_> = (0..SESSIONS)
        .map(|_| header(&blocking.create(&data).expect("an answer").token))
        .collect();
    let mut buffer = BytesMut::with_capacity(data.len());
    let mut group = criterion.benchmark_group("hit_among_1k_sessions");
    let mut at = 0;
    let mut next = || {
        at = (at + 1) % SESSIONS;
        at
    };
    group.bench_function("local", |bencher| {
        bencher.iter(|| {
            let header = of_local[next()].as_bytes();
            black_box(local.open([header], &mut buffer)).expect("a hit")
        });
    });
    group.bench_function("tiered", |bencher| {
        bencher.iter(|| {
            let header = of_tiered[next()].as_bytes();
            let opened = black_box(tiered.try_open([header], &mut buffer));
            assert!(matches!(opened, LookUp::Hit(_)));
            opened
        });
    });
    let l1 = tiered.l1();
    group.bench_function("l1", |bencher| {
        bencher.iter(|| {
            let header = of_tiered[next()].as_bytes();
            let found = black_box(l1.look_up([header], &mut buffer));
            assert!(matches!(found, LookUp::Hit(_)));
            found
        });
    });
    group.finish();
}

const SESSIONS: usize = 1_000;

criterion_group!(benches, hits);
criterion_main!(benches);
