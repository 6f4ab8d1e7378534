//! Invariants of any header and payload with a right signature, and of any text.

use std::{
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm as Signing, EncodingKey, crypto};
use serde_json::Value;
use sessile_jwt::{Algorithm, Rejection, Revocations, VerificationKey, Verifier};

const SECRET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let now = || UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let revocations = Revocations::builder(8).clock(now).in_memory();
    Verifier::builder()
        .algorithms([Algorithm::Hs256])
        .key(VerificationKey::hmac(Algorithm::Hs256, SECRET).expect("a secret of 32 bytes"))
        .clock(now)
        .revocations(revocations.expect("a capacity of 8"))
        .build()
        .expect("an algorithm with its key")
});

/// Verifies the input as a token, and as a header and a payload with a line feed between them.
pub(crate) fn jwt(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes) {
        // The input contains no signature of this secret, unless it is a seed.
        let _ = VERIFIER.verify::<Value>(text);
        let _ = VerificationKey::jwk(text);
        let _ = VerificationKey::jwk_set(text);
    }
    let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (header, payload) = (&bytes[..at], &bytes[at + 1..]);
    let parts = [header, payload].map(|part| base64_simd::URL_SAFE_NO_PAD.encode_to_string(part));
    let message = parts.join(".");
    let key = EncodingKey::from_secret(SECRET).expect("a secret");
    let signature = crypto::sign(message.as_bytes(), &key, Signing::HS256);
    let token = format!("{message}.{}", signature.expect("HMAC does not fail"));
    match VERIFIER.verify::<Value>(&token) {
        Err(Rejection::Signature | Rejection::UnknownKey) => panic!("the signature is right"),
        Err(_) => {}
        Ok(claims) => check_accepted(header, payload, &claims),
    }
}

/// Another reader of JSON finds what an accepted token must have.
fn check_accepted(header: &[u8], payload: &[u8], claims: &Value) {
    let header: Value = serde_json::from_slice(header).expect("a JSON header");
    assert_eq!(header["alg"], "HS256");
    assert!(header.get("crit").is_none() && header.get("b64").is_none());
    let payload: Value = serde_json::from_slice(payload).expect("JSON claims");
    assert_eq!(payload, *claims);
    let expiry = payload["exp"].as_f64().expect("a date");
    assert!(expiry > 1_700_000_000.0 && expiry.is_finite());
    for begin in ["nbf", "iat"] {
        let is_past = |date: &Value| date.as_f64().is_some_and(|date| date <= 1_700_000_000.0);
        assert!(payload.get(begin).is_none_or(is_past));
    }
}
