//! The replies of a memcached and the values of its items: hostile, in parts, of others.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sessile_memcached::internals::check(bytes));
