//! Checks of ids: rotation, retirement, ends, and the revocation cutoff.

use std::time::Duration;

use sessile::Version;

use super::fixture::{
    Fixture, MINUTE, alias_to, anonymous, fresh_id, fresh_user, in_message, of_user,
};
use crate::{
    record::Record,
    store::{Change, Ended, NewAlias, NewRecord, Rewrite, ServerTime, StoreError, StoredData},
};

pub(super) async fn check_all(fixture: &Fixture<'_>) {
    a_rotation_leaves_an_alias_and_is_published(fixture).await;
    a_rotation_may_rewrite_version_and_data(fixture).await;
    a_retired_session_leads_to_its_successor(fixture).await;
    an_end_removes_the_session_and_is_published(fixture).await;
    an_end_of_an_alias_names_its_target(fixture).await;
    an_end_if_unchanged_compares_the_version(fixture).await;
    the_cutoff_of_all_sessions_never_decreases(fixture).await;
    the_first_proposal_of_a_heartbeat_is_kept(fixture).await;
}

async fn created<'a>(fixture: &Fixture<'_>, data: &'a [u8]) -> NewRecord<'a> {
    let new = anonymous(data);
    fixture.create(&new).await.expect("the id is fresh");
    new
}

async fn a_rotation_leaves_an_alias_and_is_published(fixture: &Fixture<'_>) {
    let new = created(fixture, b"cart").await;
    let target = fresh_id(new.id.place());
    let store = &fixture.store;
    let rotation = store.rotate(new.id, alias_to(target), None, ServerTime::MAX);
    let (rotated, changes) = fixture.changes_of(rotation).await;
    let rotated = rotated.expect("it is a session");
    assert_eq!(rotated.version, new.version);
    let id = in_message(new.id);
    fixture.assert_published(&changes, &[Change::Ended { id }]);
    let session = fixture.session(target).await;
    assert_eq!(session, Some((new.version, b"cart".to_vec())));
    let alias = fixture.alias(new.id).await.expect("the old id is an alias");
    assert_eq!(alias.target, target, "the whole place is kept");
    assert_eq!(alias.grace_until, rotated.now.after(alias_to(target).grace));
    let stored = fixture.read(target).await.expect("the session");
    let header = *Record::decode(&stored.bytes).expect("a record").header();
    assert_eq!(header.issued, rotated.now);

    let again = alias_to(fresh_id(new.id.place()));
    let by_alias = store.rotate(new.id, again, None, ServerTime::MAX).await;
    assert_eq!(by_alias, Err(StoreError::Rotated));
    let other = created(fixture, b"").await;
    let onto = store.rotate(other.id, alias_to(target), None, ServerTime::MAX);
    assert_eq!(onto.await, Err(StoreError::Taken));
    let absent = store.rotate(fresh_id(1), alias_to(fresh_id(1)), None, ServerTime::MAX);
    assert_eq!(absent.await, Err(StoreError::Gone));
}

async fn a_rotation_may_rewrite_version_and_data(fixture: &Fixture<'_>) {
    let new = created(fixture, b"cart").await;
    let target = fresh_id(new.id.place());
    let mut rewrite = Rewrite {
        expected: Version::new(9),
        next: Version::new(5),
        data: StoredData {
            bytes: b"sealed",
            is_encrypted: true,
        },
    };
    let rotate = async |rewrite| {
        let store = &fixture.store;
        let rotation = store.rotate(new.id, alias_to(target), Some(rewrite), ServerTime::MAX);
        rotation.await.map(|rotated| rotated.version)
    };
    assert_eq!(rotate(rewrite).await, Err(StoreError::Conflict));
    rewrite.expected = new.version;
    assert_eq!(rotate(rewrite).await, Ok(rewrite.next));
    let session = fixture.session(target).await;
    assert_eq!(session, Some((rewrite.next, b"sealed".to_vec())));
    let stored = fixture.read(target).await.expect("the session");
    let record = Record::decode(&stored.bytes).expect("a record");
    assert!(record.header().is_encrypted);
}

async fn a_retired_session_leads_to_its_successor(fixture: &Fixture<'_>) {
    let old = created(fixture, b"cart").await;
    let new = of_user(fresh_user(), b"cart");
    fixture.create(&new).await.expect("the id is fresh");
    let store = &fixture.store;
    let without_grace = NewAlias {
        grace: Duration::ZERO,
        ..alias_to(new.id)
    };
    let retire = |version| {
        let version = Some(Version::new(version));
        store.retire(old.id, version, without_grace, ServerTime::MAX)
    };
    assert_eq!(retire(9).await, Err(StoreError::Conflict));
    let (retired, changes) = fixture.changes_of(retire(1)).await;
    assert!(retired.is_ok());
    let id = in_message(old.id);
    fixture.assert_published(&changes, &[Change::Ended { id }]);
    let alias = fixture.alias(old.id).await.expect("it is an alias");
    assert_eq!(alias.target, new.id);
    let is_over = alias.grace_until == ServerTime(0);
    assert!(is_over, "also if the clock is set back");
    assert_eq!(retire(1).await, Err(StoreError::Rotated));
    let saved = fixture.save(old.id, 1, 2, b"late").await;
    assert_eq!(saved, Err(StoreError::Rotated));
    let absent = store.retire(fresh_id(1), None, alias_to(new.id), ServerTime::MAX);
    assert_eq!(absent.await, Err(StoreError::Gone));
}

