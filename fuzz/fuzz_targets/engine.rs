#![no_main]

#[path = "../../tests/support/fuzz_engine.rs"]
mod fuzz_engine;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_engine::engine(data));
