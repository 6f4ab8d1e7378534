//! Tests of the session cache under many threads.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod barrier;
mod history;
mod linearizability;
mod recorder;
mod resurrection;
mod stress;
mod tier;
