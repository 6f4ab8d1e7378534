//! A token is valid only with its key, its cookie name and all of its bits.

use crate::support::rings::{ID, NAME, keys, ring};
use proptest::prelude::*;
use sessile::internals::cookie::{Keys, Parts};

fn verifies(keys: &Keys, value: &str) -> bool {
    Parts::parse(value.as_bytes()).is_some_and(|parts| keys.verify(&parts))
}

/// Computed by another implementation of HKDF and HMAC.
// SIGN-4: docs/security-checklist.md
#[test]
fn golden_tokens() {
    let golden = [
        (NAME, "Ae4CAQABAgMEBQYHCAkKCwwNDg-SPJw2_xpfQTCaj9IxI0Xa"),
        ("sid", "AeECAQABAgMEBQYHCAkKCwwNDg89QFa2i4DUrePWXTt38IVV"),
    ];
    for (name, token) in golden {
        let keys = Keys::new(&ring(&[1]), name).unwrap();
        assert_eq!(keys.sign(0x0102, ID).encode().as_str(), token);
        assert!(verifies(&keys, token));
    }
}

// SIGN-4: docs/security-checklist.md
#[test]
fn a_token_is_rejected_under_another_cookie_name() {
    let here = keys(&[1]).sign(0x0102, ID);
    for name in [
        "__Host-sessio",
        "__Host-session2",
        "__host-session",
        "sid",
        "",
    ] {
        let there = Keys::new(&ring(&[1]), name).unwrap();
        assert!(!there.verify(&here), "{name}");
        // Not even with that name's own key number.
        let Parts { key, .. } = there.sign(0x0102, ID);
        assert!(!there.verify(&Parts { key, ..here }), "{name}");
        assert_ne!(there.sign(0x0102, ID).tag, here.tag, "{name}");
    }
}

// SIGN-4: docs/security-checklist.md
#[test]
fn the_tag_covers_key_number_shard_and_id() {
    let other = keys(&[2]).sign(0x0102, ID);
    let keys = keys(&[1, 2]);
    let good = keys.sign(0x0102, ID);
    assert!(keys.verify(&good) && keys.verify(&other));
    assert!(!keys.verify(&Parts {
        key: other.key,
        ..good
    }));
    assert!(!keys.verify(&Parts {
        tag: other.tag,
        ..good
    }));
    assert!(!keys.verify(&Parts {
        place: 0x0201,
        ..good
    }));
    let mut swapped = good;
    swapped.id.reverse();
    assert!(!keys.verify(&swapped));
}

// SIGN-2: docs/security-checklist.md
#[test]
fn a_tag_that_differs_in_one_bit_is_rejected() {
    let keys = keys(&[1]);
    let good = keys.sign(0x0102, ID);
    for bit in 0..128 {
        let mut wrong = good;
        wrong.tag[bit / 8] ^= 1 << (bit % 8);
        assert!(!keys.verify(&wrong), "bit {bit}");
    }
    assert!(keys.verify(&good));
}

// SIGN-6: docs/security-checklist.md
#[test]
fn a_token_with_any_bit_flipped_is_rejected() {
    let keys = keys(&[1]);
    let good = keys.sign(0x0102, ID).encode();
    for at in 0..48 {
        for bit in 0..8 {
            let mut text = good.as_str().as_bytes().to_vec();
            text[at] ^= 1 << bit;
            let parsed = Parts::parse(&text);
            assert!(
                !parsed.is_some_and(|parts| keys.verify(&parts)),
                "{at}, {bit}"
            );
        }
    }
}

