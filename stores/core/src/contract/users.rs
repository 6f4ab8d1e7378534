//! Checks of the sessions of a user: the index and the limit.

use std::time::Duration;

use sessile::{SessionId, SessionLimitPolicy, UserHash};

use super::fixture::{Fixture, alias_to, fresh_id, fresh_user, in_message, of_user};
use crate::store::{Change, Ended, NewRecord, ServerTime, StoreError};

pub(super) async fn check_all(fixture: &Fixture<'_>) {
    the_sessions_of_a_user_are_listed_in_order(fixture).await;
    a_list_leaves_out_what_began_later(fixture).await;
    a_list_leaves_out_what_ended_or_expired(fixture).await;
    a_rotated_session_stays_listed_and_a_retired_one_does_not(fixture).await;
    a_limit_ends_the_least_recently_used(fixture).await;
    a_limit_may_reject_the_new_session(fixture).await;
    a_replaced_session_does_not_count(fixture).await;
    a_long_list_is_cut(fixture).await;
}

async fn created(fixture: &Fixture<'_>, user: UserHash) -> SessionId {
    let new = of_user(user, b"");
    fixture.create(&new).await.expect("the id is fresh");
    // Sign-ins of one millisecond have no order.
    fixture.wait(2).await;
    new.id
}

async fn ids(fixture: &Fixture<'_>, user: UserHash) -> Vec<SessionId> {
    let listed = fixture.store.user_ids(user, None).await;
    listed.expect("the store answers").ids
}

fn limited<'a>(user: UserHash, max: usize, policy: SessionLimitPolicy) -> NewRecord<'a> {
    let mut new = of_user(user, b"");
    (new.limit.max, new.limit.policy) = (Some(max), policy);
    new
}

async fn the_sessions_of_a_user_are_listed_in_order(fixture: &Fixture<'_>) {
    let (user, other) = (fresh_user(), fresh_user());
    assert_eq!(ids(fixture, user).await, []);
    let first = created(fixture, user).await;
    let second = created(fixture, user).await;
    created(fixture, other).await;
    assert_eq!(ids(fixture, user).await, [first, second]);
}

async fn a_list_leaves_out_what_began_later(fixture: &Fixture<'_>) {
    let user = fresh_user();
    let first = created(fixture, user).await;
    let list = fixture.store.user_ids(user, None).await;
    let list = list.expect("the store answers");
    assert!(!list.more);
    fixture.wait(2).await;
    created(fixture, user).await;
    let again = fixture.store.user_ids(user, Some(list.up_to)).await;
    let again = again.expect("the store answers");
    assert_eq!((again.ids, again.up_to), (vec![first], list.up_to));
}

async fn a_list_leaves_out_what_ended_or_expired(fixture: &Fixture<'_>) {
    let user = fresh_user();
    let first = created(fixture, user).await;
    let mut short = of_user(user, b"");
    short.idle_timeout = Duration::from_millis(200);
    fixture.create(&short).await.expect("the id is fresh");
    fixture.wait(2).await;
    let last = created(fixture, user).await;
    assert_eq!(ids(fixture, user).await, [first, short.id, last]);
    fixture.wait(300).await;
    assert_eq!(ids(fixture, user).await, [first, last]);
    assert_eq!(fixture.store.end(first).await, Ok(Ended::Session));
    assert_eq!(ids(fixture, user).await, [last]);
}

async fn a_rotated_session_stays_listed_and_a_retired_one_does_not(fixture: &Fixture<'_>) {
    let user = fresh_user();
    let first = created(fixture, user).await;
    let second = created(fixture, user).await;
    let target = fresh_id(first.place());
    let rotation = fixture
        .store
        .rotate(first, alias_to(target), None, ServerTime::MAX);
    rotation.await.expect("it is a session");
    let listed = ids(fixture, user).await;
    assert_eq!(listed, [target, second], "the time of the sign-in is kept");
    let retired = fixture
        .store
        .retire(second, None, alias_to(target), ServerTime::MAX);
    retired.await.expect("it is a session");
    assert_eq!(ids(fixture, user).await, [target]);
}

async fn a_limit_ends_the_least_recently_used(fixture: &Fixture<'_>) {
    let user = fresh_user();
    let first = created(fixture, user).await;
    let second = created(fixture, user).await;
    fixture.wait(50).await;
    let touched = [(first, Duration::ZERO)];
    let touched = fixture.store.touch(&touched, ServerTime::MAX).await;
    assert_eq!(touched, Ok(vec![true]));
    let new = limited(user, 2, SessionLimitPolicy::EndLeastRecentlyUsed);
    let create = fixture.store.create(&new, ServerTime::MAX);
    let (result, changes) = fixture.changes_of(create).await;
    let ended = result.map(|created| created.ended);
    assert_eq!(ended, Ok(Some(second)), "the caller learns which ended");
    assert_eq!(
        changes,
        [Change::Ended {
            id: in_message(second)
        }]
    );
    assert!(fixture.read(second).await.is_none());
    assert_eq!(ids(fixture, user).await, [first, new.id]);
    let taken = fixture.create(&new).await;
    assert_eq!(taken, Err(StoreError::Taken));
    assert_eq!(
        ids(fixture, user).await.len(),
        2,
        "nothing was ended for it"
    );
}

async fn a_limit_may_reject_the_new_session(fixture: &Fixture<'_>) {
    let user = fresh_user();
    let mut short = of_user(user, b"");
    short.idle_timeout = Duration::from_millis(200);
    fixture.create(&short).await.expect("the id is fresh");
    let new = limited(user, 1, SessionLimitPolicy::Reject);
    assert_eq!(fixture.create(&new).await, Err(StoreError::TooMany));
    assert!(fixture.read(new.id).await.is_none());
    fixture.wait(300).await;
    let created = fixture.create(&new).await;
    assert!(created.is_ok(), "an expired session does not count");
}

async fn a_replaced_session_does_not_count(fixture: &Fixture<'_>) {
    let user = fresh_user();
    let old = created(fixture, user).await;
    let mut new = limited(user, 1, SessionLimitPolicy::EndLeastRecentlyUsed);
    new.replaces = Some(old);
    let created = fixture.store.create(&new, ServerTime::MAX).await;
    assert_eq!(created.map(|created| created.ended), Ok(None));
    assert!(
        fixture.session(old).await.is_some(),
        "the caller retires it"
    );
}

async fn a_long_list_is_cut(fixture: &Fixture<'_>) {
    let user = fresh_user();
    for _ in 0..1_005 {
        let new = of_user(user, b"");
        fixture.create(&new).await.expect("the id is fresh");
    }
    let list = fixture.store.user_ids(user, None).await;
    let list = list.expect("the store answers");
    assert_eq!((list.ids.len(), list.more), (1_000, true));
    for id in list.ids {
        assert_eq!(fixture.store.end(id).await, Ok(Ended::Session));
    }
    let rest = fixture.store.user_ids(user, Some(list.up_to)).await;
    let rest = rest.expect("the store answers");
    assert_eq!((rest.ids.len(), rest.more), (5, false));
    for id in rest.ids {
        assert_eq!(fixture.store.end(id).await, Ok(Ended::Session));
    }
}
