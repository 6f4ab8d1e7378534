//! Pairs and changes against a map from the standard library, and against bytes of any shape.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::{Pairs, Writer, is_canonical};
use crate::changes::{Changes, Verdict};

type Model = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug)]
enum Op {
    Insert(String, Vec<u8>),
    Remove(String),
    Clear,
}

fn pairs(model: &Model) -> Pairs {
    let mut writer = Writer::with_capacity(0);
    model.iter().for_each(|(key, value)| writer.push(key.as_bytes(), value));
    writer.finish()
}

fn model(pairs: &Pairs) -> Model {
    let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    pairs.iter().map(|(key, value)| (text(key), value.to_vec())).collect()
}

/// Few keys, so that changes meet what is stored; the empty one and one beyond ASCII among them.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-d]{0,2}", 1 => Just("Ärger".to_owned()), 1 => "\\PC{0,12}"]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..6), vec(any::<u8>(), 250..300)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (key(), value()).prop_map(|(key, value)| Op::Insert(key, value)),
        3 => key().prop_map(Op::Remove),
        1 => Just(Op::Clear),
    ]
}

fn run(ops: &[Op], changes: &mut Changes, model: &mut Model) {
    for op in ops {
        match op.clone() {
            Op::Insert(key, value) => {
                changes.insert(&key, value.clone().into());
                model.insert(key, value);
            }
            Op::Remove(key) => {
                changes.remove(&key);
                model.remove(&key);
            }
            Op::Clear => {
                changes.clear();
                model.clear();
            }
        }
    }
}

fn seen(changes: &Changes, stored: &Pairs, key: &str) -> Option<Vec<u8>> {
    match changes.of(key) {
        Verdict::Is(json) => Some(json.to_vec()),
        Verdict::Absent => None,
        Verdict::Untouched => stored.find(key).map(|json| json.to_vec()),
    }
}

proptest! {
    #[test]
    fn a_map_survives_its_bytes(map in prop::collection::btree_map(key(), value(), 0..12)) {
        let written = pairs(&map);
        let read = Pairs::read(Bytes::copy_from_slice(written.as_bytes()));
        prop_assert_eq!(&read, &written);
        prop_assert_eq!(model(&read), map.clone());
        for (key, value) in &map {
            prop_assert_eq!(read.find(key), Some(Bytes::copy_from_slice(value)));
        }
    }

    #[test]
    fn changes_do_what_the_model_does(
        before in prop::collection::btree_map(key(), value(), 0..8),
        ops in vec(op(), 0..12),
        asked in vec(key(), 8),
    ) {
        let stored = pairs(&before);
        let (mut changes, mut after) = (Changes::default(), before);
        run(&ops, &mut changes, &mut after);
        let applied = changes.applied_to(&stored);
        prop_assert_eq!(&applied, &pairs(&after), "one spelling a map");
        for key in asked.iter().chain(after.keys()) {
            prop_assert_eq!(seen(&changes, &stored, key), after.get(key).cloned());
        }
    }

    #[test]
    fn bytes_of_any_shape_are_a_map_or_empty(bytes in vec(prop_oneof![0..4_u8, any::<u8>()], 0..64)) {
        let read = Pairs::read(bytes.clone().into());
        let again = pairs(&model(&read));
        prop_assert_eq!(&again, &read);
        prop_assert!(read.is_empty() || read.as_bytes() == bytes);
    }

    #[test]
    fn damage_is_never_half_a_map(
        map in prop::collection::btree_map(key(), value(), 1..8),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let whole = pairs(&map).as_bytes().to_vec();
        let cut = Pairs::read(Bytes::copy_from_slice(&whole[..at.index(whole.len())]));
        prop_assert!(model(&cut).iter().all(|(key, value)| map.get(key) == Some(value)));
        let mut changed = whole;
        let at = at.index(changed.len());
        changed[at] = byte;
        let read = Pairs::read(changed.clone().into());
        prop_assert!(read.is_empty() || read.as_bytes() == changed);
    }
}

#[test]
fn st_53_corrupt_bytes_are_an_empty_map() {
    let one = |key: &[u8]| [&[1, key.len() as u8, 0, 1, 0, 0, 0], key, b"7"].concat();
    assert_eq!(Pairs::read(one(b"a").into()).find("a").as_deref(), Some(&b"7"[..]));
    let pair = &one(b"a")[1..];
    for (bytes, why) in [
        (vec![1], "a format and no pair is a second spelling of nothing"),
        (vec![0], "an unknown format"),
        (b"data".to_vec(), "bytes of another making"),
        ([&[2], pair].concat(), "a later format"),
        (one(b"\xff"), "a key that is not UTF-8"),
        ([&[1], pair, pair].concat(), "a key twice"),
        ([&[1], &one(b"b")[1..], pair].concat(), "keys out of order"),
        ([&[1], pair, &[0]].concat(), "a byte too many"),
        (vec![1, 255, 255, 255, 255, 255, 255], "lengths beyond the end"),
    ] {
        assert!(!is_canonical(&bytes), "{why}");
        assert!(Pairs::read(bytes.into()).is_empty(), "{why}");
    }
}

#[test]
fn a_value_is_found_without_a_copy_and_copied_as_it_is() {
    let stored = pairs(&Model::from([
        ("a".into(), b" { \"n\" : 1 } ".to_vec()),
        ("b".into(), b"2".to_vec()),
    ]));
    let found = stored.find("a").unwrap();
    assert!(stored.as_bytes().as_ptr_range().contains(&found.as_ptr()));
    let mut changes = Changes::default();
    changes.insert("b", Bytes::from_static(b"3"));
    assert_eq!(changes.applied_to(&stored).find("a"), Some(found), "spaces and all");
}
