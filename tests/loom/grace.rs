//! Races of the end of a grace period.

use bytes::BytesMut;
use sessile::{Error, ManualClock};

use crate::explore::{SECOND, create, explore_runs, opens, race, reorder, two_shards};

#[test]
fn grace_expiry_races_open_by_old_id() {
    explore_runs(&["opened in time", "rejected after"], || {
        let clock = ManualClock::new();
        let cache = two_shards(&clock);
        let old = create(&cache);
        let new = cache.rotate(&old.id, SECOND).expect("it is live");
        let other = cache.clone();
        let mut buffer = BytesMut::new();
        let ((), record) = race(
            move || {
                reorder(&other);
                clock.advance(SECOND);
            },
            || {
                reorder(&cache);
                cache.open_token(old.token.as_str().as_bytes(), &mut buffer)
            },
        );
        assert!(!opens(&cache, &old), "the grace period is over");
        assert!(opens(&cache, &new));
        match record {
            Some(record) => {
                assert_eq!((record.id, &buffer[..]), (old.id, &b"data"[..]));
                "opened in time"
            }
            None => {
                assert_eq!(cache.stats().rejected.reused, 2);
                "rejected after"
            }
        }
    });
}

#[test]
fn grace_expiry_races_save_and_loses_no_end_by_old_id() {
    explore_runs(&["saved in time", "rejected after"], || {
        let clock = ManualClock::new();
        let cache = two_shards(&clock);
        let old = create(&cache);
        let new = cache.rotate(&old.id, SECOND).expect("it is live");
        let other = cache.clone();
        let ((), saved) = race(
            move || {
                reorder(&other);
                clock.advance(SECOND);
                reorder(&other);
                assert!(other.end(&old.id), "an old id ends the session at any time");
            },
            || {
                reorder(&cache);
                cache.save(&old.id, new.version, b"more")
            },
        );
        assert!(!opens(&cache, &old) && !opens(&cache, &new) && cache.is_empty());
        match saved {
            Ok(_) => "saved in time",
            Err(error) => {
                assert_eq!(error, Error::Gone);
                "rejected after"
            }
        }
    });
}
