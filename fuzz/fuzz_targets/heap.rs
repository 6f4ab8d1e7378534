#![no_main]

#[path = "../../tests/support/fuzz_heap.rs"]
mod fuzz_heap;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_heap::heap(data));
