//! The shop as its visitors meet it: the real program and real HTTP. A module for each topic.
//!
//! Those of `browser` need Chromium and are ignored unless asked for: `tests/run.sh` asks where it
//! is there.

mod browser;
mod browsing;
mod devices;
mod driver;
mod engine;
mod forms;
mod pages;
mod program;
mod sign_in;
