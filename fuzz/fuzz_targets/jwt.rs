//! Tokens, headers and claims of JWTs: hostile, malformed and almost right.

#![no_main]

#[path = "../../adapters/jwt/tests/support/fuzz_jwt.rs"]
mod fuzz_jwt;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_jwt::jwt(bytes));
