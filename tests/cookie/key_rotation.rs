//! Replacing the key ring at run time: which users stay signed in, and which tokens are never
//! accepted again.

use crate::support::rings::{ID, NAME, key, keys, ring};
use sessile::{
    KeyError,
    internals::cookie::{Keys, Parts, mac},
};

// SIGN-5: docs/security-checklist.md
#[test]
fn the_first_key_signs_and_all_verify() {
    let tokens = [1, 2, 3].map(|number| keys(&[number]).sign(7, ID));
    let ring = keys(&[2, 1]);
    assert_eq!(ring.sign(7, ID), tokens[1]);
    assert_eq!(tokens.map(|token| ring.verify(&token)), [true, true, false]);
    assert_eq!(
        tokens.map(|token| ring.is_valid(token.key)),
        [true, true, false]
    );
}

// SIGN-5: docs/security-checklist.md
#[test]
fn key_rotation_signs_no_user_out_until_the_old_key_is_retired() {
    let running = keys(&[1]);
    let old = running.sign(7, ID);
    // The new key is added first, so that every server accepts it before one signs with it.
    running.set(&ring(&[1, 2])).unwrap();
    assert_eq!(running.sign(7, ID), old);
    running.set(&ring(&[2, 1])).unwrap();
    let new = running.sign(7, ID);
    assert_ne!(new, old);
    assert!(running.verify(&old) && running.verify(&new));
    assert!(running.is_valid(old.key) && running.is_valid(new.key));
    running.set(&ring(&[2])).unwrap();
    assert!(!running.verify(&old) && running.verify(&new));
    assert!(!running.is_valid(old.key) && running.is_valid(new.key));
    // A retired key may return under its own number.
    running.set(&ring(&[2, 1])).unwrap();
    assert!(running.verify(&old) && running.is_valid(old.key));
}

// SIGN-5: docs/security-checklist.md
#[test]
fn only_the_ring_s_numbers_are_valid() {
    // Key numbers at the ends of the bitmap's words.
    let ends = [0, 63, 64, 127, 128, 191, 192, 255];
    let with_number = |wanted| (0..).find(|key| number(*key) == wanted);
    let running = keys(&ends.map(|end| with_number(end).expect("one in 256")));
    let valid: Vec<u8> = (0..=255)
        .filter(|number| running.is_valid(*number))
        .collect();
    assert_eq!(valid, ends);
}

fn number(key: u64) -> u8 {
    keys(&[key]).sign(0, ID).key
}

/// Finds two keys with one number by trial.
fn keys_with_one_number() -> (u64, u64) {
    let second = (2..5_000).find(|other| number(*other) == number(1));
    (1, second.expect("one in 256 has that number"))
}

// SIGN-5: docs/security-checklist.md
#[test]
fn two_keys_with_one_number_are_rejected() {
    let (one, two) = keys_with_one_number();
    let pair = ring(&[3, one, two]);
    let expected = KeyError::SameNumber {
        position: 3,
        first: 2,
    };
    assert_eq!(Keys::new(&pair, NAME).err(), Some(expected.clone()));
    let running = keys(&[3]);
    assert_eq!(running.set(&pair), Err(expected));
    assert!(
        Keys::new(&pair, "sid").is_ok(),
        "the number depends on the cookie's name"
    );
}

// SIGN-5: docs/security-checklist.md
#[test]
fn a_retired_key_s_number_is_never_given_to_another() {
    let (one, two) = keys_with_one_number();
    let since_the_start = keys(&[one]);
    let since_a_rotation = keys(&[5]);
    since_a_rotation.set(&ring(&[one])).unwrap();
    for running in [since_the_start, since_a_rotation] {
        let old = running.sign(7, ID);
        running.set(&ring(&[3])).unwrap();
        let now = running.sign(7, ID);
        let rejected = running.set(&ring(&[4, two]));
        assert_eq!(rejected, Err(KeyError::UsedNumber { position: 2 }));
        assert!(!running.is_valid(old.key) && !running.verify(&old));
        // Nothing else changed.
        assert_eq!(running.sign(7, ID), now);
        let four = keys(&[4]).sign(7, ID);
        assert!(!running.is_valid(four.key) && !running.verify(&four));
        running.set(&ring(&[4, one])).unwrap();
        assert!(running.verify(&old) && running.verify(&four) && !running.verify(&now));
    }
}

/// Holds even if the first key made the tag over that number, which it never does.
// SIGN-5: docs/security-checklist.md
#[test]
fn a_number_without_a_key_is_rejected_with_any_tag() {
    let running = keys(&[1]);
    let good = running.sign(7, ID);
    let secret = mac_key(1);
    for key in 0..=255 {
        let covered = [&[1, key, 7, 0][..], &ID].concat();
        let tag = mac(&secret, &covered)[..16].try_into().unwrap();
        let parts = Parts {
            key,
            place: 7,
            id: ID,
            tag,
        };
        assert_eq!(running.verify(&parts), key == good.key, "{key}");
        assert!(key == good.key || !running.verify(&Parts { key, ..good }));
    }
}

/// Computes HKDF-SHA-256 directly: RFC 5869 without a salt, one block.
fn mac_key(number: u64) -> [u8; 32] {
    let part = |text: &str| [&(text.len() as u64).to_be_bytes(), text.as_bytes()].concat();
    let info = ["sessile v1", NAME, "token tag"].map(part).concat();
    let extracted = mac(&[0; 32], &key(number));
    mac(&extracted, &[&info[..], &[1]].concat())
}

// SIGN-5: docs/security-checklist.md
#[test]
fn many_threads_sign_and_verify_while_the_ring_changes() {
    let running = keys(&[1, 2]);
    let kept = keys(&[2]).sign(7, ID);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..500 {
                    assert!(running.verify(&kept), "the token's key is in every ring");
                    assert!(running.is_valid(kept.key));
                }
            });
        }
        for turn in 0..100 {
            running
                .set(&ring(if turn % 2 == 0 { &[2] } else { &[1, 2] }))
                .unwrap();
        }
    });
}
