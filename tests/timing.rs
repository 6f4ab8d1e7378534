//! The time of a rejection reveals nothing of a tag, and with `verify_first` nothing of an id.
//!
//! The measurement is dudect's (Reparaz, Balasch, Verbauwhede 2017, "Dude, is my code constant
//! time?"): two classes of input in random order, and Welch's t-test of their times. Other load on
//! the machine spoils it, so it runs only if `SESSILE_TIMING=1` declares the machine quiet:
//!
//! ```text
//! SESSILE_TIMING=1 cargo test --release --test timing -- --test-threads=1
//! ```
//!
//! Countable effects are asserted on every machine: both classes take the same path.

#![allow(clippy::unwrap_used)]

mod support;

use std::{env, hint::black_box, time::Instant};

use allocation_counter::measure;
use bytes::BytesMut;
use sessile::{ManualClock, SessionCache, internals::cookie::Parts, stats::RejectionCounts};
use support::{Random, builder, create, is_long, opens};

/// Two classes of tokens, all rejected, with the same number of tokens each.
struct Classes {
    cache: SessionCache,
    /// Pairs, one token of each class.
    tokens: Vec<[Value; 2]>,
}

const TOKENS: usize = 64;

/// A cookie's value.
type Value = [u8; 48];

fn cache(verify_first: bool) -> SessionCache {
    builder(&ManualClock::new())
        .verify_first(verify_first)
        .build()
        .unwrap()
}

/// Tokens of live sessions with one wrong byte: in the first class the first byte of the tag, in
/// the second the last.
fn first_or_last_byte(verify_first: bool) -> Classes {
    let cache = cache(verify_first);
    // Both classes use one session, since sessions differ in their location.
    let pair = |live: Parts| [0, 15].map(|at| wrong_at(&live, at));
    let tokens = (0..TOKENS).map(|_| pair(live(&cache))).collect();
    Classes { cache, tokens }
}

/// Tokens with one wrong byte: of unknown ids, and of live ones.
fn unknown_or_known_id() -> Classes {
    let [elsewhere, cache] = [cache(true), cache(true)];
    let pair = |_| [&elsewhere, &cache].map(|cache| wrong_at(&live(cache), 7));
    let tokens = (0..TOKENS).map(pair).collect();
    Classes { cache, tokens }
}

fn live(cache: &SessionCache) -> Parts {
    Parts::parse(create(cache, b"data").token.as_str().as_bytes()).unwrap()
}

fn wrong_at(parts: &Parts, at: usize) -> Value {
    let mut parts = *parts;
    parts.tag[at] ^= 0x55;
    parts.encode().as_str().as_bytes().try_into().unwrap()
}

/// Running mean and variance (Welford 1962).
#[derive(Clone, Copy, Default)]
struct Moments {
    number: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.number += 1.0;
        let difference = value - self.mean;
        self.mean += difference / self.number;
        self.squares += difference * (value - self.mean);
    }

    fn error(&self) -> f64 {
        self.squares / (self.number - 1.0) / self.number
    }
}

/// Returns Welch's t.
fn t(of: &[Moments; 2]) -> f64 {
    let [one, other] = of;
    (one.mean - other.mean) / (one.error() + other.error()).sqrt()
}

/// Returns the largest t of all samples and of those below some percentiles. An interrupted sample
/// carries no information about its class.
fn worst_t(classes: &Classes, samples: usize) -> f64 {
    let mut random = Random::new();
    let mut buffer = BytesMut::with_capacity(64);
    let mut sample = || {
        let class = random.below(2);
        let token = &classes.tokens[random.below(TOKENS)][class];
        // Copied to one place, so that the location of a token has no influence.
        let value = black_box(*token);
        let start = Instant::now();
        let found = classes.cache.open_token(black_box(&value), &mut buffer);
        let nanos = start.elapsed().as_nanos() as f64;
        assert!(found.is_none());
        (class, nanos)
    };
    let mut warm: Vec<f64> = (0..20_000).map(|_| sample().1).collect();
    warm.sort_unstable_by(f64::total_cmp);
    let percentiles = [50, 75, 90, 95, 99];
    let crops = percentiles.map(|percent| warm[warm.len() * percent / 100]);
    let mut moments = [[Moments::default(); 2]; 6];
    for _ in 0..samples {
        let (class, nanos) = sample();
        for (of, crop) in moments.iter_mut().zip([f64::INFINITY].iter().chain(&crops)) {
            if nanos <= *crop {
                of[class].add(nanos);
            }
        }
    }
    moments.iter().map(|of| t(of).abs()).fold(0.0, f64::max)
}

