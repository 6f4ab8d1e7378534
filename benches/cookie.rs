//! Cost of a request's cookie: finding it in the header, decoding the token, and the MAC. Lower
//! bound: the two SHA-256 compressions of one HMAC.
//!
//! A hit pays only for the first two. The MAC is computed when a session is created or a token is
//! rejected.

use core::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sessile::{
    KeyRing,
    cookie::candidates,
    internals::cookie::{Keys, Parts, Reader},
};

const NAME: &str = "__Host-session";

/// 800 bytes of typical cookies, including the session's.
fn header(token: &str, is_last: bool) -> Vec<u8> {
    let others = [
        "_ga=GA1.1.1204857623.1751024413",
        "_ga_4XMD5C1F02=GS2.1.s1758102211$o14$g1$t1758102390$j60$l0$h0",
        "_gcl_au=1.1.1437021888.1753345120",
        "OptanonAlertBoxClosed=2026-02-11T09:31:07.552Z",
        "OptanonConsent=isGpcEnabled=0&datestamp=Wed+Sep+17+2026+11%3A46%3A30+GMT%2B0200&version=202501.2\
         .0&hosts=&consentId=5f8f1c52-9d9e-44f5-93a8-a9c7e4a0d4b6&groups=C0001%3A1%2CC0002%3A0",
        "__stripe_mid=ab7f8c4e-19c4-4be3-9c55-2a17d3b1a8f1c01d77",
        "csrftoken=Zk1uXJ2q7yTgR8bW4mPdLs9vCe3HoAxN",
        "ajs_anonymous_id=%2283a6b9a1-41f6-49c2-8a1b-7de0a2f8c9d4%22",
        "theme=dark; lang=en-GB; tz=Europe%2FLondon",
        "__Host-device=d7c1b0e2a94f4c3f8ad1",
    ];
    let session = format!("{NAME}={token}");
    let mut field = others.join("; ");
    let padding = 800 - field.len() - session.len() - "; pad=; ".len();
    field = format!("{field}; pad={}", "x".repeat(padding));
    let field = if is_last {
        format!("{field}; {session}")
    } else {
        format!("{session}; {field}")
    };
    assert_eq!(field.len(), 800);
    field.into_bytes()
}

fn find(criterion: &mut Criterion) {
    let token = keys().sign(3, [7; 16]).encode();
    let (first, last) = (header(token.as_str(), false), header(token.as_str(), true));
    let reader = Reader::new(NAME);
    let mut group = criterion.benchmark_group("header of 800 bytes");
    group.bench_function("session last", |bench| {
        bench.iter(|| reader.candidates(black_box(&last)).next());
    });
    group.bench_function("session first", |bench| {
        bench.iter(|| reader.candidates(black_box(&first)).next());
    });
    group.bench_function("all candidates", |bench| {
        bench.iter(|| reader.candidates(black_box(&first)).count());
    });
    group.bench_function("no session", |bench| {
        bench.iter(|| reader.candidates(black_box(&last[..700])).next());
    });
    group.bench_function("session last, search not prepared", |bench| {
        bench.iter(|| candidates(black_box(&last), black_box(NAME.as_bytes())).next());
    });
    group.bench_function("session last, split at each semicolon", |bench| {
        bench.iter(|| by_splitting(black_box(&last)));
    });
    group.finish();
}

/// The common approach, for comparison.
fn by_splitting(field: &[u8]) -> Option<&[u8]> {
    field.split(|byte| *byte == b';').find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        (pair[..equals].trim_ascii() == NAME.as_bytes()).then(|| pair[equals + 1..].trim_ascii())
    })
}

fn token(criterion: &mut Criterion) {
    let keys = keys();
    let parts = keys.sign(3, [7; 16]);
    let token = parts.encode();
    let value = token.as_str().as_bytes();
    let field = header(token.as_str(), true);
    let reader = Reader::new(NAME);
    let mut group = criterion.benchmark_group("token");
    group.bench_function("parse", |bench| {
        bench.iter(|| Parts::parse(black_box(value)));
    });
    group.bench_function("encode", |bench| bench.iter(|| black_box(parts).encode()));
    group.bench_function("find and parse", |bench| {
        bench.iter(|| reader.candidates(black_box(&field)).find_map(Parts::parse));
    });
    group.bench_function("reject another length", |bench| {
        bench.iter(|| Parts::parse(black_box(&value[..47])));
    });
    group.finish();
}

fn mac(criterion: &mut Criterion) {
    let keys = keys();
    let good = keys.sign(3, [7; 16]);
    let unknown = Parts {
        key: good.key ^ 1,
        ..good
    };
    let mut group = criterion.benchmark_group("mac");
    group.bench_function("two bare compressions", |bench| {
        let block = [0x5a_u8; 64];
        bench.iter(|| {
            let mut state = [1; 8];
            sha2::block_api::compress256(&mut state, black_box(&[block]));
            sha2::block_api::compress256(&mut state, black_box(&[block]));
            state
        });
    });
    group.bench_function("sign", |bench| {
        bench.iter(|| keys.sign(3, black_box([7; 16])));
    });
    group.bench_function("verify", |bench| {
        bench.iter(|| keys.verify(black_box(&good)));
    });
    group.bench_function("verify, key unknown", |bench| {
        bench.iter(|| keys.verify(black_box(&unknown)));
    });
    group.bench_function("is the key valid", |bench| {
        bench.iter(|| keys.is_valid(black_box(good.key)));
    });
    group.finish();
}

fn keys() -> Keys {
    let ring = KeyRing::generate().expect("the operating system has random bytes");
    Keys::new(&ring, NAME).expect("one key has no number twice")
}

criterion_group!(benches, find, token, mac);
criterion_main!(benches);
