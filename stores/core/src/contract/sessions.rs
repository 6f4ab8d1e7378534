//! Checks of one session: create, read, save, touch, timeouts, expiry.

use std::time::Duration;

use sessile::Version;

use super::fixture::{
    Fixture, MINUTE, alias_to, anonymous, fresh_id, fresh_user, in_message, of_user,
};
use crate::{
    record::{Record, to_ticks},
    store::{Change, Lifetime, NewTimeouts, ServerTime, StoreError, StoredData},
};

pub(super) async fn check_all(fixture: &Fixture<'_>) {
    a_created_session_is_read_with_its_header(fixture).await;
    a_sign_in_continues_or_renews_a_lifetime(fixture).await;
    an_id_is_created_once(fixture).await;
    a_save_compares_the_version_and_is_published(fixture).await;
    encrypted_data_is_marked(fixture).await;
    a_write_after_its_time_changes_nothing(fixture).await;
    a_touch_moves_the_deadline_forward_only(fixture).await;
    timeouts_change_with_the_version(fixture).await;
    a_session_expires_at_its_idle_timeout(fixture).await;
    a_lifetime_caps_the_idle_timeout(fixture).await;
}

async fn a_created_session_is_read_with_its_header(fixture: &Fixture<'_>) {
    let new = of_user(fresh_user(), b"cart");
    let now = fixture.create(&new).await.expect("the id is fresh");
    let stored = fixture.read(new.id).await.expect("it was created");
    assert!(stored.now >= now, "the server's time does not decrease");
    assert!(stored.expires_in <= MINUTE && stored.expires_in > MINUTE / 2);
    let Ok(Record::Session(session)) = Record::decode(&stored.bytes) else {
        panic!("a session was created");
    };
    let header = session.header;
    assert_eq!((session.label, session.data), ("laptop", &b"cart"[..]));
    assert_eq!(header.user, new.user);
    assert_eq!((header.version, header.serial), (new.version, new.serial));
    assert_eq!(header.assurance_level, new.assurance_level);
    assert_eq!(header.idle_ticks, to_ticks(MINUTE));
    assert_eq!(
        [header.created, header.authenticated, header.issued],
        [now; 3]
    );
    assert_eq!(header.end, now.after(10 * MINUTE));
    assert!(!header.is_renewed && !header.is_encrypted);
}

async fn a_sign_in_continues_or_renews_a_lifetime(fixture: &Fixture<'_>) {
    let created = fixture.heartbeat().await.now;
    let end = created.after(5 * MINUTE);
    let header_of = async |lifetime| {
        let mut new = of_user(fresh_user(), b"");
        new.lifetime = lifetime;
        let now = fixture.create(&new).await.expect("the id is fresh");
        let stored = fixture.read(new.id).await.expect("it was created");
        let record = Record::decode(&stored.bytes).expect("a record");
        (*record.header(), now)
    };
    let is_renewed = true;
    let continued = Lifetime::Continued {
        created,
        end,
        is_renewed,
    };
    let (header, now) = header_of(continued).await;
    assert_eq!((header.created, header.end), (created, end));
    assert_eq!((header.authenticated, header.is_renewed), (now, true));
    let lifetime = 2 * MINUTE;
    let (header, now) = header_of(Lifetime::Renewed { created, lifetime }).await;
    assert_eq!((header.created, header.end), (created, now.after(lifetime)));
    assert!(header.is_renewed);
}

async fn an_id_is_created_once(fixture: &Fixture<'_>) {
    let mut new = anonymous(b"first");
    fixture.create(&new).await.expect("the id is fresh");
    new.data = StoredData::plain(b"second");
    assert_eq!(fixture.create(&new).await, Err(StoreError::Taken));
    let (_, data) = fixture.session(new.id).await.expect("it was created");
    assert_eq!(data, b"first");
}

async fn a_save_compares_the_version_and_is_published(fixture: &Fixture<'_>) {
    let new = of_user(fresh_user(), b"cart");
    fixture.create(&new).await.expect("the id is fresh");
    let (saved, changes) = fixture
        .changes_of(fixture.save(new.id, 1, 300, b"fuller cart"))
        .await;
    assert!(saved.is_ok());
    let version = Version::new(300);
    let id = in_message(new.id);
    fixture.assert_published(&changes, &[Change::Written { id, version }]);
    let stored = fixture.session(new.id).await;
    assert_eq!(stored, Some((version, b"fuller cart".to_vec())));

    let (conflict, changes) = fixture
        .changes_of(fixture.save(new.id, 1, 301, b"late"))
        .await;
    assert_eq!(conflict, Err(StoreError::Conflict));
    assert_eq!(changes, [], "a rejected save is not published");
    assert_eq!(fixture.session(new.id).await, stored);
    let absent = fixture.save(fresh_id(1), 1, 2, b"").await;
    assert_eq!(absent, Err(StoreError::Gone));
    let target = fresh_id(new.id.place());
    let rotated = fixture
        .store
        .rotate(new.id, alias_to(target), None, ServerTime::MAX);
    rotated.await.expect("it is a session");
    let alias = fixture.save(new.id, 300, 301, b"").await;
    assert_eq!(alias, Err(StoreError::Rotated));
}

async fn encrypted_data_is_marked(fixture: &Fixture<'_>) {
    let is_encrypted_now = async |id| {
        let stored = fixture.read(id).await.expect("it was created");
        Record::decode(&stored.bytes)
            .expect("a record")
            .header()
            .is_encrypted
    };
    let mut new = anonymous(b"sealed");
    new.data.is_encrypted = true;
    fixture.create(&new).await.expect("the id is fresh");
    assert!(is_encrypted_now(new.id).await);
    fixture
        .save(new.id, 1, 2, b"plain")
        .await
        .expect("version 1");
    assert!(!is_encrypted_now(new.id).await);
    let sealed = StoredData {
        bytes: b"sealed",
        is_encrypted: true,
    };
    let [two, three] = [2, 3].map(Version::new);
    let saved = fixture
        .store
        .save(new.id, two, three, sealed, ServerTime::MAX);
    saved.await.expect("version 2");
    assert!(is_encrypted_now(new.id).await);
}

