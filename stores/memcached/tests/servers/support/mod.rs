//! Servers, nodes and a raw client of the tests.

pub mod client;
pub mod node;
#[path = "../../../../redis/tests/rig/support/proxy.rs"]
#[allow(dead_code)]
pub mod proxy;
pub mod server;
