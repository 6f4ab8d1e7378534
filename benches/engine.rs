//! Benchmarks of the engine, by verb and by the size of the data: `cargo bench`.
//!
//! One thread, hot caches, sessions visited in turn. The package `bench`, beside this file, covers
//! other crates, cold lookups, threads and tail latencies.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use sessile::{
    Clock, IssuedSession, KeyRing, ManualClock, SessionCache,
    tier::{Installed, L1, Placement, StoredSession},
};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    load(&mut criterion);
    open(&mut criterion);
    l1(&mut criterion);
    reject(&mut criterion);
    create(&mut criterion);
    sign_in(&mut criterion);
    end_user_sessions(&mut criterion);
    end_all(&mut criterion);
    save(&mut criterion);
    touch(&mut criterion);
    expire(&mut criterion);
    criterion.final_summary();
}

/// Reads by id: a hit for each size, and a session that has ended.
fn load(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    for size in SIZES {
        let mut fixture = Fixture::new(size);
        let mut buffer = BytesMut::with_capacity(size);
        group.bench_function(BenchmarkId::new("hit", size), |bencher| {
            bencher.iter(|| {
                fixture
                    .cache
                    .load(&fixture.issued[fixture.turns.next()].id, &mut buffer)
            });
            assert_eq!(buffer.len(), size);
        });
    }
    let mut fixture = Fixture::new(SMALL);
    end_sessions(&fixture);
    let mut buffer = BytesMut::new();
    group.bench_function("miss", |bencher| {
        bencher.iter(|| {
            fixture
                .cache
                .load(&fixture.issued[fixture.turns.next()].id, &mut buffer)
        });
    });
    assert_eq!(fixture.cache.stats().hits, 0);
}

/// Reads a session and its data by a `Cookie` header of 800 bytes.
fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for size in SIZES {
        let mut fixture = Fixture::new(size);
        let mut buffer = BytesMut::with_capacity(size);
        group.bench_function(BenchmarkId::new("header to record", size), |bencher| {
            bencher.iter(|| {
                fixture
                    .cache
                    .open([&fixture.headers[fixture.turns.next()][..]], &mut buffer)
            });
            assert_eq!(buffer.len(), size);
        });
    }
}

/// Reads the same header in a local cache and in the L1 of a tiered cache, in one run: a hit of
/// each.
fn l1(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("l1");
    for size in SIZES {
        let mut fixture = Fixture::new(size);
        let mut buffer = BytesMut::with_capacity(size);
        group.bench_function(BenchmarkId::new("hit of a local cache", size), |bencher| {
            bencher.iter(|| {
                fixture
                    .cache
                    .open([&fixture.headers[fixture.turns.next()][..]], &mut buffer)
            });
            assert_eq!(buffer.len(), size);
        });
        let (l1, headers) = l1_fixture(size);
        group.bench_function(BenchmarkId::new("hit of L1", size), |bencher| {
            bencher.iter(|| l1.look_up([&headers[fixture.turns.next()][..]], &mut buffer));
            assert_eq!(buffer.len(), size);
        });
        assert_eq!(l1.stats().misses, 0);
    }
}

/// Installs as many sessions in an L1 as a [`Fixture`] has, and returns their headers.
fn l1_fixture(size: usize) -> (L1, Vec<Vec<u8>>) {
    let keys = KeyRing::generate().expect("the operating system returns random bytes");
    let builder = SessionCache::builder().memory(MEMORY).keys(keys);
    let l1 = builder.build_l1([1; 32]).expect("the settings are valid");
    let data = vec![b'x'; size];
    let install = |_| {
        let issued = l1.issue(Placement::Random).expect("random bytes");
        let session = StoredSession {
            idle_timeout: l1.idle_timeout(),
            idle_left: l1.idle_timeout(),
            life_left: l1.lifetime(),
            ..StoredSession::new(issued.id, issued.version, l1.now())
        };
        assert_eq!(l1.install(&session, &data), Installed::Stored);
        header(issued.token.as_str())
    };
    let headers = (0..SESSIONS).map(install).collect();
    (l1, headers)
}

