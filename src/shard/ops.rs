//! The operations of a shard, each in a file of its own.
//!
//! Owns no state. Each operation keeps index, region, wheel, queues and user index consistent. It
//! does not know other shards, threads or tokens.

mod end;
mod install;
mod make_room;
mod read;
mod rotate;
mod save;
mod user_sessions;

pub(crate) use install::{Placed, TieredEntry};
pub(super) use make_room::SpaceRequest;
pub(crate) use read::{ReadClock, View};
pub use user_sessions::SessionLimitPolicy;
pub(crate) use user_sessions::{Limit, UserSession};
