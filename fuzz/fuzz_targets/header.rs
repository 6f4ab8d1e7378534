#![no_main]

#[path = "../../tests/support/fuzz_cookie.rs"]
mod fuzz_cookie;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_cookie::header(data));
