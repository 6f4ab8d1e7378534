//! Properties of the cookie parsers for any bytes. Run by the fuzz targets and on the corpora.

#[path = "oracle.rs"]
pub(crate) mod oracle;

use std::sync::LazyLock;

use sessile::{
    KeyRing,
    cookie::candidates,
    internals::cookie::{Keys, Parts, Reader},
};

const NAME: &str = "__Host-session";

/// Parses the bytes as a `Cookie` field.
pub(crate) fn header(field: &[u8]) {
    let pairs = oracle::pairs(field);
    let mut names: Vec<&[u8]> = pairs.iter().map(|pair| pair.0).take(32).collect();
    // Names that occur in the field, though perhaps not as the name of a pair.
    let quarter = field.len() / 4;
    names.extend([
        &field[..quarter.min(3)],
        &field[quarter..field.len().min(quarter + 5)],
    ]);
    names.extend([NAME.as_bytes(), b"a", b"", b"=", b";", b" "]);
    for name in names {
        same_as_the_oracle(field, name);
    }
    split_at_any_semicolon(field);
}

fn same_as_the_oracle(field: &[u8], name: &[u8]) {
    let expected = oracle::values(field, name);
    let found: Vec<&[u8]> = candidates(field, name).collect();
    assert_eq!(found, expected, "{name:?} in {field:?}");
    if let Ok(name) = str::from_utf8(name) {
        let reader = Reader::new(name);
        let found: Vec<&[u8]> = reader.candidates(field).collect();
        assert_eq!(found, expected, "prepared, {name:?} in {field:?}");
    }
}

fn split_at_any_semicolon(field: &[u8]) {
    let whole: Vec<&[u8]> = candidates(field, NAME.as_bytes()).collect();
    let cuts = field.iter().enumerate().filter(|(_, byte)| **byte == b';');
    for (cut, _) in cuts.take(32) {
        let fields = [&field[..cut], &field[cut + 1..]];
        let parts = fields
            .iter()
            .flat_map(|field| candidates(field, NAME.as_bytes()));
        assert!(parts.eq(whole.iter().copied()), "cut at {cut}: {field:?}");
    }
}

/// Parses the bytes as a token; then builds a token from them and damages it.
pub(crate) fn token(value: &[u8]) {
    let expected = oracle::decode(value).filter(|bytes| bytes.len() == 36 && bytes[0] == 1);
    match (Parts::parse(value), expected) {
        (Some(parts), Some(bytes)) => {
            assert_eq!(parts, from_bytes(&bytes), "{value:?}");
            assert_eq!(
                parts.encode().as_str().as_bytes(),
                value,
                "a token has one encoding"
            );
            assert!(!KEYS.verify(&parts), "forged: {value:?}");
        }
        (None, None) => {}
        (found, expected) => panic!("{found:?} for {expected:?}, {value:?}"),
    }
    let mut bytes = [0; 36];
    bytes
        .iter_mut()
        .zip(value)
        .for_each(|(byte, from)| *byte = *from);
    let parts = from_bytes(&bytes);
    assert_eq!(
        Parts::parse(parts.encode().as_str().as_bytes()),
        Some(parts)
    );
    signed_then_broken(&parts, value);
}

/// Asserts that a signed token verifies, and fails with any one bit of a character flipped.
fn signed_then_broken(parts: &Parts, value: &[u8]) {
    let signed = KEYS.sign(parts.place, parts.id);
    assert!(KEYS.verify(&signed));
    let mut text = signed.encode().as_str().as_bytes().to_vec();
    let at = usize::from(value.first().copied().unwrap_or(0)) % text.len();
    text[at] ^= 1 << (value.last().copied().unwrap_or(0) % 8);
    let broken = Parts::parse(&text);
    assert!(!broken.is_some_and(|parts| KEYS.verify(&parts)), "{text:?}");
}

fn from_bytes(bytes: &[u8]) -> Parts {
    Parts {
        key: bytes[1],
        place: u16::from_le_bytes([bytes[2], bytes[3]]),
        id: bytes[4..20].try_into().expect("16 bytes"),
        tag: bytes[20..36].try_into().expect("16 bytes"),
    }
}

/// Generated in each run, so that no corpus can contain a token signed by it.
static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let ring = KeyRing::generate().expect("the operating system has random bytes");
    Keys::new(&ring, NAME).expect("one key cannot repeat a number")
});
