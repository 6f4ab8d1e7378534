//! The record of a session in a store: hostile, truncated and later formats.

#![no_main]

#[path = "../../stores/core/tests/support/fuzz_record.rs"]
mod fuzz_record;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_record::record(bytes));
