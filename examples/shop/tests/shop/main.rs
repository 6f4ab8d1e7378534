//! Tests of the real program over real HTTP, with a module for each topic.
//!
//! The tests of `browser` need Chromium and are ignored by default. `tests/run.sh` runs them if
//! Chromium is installed.

mod browser;
mod browsing;
mod devices;
mod driver;
mod engine;
mod forms;
mod pages;
mod program;
mod sign_in;
mod store;
