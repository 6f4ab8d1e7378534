//! Sessions in a store that two nodes share: what a visitor sees on both, and what happens while
//! the store cannot be reached.

#![allow(clippy::unwrap_used)]

#[path = "support/switched.rs"]
mod switched;
#[path = "support/two_nodes.rs"]
mod two_nodes;

use std::time::Duration;

use http::{StatusCode, header};
use sessile_web::{Session, SessionError, SignIn, adapter::SessionExt};
use switched::eventually;
use two_nodes::{Browser, Reply, World, futures};

#[tokio::test]
async fn a_user_who_signs_in_on_one_node_is_signed_out_on_the_other() {
    let world = World::new();
    let [one, two] = &world.nodes;
    let mut browser = Browser::default();
    browser
        .visit(one, |session| {
            session.sign_in(SignIn::of("ada").label("phone"))
        })
        .await
        .unwrap();
    browser
        .visit(two, |session| session.insert("cart", "tea"))
        .await
        .unwrap();
    let session = browser.loaded(one).await;
    assert_eq!(session.user().as_deref(), Some("ada"));
    eventually("the other node's write arrives", || {
        let session = browser.begin(one);
        futures(session.load()).unwrap();
        session.get::<String>("cart").unwrap().as_deref() == Some("tea")
    });
    let devices = session.user_sessions().await.unwrap();
    assert_eq!((devices.len(), devices[0].label()), (1, "phone"));
    assert!(devices[0].is_current() && session.is_alive().await);

    let before = browser.clone();
    let signing_out = browser.loaded(two).await;
    signing_out.sign_out().await.unwrap();
    let Reply(headers, result) = browser.finish(&signing_out, StatusCode::OK).await;
    assert!(result.is_ok() && headers.contains_key(header::SET_COOKIE) && browser.0.is_none());
    eventually("the end arrives", || {
        let session = before.begin(one);
        futures(session.load()).unwrap();
        session.user().is_none()
    });
    assert!(!session.is_alive().await);
}

#[tokio::test]
async fn loading_is_no_use_and_asks_the_store_once() {
    let world = World::new();
    let [one, two] = &world.nodes;
    let mut browser = Browser::default();
    browser
        .visit(one, |session| session.insert("a", 1))
        .await
        .unwrap();
    let reads = world.store.reads();
    let session = browser.begin(two);
    assert!(matches!(
        session.get::<u32>("a"),
        Err(SessionError::NotLoaded)
    ));
    let session = browser.begin(two);
    for _ in 0..3 {
        session.load().await.unwrap();
    }
    assert_eq!(world.store.reads(), reads + 1);
    let Reply(headers, result) = browser.finish(&session, StatusCode::OK).await;
    assert!(result.is_ok() && headers.is_empty(), "{headers:?}");

    // Loaded again and again, and never used: the session expires.
    for _ in 0..3 {
        world.advance(Duration::from_secs(11 * 60), 1);
        browser.begin(two).load().await.unwrap();
    }
    assert!(!browser.loaded(two).await.is_stored());
}

#[tokio::test]
async fn a_use_on_one_node_keeps_the_session_alive_on_the_other() {
    let world = World::new();
    let [one, two] = &world.nodes;
    let mut browser = Browser::default();
    browser
        .visit(one, |session| session.insert("a", 1))
        .await
        .unwrap();
    for _ in 0..4 {
        world.advance(Duration::from_secs(20 * 60), 0);
        assert_eq!(browser.loaded(one).await.get("a").unwrap(), Some(1));
    }
    assert_eq!(browser.loaded(two).await.get("a").unwrap(), Some(1));
}

