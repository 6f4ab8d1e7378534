//! Signing in with data, and sessions that have a user from creation on. Both are atomic.

use std::time::Duration;

use bytes::BytesMut;
use sessile::{
    CreateOptions, Error, EventKind, KeyRing, SessionCache, SessionCacheBuilder,
    SessionLimitPolicy, SignInOptions, Timeouts, UserInfo,
};

fn builder() -> SessionCacheBuilder {
    SessionCache::builder()
        .memory(1 << 20)
        .keys(KeyRing::generate().unwrap())
        .events(100)
}

fn anonymous() -> CreateOptions<'static> {
    CreateOptions::new()
}

fn ada() -> CreateOptions<'static> {
    anonymous().user(UserInfo::new("ada").label("phone").assurance_level(2))
}

fn events(cache: &SessionCache) -> Vec<EventKind> {
    std::iter::from_fn(|| cache.next_event())
        .map(|event| event.kind)
        .collect()
}

#[test]
fn data_is_stored_atomically_with_the_sign_in() {
    let cache = builder().build().unwrap();
    for data in [&b""[..], b"short", &[7; 3_000]] {
        let old = cache.create(b"a cart of some length").unwrap();
        let with = SignInOptions::new().replace_data(old.version, data);
        let issued = cache.sign_in_with(&old.id, "ada", with).unwrap();
        let mut buffer = BytesMut::new();
        assert!(
            cache.load(&old.id, &mut buffer).is_none(),
            "none of the data under the old id"
        );
        let record = cache.load(&issued.id, &mut buffer).unwrap();
        assert!(record.is_authenticated() && buffer == data);
        assert_eq!(record.version, issued.version);
        assert!(
            issued.version.get() > old.version.get(),
            "the data was saved"
        );
        assert!(cache.save(&issued.id, issued.version, b"more").is_ok());
        cache.validate();
    }
    assert_eq!(cache.user_sessions("ada").len(), 3);
}

// LIFE-5: docs/security-checklist.md
#[test]
fn a_sign_in_with_data_conflicts_with_a_concurrent_save() {
    let cache = builder().build().unwrap();
    let old = cache.create(b"old").unwrap();
    cache.save(&old.id, old.version, b"saved").unwrap();
    let with = SignInOptions::new().replace_data(old.version, b"lost update");
    assert_eq!(
        cache.sign_in_with(&old.id, "ada", with).err(),
        Some(Error::Conflict)
    );
    let mut buffer = BytesMut::new();
    let record = cache.load(&old.id, &mut buffer).unwrap();
    assert!(!record.is_authenticated() && &buffer[..] == b"saved");
    assert!(cache.user_sessions("ada").is_empty());
    assert_eq!(cache.stats().conflicts, 1);
    cache.validate();
}

#[test]
fn a_sign_in_without_room_for_its_data_changes_nothing() {
    let cache = builder().max_session_size(1 << 10).build().unwrap();
    let old = cache.create(b"old").unwrap();
    let long = vec![0; (1 << 10) + 1];
    let rejected = cache.sign_in_with(
        &old.id,
        "ada",
        SignInOptions::new().replace_data(old.version, &long),
    );
    assert_eq!(
        rejected.err(),
        Some(Error::TooLarge {
            given: long.len(),
            max: 1 << 10
        })
    );
    let mut buffer = BytesMut::new();
    assert!(
        cache
            .load(&old.id, &mut buffer)
            .is_some_and(|record| !record.is_authenticated())
    );
    assert_eq!(cache.stats().signed_in, 0);
}

#[test]
fn a_session_has_a_user_from_the_start() {
    let cache = builder().build().unwrap();
    let old = cache.create_with(b"data", ada()).unwrap();
    let header = format!("__Host-session={}", old.token.as_str());
    let mut buffer = BytesMut::new();
    let record = cache.open([header.as_bytes()], &mut buffer).unwrap();
    assert_eq!(
        (&buffer[..], record.version, record.assurance_level),
        (&b"data"[..], old.version, 2)
    );
    assert_eq!(record.authenticated_for(), Some(Duration::ZERO));
    let [info] = &cache.user_sessions("ada")[..] else {
        panic!("expected a session")
    };
    assert_eq!(
        (info.handle, info.label.as_str()),
        (record.handle(), "phone")
    );
    let stats = cache.stats();
    assert_eq!((stats.created, stats.signed_in, cache.len()), (1, 1, 1));
    assert_eq!(events(&cache), [EventKind::Created, EventKind::SignedIn]);
    assert_eq!(cache.end_user_sessions("ada", None), 1);
    cache.validate();
}

#[test]
fn creating_with_a_user_has_the_limits_of_a_sign_in() {
    let cache = builder()
        .max_sessions_per_user(2)
        .session_limit_policy(SessionLimitPolicy::Reject)
        .build()
        .unwrap();
    let unnamed = anonymous().user("");
    assert_eq!(
        cache.create_with(b"", unnamed).err(),
        Some(Error::EmptyUser)
    );
    let label = "a".repeat(49);
    let long = anonymous().user(UserInfo::new("ada").label(&label));
    assert_eq!(
        cache.create_with(b"", long).err(),
        Some(Error::LabelTooLong { given: 49, max: 48 })
    );
    for _ in 0..2 {
        cache.create_with(b"", ada()).unwrap();
    }
    assert_eq!(
        cache.create_with(b"", ada()).err(),
        Some(Error::TooManySessions)
    );
    assert_eq!((cache.len(), cache.stats().created), (2, 2));

    let cache = builder().max_sessions_per_user(2).build().unwrap();
    for _ in 0..5 {
        cache.create_with(b"", ada()).unwrap();
    }
    assert_eq!((cache.user_sessions("ada").len(), cache.len()), (2, 2));
    cache.validate();
}

#[test]
fn a_user_from_the_start_has_the_timeouts_of_the_options() {
    let clock = sessile::ManualClock::new();
    let cache = builder().clock(clock.clone()).build().unwrap();
    let [short, long] = [60, 600].map(Duration::from_secs);
    let new = anonymous()
        .timeouts(Timeouts::new().idle_timeout(short).lifetime(long))
        .user("ada");
    let mut buffer = BytesMut::new();
    let expires_in =
        |id, buffer: &mut BytesMut| cache.load(id, buffer).map(|record| record.expires_in());
    let old = cache.create_with(b"", new).unwrap();
    assert_eq!(expires_in(&old.id, &mut buffer), Some(short));
    for _ in 0..11 {
        clock.advance(Duration::from_secs(50));
        assert!(expires_in(&old.id, &mut buffer).is_some());
    }
    clock.advance(Duration::from_secs(50));
    assert_eq!(
        expires_in(&old.id, &mut buffer),
        None,
        "the lifetime is over"
    );
}

#[test]
fn a_new_authenticated_session_evicts_where_an_anonymous_one_cannot() {
    let cache = builder().build().unwrap();
    let users: Vec<String> = (0..20_000).map(|user| format!("user {user}")).collect();
    for user in &users {
        cache
            .create_with(&[0; 256], anonymous().user(user.as_str()))
            .unwrap();
    }
    assert!(
        cache.stats().evicted.authenticated > 0,
        "the cache was full"
    );
    let largest = vec![0; cache.max_session_size()];
    assert!(cache.create_with(&largest, ada()).is_ok());
    cache.validate();
}
