//! Races of a sign-in that moves the session to the user's shard.

use bytes::BytesMut;
use sessile::Error;

use crate::explore::{ended, explore, opens, race, reorder, session_and_distant_user};

#[test]
fn sign_in_across_shards_races_end_by_old_id() {
    explore(&["signed in, then ended", "ended first"], |cache| {
        let (old, user) = session_and_distant_user(&cache);
        let other = cache.clone();
        let (was_ended, signed_in) =
            race(move || other.end(&old.id), || cache.sign_in(&old.id, &user));
        assert!(was_ended, "there was a session to end");
        assert!(!opens(&cache, &old));
        ended(&cache, signed_in, "signed in, then ended")
    });
}

#[test]
fn sign_in_across_shards_races_open_by_old_id() {
    explore(&["opened before", "rejected after"], |cache| {
        let (old, user) = session_and_distant_user(&cache);
        let other = cache.clone();
        let (opened, new) = race(
            move || {
                let mut buffer = BytesMut::new();
                reorder(&other);
                let record = other.open_token(old.token.as_str().as_bytes(), &mut buffer);
                record.map(|record| (record.is_authenticated(), buffer))
            },
            || cache.sign_in(&old.id, &user).expect("it is live"),
        );
        assert!(opens(&cache, &new) && !opens(&cache, &old));
        match opened {
            Some((is_authenticated, data)) => {
                assert!(
                    !is_authenticated && &data[..] == b"data",
                    "the session before the sign-in"
                );
                "opened before"
            }
            None => "rejected after",
        }
    });
}

#[test]
fn sign_in_across_shards_races_end_all_and_is_counted_once() {
    explore(&["ended", "ended first"], |cache| {
        let (old, user) = session_and_distant_user(&cache);
        let other = cache.clone();
        let ((), signed_in) = race(
            move || {
                reorder(&other);
                other.end_all();
            },
            || cache.sign_in(&old.id, &user),
        );
        let stats = cache.stats();
        assert_eq!(stats.created, cache.len() as u64 + stats.ended);
        assert!(cache.is_empty() && !opens(&cache, &old));
        match signed_in {
            Ok(new) => {
                assert!(!opens(&cache, &new));
                "ended"
            }
            Err(error) => {
                assert_eq!(error, Error::Gone);
                "ended first"
            }
        }
    });
}

#[test]
fn sign_in_races_end_user_sessions() {
    explore(&["signed in, then ended", "signed in after"], |cache| {
        let (old, user) = session_and_distant_user(&cache);
        cache.end_user_sessions(&user, None);
        let (other, name) = (cache.clone(), user.clone());
        let (ended, new) = race(
            move || other.end_user_sessions(&name, None),
            || cache.sign_in(&old.id, &user).expect("it is live"),
        );
        assert!(!opens(&cache, &old));
        assert_eq!(opens(&cache, &new), ended == 0);
        assert_eq!(cache.user_sessions(&user).len(), 1 - ended);
        if ended == 1 {
            "signed in, then ended"
        } else {
            "signed in after"
        }
    });
}
