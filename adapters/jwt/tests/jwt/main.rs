//! Verification and revocation of tokens, by topic.

#![allow(clippy::unwrap_used)]

mod claims;
mod extractor;
mod keys;
mod memory;
mod rejections;
mod revocation;
mod round_trips;
mod settings;
mod shared;
mod support;
#[path = "../../../web/tests/support/switched.rs"]
mod switched;
mod vectors;
