//! Servers, proxies and nodes of the rig.

pub mod node;
pub mod pauses;
pub mod proxy;
#[path = "../../servers/support/sentinels.rs"]
pub mod sentinels;
#[path = "../../servers/support/server.rs"]
pub mod server;
