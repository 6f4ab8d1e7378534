//! The store on a real memcached, if it is installed.

mod contract;
mod evictions;
mod failures;
mod hostile;
mod nodes;
mod sizes;
mod support;
