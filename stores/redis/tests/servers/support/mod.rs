//! Servers, watches and records of the tests.

pub mod records;
pub mod sentinels;
pub mod server;
pub mod watch;