// SIGN-6: docs/security-checklist.md
#[test]
fn a_token_has_one_encoding() {
    // Its bytes differ in both alphabets and under every kind of lenient decoding.
    let parts = Parts {
        key: 0xfb,
        place: 0xffff,
        id: [0xfb; 16],
        tag: [0xff; 16],
    };
    let good = parts.encode().as_str().to_owned();
    assert_eq!(Parts::parse(good.as_bytes()), Some(parts));
    assert!(good.contains('-') && good.contains('_'));
    let others = [
        good.replace('-', "+"),
        good.replace('_', "/"),
        format!("{good}="),
        format!("{good}=="),
        format!("{}=", &good[..47]),
        format!("{}==", &good[..46]),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{}\n", &good[..47]),
        format!("{} {}", &good[..20], &good[21..]),
        format!("\"{good}\""),
        format!("%{}", &good[1..]),
        good.to_lowercase(),
        good[..47].to_owned(),
        good[..44].to_owned(),
        format!("{good}AAAA"),
        good.replacen('A', "Ａ", 1),
        String::new(),
    ];
    for other in others {
        assert_ne!(Parts::parse(other.as_bytes()), Some(parts), "{other:?}");
        let len_is_right = other.len() == 48;
        let is_other_token = len_is_right && other == good.to_lowercase();
        assert!(
            is_other_token || Parts::parse(other.as_bytes()).is_none(),
            "{other:?}"
        );
    }
}

// SIGN-6: docs/security-checklist.md
#[test]
fn a_byte_outside_the_alphabet_is_rejected() {
    let good = keys(&[1]).sign(0x0102, ID).encode();
    for at in 0..48 {
        for byte in 0..=255_u8 {
            let mut text = good.as_str().as_bytes().to_vec();
            text[at] = byte;
            let is_digit = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            // The first character and a half encode the format.
            let is_format = text[0] == b'A' && matches!(text[1], b'Q'..=b'Z' | b'a'..=b'f');
            assert_eq!(
                Parts::parse(&text).is_some(),
                is_digit && is_format,
                "{byte} at {at}"
            );
        }
    }
}

// ID-5: docs/security-checklist.md
#[test]
fn any_other_length_or_format_is_rejected() {
    let letters = "A".repeat(200);
    for len in (0..200).filter(|len| *len != 48) {
        assert_eq!(Parts::parse(&letters.as_bytes()[..len]), None, "{len}");
        let begun = format!("AQ{letters}");
        assert_eq!(Parts::parse(&begun.as_bytes()[..len]), None, "{len}");
    }
    for format in (0..=255_u8).filter(|format| *format != 1) {
        let mut bytes = [0; 36];
        bytes[0] = format;
        let text = base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes);
        assert_eq!(Parts::parse(text.as_bytes()), None, "{format}");
    }
}

#[test]
fn tokens_are_equal_when_they_are_the_same() {
    let keys = keys(&[1]);
    let [one, again, other] = [1, 1, 2].map(|place| keys.sign(place, ID).encode());
    assert!(one == again && one != other);
    assert_eq!(size_of_val(&one), 48);
}

proptest! {
    // SIGN-6: docs/security-checklist.md
    #[test]
    fn encoded_parts_parse_back(
        key in any::<u8>(),
        place in any::<u16>(),
        id in any::<[u8; 16]>(),
        tag in any::<[u8; 16]>(),
    ) {
        let parts = Parts { key, place, id, tag };
        let token = parts.encode();
        prop_assert_eq!(token.as_str().len(), 48);
        prop_assert_eq!(Parts::parse(token.as_str().as_bytes()), Some(parts));
    }

    // SIGN-1: docs/security-checklist.md
    #[test]
    fn signed_parts_verify_and_guessed_ones_do_not(
        place in any::<u16>(),
        id in any::<[u8; 16]>(),
        guess in any::<[u8; 16]>(),
        number in any::<u8>(),
    ) {
        let keys = keys(&[1, 2]);
        let signed = keys.sign(place, id);
        prop_assert!(keys.verify(&signed));
        let guessed = Parts { tag: guess, ..signed };
        prop_assert!(!keys.verify(&guessed));
        let numbered = Parts { key: number, ..guessed };
        prop_assert!(!keys.verify(&numbered));
    }
}