/// The same header with a forged tag, with the token of an ended session, and without a session
/// cookie.
fn reject(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reject");
    let mut run = |name: &str, fixture: &mut Fixture| {
        let mut buffer = BytesMut::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                fixture
                    .cache
                    .open([&fixture.headers[fixture.turns.next()][..]], &mut buffer)
            });
        });
        assert_eq!(fixture.cache.stats().hits, 0);
    };
    let mut forged = Fixture::new(SMALL);
    forged.headers.iter_mut().for_each(|header| forge(header));
    run("forged token", &mut forged);

    let mut unknown = Fixture::new(SMALL);
    end_sessions(&unknown);
    run("ended session", &mut unknown);

    let mut absent = Fixture::new(SMALL);
    absent
        .headers
        .iter_mut()
        .for_each(|header| header.fill(b'x'));
    run("no cookie", &mut absent);
}

/// Creates sessions in a full cache, evicting others; includes random bytes and the MAC.
fn create(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("create");
    for size in SIZES {
        let cache = cache(&Clock::system());
        let data = vec![b'x'; size];
        while cache.stats().evicted.probation == 0 {
            make(&cache, &data);
        }
        group.bench_function(BenchmarkId::new("into a full cache", size), |bencher| {
            bencher.iter(|| make(&cache, black_box(&data)));
        });
    }
}

/// Signs in to new sessions, each as another user, in a full cache; includes random bytes and MACs.
fn sign_in(criterion: &mut Criterion) {
    users(criterion, "sign_in", |cache, guests, names| {
        let start = Instant::now();
        for (guest, name) in guests.iter().zip(names) {
            black_box(sign_in_to(cache, guest, name));
        }
        let elapsed = start.elapsed();
        names
            .iter()
            .for_each(|name| assert_eq!(cache.end_user_sessions(name, None), 1));
        elapsed
    });
}

/// Ends the sessions of users who have one each.
fn end_user_sessions(criterion: &mut Criterion) {
    users(criterion, "end_user_sessions", |cache, guests, names| {
        for (guest, name) in guests.iter().zip(names) {
            sign_in_to(cache, guest, name);
        }
        let start = Instant::now();
        names
            .iter()
            .for_each(|name| assert_eq!(cache.end_user_sessions(name, None), 1));
        start.elapsed()
    });
}

/// Times a verb on batches of new sessions and users; the figure is per session.
fn users(
    criterion: &mut Criterion,
    verb: &str,
    time: impl Fn(&SessionCache, &[IssuedSession], &[String]) -> Duration,
) {
    let mut group = criterion.benchmark_group(verb);
    let names: Vec<_> = (0..SESSIONS)
        .map(|number| format!("user {number}"))
        .collect();
    for size in SIZES {
        let cache = cache(&Clock::system());
        let data = vec![b'x'; size];
        while cache.stats().evicted.probation == 0 {
            make(&cache, &data);
        }
        group.bench_function(BenchmarkId::new("in a full cache", size), |bencher| {
            bencher.iter_custom(|times| {
                let mut left = times as usize;
                let mut elapsed = Duration::ZERO;
                while left > 0 {
                    let batch = left.min(SESSIONS);
                    let guests: Vec<_> = (0..batch).map(|_| make(&cache, &data)).collect();
                    elapsed += time(&cache, &guests, &names[..batch]);
                    left -= batch;
                }
                elapsed
            });
        });
    }
}

/// Times `end_all` and the first access to each shard afterwards, which applies the cutoff. The
/// time does not depend on the number of sessions.
fn end_all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("end_all");
    // Creating the sessions takes most of the time.
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for sessions in [1_000, 100_000] {
        let keys = KeyRing::generate().expect("the operating system returns random bytes");
        let cache = SessionCache::builder().memory(64 << 20).keys(keys).build();
        let cache = cache.expect("valid settings");
        group.bench_function(BenchmarkId::new("sessions", sessions), |bencher| {
            bencher.iter_custom(|times| {
                let end = |_| {
                    (0..sessions).for_each(|_| assert!(make(&cache, b"x").version.get() > 0));
                    assert!(cache.len() >= sessions);
                    let start = Instant::now();
                    cache.end_all();
                    assert!(black_box(cache.is_empty()));
                    let elapsed = start.elapsed();
                    while cache.maintain(usize::MAX).more {}
                    elapsed
                };
                (0..times).map(end).sum()
            });
        });
    }
}

