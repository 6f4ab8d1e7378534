//! Ids are random, unique among live sessions and never chosen by a client. Client input is
//! untrusted until verified.

use std::time::Duration;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
};

use crate::support::{
    Random, assert_gone, builder, cache, create, data, field, is_long, load, open, opens, request,
    rings::{NAME, ring},
};
use proptest::prelude::*;
use sessile::{
    BuildError, Error, IssuedSession, ManualClock, SessionCache, Token,
    internals::cookie::{Keys, Parts},
};

// ID-1: docs/security-checklist.md
#[test]
fn ids_never_repeat_and_every_bit_is_random() {
    let number = if is_long() { 10_000_000 } else { 1_000_000 };
    let cache = SessionCache::builder()
        .memory(8 << 20)
        .shards(4)
        .keys(ring(&[1]));
    let cache = cache.clock(ManualClock::new()).build().unwrap();
    let (mut all, mut counts) = (Vec::with_capacity(number), Histograms::default());
    thread::scope(|scope| {
        let drawn = [0; 2].map(|_| scope.spawn(|| draw(&cache, number / 2)));
        for half in drawn {
            let (ids, own) = half.join().unwrap();
            all.extend(ids);
            counts.add(&own);
        }
    });
    all.sort_unstable();
    assert!(
        all.windows(2).all(|pair| pair[0] != pair[1]),
        "an id was issued twice"
    );
    assert_eq!(counts.flaw(), None);
}

// ID-1: docs/security-checklist.md
#[test]
fn the_test_of_randomness_finds_a_flaw() {
    let mut random = Random::new();
    let mut draw = || [random.next(), random.next()].map(u64::to_le_bytes);
    let drawn: Vec<[u8; 16]> = (0..100_000)
        .map(|_| draw().as_flattened().try_into().unwrap())
        .collect();
    let flaw_of = |spoil: fn(&mut [u8; 16])| {
        let mut counts = Histograms::default();
        drawn.iter().for_each(|id| {
            let mut id = *id;
            spoil(&mut id);
            counts.count(&id);
        });
        counts.flaw()
    };
    assert_eq!(flaw_of(|id| id[7] |= 8).unwrap(), "bit 3 of byte 7");
    // A version 4 UUID.
    assert!(flaw_of(|id| id[6] = id[6] & 0x0f | 0x40).is_some());
    // A byte whose bits are each unbiased while its values are not.
    assert_eq!(
        flaw_of(|id| id[2] = id[2] & 0x0f | id[2] << 4).unwrap(),
        "the values of byte 2"
    );
}

/// Creates `number` sessions, far more than fit, and returns and counts their ids.
fn draw(cache: &SessionCache, number: usize) -> (Vec<u128>, Histograms) {
    let mut counts = Histograms::default();
    let ids = (0..number).map(|_| {
        let bytes = id_bytes(&create(cache, b"").token);
        counts.count(&bytes);
        u128::from_le_bytes(bytes)
    });
    (ids.collect(), counts)
}

/// Counts how often each byte occurs at each position.
struct Histograms([[u32; 256]; 16]);

impl Default for Histograms {
    fn default() -> Self {
        Self([[0; 256]; 16])
    }
}

impl Histograms {
    fn count(&mut self, id: &[u8; 16]) {
        self.0
            .iter_mut()
            .zip(id)
            .for_each(|(counts, byte)| counts[usize::from(*byte)] += 1);
    }

    fn add(&mut self, other: &Self) {
        let pairs = self.0.iter_mut().flatten().zip(other.0.iter().flatten());
        pairs.for_each(|(count, more)| *count += more);
    }

    /// Returns the first flaw: a bit more than five standard deviations from one half, or a byte
    /// that is far from uniform.
    fn flaw(&self) -> Option<String> {
        self.0.iter().enumerate().find_map(|(place, counts)| {
            let drawn: f64 = counts.iter().copied().map(f64::from).sum();
            let uneven = (0..8).find(|bit| {
                let set = counts
                    .iter()
                    .enumerate()
                    .filter(|(byte, _)| byte >> bit & 1 == 1);
                let set: f64 = set.map(|(_, count)| f64::from(*count)).sum();
                (set - drawn / 2.0).abs() > 5.0 * drawn.sqrt() / 2.0
            });
            // 255 degrees of freedom: once in 10^11.
            let chi_square: f64 = counts
                .iter()
                .map(|count| (f64::from(*count) - drawn / 256.0).powi(2))
                .sum();
            let bit = uneven.map(|bit| format!("bit {bit} of byte {place}"));
            let far = chi_square / (drawn / 256.0) > 430.0;
            bit.or_else(|| far.then(|| format!("the values of byte {place}")))
        })
    }
}

