//! The store on real servers: Redis and Valkey, as far as they are installed.

mod contract;
mod failures;
mod sentinel;
mod support;
mod tiered;
mod tls;
mod users;
