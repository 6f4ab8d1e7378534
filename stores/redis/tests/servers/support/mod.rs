//! The parts that the tests share: servers, watches and records.

pub mod records;
pub mod sentinels;
pub mod server;
pub mod watch;
