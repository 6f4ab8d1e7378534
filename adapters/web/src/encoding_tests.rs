//! Pairs and changes against a map of the standard library, and against arbitrary bytes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::{Pairs, Writer, is_canonical};
use crate::changes::{Change, Changes};

type Model = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug)]
enum Op {
    Insert(String, Vec<u8>),
    Remove(String),
    Clear,
    Add(String, i64),
    Append(String, u8),
    Watch(String),
}

fn pairs(model: &Model) -> Pairs {
    let mut writer = Writer::with_capacity(0);
    model
        .iter()
        .for_each(|(key, value)| writer.push(key.as_bytes(), value));
    writer.finish()
}

fn model(pairs: &Pairs) -> Model {
    let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    pairs
        .iter()
        .map(|(key, value)| (text(key), value.to_vec()))
        .collect()
}

/// Few keys, so that changes often meet stored ones. The empty key and a non-ASCII one are among
/// them.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-d]{0,2}", 1 => Just("Ärger".to_owned()), 1 => "\\PC{0,12}"]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..6),
        vec(any::<u8>(), 250..300),
        any::<i64>().prop_map(|number| number.to_string().into()),
        vec(any::<u8>(), 0..4).prop_map(|list| serde_json::to_vec(&list).unwrap()),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (key(), value()).prop_map(|(key, value)| Op::Insert(key, value)),
        3 => key().prop_map(Op::Remove),
        1 => Just(Op::Clear),
        4 => (key(), any::<i64>()).prop_map(|(key, by)| Op::Add(key, by)),
        4 => (key(), any::<u8>()).prop_map(|(key, item)| Op::Append(key, item)),
        1 => key().prop_map(Op::Watch),
    ]
}

/// Returns the sum or the longer list; `None` if the value has another type.
fn grown(op: &Op, value: Option<&Vec<u8>>) -> Option<Vec<u8>> {
    match op {
        Op::Add(_, by) => {
            let number = value
                .map_or(Ok(0), |json| serde_json::from_slice::<i64>(json))
                .ok()?;
            Some(number.saturating_add(*by).to_string().into())
        }
        Op::Append(_, item) => {
            let list = value.map_or(Ok(vec![]), |json| serde_json::from_slice::<Vec<u8>>(json));
            serde_json::to_vec(&[list.ok()?, vec![*item]].concat()).ok()
        }
        _ => None,
    }
}

/// Applies one operation to the model. Returns true if it is possible.
fn run(op: &Op, model: &mut Model) -> bool {
    match op {
        Op::Insert(key, value) => drop(model.insert(key.clone(), value.clone())),
        Op::Remove(key) => drop(model.remove(key)),
        Op::Clear => model.clear(),
        Op::Watch(_) => {}
        Op::Add(key, _) | Op::Append(key, _) => match grown(op, model.get(key)) {
            Some(json) => drop(model.insert(key.clone(), json)),
            None => return false,
        },
    }
    true
}

fn push(op: &Op, changes: &mut Changes, stored: &Pairs) {
    match op.clone() {
        Op::Insert(key, value) => changes.push(&key, Change::Set(value.into())),
        Op::Remove(key) => changes.push(&key, Change::Remove),
        Op::Clear => changes.clear(),
        Op::Add(key, by) => changes.push(&key, Change::Add(by)),
        Op::Append(key, item) => {
            changes.push(&key, Change::Append(item.to_string().into_bytes().into()));
        }
        Op::Watch(key) => changes.watch(&key, stored.find(&key)),
    }
}

/// Applies the possible operations to a map, and returns them as changes.
fn run_all(ops: &[Op], stored: &Model) -> (Vec<Op>, Changes, Model) {
    let (mut changes, mut after) = (Changes::default(), stored.clone());
    let stored = pairs(stored);
    let done = ops
        .iter()
        .filter(|op| run(op, &mut after))
        .cloned()
        .collect::<Vec<_>>();
    done.iter().for_each(|op| push(op, &mut changes, &stored));
    (done, changes, after)
}

