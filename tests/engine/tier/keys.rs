//! The key ring of L1: which key signs an entry, fingerprints and derived keys.

use sessile::{
    ManualClock,
    tier::{L1, LookUp, StoredSession},
};

use crate::support::{
    builder,
    l1::{USER_KEY, hit, installed, issue, l1, look_up, stored, unknown},
    rings::ring,
};

fn with_keys(numbers: &[u64]) -> L1 {
    builder(&ManualClock::new())
        .keys(ring(numbers))
        .build_l1(USER_KEY)
        .unwrap()
}

#[test]
fn an_entry_opens_for_tokens_of_every_key_whichever_signed_it() {
    let l1 = with_keys(&[1]);
    let old = issue(&l1);
    l1.set_keys(&ring(&[2, 1])).unwrap();
    let new = l1.sign(&old.id);
    assert_ne!(new, old.token);
    let candidates = l1.verify([&crate::support::l1::field(&l1, &[old.token.as_str()])[..]]);
    let number = candidates.first().unwrap().key_number;
    for key_number in [Some(number), None, Some(number.wrapping_add(1))] {
        let session = StoredSession {
            key_number,
            ..stored(&l1, old.id, 1)
        };
        l1.install(&session, b"data");
        for token in [old.token, new] {
            assert_eq!(hit(&l1, &[token.as_str()]), Some(old.id));
        }
        l1.validate();
    }
    assert_eq!(l1.stats().rejected.forged, 0);
}

#[test]
fn an_entry_under_a_retired_key_opens_for_the_others_only() {
    let l1 = with_keys(&[2, 1]);
    let issued = installed(&l1, 1, b"data");
    let retired = with_keys(&[1]).sign(&issued.id);
    assert_eq!(hit(&l1, &[retired.as_str()]), Some(issued.id));
    l1.set_keys(&ring(&[1])).unwrap();
    assert!(matches!(
        look_up(&l1, &[issued.token.as_str()]).0,
        LookUp::Absent
    ));
    assert_eq!(
        hit(&l1, &[retired.as_str()]),
        Some(issued.id),
        "the entry stays"
    );
}

#[test]
fn nodes_with_the_same_keys_accept_each_others_tokens() {
    let [one, two] = [&[2, 1][..], &[1, 2]].map(with_keys);
    let issued = issue(&one);
    assert_eq!(
        unknown(&two, &[issued.token.as_str()]),
        Some(vec![issued.id])
    );
    assert_eq!(two.sign(&issued.id), with_keys(&[1]).sign(&issued.id));
}

#[test]
fn fingerprints_name_keys_and_follow_the_ring() {
    let l1 = with_keys(&[2, 1]);
    let prints = l1.key_fingerprints();
    assert_eq!(
        prints,
        [with_keys(&[2]), with_keys(&[1])].map(|node| node.key_fingerprints()[0])
    );
    assert_ne!(prints[0], prints[1]);
    l1.set_keys(&ring(&[3, 2])).unwrap();
    assert_eq!(l1.key_fingerprints()[1], prints[0]);
    let renamed = builder(&ManualClock::new())
        .cookie_name("other")
        .build_l1(USER_KEY)
        .unwrap();
    assert_ne!(
        renamed.key_fingerprints()[0],
        prints[1],
        "a key serves one cookie name"
    );
}

#[test]
fn derived_keys_differ_by_purpose_key_and_cookie_name() {
    let (l1, _clock) = l1();
    let same = with_keys(&[1]);
    let encryption = &l1.derive_keys("encryption")[0];
    assert_eq!(*encryption.key, *same.derive_keys("encryption")[0].key);
    assert_eq!(encryption.number, same.derive_keys("other")[0].number);
    assert_ne!(*encryption.key, *l1.derive_keys("other")[0].key);
    assert_ne!(*encryption.key, *l1.derive_keys("")[0].key);
    assert_ne!(
        *encryption.key,
        *with_keys(&[2]).derive_keys("encryption")[0].key
    );
    let renamed = builder(&ManualClock::new())
        .cookie_name("other")
        .build_l1(USER_KEY)
        .unwrap();
    assert_ne!(*encryption.key, *renamed.derive_keys("encryption")[0].key);
    assert_ne!(encryption.key[..8], l1.key_fingerprints()[0]);

    let two = with_keys(&[2, 1]).derive_keys("encryption");
    assert_eq!(two.len(), 2);
    assert_eq!(
        (two[1].number, &*two[1].key),
        (encryption.number, &*encryption.key)
    );
    let text = format!("{two:?}");
    assert_eq!(text, "[DerivedKey(..), DerivedKey(..)]");
}

#[test]
fn derived_keys_name_the_number_that_tokens_carry() {
    let l1 = with_keys(&[2, 1]);
    let issued = issue(&l1);
    let candidate = l1.verify_token(issued.token.as_str().as_bytes()).unwrap();
    assert_eq!(l1.derive_keys("encryption")[0].number, candidate.key_number);
}

#[test]
fn a_ring_that_is_rejected_leaves_all_as_it_was() {
    let (l1, _clock) = l1();
    let prints = l1.key_fingerprints();
    let rejected = (2..5_000).map(|number| ring(&[number, 1]));
    let errors = rejected.filter_map(|ring| l1.set_keys(&ring).err());
    assert!(errors.count() > 0, "numbers of retired keys are used");
    l1.set_keys(&ring(&[1])).unwrap();
    assert_eq!(l1.key_fingerprints(), prints);
}
