//! Two nodes over one server: what one of them changes, the other one sees within the lease.

use std::{thread, time::Duration};

use bytes::BytesMut;
use sessile::Error;

use crate::support::{
    node::{LEASE, Node},
    server::Server,
};

/// The lease, one tick of the clock at each end, and the noise of the machine.
const BOUND: Duration = LEASE.saturating_add(Duration::from_millis(1_200));

fn pair(server: &Server) -> [Node; 2] {
    [(); 2].map(|()| Node::start(server.store()))
}

#[test]
fn every_kind_of_end_is_seen_within_the_lease() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let [one, two] = pair(&server);
    let verbs = &one.verbs;
    let check = |name: &str, user: &str, end: &dyn Fn(&sessile::IssuedSession)| {
        let session = one.create(user);
        assert!(two.is_open(&session) && two.hits(&session), "{name}");
        end(&session);
        assert!(!one.is_open(&session), "{name}: the own node at once");
        let took = two.until_ended(&session);
        assert!(took < BOUND, "{name}: {took:?}");
        thread::sleep(Duration::from_millis(20));
        assert!(!two.is_open(&session) && !one.is_open(&session), "{name}");
    };
    check("end", "", &|session| {
        assert_eq!(verbs.end(&session.id), Ok(true));
    });
    check("end_if_unchanged", "ada", &|session| {
        assert_eq!(verbs.end_if_unchanged(&session.id, session.version), Ok(()));
    });
    check("end_user_sessions", "ada", &|_| {
        assert_eq!(verbs.end_user_sessions("ada", None), Ok(0));
    });
    check("end_all", "grace", &|_| assert_eq!(verbs.end_all(), Ok(())));
    check("end_all, anonymous", "", &|_| {
        assert_eq!(verbs.end_all(), Ok(()));
    });
    check("sign_in", "", &|session| {
        verbs.sign_in(&session.id, "ada").expect("it is anonymous");
    });
    check("rotate", "ada", &|session| {
        verbs
            .rotate(&session.id, Duration::ZERO)
            .expect("it exists");
    });
}

#[test]
fn the_sessions_of_a_user_end_except_one_and_those_of_others_stay() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let [one, two] = pair(&server);
    let [kept, ended] = [(); 2].map(|()| one.create("ada"));
    let [other, anonymous] = ["grace", ""].map(|user| one.create(user));
    let rotated = one.verbs.rotate(&kept.id, Duration::from_secs(60));
    let rotated = rotated.expect("it exists");
    // Named by the id that it had before.
    let result = two.verbs.end_user_sessions("ada", Some(&kept.id));
    assert_eq!(result, Ok(0), "their number is not known");
    assert!(!two.is_open(&ended));
    assert!(one.until_ended(&ended) < BOUND);
    for node in [&one, &two] {
        assert!(node.is_open(&rotated) && node.is_open(&other) && node.is_open(&anonymous));
    }
    let later = one.create("ada");
    assert!(two.is_open(&later));
    assert_eq!(two.verbs.end_user_sessions("ada", None), Ok(0));
    for session in [&later, &rotated] {
        assert!(!two.is_open(session));
        assert!(one.until_ended(session) < BOUND);
    }
    // A session of another user is not protected by being named.
    let mine = one.create("ada");
    assert_eq!(one.verbs.end_user_sessions("ada", Some(&other.id)), Ok(0));
    assert!(!one.is_open(&mine) && one.is_open(&other));
}

#[test]
fn of_two_sessions_that_end_all_others_at_the_same_time_at_most_one_stays() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let nodes = pair(&server);
    for round in 0..20 {
        let user = format!("user {round}");
        let sessions = [(); 3].map(|()| nodes[0].create(&user));
        thread::scope(|scope| {
            for (node, session) in nodes.iter().zip(&sessions) {
                let user = &user;
                scope.spawn(move || {
                    let result = node.verbs.end_user_sessions(user, Some(&session.id));
                    assert_eq!(result, Ok(0));
                });
            }
        });
        let node = Node::start(server.store());
        let open = sessions.map(|session| node.is_open(&session));
        assert!(open != [true, true, false] && !open[2], "{open:?}");
    }
}