/// Decodes the id in a token by hand: base64url, after the first four bytes.
fn id_bytes(token: &Token) -> [u8; 16] {
    let digit = |character: u8| match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        other => panic!("{other} is not in the alphabet"),
    };
    let mut bytes = [0; 36];
    let characters = token.as_str().as_bytes();
    assert_eq!(characters.len(), 48);
    for (four, three) in characters.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
        let bits = four
            .iter()
            .fold(0, |bits: u32, each| bits << 6 | u32::from(digit(*each)));
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    bytes[4..20].try_into().unwrap()
}

/// Fills from a counter that advances on every sixth call, so that each id occurs six times.
fn repeat_six_times(counter: &AtomicU64, bytes: &mut [u8]) {
    let value = (counter.fetch_add(1, Relaxed) / 6).to_le_bytes();
    bytes
        .iter_mut()
        .zip(value.iter().cycle())
        .for_each(|(byte, from)| *byte = *from);
}

// ID-2: docs/security-checklist.md
#[test]
fn a_repeated_id_never_overwrites_one_in_use() {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let (clock, entropy) = (ManualClock::new(), |bytes: &mut [u8]| {
        repeat_six_times(&DRAWN, bytes);
        Ok(())
    });
    let cache = builder(&clock).entropy(entropy).build().unwrap();
    let mut issued: Vec<(IssuedSession, Vec<u8>)> = Vec::new();
    for n in 0..300_u32 {
        let own = n.to_le_bytes().to_vec();
        issued.push((create(&cache, &own), own));
        if n % 3 == 0 {
            let (old, own) = issued.swap_remove(issued.len() / 2);
            let new = if n % 2 == 0 {
                cache.rotate(&old.id, Duration::ZERO)
            } else {
                cache.sign_in(&old.id, &n.to_string())
            };
            issued.push((new.unwrap(), own));
        }
        cache.validate();
    }
    assert_eq!(cache.len(), issued.len());
    assert!(
        issued
            .iter()
            .all(|(issued, own)| data(&cache, &issued.id).as_ref() == Some(own))
    );
}

// ID-2: docs/security-checklist.md
#[test]
fn concurrent_creates_of_one_id_make_one_session_each() {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    for shards in [1, 4] {
        let clock = ManualClock::new();
        let cache = builder(&clock)
            .memory(4 << 20)
            .shards(shards)
            .entropy(|bytes| {
                repeat_six_times(&DRAWN, bytes);
                Ok(())
            });
        let cache = cache.build().unwrap();
        let create_some = |thread: u32| {
            let own = |n: u32| (thread << 16 | n).to_le_bytes();
            // Eight ids in a row that are in use are an error and change nothing.
            let issued = (0..500).filter_map(|n| Some((own(n), cache.create(&own(n)).ok()?)));
            issued.collect::<Vec<_>>()
        };
        let issued: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..6)
                .map(|n| scope.spawn(move || create_some(n)))
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(issued.len() > 2_000);
        assert_eq!(cache.len(), issued.len());
        assert_eq!(cache.stats().evicted, Default::default());
        assert!(
            issued
                .iter()
                .all(|(own, issued)| data(&cache, &issued.id).is_some_and(|data| data == own))
        );
        cache.validate();
    }
}

// ID-2: docs/security-checklist.md
#[test]
fn a_source_that_always_repeats_is_an_error() {
    let clock = ManualClock::new();
    let stuck = |bytes: &mut [u8]| {
        bytes.fill(7);
        Ok(())
    };
    let cache = builder(&clock).entropy(stuck).build().unwrap();
    let only = create(&cache, b"the only one");
    for _ in 0..3 {
        assert!(cache.create(b"another").is_err());
        assert!(cache.rotate(&only.id, Duration::ZERO).is_err());
        assert!(cache.sign_in(&only.id, "alice").is_err());
    }
    assert_eq!(cache.len(), 1);
    let (record, kept) = request(&cache, only.token.as_str()).unwrap();
    assert_eq!(
        (record.version, record.user, &kept[..]),
        (only.version, None, &b"the only one"[..])
    );
    cache.validate();
}

// ID-2: docs/security-checklist.md
#[test]
fn without_random_bytes_nothing_is_created_or_changed() {
    static IS_DRY: AtomicBool = AtomicBool::new(false);
    let clock = ManualClock::new();
    let never = |_: &mut [u8]| Err(Error::Entropy);
    assert_eq!(
        builder(&clock).entropy(never).build().err(),
        Some(BuildError::Entropy)
    );
    let runs_dry = |bytes: &mut [u8]| {
        bytes.fill(9);
        if IS_DRY.load(Relaxed) {
            Err(Error::Entropy)
        } else {
            Ok(())
        }
    };
    let cache = builder(&clock).entropy(runs_dry).build().unwrap();
    let issued = create(&cache, b"kept");
    IS_DRY.store(true, Relaxed);
    assert_eq!(cache.create(b"more").err(), Some(Error::Entropy));
    assert_eq!(
        cache.rotate(&issued.id, Duration::ZERO).err(),
        Some(Error::Entropy)
    );
    assert_eq!(
        cache.sign_in(&issued.id, "alice").err(),
        Some(Error::Entropy)
    );
    assert_eq!(cache.len(), 1);
    assert_eq!(load(&cache, &issued.id).unwrap().1, b"kept");
}

