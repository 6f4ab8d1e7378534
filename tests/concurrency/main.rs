//! Tests of the session cache under many threads.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod accepted_histories;
mod barrier;
mod calls;
mod history;
mod linearizability;
mod parts;
mod recorder;
mod rejected_histories;
mod resurrection;
mod search;
mod stress;
mod tier;
