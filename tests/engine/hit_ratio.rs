//! Hit ratios of requests from real web sites when memory is short.
//!
//! One shard, sessions of one size, no deadline nearby. The cache has the least memory for which
//! `capacity_for` returns N, so one more session does not fit. The test also asserts that at most N
//! sessions are live, and exactly N from the first eviction on.

use crate::support::{HOUR, builder, create, create_many};
use crate::traces::{REPLAYS, Replay, exactly};
use bytes::BytesMut;
use sessile::{ManualClock, SessionCache, stats::EvictionCounts};

const LEN: usize = 256;

fn cache_for(sessions: usize) -> SessionCache {
    let clock = ManualClock::new();
    let settings = builder(&clock).max_session_size(LEN).lifetime(HOUR * 1_000);
    let settings = settings.idle_timeout(HOUR * 1_000);
    exactly(sessions, LEN, |memory| {
        settings.clone().memory(memory).build().ok()
    })
    .unwrap()
}

/// Returns the hit ratio and asserts the number of live sessions.
fn replay(replay: &Replay) -> f64 {
    let cache = cache_for(replay.sessions);
    let mut buffer = BytesMut::new();
    let found = replay.hit_ratio(
        |id| cache.load(id, &mut buffer).is_some(),
        |_user| {
            let id = create(&cache, &[7; LEN]).id;
            assert!(
                cache.len() <= replay.sessions,
                "never more than the capacity"
            );
            let is_full = cache.stats().evicted != EvictionCounts::default();
            assert!(
                !is_full || cache.len() == replay.sessions,
                "nor fewer, once it is full"
            );
            id
        },
    );
    let stats = cache.stats();
    assert!(
        stats.evicted.probation > 0 && stats.evicted.anonymous > 0,
        "both queues evicted"
    );
    assert_eq!((stats.expired, stats.full), (0, 0));
    cache.validate();
    found
}

#[test]
fn hit_ratios_of_real_sites_meet_their_targets() {
    let mut missed = Vec::new();
    for each in &REPLAYS {
        let Replay {
            trace,
            sessions,
            min_hit_ratio,
            ..
        } = *each;
        let found = replay(each);
        println!("{trace} @ {sessions}: {found:.4}, at min_hit_ratio {min_hit_ratio}");
        if found < min_hit_ratio {
            missed.push(format!(
                "{trace} @ {sessions}: {found:.4} of at min_hit_ratio {min_hit_ratio}"
            ));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_cache_for_n_sessions_holds_n_and_evicts_for_one_more() {
    for sessions in REPLAYS.map(|replay| replay.sessions) {
        let cache = cache_for(sessions);
        create_many(&cache, sessions, &[7; LEN]);
        assert_eq!(
            (cache.len(), cache.stats().evicted),
            (sessions, EvictionCounts::default())
        );
        create(&cache, &[7; LEN]);
        assert_eq!(
            (cache.len(), cache.stats().evicted.probation),
            (sessions, 1)
        );
    }
}
