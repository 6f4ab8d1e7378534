//! Request traces of two web sites, and their replay against any store of sessions.
//!
//! A user is a browser that holds the id it last received. A request that finds its session is a
//! hit. Otherwise it creates a session, and the browser holds the new id from then on. The replay
//! is independent of the store. The README beside the traces has their origin.

#![allow(dead_code)]

use std::{collections::HashMap, io::Read};

use flate2::read::GzDecoder;
use sessile::SessionCache;

/// A trace, the maximum number of sessions in the store, and the minimum hit ratio.
pub(crate) struct Replay {
    pub(crate) trace: &'static str,
    pub(crate) sessions: usize,
    pub(crate) min_hit_ratio: f64,
    requests: fn() -> Vec<u32>,
}

/// The traces to replay, each with its capacity and its minimum hit ratio.
pub(crate) const REPLAYS: [Replay; 4] = [
    Replay {
        trace: "weblog",
        sessions: 1_000,
        min_hit_ratio: 0.698,
        requests: weblog,
    },
    Replay {
        trace: "weblog",
        sessions: 88,
        min_hit_ratio: 0.312,
        requests: weblog,
    },
    Replay {
        trace: "web12",
        sessions: 1_375,
        min_hit_ratio: 0.715,
        requests: web12,
    },
    Replay {
        trace: "web12",
        sessions: 137,
        min_hit_ratio: 0.415,
        requests: web12,
    },
];

impl Replay {
    /// Returns the hit ratio. `create` creates a session for a user, who is a number.
    pub(crate) fn hit_ratio<Id>(
        &self,
        mut find: impl FnMut(&Id) -> bool,
        mut create: impl FnMut(u32) -> Id,
    ) -> f64 {
        let requests = (self.requests)();
        let mut browsers = HashMap::new();
        let mut hits = 0_u32;
        for &user in &requests {
            if browsers.get(&user).is_some_and(&mut find) {
                hits += 1;
            } else {
                browsers.insert(user, create(user));
            }
        }
        f64::from(hits) / requests.len() as f64
    }
}

/// Creates the cache with the least memory that has room for `sessions` sessions of `data_len`
/// bytes, and for no more: bytes are added until one more would fit.
pub(crate) fn exactly(
    sessions: usize,
    data_len: usize,
    build: impl Fn(usize) -> Option<SessionCache>,
) -> Option<SessionCache> {
    let fits = |memory| build(memory).is_some_and(|cache| cache.capacity_for(data_len) >= sessions);
    let (mut too_little, mut enough) = (0, sessions * (data_len + MOST_OVERHEAD) + FIXED);
    while enough - too_little > 1 {
        let memory = too_little.midpoint(enough);
        *if fits(memory) {
            &mut enough
        } else {
            &mut too_little
        } = memory;
    }
    build(enough).filter(|cache| cache.capacity_for(data_len) == sessions)
}

/// Pairs of (second, user).
fn weblog() -> Vec<u32> {
    let words = unpack(include_bytes!("../traces/weblog-424-norobots.slt.gz"));
    words
        .as_chunks()
        .0
        .iter()
        .map(|&[_second, user]| user)
        .collect()
}

fn web12() -> Vec<u32> {
    unpack(include_bytes!("../traces/web12.trace.gz"))
}

fn unpack(packed: &[u8]) -> Vec<u32> {
    let mut bytes = Vec::new();
    GzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .expect("the file is complete");
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|&word| u32::from_be_bytes(word))
        .collect()
}

/// More than a session and a cache cost beyond the data.
const MOST_OVERHEAD: usize = 256;
const FIXED: usize = 64 << 10;
