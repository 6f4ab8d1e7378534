#![doc = include_str!("../README.md")]
//!
//! # The driver
//! Owns a client of HTTP/1.1 that sends arbitrary bytes, a browser with a strict cookie jar, and
//! the cases. It knows only the table of an application. It is a test tool: a case fails by a
//! panic, which [`Case::check`] catches.

mod browser;
mod cases;
mod http;
mod invariants;
mod report;
mod site;
mod tokens;

/// The browser model of the engine's own tests.
#[path = "../../../tests/support/browser.rs"]
mod jar;

pub use browser::Browser;
pub use cases::{CASES, Case};
pub use http::{Answer, Connection, Request};
pub use report::{Outcome, Report, run};
pub use site::Site;
pub use tokens::{COOKIE_NAME, KEYS};
