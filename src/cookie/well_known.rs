//! Keys that are not secret: printed in documentation, shipped as a default, or following a pattern.
//!
//! Owns the list and the patterns. A key that it names is certainly not secret; one that it does
//! not name may still be. It names a random key of 32 bytes with a probability below 2^-30.

use zeroize::Zeroizing;

/// Returns where the key is published or which pattern it follows, or `None`.
pub(super) fn origin(key: &[u8]) -> Option<&'static str> {
    published(key)
        .or_else(|| {
            ENCODINGS
                .iter()
                .find_map(|encode| published(encode(key).as_bytes()))
        })
        .or_else(|| pattern(key))
        .or_else(|| pattern(&decode_hex(key)?))
}

/// Returns where the text itself is published, or `None`.
pub(super) fn published(text: &[u8]) -> Option<&'static str> {
    let known = PUBLISHED
        .iter()
        .find(|(known, _)| text.eq_ignore_ascii_case(known.as_bytes()));
    known
        .map(|(_, origin)| *origin)
        .or_else(|| placeholder(text))
}

/// Returns the placeholder phrase that the text contains, ignoring case and punctuation.
fn placeholder(text: &[u8]) -> Option<&'static str> {
    // Full capacity from the start: growing would leave copies of the key behind.
    let mut letters = Zeroizing::new(Vec::with_capacity(text.len()));
    letters.extend(
        text.iter()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .map(u8::to_ascii_lowercase),
    );
    let holds = |phrase: &str| {
        letters
            .windows(phrase.len())
            .any(|part| part == phrase.as_bytes())
    };
    PLACEHOLDERS
        .iter()
        .find(|(phrase, _)| holds(phrase))
        .map(|(_, origin)| *origin)
}

fn pattern(key: &[u8]) -> Option<&'static str> {
    let step = |pair: &[u8]| pair[1].wrapping_sub(pair[0]);
    let mut seen = [false; 256];
    key.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    if (1..=key.len() / 2).any(|period| key[period..] == key[..key.len() - period]) {
        Some("a short piece, repeated")
    } else if key.windows(2).all(|pair| step(pair) == step(key)) {
        Some("bytes that count up or down")
    } else if seen.iter().filter(|seen| **seen).count() < MIN_DISTINCT {
        Some("too few distinct bytes")
    } else {
        None
    }
}

fn encode_hex(key: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(key.len() * 2));
    let digits = key.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    text.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
    text
}

/// Decodes hexadecimal text. Returns `None` if the key is not hexadecimal.
fn decode_hex(key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| Some((digit(pair[0])? * 16 + digit(*pair.get(1)?)?) as u8);
    key.chunks(2)
        .map(pair)
        .collect::<Option<_>>()
        .map(Zeroizing::new)
}

type Encode = fn(&[u8]) -> Zeroizing<String>;

/// A raw key may be the decoded form of a published text.
const ENCODINGS: [Encode; 3] = [
    encode_hex,
    |key| Zeroizing::new(base64_simd::STANDARD.encode_to_string(key)),
    |key| Zeroizing::new(base64_simd::URL_SAFE_NO_PAD.encode_to_string(key)),
];

/// A random key of 32 bytes has fewer distinct bytes with a probability below 2^-60, even in
/// hexadecimal form.
const MIN_DISTINCT: usize = 8;

/// Published texts of at least 32 characters, and their sources. Case is ignored.
const PUBLISHED: &[(&str, &str)] = &[
    (
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "FastAPI's tutorial",
    ),
    (
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
        "Flask's documentation",
    ),
    (
        "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET",
        "Apache Superset's default",
    ),
    (
        "YOUR_OWN_RANDOM_GENERATED_SECRET_KEY",
        "Apache Superset's documentation",
    ),
    ("c292a0a3aa32397cdb050e233733900f", "Redash's default"),
    (
        "b3c631c314c0bbca50c1b2843150fe33",
        "the tests of Ruby on Rails",
    ),
    (
        "AckfSECXIvnK5r28GVIWUAxmbBSjTsmF",
        "the tests of Laravel packages",
    ),
    (
        "averylogphrasebiggerthanthirtytwochars",
        "fastify-secure-session's documentation",
    ),
    (
        "a secret with minimum length of 32 characters",
        "fastify-session's documentation",
    ),
    (
        "complex_password_at_least_32_characters_long",
        "iron-session's documentation",
    ),
    (
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "Supabase's default",
    ),
    (
        "a-string-secret-at-least-256-bits-long",
        "the example of jwt.io",
    ),
    (
        "hPRYyVRiMyxpw5sBB1XeCMN1kFsDCqKvBi2QJxBVHQk=",
        "Rocket's guide",
    ),
    (
        "59cac87de65ac5f5a6f922a9871f14c55e9afe4f3c1a088ffe18748a5ce19f3c\
         9d2987811fe2c410c6a886042a01c4183967f193c9b9e90ab4aabb59fc896e6b",
        "the tests of the Rust crate cookie",
    ),
    (
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        "RFC 7515, appendix A.1",
    ),
    ("abcdefghijklmnopqrstuvwxyz123456", "the alphabet"),
    ("abcdefghijklmnopqrstuvwxyz0123456789", "the alphabet"),
    (
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
        "the alphabet of base64",
    ),
    (
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        "the alphabet of base64",
    ),
];

/// Phrases of placeholders in lower case, letters and digits only, in the order of the search.
const PLACEHOLDERS: &[(&str, &str)] = &[
    ("djangoinsecure", "Django's key for development"),
    ("changeme", "the placeholder \"change me\""),
    ("changethis", "the placeholder \"change this\""),
    ("replaceme", "the placeholder \"replace me\""),
    ("replacethis", "the placeholder \"replace this\""),
    ("placeholder", "the placeholder \"placeholder\""),
    ("keyboardcat", "express-session's documentation"),
    ("yoursecret", "the placeholder \"your secret\""),
    ("secretkey", "the placeholder \"secret key\""),
    ("supersecret", "the placeholder \"super secret\""),
    ("thisisasecret", "the placeholder \"this is a secret\""),
    ("atleast32", "the placeholder \"at least 32\""),
    ("donotuse", "the placeholder \"do not use\""),
    ("password", "the placeholder \"password\""),
    ("insecure", "the placeholder \"insecure\""),
];
