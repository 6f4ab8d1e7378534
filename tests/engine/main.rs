//! Tests of the session cache through its public API, on a manual clock.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../support/model_l1.rs"]
mod l1_model;
#[path = "../support/model/mod.rs"]
mod reference_model;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/traces.rs"]
mod traces;

mod admission;
mod aliases;
mod bot_flood;
mod end_all;
mod event_queue;
mod events;
mod eviction;
mod expiry;
mod hit_ratio;
mod interleaved;
mod lifecycle;
mod make_room;
mod model;
mod no_secrets_in_debug;
mod panic_recovery;
mod prometheus;
mod replaced;
mod reservation;
mod reuse;
mod rotation;
mod session_limit;
mod settings;
mod sign_in;
mod termination;
mod tier;
mod timeouts;
mod user_handles;
mod users;
mod wiping;
