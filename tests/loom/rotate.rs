//! Races of a rotation.

use std::time::Duration;

use sessile::Error;

use crate::explore::{create, ended, explore, opens, race};

#[test]
fn rotate_races_end_by_old_id() {
    explore(&["rotated, then ended", "ended first"], |cache| {
        let old = create(&cache);
        let other = cache.clone();
        let (was_ended, rotated) = race(
            move || other.end(&old.id),
            || cache.rotate(&old.id, Duration::ZERO),
        );
        assert!(was_ended, "there was a session to end");
        assert!(!opens(&cache, &old));
        ended(&cache, rotated, "rotated, then ended")
    });
}

#[test]
fn rotate_races_end_user_sessions() {
    explore(&["rotated, then ended", "ended first"], |cache| {
        let old = create(&cache);
        let old = cache.sign_in(&old.id, "ada").expect("it is live");
        let other = cache.clone();
        let (number, rotated) = race(
            move || other.end_user_sessions("ada", None),
            || cache.rotate(&old.id, Duration::ZERO),
        );
        assert_eq!(number, 1);
        assert!(cache.user_sessions("ada").is_empty() && !opens(&cache, &old));
        ended(&cache, rotated, "rotated, then ended")
    });
}

#[test]
fn rotate_races_rotate_and_one_fails() {
    explore(&["this", "other"], |cache| {
        let old = create(&cache);
        let other = cache.clone();
        let results = race(
            move || other.rotate(&old.id, Duration::ZERO),
            || cache.rotate(&old.id, Duration::ZERO),
        );
        assert!(!opens(&cache, &old));
        match results {
            (Err(Error::Gone), Ok(new)) => {
                assert!(opens(&cache, &new));
                "this"
            }
            (Ok(new), Err(Error::Gone)) => {
                assert!(opens(&cache, &new));
                "other"
            }
            both => panic!("{both:?}"),
        }
    });
}
