#![no_main]

#[path = "../../tests/support/fuzz_wheel.rs"]
mod fuzz_wheel;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_wheel::wheel(data));