fn seen(changes: &Changes, stored: &Pairs, key: &str) -> Option<Vec<u8>> {
    changes
        .value(key, || stored.find(key))
        .unwrap()
        .map(|json| json.to_vec())
}

/// Returns the result of the operations on a map that others changed; `None` if an operation whose
/// result matters is impossible, or if a watched key differs.
fn replayed(done: &[Op], read: &Model, left: &Model) -> Option<Model> {
    let (mut after, mut bad) = (left.clone(), BTreeSet::new());
    for op in done {
        match op {
            Op::Watch(key) if read.get(key) != left.get(key) => return None,
            Op::Insert(key, _) | Op::Remove(key) => drop(bad.remove(key)),
            Op::Clear => bad.clear(),
            Op::Add(key, _) | Op::Append(key, _) if bad.contains(key) => continue,
            _ => {}
        }
        if let (false, Op::Add(key, _) | Op::Append(key, _)) = (run(op, &mut after), op) {
            bad.insert(key.clone());
        }
    }
    bad.is_empty().then_some(after)
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
    fn changes_match_the_model(
        before in prop::collection::btree_map(key(), value(), 0..8),
        ops in vec(op(), 0..12),
        asked in vec(key(), 8),
    ) {
        let (_, changes, after) = run_all(&ops, &before);
        let stored = pairs(&before);
        let applied = changes.applied_to(&stored).unwrap();
        prop_assert_eq!(&applied, &pairs(&after), "each map has one encoding");
        for key in asked.iter().chain(after.keys()) {
            prop_assert_eq!(seen(&changes, &stored, key), after.get(key).cloned());
        }
    }

    // LIFE-5: docs/security-checklist.md
    #[test]
    fn changes_are_reapplied_to_concurrent_saves(
        read in prop::collection::btree_map(key(), value(), 0..8),
        ops in vec(op(), 0..12),
        others in vec(op(), 0..6),
    ) {
        let (done, changes, _) = run_all(&ops, &read);
        let (_, _, left) = run_all(&others, &read);
        let applied = changes.applied_to(&pairs(&left)).ok();
        prop_assert_eq!(applied.map(|pairs| model(&pairs)), replayed(&done, &read, &left));
    }

    #[test]
    fn bytes_of_any_shape_are_a_map_or_empty(bytes in vec(prop_oneof![0..4_u8, any::<u8>()], 0..64)) {
        let read = Pairs::read(bytes.clone().into());
        let again = pairs(&model(&read));
        prop_assert_eq!(&again, &read);
        prop_assert!(read == Pairs::default() || read.as_bytes() == bytes);
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
        prop_assert!(read == Pairs::default() || read.as_bytes() == changed);
    }
}

// ST-53: tests/vectors/store_contract_cases.json
#[test]
fn corrupt_bytes_are_an_empty_map() {
    let one = |key: &[u8]| [&[1, key.len() as u8, 0, 1, 0, 0, 0], key, b"7"].concat();
    assert_eq!(
        Pairs::read(one(b"a").into()).find("a").as_deref(),
        Some(&b"7"[..])
    );
    let pair = &one(b"a")[1..];
    for (bytes, why) in [
        (
            vec![1],
            "a format byte without a pair would be a second encoding of the empty map",
        ),
        (vec![0], "an unknown format"),
        (b"data".to_vec(), "bytes of another making"),
        ([&[2], pair].concat(), "a later format"),
        (one(b"\xff"), "a key that is not UTF-8"),
        ([&[1], pair, pair].concat(), "a key twice"),
        ([&[1], &one(b"b")[1..], pair].concat(), "keys out of order"),
        ([&[1], pair, &[0]].concat(), "a byte too many"),
        (
            vec![1, 255, 255, 255, 255, 255, 255],
            "lengths beyond the end",
        ),
    ] {
        assert!(!is_canonical(&bytes), "{why}");
        assert!(Pairs::read(bytes.into()) == Pairs::default(), "{why}");
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
    changes.push("b", Change::Set(Bytes::from_static(b"3")));
    assert_eq!(
        changes.applied_to(&stored).unwrap().find("a"),
        Some(found),
        "spaces and all"
    );
}
