#![doc = include_str!("../README.md")]
//!
//! # The driver
//! Owns a client of HTTP/1.1 that sends any bytes, a browser with a strict jar, and the cases. It
//! knows of an application only what the table says. It is a tool of tests: a case fails by a
//! panic, which [`Case::check`] catches.

mod browser;
mod cases;
mod http;
mod laws;
mod report;
mod site;
mod tokens;

/// The model of a browser that the engine's own tests use.
#[path = "../../../tests/support/browser.rs"]
mod jar;

pub use browser::Browser;
pub use cases::{CASES, Case};
pub use http::{Answer, Connection, Request};
pub use report::{Outcome, Report, run};
pub use site::Site;
pub use tokens::{COOKIE_NAME, KEYS};
