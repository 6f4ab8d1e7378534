//! Tests of the `Cookie` and `Set-Cookie` headers, of tokens, keys and ids.

#![allow(clippy::unwrap_used)]

#[path = "../support/browser.rs"]
mod browser;
#[path = "../support/fuzz_cookie.rs"]
mod fuzz_cookie;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/vectors.rs"]
mod vectors;

mod header;
mod ids;
mod key_rotation;
mod keys;
mod multiple_cookies;
mod set_cookie;
mod set_cookie_browser;
mod signing;
mod token;
