//! Races of `end_all`.

use sessile::SessionCache;

use crate::explore::{create, ended, explore, opens, race, reorder, session_and_distant_user};

fn end_all(cache: &SessionCache) {
    reorder(cache);
    cache.end_all();
}

#[test]
fn end_all_races_create_and_counts_the_session_once() {
    explore(&["ended", "survived"], |cache| {
        let other = cache.clone();
        let ((), new) = race(move || end_all(&other), || create(&cache));
        let stats = cache.stats();
        assert_eq!(
            stats.created,
            cache.len() as u64 + stats.ended,
            "the session is live or counted as ended"
        );
        let is_open = opens(&cache, &new);
        assert_eq!(cache.len(), usize::from(is_open));
        if is_open { "survived" } else { "ended" }
    });
}

#[test]
fn end_all_races_create_and_ends_earlier_sessions() {
    explore(&["created, then ended", "created after"], |cache| {
        let before = create(&cache);
        let other = cache.clone();
        let ((), new) = race(
            move || {
                end_all(&other);
                assert!(!opens(&other, &before), "`end_all` has returned");
            },
            || {
                reorder(&cache);
                create(&cache)
            },
        );
        assert!(!opens(&cache, &before));
        let is_open = opens(&cache, &new);
        assert_eq!(cache.len(), usize::from(is_open));
        cache.validate();
        if is_open {
            "created after"
        } else {
            "created, then ended"
        }
    });
}

#[test]
fn end_all_races_open() {
    explore(&["opened before", "rejected after"], |cache| {
        let session = create(&cache);
        let other = cache.clone();
        let ((), is_opened) = race(
            move || end_all(&other),
            || {
                reorder(&cache);
                opens(&cache, &session)
            },
        );
        assert!(!opens(&cache, &session) && cache.is_empty());
        if is_opened {
            "opened before"
        } else {
            "rejected after"
        }
    });
}

#[test]
fn end_all_races_sign_in_across_shards() {
    explore(&["signed in, then ended", "ended first"], |cache| {
        let (old, user) = session_and_distant_user(&cache);
        let other = cache.clone();
        let ((), signed_in) = race(
            move || end_all(&other),
            || {
                reorder(&cache);
                cache.sign_in(&old.id, &user)
            },
        );
        assert!(!opens(&cache, &old) && cache.is_empty() && cache.user_sessions(&user).is_empty());
        cache.validate();
        ended(&cache, signed_in, "signed in, then ended")
    });
}
