#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
};

use proptest::prelude::*;

use super::*;

/// Fixed, so that a failure repeats.
const RANDOM: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];

fn name(number: u64) -> Name {
    Name([number, number.rotate_left(32)])
}

impl Table {
    /// Asserts that each entry is in one chain or in the free list.
    fn validate(&self) {
        let writer = self.writer.lock();
        let mut seen = vec![false; self.entries.len()];
        let mut walk = |mut at: u32, check: &dyn Fn(&Entry)| {
            while at != NONE {
                assert!(!std::mem::replace(&mut seen[at as usize], true));
                check(&self.entries[at as usize]);
                at = self.entries[at as usize].next.load(Relaxed);
            }
        };
        walk(writer.free, &|entry| assert!(!entry.is_used()));
        for (bucket, head) in self.heads.iter().enumerate() {
            walk(head.load(Relaxed), &|entry| {
                assert!(entry.is_used());
                assert_eq!(self.bucket(entry.name()), bucket);
            });
        }
        assert!(seen.iter().all(|seen| *seen), "an entry is lost");
        let used = self.entries.iter().filter(|entry| entry.is_used()).count();
        assert_eq!(used, self.used(Kind::Token) + self.used(Kind::Subject));
    }
}

impl Entry {
    fn is_used(&self) -> bool {
        self.expires_at.load(Relaxed) != FREE
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Insert { name: u64, cutoff: u64, span: u64 },
    Advance(u64),
    Sweep,
}

fn operation() -> impl Strategy<Value = Operation> {
    let cutoff = prop_oneof![Just(TOKEN), 1..100_u64];
    prop_oneof![
        6 => (0..40_u64, cutoff, 0..30_u64)
            .prop_map(|(name, cutoff, span)| Operation::Insert { name, cutoff, span }),
        2 => (0..15_u64).prop_map(Operation::Advance),
        1 => Just(Operation::Sweep),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_naive_model(
        capacity in 1..24_usize,
        operations in prop::collection::vec(operation(), 1..200),
    ) {
        let table = Table::new(capacity, RANDOM).unwrap();
        // The cut-off and the expiry of each name.
        let mut model: HashMap<u64, (u64, u64)> = HashMap::new();
        let mut now = 1_000;
        for operation in operations {
            match operation {
                Operation::Advance(seconds) => now += seconds,
                Operation::Sweep => table.sweep_all(now),
                Operation::Insert { name: number, cutoff, span } => {
                    let live = model.values().filter(|(_, expires_at)| *expires_at > now).count();
                    let inserted = table.insert(name(number), cutoff, now + span, now);
                    if inserted.is_ok() && span > 0 {
                        let known = model.entry(number).or_insert((0, 0));
                        // An entry that expired may be freed or raised.
                        if known.1 <= now {
                            *known = (0, 0);
                        }
                        *known = (known.0.max(cutoff), known.1.max(now + span));
                    } else if inserted.is_err() {
                        prop_assert!(live <= capacity && live + SWEEP_STEP >= capacity);
                    }
                }
            }
            table.validate();
            for number in 0..40 {
                let expected = model.get(&number).filter(|(_, expires_at)| *expires_at > now);
                let found = table.cutoff(name(number), now);
                prop_assert_eq!(found.is_some(), expected.is_some(), "name {}", number);
                if let (Some(found), Some((cutoff, _))) = (found, expected) {
                    prop_assert!(found >= *cutoff);
                }
            }
        }
    }
}

#[test]
fn full_frees_nothing_before_its_expiry() {
    let table = Table::new(3, RANDOM).unwrap();
    for number in 0..3 {
        assert_eq!(table.insert(name(number), TOKEN, 100 + number, 10), Ok(()));
    }
    assert_eq!(table.insert(name(3), TOKEN, 200, 99), Err(Full));
    // A name that is in the table needs no entry.
    assert_eq!(table.insert(name(2), TOKEN, 150, 99), Ok(()));
    assert_eq!(table.insert(name(3), TOKEN, 200, 100), Ok(()));
    assert_eq!(table.cutoff(name(0), 100), None);
    for number in 1..=3 {
        assert_eq!(table.cutoff(name(number), 100), Some(TOKEN), "{number}");
    }
    table.validate();
}

#[test]
fn a_later_cutoff_raises_and_an_earlier_one_changes_nothing() {
    let table = Table::new(2, RANDOM).unwrap();
    assert_eq!(table.insert(name(1), 50, 100, 10), Ok(()));
    assert_eq!(table.insert(name(1), 60, 90, 10), Ok(()));
    assert_eq!(table.insert(name(1), 40, 80, 10), Ok(()));
    assert_eq!(table.cutoff(name(1), 99), Some(60));
    assert_eq!(table.cutoff(name(1), 100), None);
    assert_eq!(table.used(Kind::Subject), 1);
}

#[test]
fn an_expiry_beyond_32_bits_is_not_freed() {
    let table = Table::new(1, RANDOM).unwrap();
    assert_eq!(table.insert(name(1), TOKEN, u64::MAX, 10), Ok(()));
    assert_eq!(table.cutoff(name(1), u64::from(u32::MAX) - 1), Some(TOKEN));
}

/// With a fixed hash, an attacker could choose names that share a bucket. The multipliers of each
/// table spread them.
#[test]
fn names_that_collide_in_one_table_are_spread_in_another() {
    let one = Table::new(1_024, RANDOM).unwrap();
    let chosen: Vec<_> = (0..400_000)
        .map(|number: u32| Name::of_id(&number.to_string()))
        .filter(|name| one.bucket(*name) == 7)
        .collect();
    assert!(chosen.len() > 200, "{}", chosen.len());
    let other = Table::new(1_024, [0x1234_5678_9abc_def1, 0x0fed_cba9_8765_4321]).unwrap();
    let mut lens = vec![0; 1_024];
    for name in chosen {
        lens[other.bucket(name)] += 1;
    }
    assert!(lens.iter().all(|len| *len < 12), "{:?}", lens.iter().max());
}

/// Names that stay must be found at every moment, while a writer fills and frees their chains.
#[test]
fn checks_during_insertions_find_what_stays() {
    // Chains share 61 buckets, so that each changes often.
    let table = Table::new(61, RANDOM).unwrap();
    let now = AtomicU64::new(1_000);
    for number in 0..20 {
        table.insert(name(number), TOKEN, u64::MAX, 1_000).unwrap();
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(Relaxed) {
                    for number in 0..20 {
                        let found = table.cutoff(name(number), now.load(Relaxed));
                        assert_eq!(found, Some(TOKEN), "{number}");
                    }
                    assert_eq!(table.cutoff(name(5_000_000), 1_000), None);
                }
            });
        }
        for number in 100..60_100 {
            let second = now.load(Relaxed);
            let _ = table.insert(name(number), 7, second + 1, second);
            if number % 30 == 0 {
                now.store(second + 1, Relaxed);
            }
        }
        is_done.store(true, Relaxed);
    });
    table.validate();
}