#[tokio::test]
async fn without_the_store_the_first_verb_fails_and_others_are_not_affected() {
    let world = World::new();
    let [one, _] = &world.nodes;
    let mut browser = Browser::default();
    browser
        .visit(one, |session| session.sign_in("ada"))
        .await
        .unwrap();
    world.turn_off();

    let session = browser.begin(one);
    assert!(matches!(
        session.load().await,
        Err(SessionError::Unreachable)
    ));
    let Reply(headers, result) = browser.finish(&session, StatusCode::OK).await;
    assert!(
        result.is_ok() && headers.is_empty(),
        "a request that never looks"
    );

    let session = browser.begin(one);
    let _ = session.load().await;
    let errors = [
        session.get::<u32>("a").map(drop),
        session.insert("a", 1),
        session.check_csrf("made up"),
        session.csrf_token().map(drop),
        session.sign_in("bob"),
        session.user_sessions().await.map(drop),
        session.save().await,
    ];
    for (at, result) in errors.into_iter().enumerate().take(6) {
        assert!(matches!(result, Err(SessionError::Unreachable)), "{at}");
    }
    // The handler saw the errors and may answer as it likes.
    let Reply(headers, result) = browser.finish(&session, StatusCode::OK).await;
    assert!(result.is_ok() && headers.contains_key(header::VARY));

    // It did not see this one.
    let session = browser.begin(one);
    let _ = session.load().await;
    assert!(session.user().is_none() && session.keys().is_empty());
    let Reply(headers, result) = browser.finish(&session, StatusCode::OK).await;
    assert_eq!(
        result.unwrap_err().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert!(headers.contains_key(header::RETRY_AFTER) && !headers.contains_key(header::SET_COOKIE));

    let session = Browser::default().begin(one);
    session.load().await.unwrap();
    assert_eq!(
        session.get::<u32>("a").unwrap(),
        None,
        "without a cookie nothing is asked"
    );
    world.turn_on();
    assert_eq!(browser.loaded(one).await.user().as_deref(), Some("ada"));
}

#[tokio::test]
async fn a_write_during_an_outage_is_an_error_and_is_not_performed_later() {
    let world = World::new();
    let [one, _] = &world.nodes;
    let mut browser = Browser::default();
    browser
        .visit(one, |session| session.insert("a", 1))
        .await
        .unwrap();
    let session = browser.loaded(one).await;
    session.insert("a", 2).unwrap();
    let new = Browser::default().begin(one);
    new.insert("b", 1).unwrap();
    world.turn_off();
    for session in [session, new] {
        let Reply(headers, result) = browser.clone().finish(&session, StatusCode::OK).await;
        assert_eq!(
            result.unwrap_err().status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert!(headers.contains_key(header::RETRY_AFTER));
    }
    world.turn_on();
    world.advance(Duration::ZERO, 0);
    assert_eq!(browser.loaded(one).await.get("a").unwrap(), Some(1));
    eventually("no session is left of the other", || {
        world.store.stats()[0] == 1
    });
}

#[tokio::test]
async fn a_sign_out_during_an_outage_removes_the_cookie_and_takes_effect_in_the_end() {
    let world = World::new();
    let [one, two] = &world.nodes;
    let mut browser = Browser::default();
    browser
        .visit(one, |session| session.sign_in("ada"))
        .await
        .unwrap();
    let before = browser.clone();
    let session = browser.loaded(one).await;
    world.turn_off();
    assert!(matches!(
        session.sign_out().await,
        Err(SessionError::Unreachable)
    ));
    let Reply(headers, result) = browser.finish(&session, StatusCode::OK).await;
    assert!(result.is_ok() && browser.0.is_none(), "{headers:?}");
    assert_eq!(world.cache(0).store_health().ends_queued, 1);
    world.turn_on();
    eventually("the end is sent", || {
        let session = before.begin(two);
        futures(session.load()).unwrap();
        session.user().is_none()
    });
}

#[tokio::test]
async fn changes_during_a_save_are_stored_after_it() {
    let world = World::new();
    let [one, two] = &world.nodes;
    let mut browser = Browser::default();
    browser
        .visit(one, |session| session.increment("sum", 1))
        .await
        .unwrap();
    let session = browser.loaded(one).await;
    session.increment("sum", 10).unwrap();
    session.insert("early", true).unwrap();
    world.store.hold();
    let other = session.clone();
    let (saved, ()) = tokio::join!(session.save(), async {
        world.store.until_held().await;
        // What is being saved is seen, and what is changed now is kept.
        assert_eq!(other.get::<bool>("early").unwrap(), Some(true));
        assert_eq!(other.increment("sum", 100).unwrap(), 111);
        other.remove("early").unwrap();
        assert!(other.is_busy());
        world.store.release();
    });
    saved.unwrap();
    assert_eq!(session.get::<i64>("sum").unwrap(), Some(111));
    browser.finish(&session, StatusCode::OK).await.1.unwrap();
    let session = browser.loaded(two).await;
    assert_eq!(session.get::<i64>("sum").unwrap(), Some(111));
    assert!(!session.contains_key("early"));
}

#[tokio::test]
async fn a_session_that_was_only_loaded_is_read_during_its_first_save() {
    let world = World::new();
    let [one, two] = &world.nodes;
    let mut browser = Browser::default();
    browser
        .visit(one, |session| session.insert("a", 1))
        .await
        .unwrap();
    let session = browser.loaded(two).await;
    session.insert("b", 2).unwrap();
    world.store.hold();
    let (saved, ()) = tokio::join!(session.save(), async {
        world.store.until_held().await;
        assert_eq!(session.get::<u32>("a").unwrap(), Some(1));
        assert_eq!(session.keys(), ["a", "b"]);
        world.store.release();
    });
    saved.unwrap();
}

#[tokio::test]
async fn operations_of_one_session_wait_for_each_other() {
    let world = World::new();
    let [one, two] = &world.nodes;
    let mut browser = Browser::default();
    let session = browser.begin(one);
    session.insert("a", 1).unwrap();
    world.store.hold();
    let other = session.clone();
    let (saved, ended, ()) = tokio::join!(
        session.save(),
        async {
            world.store.until_held().await;
            other.sign_out().await
        },
        async {
            world.store.until_held().await;
            assert_eq!(
                session.get::<u32>("a").unwrap(),
                Some(1),
                "a new session is seen too"
            );
            world.store.release();
        }
    );
    saved.unwrap();
    ended.unwrap();
    let Reply(_, result) = browser.finish(&session, StatusCode::OK).await;
    assert!(result.is_ok() && browser.0.is_none());
    assert!(!session.is_stored() && !browser.loaded(two).await.is_stored());
    assert_eq!(world.store.stats()[0], 0);
}

#[tokio::test]
async fn a_save_that_is_dropped_loses_no_change_and_leaves_no_session() {
    let world = World::new();
    let [one, _] = &world.nodes;
    let session = Browser::default().begin(one);
    session.insert("a", 1).unwrap();
    world.store.hold();
    tokio::select! {
        _ = session.save() => panic!("it is held back"),
        () = world.store.until_held() => {}
    }
    assert!(!session.is_busy());
    assert_eq!(session.get::<u32>("a").unwrap(), Some(1));
    // The client disconnects, and the creation is done after that.
    drop(session);
    world.store.release();
    eventually("the creation is done", || world.store.stats()[1] == 1);
}

#[tokio::test]
async fn forms_of_sessions_that_are_not_stored_yet_count_after_the_commit() {
    let world = World::new();
    let [one, two] = &world.nodes;
    let acts: [fn(&Session); 3] = [
        |_| {},
        |session| session.sign_in("ada").unwrap(),
        |session| session.insert("a", 1).unwrap(),
    ];
    for act in acts {
        let mut browser = Browser::default();
        let token = browser
            .visit(one, |session| {
                act(session);
                let token = session.csrf_token().unwrap();
                session.check_csrf(&token).unwrap();
                token
            })
            .await;
        browser
            .visit(two, |session| session.check_csrf(&token))
            .await
            .unwrap();

        // The id changes, and the token of the page that changes it counts.
        let [early, late] = browser
            .visit(two, |session| {
                let early = session.csrf_token().unwrap();
                session.rotate().unwrap();
                [early, session.csrf_token().unwrap()]
            })
            .await;
        let session = browser.loaded(one).await;
        assert!(session.check_csrf(&early).is_err() && session.check_csrf(&token).is_err());
        session.check_csrf(&late).unwrap();
    }
}

#[tokio::test]
async fn a_cookie_that_is_to_be_kept_longer_is_sent_again() {
    let world = World::new();
    let [one, _] = &world.nodes;
    let mut browser = Browser::default();
    browser
        .visit(one, |session| session.sign_in("ada"))
        .await
        .unwrap();
    world.advance(Duration::from_secs(20 * 60), 0);
    let session = browser.loaded(one).await;
    session.remember(Duration::from_secs(900)).unwrap();
    let Reply(headers, result) = browser.finish(&session, StatusCode::OK).await;
    result.unwrap();
    let set = headers[header::SET_COOKIE].to_str().unwrap();
    assert!(set.contains("; Max-Age=900"), "{set}");
}

#[tokio::test]
async fn writers_on_two_nodes_are_merged_and_watched_keys_are_compared() {
    let world = World::new();
    let [one, two] = &world.nodes;
    let mut browser = Browser::default();
    browser
        .visit(one, |session| session.increment("sum", 1))
        .await
        .unwrap();
    let slow = browser.loaded(one).await;
    slow.increment("sum", 10).unwrap();
    let guarded = browser.loaded(one).await;
    guarded.watch("sum").unwrap();
    guarded.insert("ordered", true).unwrap();
    browser
        .visit(two, |session| session.increment("sum", 100))
        .await
        .unwrap();
    browser
        .clone()
        .finish(&slow, StatusCode::OK)
        .await
        .1
        .unwrap();
    let Reply(_, result) = browser.clone().finish(&guarded, StatusCode::OK).await;
    assert_eq!(result.unwrap_err().status(), StatusCode::CONFLICT);
    eventually("both are there", || {
        let session = browser.begin(two);
        futures(session.load()).unwrap();
        session.get::<i64>("sum").unwrap() == Some(111)
    });
}
