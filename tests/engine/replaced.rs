//! Replaced ids as an adapter sees them: records opened by one, the age of a replacement, whether
//! an id opens a session, and sessions that replace another.

use std::time::Duration;

use crate::support::{
    HOUR, MINUTE, NEW, PLAIN, PLAINLY, SECOND, builder, cache, create, load, opens, request,
    rings::ring, sign_in, signed_in,
};
use sessile::{Error, ManualClock, SessionCache, SessionLimitPolicy};

const GRACE: Duration = Duration::from_secs(10);

/// Creates a cache that allows one session per user and rejects another.
fn one_session_per_user(shards: u16) -> SessionCache {
    let settings = builder(&ManualClock::new()).memory(8 << 20).shards(shards);
    settings
        .max_sessions_per_user(1)
        .session_limit_policy(SessionLimitPolicy::Reject)
        .build()
        .unwrap()
}

#[test]
fn a_record_opened_by_a_replaced_id_is_marked() {
    let (cache, clock) = cache();
    let old = create(&cache, b"data");
    assert!(!load(&cache, &old.id).unwrap().0.is_alias());
    let new = cache.rotate(&old.id, GRACE).unwrap();
    for _ in 0..2 {
        let (by_id, _) = load(&cache, &old.id).unwrap();
        let (by_token, _) = request(&cache, old.token.as_str()).unwrap();
        assert!(by_id.is_alias() && by_token.is_alias());
        assert!(!load(&cache, &new.id).unwrap().0.is_alias());
        assert_eq!(by_id.handle(), load(&cache, &new.id).unwrap().0.handle());
        clock.advance(5 * SECOND - SECOND / 10);
    }
}

#[test]
fn the_age_of_a_replacement_is_known_until_the_id_is_forgotten() {
    for shards in [1, 8] {
        let clock = ManualClock::new();
        let cache = builder(&clock)
            .memory(8 << 20)
            .shards(shards)
            .build()
            .unwrap();
        let first = create(&cache, b"data");
        assert_eq!(cache.replaced(&first.id), None, "the id is current");
        clock.advance(MINUTE);
        let second = cache.rotate(&first.id, GRACE).unwrap();
        assert_eq!(cache.replaced(&first.id), Some(Duration::ZERO));
        clock.advance(SECOND);
        let third = sign_in(&cache, &second.id, "ada");
        clock.advance(SECOND);
        let before = cache.stats();
        assert_eq!(cache.replaced(&first.id), Some(2 * SECOND));
        assert_eq!(cache.replaced(&second.id), Some(SECOND));
        assert_eq!(cache.replaced(&third.id), None);
        assert_eq!(cache.stats(), before, "the call is not counted");
        clock.advance(MINUTE * 30 - 2 * SECOND);
        assert_eq!(
            cache.replaced(&first.id),
            None,
            "the id is forgotten with and without maintenance"
        );
        assert_eq!(cache.replaced(&second.id), Some(MINUTE * 30 - SECOND));
    }
}

#[test]
fn the_age_of_a_replaced_token_needs_a_valid_mac() {
    let (cache, clock) = cache();
    let old = create(&cache, b"data");
    let new = cache.rotate(&old.id, GRACE).unwrap();
    clock.advance(SECOND);
    let value = old.token.as_str().as_bytes();
    assert_eq!(cache.replaced_token(value), Some(SECOND));
    assert_eq!(cache.replaced_token(new.token.as_str().as_bytes()), None);
    let mut forged = value.to_vec();
    forged[47] ^= 4;
    assert_eq!(cache.replaced_token(&forged), None);
    assert_eq!(cache.replaced_token(b"theme"), None);
    cache.set_keys(&ring(&[2])).unwrap();
    assert_eq!(cache.replaced_token(value), None, "its key was retired");
}

#[test]
fn contains_is_true_while_the_id_opens_a_session_and_is_no_use() {
    let (cache, clock) = cache();
    let old = create(&cache, b"data");
    let new = cache.rotate(&old.id, GRACE).unwrap();
    let before = cache.stats();
    assert!(cache.contains(&old.id) && cache.contains(&new.id));
    assert_eq!(cache.stats(), before);
    clock.advance(10 * SECOND);
    assert!(!cache.contains(&old.id) && cache.contains(&new.id));
    for _ in 0..30 {
        clock.advance(MINUTE);
        let _ = cache.contains(&new.id);
    }
    assert!(
        !cache.contains(&new.id),
        "the call does not extend the session"
    );
    let ended = create(&cache, b"");
    cache.end_all();
    assert!(!cache.contains(&ended.id));
}

#[test]
fn a_session_that_replaces_another_ends_it_by_any_of_its_ids() {
    for shards in [1, 8] {
        let clock = ManualClock::new();
        let cache = builder(&clock)
            .memory(8 << 20)
            .shards(shards)
            .build()
            .unwrap();
        for by_old in [false, true] {
            let first = create(&cache, b"old");
            let second = cache.rotate(&first.id, GRACE).unwrap();
            let current = sign_in(&cache, &second.id, "ada");
            let named = if by_old { &first.id } else { &current.id };
            let issued = cache.create_with(b"new", NEW.replaces(named)).unwrap();
            assert!(!opens(&cache, &current.token) && opens(&cache, &issued.token));
            assert!(cache.user_sessions("ada").is_empty());
            assert!(cache.end(&issued.id));
        }
        cache.validate();
    }
}