/// Runs the measurement if the machine is declared quiet.
#[allow(clippy::print_stderr)]
fn measured(classes: &Classes) -> Option<f64> {
    if env::var_os("SESSILE_TIMING").is_none_or(|value| value != "1") {
        eprintln!("not measured: SESSILE_TIMING=1 would, on a quiet machine");
        return None;
    }
    // More than a million of each class. A difference grows with the square root of their number,
    // noise does not.
    let t = worst_t(classes, if is_long() { 22_000_000 } else { 2_200_000 });
    eprintln!("|t| = {t:.2}");
    Some(t)
}

fn assert_tells_nothing(classes: &Classes) {
    if let Some(t) = measured(classes) {
        assert!(t < 4.5, "|t| = {t:.2}");
    }
}

/// Without it the other tests would prove nothing: for a malformed token no MAC is computed.
// ID-6: docs/security-checklist.md
#[test]
fn the_measurement_detects_a_known_leak() {
    let cache = cache(true);
    let pair = |live: Parts| {
        let forged = wrong_at(&live, 7);
        let mut malformed = forged;
        malformed[0] = b'!';
        [forged, malformed]
    };
    let tokens = (0..TOKENS).map(|_| pair(live(&cache))).collect();
    if let Some(t) = measured(&Classes { cache, tokens }) {
        assert!(t > 4.5, "|t| = {t:.2}");
    }
}

// ID-6: docs/security-checklist.md
#[test]
fn the_time_of_a_rejection_is_independent_of_where_the_tag_differs() {
    assert_tells_nothing(&first_or_last_byte(false));
}

// ID-6: docs/security-checklist.md
#[test]
fn verified_first_the_time_is_independent_of_where_the_tag_differs() {
    assert_tells_nothing(&first_or_last_byte(true));
}

// ID-6: docs/security-checklist.md
#[test]
fn verified_first_the_time_is_independent_of_whether_the_id_is_live() {
    assert_tells_nothing(&unknown_or_known_id());
}

/// Every class takes one path to one answer: the whole MAC is computed, one rejection is counted,
/// nothing is allocated and no session is touched.
// ID-6: docs/security-checklist.md
#[test]
fn a_wrong_tag_takes_one_path_to_rejection() {
    let all = [
        first_or_last_byte(false),
        first_or_last_byte(true),
        unknown_or_known_id(),
    ];
    for Classes { cache, tokens } in all {
        let mut buffer = BytesMut::with_capacity(64);
        assert!(cache.open_token(&tokens[0][0], &mut buffer).is_none());
        let refusals = [0, 1].map(|class| {
            let before = cache.stats();
            for pair in &tokens {
                let value = &pair[class];
                let mut found = None;
                let counted = measure(|| found = cache.open_token(value, &mut buffer));
                assert!(found.is_none() && buffer.is_empty());
                assert_eq!(counted.count_total, 0);
            }
            let after = cache.stats();
            assert_eq!(
                after.sessions, before.sessions,
                "no session leaves probation"
            );
            assert_eq!(
                (after.hits, after.misses - before.misses),
                (0, TOKENS as u64)
            );
            after.rejected.forged - before.rejected.forged
        });
        assert_eq!(refusals, [TOKENS as u64; 2]);
        let mut others = cache.stats().rejected;
        others.forged = 0;
        assert_eq!(others, RejectionCounts::default());
    }
}

/// Each wrong bit of a tag is enough to reject it, and no number of correct bits helps.
// ID-6: docs/security-checklist.md
#[test]
fn every_bit_of_the_tag_is_compared() {
    for verify_first in [false, true] {
        let cache = cache(verify_first);
        let right = live(&cache);
        for bit in 0..128 {
            let mut wrong = right;
            wrong.tag[bit / 8] ^= 1 << (bit % 8);
            assert!(!opens(&cache, &wrong.encode()), "bit {bit}");
            let mut all_but_one = right;
            all_but_one.tag.iter_mut().for_each(|byte| *byte ^= 0xff);
            all_but_one.tag[bit / 8] ^= 1 << (bit % 8);
            assert!(!opens(&cache, &all_but_one.encode()), "bit {bit}");
        }
        assert_eq!(cache.stats().rejected.forged, 256);
        assert!(opens(&cache, &right.encode()));
    }
}