#[test]
fn a_save_is_seen_within_the_lease_and_the_older_version_conflicts() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let [one, two] = pair(&server);
    let session = one.create("");
    assert!(two.is_open(&session));
    let saved = one.verbs.save(&session.id, session.version, b"fuller");
    let next = saved.expect("version 1");
    let late = two.verbs.save(&session.id, session.version, b"late");
    assert_eq!(late, Err(Error::Conflict));
    // After a conflict the session is read again.
    assert_eq!(two.open(&session), Ok(Some(b"fuller".to_vec())));
    assert!(two.verbs.save(&session.id, next, b"last").is_ok());
    thread::sleep(LEASE + Duration::from_millis(300));
    assert_eq!(one.open(&session), Ok(Some(b"last".to_vec())));
}

#[test]
fn a_session_whose_lease_is_over_is_compared_without_its_data() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let [one, two] = pair(&server);
    let created = one.verbs.create(&[7; 200_000]).expect("it fits");
    let of_user = one.create("ada");
    for node in [&one, &two] {
        assert!(node.is_open(&created) && node.is_open(&of_user));
    }
    let mut client = server.client();
    for _ in 0..2 {
        thread::sleep(LEASE + Duration::from_millis(300));
        assert!(
            !two.hits(&created) && !two.hits(&of_user),
            "the lease is over"
        );
        let before = client.stat("bytes_written");
        for node in [&one, &two] {
            assert!(node.is_open(&created) && node.is_open(&of_user));
        }
        let written = client.stat("bytes_written") - before;
        assert!(written < 50_000, "{written} bytes were read");
        assert!(
            two.hits(&created) && two.hits(&of_user),
            "the lease began again"
        );
    }
}

#[test]
fn use_on_one_node_keeps_the_session_on_the_server() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let [one, _] = pair(&server);
    let session = one.create("ada");
    let key = crate::support::node::key(&session.id);
    let mut client = server.client();
    // As if the session had not been used for long.
    assert_eq!(client.line(&format!("mg {key} T5")), "HD");
    let timeouts = sessile::Timeouts::new().idle_timeout(Duration::from_secs(16));
    let version = one
        .verbs
        .set_timeouts(&session.id, session.version, timeouts);
    assert!(version.is_ok());
    let left = |client: &mut crate::support::client::Client| -> u64 {
        let line = client.line(&format!("mg {key} t"));
        let left = line.strip_prefix("HD t").expect("it exists");
        left.parse().expect("a number")
    };
    assert!((15..=17).contains(&left(&mut client)));
    thread::sleep(Duration::from_millis(3_500));
    let before = left(&mut client);
    assert!(before <= 14);
    assert!(one.is_open(&session));
    crate::support::node::until("the use is recorded", || left(&mut client) > before);
}

#[test]
fn what_the_store_cannot_do_is_an_error_that_says_so() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let [one, _] = pair(&server);
    let session = one.create("ada");
    let listed = one.verbs.user_sessions("ada");
    let text = listed.expect_err("it has no list").to_string();
    assert_eq!(
        text,
        "session store does not support the list of a user's sessions"
    );
    let mut data = BytesMut::new();
    let record = one.verbs.load(&session.id, &mut data);
    let handle = record.expect("an answer").expect("a session").handle();
    let ended = one.verbs.end_by_handle(&handle);
    assert!(matches!(ended, Err(Error::Unsupported { .. })));

    use sessile_store::StoreExt;
    let keys = sessile::KeyRing::generate().expect("random bytes");
    let builder = sessile::SessionCache::builder().memory(8 << 20).keys(keys);
    let error = builder.store(server.store()).expect_err("a limit is set");
    assert_eq!(
        error.to_string(),
        "`max_sessions_per_user` must be `None` with this store, which cannot do that, got 32"
    );
}