#[test]
fn a_replaced_session_of_the_same_user_is_not_counted_at_the_limit() {
    for shards in [1, 8] {
        let cache = one_session_per_user(shards);
        let ada = NEW.user("ada");
        let first = signed_in(&cache, b"data", "ada");
        let second = cache.rotate(&first.id, GRACE).unwrap();
        assert_eq!(
            cache.create_with(b"", ada).err(),
            Some(Error::TooManySessions)
        );
        let third = cache
            .create_with(b"again", ada.replaces(&first.id))
            .unwrap();
        assert!(!opens(&cache, &second.token) && opens(&cache, &third.token));
        let stats = cache.stats();
        assert_eq!((cache.user_sessions("ada").len(), cache.len()), (1, 1));
        assert_eq!(
            stats.created,
            cache.len() as u64 + stats.ended + stats.expired
        );
        cache.validate();
    }
}

#[test]
fn a_session_that_was_to_be_replaced_is_untouched_if_the_new_one_is_rejected() {
    for shards in [1, 8] {
        let cache = one_session_per_user(shards);
        let ada = signed_in(&cache, b"", "ada");
        let grace = signed_in(&cache, b"", "grace");
        let for_ada = NEW.user("ada");
        let rejected = cache.create_with(b"", for_ada.replaces(&grace.id));
        assert_eq!(
            rejected.err(),
            Some(Error::TooManySessions),
            "the session is not that user's"
        );
        let too_large = vec![0; cache.max_session_size() + 1];
        assert!(
            cache
                .create_with(&too_large, for_ada.replaces(&ada.id))
                .is_err()
        );
        assert!(opens(&cache, &ada.token) && opens(&cache, &grace.token));
        assert!(cache.create_with(b"", NEW.replaces(&ada.id)).is_ok());
        assert!(!opens(&cache, &ada.token) && opens(&cache, &grace.token));
    }
}

#[test]
fn a_lifetime_from_now_counts_from_now_and_is_capped_by_the_cache() {
    let clock = ManualClock::new();
    let settings = builder(&clock).idle_timeout(24 * HOUR).lifetime(24 * HOUR);
    let cache = settings.build().unwrap();
    let left = |id| load(&cache, id).unwrap().0.expires_in();
    let from_now = |span| PLAIN.lifetime_from_now(span);
    let issued = cache
        .create_with(b"", NEW.timeouts(from_now(20 * HOUR)))
        .unwrap();
    assert_eq!(left(&issued.id), 20 * HOUR);
    clock.advance(10 * HOUR);
    let mut version = issued.version;
    for (span, expected) in [(HOUR, HOUR), (14 * HOUR, 14 * HOUR), (15 * HOUR, 14 * HOUR)] {
        let own = PLAIN.lifetime(HOUR).lifetime_from_now(span);
        version = cache.set_timeouts(&issued.id, version, own).unwrap();
        assert_eq!(left(&issued.id), expected);
    }
    let signed_in = cache
        .sign_in_with(&issued.id, "ada", PLAINLY.timeouts(from_now(2 * HOUR)))
        .unwrap();
    assert_eq!(left(&signed_in.id), 2 * HOUR);
    let renewed = PLAINLY.timeouts(from_now(30 * HOUR)).renew_lifetime(true);
    let renewed = cache.sign_in_with(&signed_in.id, "ada", renewed).unwrap();
    assert_eq!(left(&renewed.id), 24 * HOUR);
}

#[test]
fn a_sign_in_whose_lifetime_is_over_is_rejected_and_leaves_the_session_alone() {
    let clock = ManualClock::new();
    let settings = builder(&clock).idle_timeout(48 * HOUR).lifetime(48 * HOUR);
    let cache = settings.shards(8).memory(8 << 20).build().unwrap();
    let issued = create(&cache, b"a cart");
    clock.advance(20 * HOUR);
    let half_a_day = PLAINLY.timeouts(PLAIN.lifetime(12 * HOUR));
    assert_eq!(
        cache.sign_in_with(&issued.id, "ada", half_a_day).err(),
        Some(Error::LifetimeOver)
    );
    let at_once = PLAINLY.timeouts(PLAIN.lifetime_from_now(Duration::ZERO));
    assert_eq!(
        cache.sign_in_with(&issued.id, "ada", at_once).err(),
        Some(Error::LifetimeOver)
    );
    let never_used = PLAINLY.timeouts(PLAIN.idle_timeout(Duration::ZERO));
    assert_eq!(
        cache.sign_in_with(&issued.id, "ada", never_used).err(),
        Some(Error::LifetimeOver)
    );
    assert!(opens(&cache, &issued.token) && cache.user_sessions("ada").is_empty());
    let signed_in = cache
        .sign_in_with(&issued.id, "ada", half_a_day.renew_lifetime(true))
        .unwrap();
    assert!(opens(&cache, &signed_in.token));
    cache
        .set_timeouts(
            &signed_in.id,
            signed_in.version,
            PLAIN.lifetime_from_now(Duration::ZERO),
        )
        .unwrap();
    assert!(
        !opens(&cache, &signed_in.token),
        "for an open session it means an end"
    );
}