// ID-4: docs/security-checklist.md
#[test]
fn unknown_id_is_never_adopted() {
    let (cache, _clock) = cache();
    let keys = Keys::new(&ring(&[1]), NAME).unwrap();
    for chosen in [[0; 16], [0xff; 16], *b"chosen by client"] {
        let token = keys.sign(0, chosen).encode();
        assert!(!opens(&cache, &token), "correctly signed, never issued");
        let issued = create(&cache, b"");
        assert_ne!(id_bytes(&issued.token), chosen);
        assert!(!opens(&cache, &token), "`create` does not adopt it either");
        assert!(cache.end(&issued.id));
    }
    assert_eq!(cache.stats().rejected.unknown, 6);
    assert!(cache.is_empty());
    assert_eq!(cache.stats().memory.used, 0);
}

// ID-4: docs/security-checklist.md
#[test]
fn ids_of_another_cache_are_unknown_here() {
    let clock = ManualClock::new();
    let large = builder(&clock).memory(8 << 20).shards(8).build().unwrap();
    let small = builder(&clock).build().unwrap();
    let elsewhere: Vec<_> = (0..64).map(|_| create(&large, b"elsewhere")).collect();
    for issued in &elsewhere {
        assert!(
            !opens(&small, &issued.token),
            "the keys are the same, the session is unknown"
        );
        assert_gone(&small, &issued.id, issued.version);
        assert!(!small.end(&issued.id));
    }
    let place = |issued: &IssuedSession| {
        Parts::parse(issued.token.as_str().as_bytes())
            .unwrap()
            .place
    };
    assert!(
        elsewhere.iter().any(|issued| place(issued) > 0),
        "some name a shard that does not exist"
    );
    assert_eq!((small.len(), small.stats().created), (0, 0));
    assert!(elsewhere.iter().all(|issued| opens(&large, &issued.token)));
}

// ID-4: docs/security-checklist.md
#[test]
fn after_a_restart_no_old_token_makes_a_session() {
    let (before, _clock) = cache();
    let old = create(&before, b"of the last run");
    let (after, _clock) = cache();
    assert!(!opens(&after, &old.token));
    assert!(after.is_empty());
}

// ID-5: docs/security-checklist.md
#[test]
fn no_other_encoding_of_a_token_opens_a_session() {
    let (cache, _clock) = cache();
    let issued = create(&cache, b"mine");
    let token = issued.token.as_str().as_bytes();
    let mut buffer = bytes::BytesMut::new();
    for at in 0..token.len() {
        for byte in 0..=u8::MAX {
            let mut value = token.to_vec();
            value[at] = byte;
            let found = cache.open_token(&value, &mut buffer);
            assert_eq!(found.is_some(), value == token, "{byte} at {at}");
        }
    }
    let text = issued.token.as_str();
    let others = [
        text[1..].to_owned(),
        text[..47].to_owned(),
        format!("{text}="),
        format!("{text}A"),
        format!("{text}AAAA"),
        format!(" {text}"),
        format!("{text}\n"),
        format!("\"{text}\""),
        format!("{text}{text}"),
        text.replace('-', "+").replace('_', "/") + ".",
        text.replace(&text[..1], "%41"),
        String::new(),
    ];
    for other in others {
        assert!(
            cache.open_token(other.as_bytes(), &mut buffer).is_none(),
            "another encoding"
        );
    }
    assert_eq!(cache.stats().sessions.anonymous, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if is_long() { 100_000 } else { 2_000 }))]

    // ID-5: docs/security-checklist.md
    #[test]
    fn hostile_values_are_rejected_and_change_nothing(
        value in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            proptest::collection::vec(any::<u8>(), 48),
            "[A-Za-z0-9_-]{0,100}".prop_map(String::into_bytes),
            "A[Q-Z][A-Za-z0-9_-]{46}".prop_map(String::into_bytes),
            "AQ[A-Za-z0-9_-]{0,8}[\\PC]{0,40}".prop_map(String::into_bytes),
        ],
    ) {
        thread_local! {
            static CACHE: (SessionCache, ManualClock) = cache();
        }
        CACHE.with(|(cache, _)| {
            let before = cache.stats();
            let mut buffer = bytes::BytesMut::from(&b"old"[..]);
            prop_assert!(cache.open_token(&value, &mut buffer).is_none());
            prop_assert!(buffer.is_empty());
            let hostile = [&field(cache, "x")[..], &value, b";__Host-session=", &value].concat();
            prop_assert!(open(cache, &[&value, &hostile]).is_none());
            let after = cache.stats();
            prop_assert_eq!((after.sessions, after.memory), (before.sessions, before.memory));
            let rejected = after.rejected.malformed + after.rejected.forged;
            prop_assert!(rejected >= before.rejected.malformed + before.rejected.forged + 2);
            prop_assert_eq!(after.hits, 0);
            Ok(())
        })?;
    }
}