fn save(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("save");
    for size in SIZES {
        let mut fixture = Fixture::new(size);
        let data = vec![b'y'; size];
        group.bench_function(BenchmarkId::new("same size", size), |bencher| {
            bencher.iter(|| {
                let issued = &mut fixture.issued[fixture.turns.next()];
                let saved = fixture
                    .cache
                    .save(&issued.id, issued.version, black_box(&data));
                issued.version = saved.expect("no other thread saves");
            });
        });
    }
}

fn touch(criterion: &mut Criterion) {
    let mut fixture = Fixture::new(SMALL);
    criterion.bench_function("touch", |bencher| {
        bencher.iter(|| {
            fixture
                .cache
                .touch(&fixture.issued[fixture.turns.next()].id)
        });
    });
}

/// Frees expired sessions with `maintain`; the figure is per session.
fn expire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expire");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        let clock = ManualClock::new();
        let cache = cache(&clock.clone().into());
        let data = vec![b'x'; size];
        group.bench_function(BenchmarkId::new("a session", size), |bencher| {
            bencher.iter_custom(|sessions| {
                let mut left = sessions;
                let mut elapsed = Duration::ZERO;
                while left > 0 {
                    let batch = left.min(SESSIONS as u64);
                    for _ in 0..batch {
                        make(&cache, &data);
                    }
                    elapsed += expired(&cache, &clock);
                    left -= batch;
                }
                elapsed
            });
        });
    }
}

fn end_sessions(fixture: &Fixture) {
    for issued in &fixture.issued {
        assert!(fixture.cache.end(&issued.id));
    }
}

fn expired(cache: &SessionCache, clock: &ManualClock) -> Duration {
    clock.advance(Duration::from_secs(31 * 60));
    let start = Instant::now();
    while cache.maintain(usize::MAX).more {}
    let elapsed = start.elapsed();
    assert!(cache.is_empty());
    elapsed
}

/// Sessions of one size, their headers, and the order of visits.
struct Fixture {
    cache: SessionCache,
    issued: Vec<IssuedSession>,
    headers: Vec<Vec<u8>>,
    turns: Turns,
}

impl Fixture {
    fn new(size: usize) -> Self {
        let cache = cache(&Clock::system());
        let data = vec![b'x'; size];
        let issued: Vec<IssuedSession> = (0..SESSIONS).map(|_| make(&cache, &data)).collect();
        let headers = issued
            .iter()
            .map(|issued| header(issued.token.as_str()))
            .collect();
        assert_eq!(cache.len(), SESSIONS);
        Self {
            cache,
            issued,
            headers,
            turns: Turns(0),
        }
    }
}

struct Turns(usize);

impl Turns {
    fn next(&mut self) -> usize {
        self.0 = (self.0 + 1) % SESSIONS;
        self.0
    }
}

fn cache(clock: &Clock) -> SessionCache {
    let keys = KeyRing::generate().expect("the operating system returns random bytes");
    let cache = SessionCache::builder()
        .memory(MEMORY)
        .keys(keys)
        .clock(clock.clone())
        .build();
    cache.expect("valid settings")
}

fn make(cache: &SessionCache, data: &[u8]) -> IssuedSession {
    cache.create(data).expect("anonymous sessions make room")
}

fn sign_in_to(cache: &SessionCache, guest: &IssuedSession, name: &str) -> IssuedSession {
    cache
        .sign_in(&guest.id, name)
        .expect("anonymous sessions make room")
}

/// 800 bytes, the session's cookie in the middle.
fn header(token: &str) -> Vec<u8> {
    let other = "consent=analytics:1|ads:0|version:4; lang=en-GB; theme=dark; visitor=4f9c27";
    let before = [other; 4].join("; ");
    let mut header = format!("{before}; __Host-session={token}; {before}; filler=").into_bytes();
    assert!(header.len() <= HEADER_LEN);
    header.resize(HEADER_LEN, b'x');
    header
}

/// Replaces the last character of the tag.
fn forge(header: &mut [u8]) {
    let name = b"__Host-session=";
    let at = header.windows(name.len()).position(|part| part == name);
    let last = at.expect("the header contains the session cookie") + name.len() + TOKEN_LEN - 1;
    header[last] = if header[last] == b'A' { b'B' } else { b'A' };
}

const SIZES: [usize; 4] = [64, 256, 1_024, 8_192];
const SMALL: usize = 256;
const SESSIONS: usize = 256;
const MEMORY: usize = 16 << 20;
const HEADER_LEN: usize = 800;
const TOKEN_LEN: usize = 48;