async fn a_write_after_its_time_changes_nothing(fixture: &Fixture<'_>) {
    let past = ServerTime(1);
    let new = anonymous(b"cart");
    let late = fixture.store.create(&new, past).await;
    assert_eq!(late, Err(StoreError::Late));
    assert!(fixture.read(new.id).await.is_none());
    fixture.create(&new).await.expect("the id is fresh");
    let [one, two] = [1, 2].map(Version::new);
    let store = &fixture.store;
    let saved = store.save(new.id, one, two, StoredData::plain(b"late"), past);
    assert_eq!(saved.await, Err(StoreError::Late));
    let alias = alias_to(fresh_id(new.id.place()));
    let rotated = store.rotate(new.id, alias, None, past).await;
    assert_eq!(rotated, Err(StoreError::Late));
    let retired = store.retire(new.id, Some(one), alias, past).await;
    assert_eq!(retired, Err(StoreError::Late));
    let timeouts = NewTimeouts {
        idle_timeout: MINUTE,
        end: ServerTime::MAX,
    };
    let set = store.set_timeouts(new.id, one, two, timeouts, None, past);
    assert_eq!(set.await, Err(StoreError::Late));
    let touched = store.touch(&[(new.id, Duration::ZERO)], past).await;
    assert_eq!(touched, Err(StoreError::Late));
    assert_eq!(fixture.session(new.id).await, Some((one, b"cart".to_vec())));
}

async fn a_touch_moves_the_deadline_forward_only(fixture: &Fixture<'_>) {
    let new = anonymous(b"");
    fixture.create(&new).await.expect("the id is fresh");
    fixture.wait_for_touch().await;
    let before = fixture.read(new.id).await.expect("it was created");
    let rotated = anonymous(b"");
    fixture.create(&rotated).await.expect("the id is fresh");
    let alias = alias_to(fresh_id(rotated.id.place()));
    let store = &fixture.store;
    let rotation = store.rotate(rotated.id, alias, None, ServerTime::MAX);
    rotation.await.expect("it is a session");

    let earlier = [(new.id, MINUTE / 2)];
    assert_eq!(store.touch(&earlier, ServerTime::MAX).await, Ok(vec![true]));
    let same = fixture.read(new.id).await.expect("it was created");
    assert!(same.expires_in > MINUTE / 2, "a deadline never moves back");

    let now = Duration::ZERO;
    let batch = [(new.id, now), (fresh_id(0xbeef), now), (rotated.id, now)];
    let touched = store.touch(&batch, ServerTime::MAX).await;
    assert_eq!(touched, Ok(vec![true, false, false]));
    let after = fixture.read(new.id).await.expect("it was created");
    let deadline = |stored: &crate::store::StoredRecord| stored.now.after(stored.expires_in);
    assert!(deadline(&after) > deadline(&before));
}

async fn timeouts_change_with_the_version(fixture: &Fixture<'_>) {
    let new = anonymous(b"cart");
    let now = fixture.create(&new).await.expect("the id is fresh");
    let [one, two, three] = [1, 2, 3].map(Version::new);
    let timeouts = NewTimeouts {
        idle_timeout: MINUTE / 2,
        end: now.after(20 * MINUTE),
    };
    let set = async |expected, next| {
        let store = &fixture.store;
        let set = store.set_timeouts(new.id, expected, next, timeouts, None, ServerTime::MAX);
        set.await.map(|_| ())
    };
    let (result, changes) = fixture.changes_of(set(one, two)).await;
    assert_eq!(result, Ok(()));
    let id = in_message(new.id);
    fixture.assert_published(&changes, &[Change::Written { id, version: two }]);
    assert_eq!(set(one, three).await, Err(StoreError::Conflict));
    let stored = fixture.read(new.id).await.expect("it was created");
    assert!(stored.expires_in <= MINUTE / 2);
    let header = *Record::decode(&stored.bytes).expect("a record").header();
    assert_eq!((header.version, header.end), (two, timeouts.end));
    assert_eq!(header.idle_ticks, to_ticks(MINUTE / 2));
    assert_eq!(fixture.session(new.id).await, Some((two, b"cart".to_vec())));
}

async fn a_session_expires_at_its_idle_timeout(fixture: &Fixture<'_>) {
    let mut new = anonymous(b"");
    new.idle_timeout = Duration::from_millis(200);
    fixture.create(&new).await.expect("the id is fresh");
    assert!(fixture.read(new.id).await.is_some());
    fixture.wait_for_expiry().await;
    assert!(fixture.read(new.id).await.is_none());
    let saved = fixture.save(new.id, 1, 2, b"").await;
    assert_eq!(saved, Err(StoreError::Gone));
}

async fn a_lifetime_caps_the_idle_timeout(fixture: &Fixture<'_>) {
    let mut new = anonymous(b"");
    new.lifetime = Lifetime::New(Duration::from_secs(30));
    fixture.create(&new).await.expect("the id is fresh");
    let stored = fixture.read(new.id).await.expect("it was created");
    assert!(stored.expires_in <= Duration::from_secs(30));
    let batch = [(new.id, Duration::ZERO)];
    let touched = fixture.store.touch(&batch, ServerTime::MAX);
    assert_eq!(touched.await, Ok(vec![true]));
    let stored = fixture.read(new.id).await.expect("it was created");
    assert!(stored.expires_in <= Duration::from_secs(30));
}