async fn an_end_removes_the_session_and_is_published(fixture: &Fixture<'_>) {
    let new = created(fixture, b"cart").await;
    let ended = [Change::Ended {
        id: in_message(new.id),
    }];
    let (end, changes) = fixture.changes_of(fixture.store.end(new.id)).await;
    assert_eq!(end, Ok(Ended::Session));
    fixture.assert_published(&changes, &ended);
    assert!(fixture.read(new.id).await.is_none());
    let (end, changes) = fixture.changes_of(fixture.store.end(new.id)).await;
    assert_eq!(end, Ok(Ended::Absent));
    // It is published in every case.
    fixture.assert_published(&changes, &ended);
    assert_eq!(fixture.save(new.id, 1, 2, b"").await, Err(StoreError::Gone));
}

async fn an_end_of_an_alias_names_its_target(fixture: &Fixture<'_>) {
    let new = created(fixture, b"cart").await;
    let target = fresh_id(new.id.place());
    let store = &fixture.store;
    let rotation = store.rotate(new.id, alias_to(target), None, ServerTime::MAX);
    rotation.await.expect("it is a session");
    assert_eq!(store.end(new.id).await, Ok(Ended::Alias(target)));
    assert!(
        fixture.session(target).await.is_some(),
        "the caller continues"
    );
    assert_eq!(store.end(target).await, Ok(Ended::Session));
    assert_eq!(store.end(new.id).await, Ok(Ended::Alias(target)));
}

async fn an_end_if_unchanged_compares_the_version(fixture: &Fixture<'_>) {
    let new = created(fixture, b"cart").await;
    let end = |version| {
        fixture
            .store
            .end_if_unchanged(new.id, Version::new(version))
    };
    let (conflict, changes) = fixture.changes_of(end(9)).await;
    assert_eq!(conflict, Err(StoreError::Conflict));
    assert_eq!(changes, []);
    let (ended, changes) = fixture.changes_of(end(1)).await;
    assert!(ended.is_ok());
    let id = in_message(new.id);
    fixture.assert_published(&changes, &[Change::Ended { id }]);
    assert_eq!(end(1).await, Err(StoreError::Gone));
    let other = created(fixture, b"").await;
    let alias = alias_to(fresh_id(other.id.place()));
    let rotation = fixture.store.rotate(other.id, alias, None, ServerTime::MAX);
    rotation.await.expect("it is a session");
    let version = Version::new(1);
    let rotated = fixture.store.end_if_unchanged(other.id, version).await;
    assert_eq!(rotated, Err(StoreError::Rotated));
}

async fn the_cutoff_of_all_sessions_never_decreases(fixture: &Fixture<'_>) {
    let (cutoff, changes) = fixture.changes_of(fixture.store.end_all(None)).await;
    let cutoff = cutoff.expect("the store answers");
    let published = Change::AllEnded {
        ended_before: cutoff,
    };
    let is_push = fixture.store.abilities().push;
    assert!(changes.contains(&published) || !is_push);
    assert_eq!(fixture.heartbeat().await.ended_before, cutoff);
    let earlier = fixture.store.end_all(Some(ServerTime(1))).await;
    assert_eq!(earlier, Ok(cutoff));
    fixture.wait(5).await;
    let later = fixture
        .store
        .end_all(None)
        .await
        .expect("the store answers");
    assert!(later > cutoff);
    let ahead = later.after(MINUTE);
    assert_eq!(fixture.store.end_all(Some(ahead)).await, Ok(ahead));
}

async fn the_first_proposal_of_a_heartbeat_is_kept(fixture: &Fixture<'_>) {
    let first = fixture.heartbeat().await;
    let other = crate::store::Proposal {
        epoch: [4; 16],
        user_key: [5; 32],
        key_fingerprints: vec![[6; 8]],
    };
    let answer = fixture.store.heartbeat(&other).await;
    let answer = answer.expect("the store answers a heartbeat");
    assert_eq!(answer.epoch, first.epoch);
    assert_eq!(answer.user_key, first.user_key);
    assert!(answer.now >= first.now);
    let answer = fixture.heartbeat().await;
    assert!(answer.key_fingerprints.contains(&[6; 8]));
}
