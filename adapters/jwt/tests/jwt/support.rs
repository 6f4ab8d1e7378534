//! Tokens from JSON text, and verifiers at a fixed time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm as Signing, EncodingKey, crypto};
use serde::de::IgnoredAny;
use serde_json::Value;
use sessile_jwt::{Algorithm, Rejection, VerificationKey, Verifier, VerifierBuilder};

pub(crate) const SECRET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// The time of the tests, in Unix seconds.
pub(crate) const NOW: f64 = 1_700_000_000.0;

pub(crate) const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

pub(crate) fn at(seconds: f64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

pub(crate) fn key() -> VerificationKey {
    VerificationKey::hmac(Algorithm::Hs256, SECRET).unwrap()
}

/// Returns a builder with the secret, at the fixed time.
pub(crate) fn builder() -> VerifierBuilder {
    let builder = Verifier::builder().algorithms([Algorithm::Hs256]);
    builder.key(key()).clock(|| at(NOW))
}

/// Signs a header and a payload with the secret. Neither needs to be valid JSON.
pub(crate) fn token(header: &str, payload: &str) -> String {
    signed(&encode(header.as_bytes()), &encode(payload.as_bytes()))
}

/// Signs encoded parts with the secret.
pub(crate) fn signed(header: &str, payload: &str) -> String {
    let message = format!("{header}.{payload}");
    let key = EncodingKey::from_secret(SECRET).unwrap();
    let signature = crypto::sign(message.as_bytes(), &key, Signing::HS256).unwrap();
    format!("{message}.{signature}")
}

/// Signs a payload that expires in a minute, with further members.
pub(crate) fn with_claims(members: &str) -> String {
    let exp = NOW + 60.0;
    token(HEADER, &format!("{{\"exp\":{exp}{members}}}"))
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes)
}

pub(crate) fn verify(builder: VerifierBuilder, token: &str) -> Result<(), Rejection> {
    let verifier = builder.build().unwrap();
    verifier.verify::<IgnoredAny>(token).map(|_| ())
}

/// Reads a JSON file below `tests/vectors`.
pub(crate) fn vectors(file: &str) -> Value {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Reads a PEM file below `tests/keys`.
pub(crate) fn pem(file: &str) -> Vec<u8> {
    std::fs::read(format!(
        "{}/tests/keys/{file}.pem",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}
