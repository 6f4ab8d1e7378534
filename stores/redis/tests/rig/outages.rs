//! A server that is killed, stopped or slow while requests arrive.

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use sessile::{Error, IssuedSession};

use crate::support::{
    node::{Node, Site, TIMEOUT, answered, key, permit, until},
    pauses::Pauses,
    proxy::{Behaviour, Lane, Towards},
    server::{self, Server},
};

/// The results of the requests of one node.
#[derive(Default)]
struct Seen {
    longest: Mutex<Duration>,
    unreachable: AtomicU64,
    answered: AtomicU64,
    is_over: AtomicBool,
}

impl Seen {
    /// Counts one request, which is a miss and a commit at most.
    fn count<T>(&self, request: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let began = Instant::now();
        let result = request();
        let mut longest = self.longest.lock().expect("no thread panicked");
        *longest = began.elapsed().max(*longest);
        match result {
            Ok(_) => self.answered.fetch_add(1, Relaxed),
            Err(Error::Unreachable) => self.unreachable.fetch_add(1, Relaxed),
            Err(_) => 0,
        };
        result
    }
}

/// Stops the load when the test ends, also when it fails.
struct Over<'a>(&'a Seen);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Relaxed);
    }
}

#[test]
fn while_the_server_is_killed_requests_are_bounded_and_ends_are_kept() {
    thread::scope(|scope| {
        for kind in server::kinds() {
            scope.spawn(|| killed(kind));
        }
    });
}

fn killed(kind: &'static str) {
    let mut server = Server::start(kind, &["--appendonly", "yes", "--appendfsync", "always"]);
    let site = Site::new(&server);
    let [one, two] = [(); 2].map(|()| site.node(&server));
    let doomed: Vec<_> = (0..50)
        .map(|_| one.verbs.create(b"cart").expect("the store is up"))
        .collect();
    let kept = one.verbs.create(b"kept").expect("the store is up");
    let (seen, pauses) = (Seen::default(), Pauses::watch());
    thread::scope(|scope| {
        let _over = Over(&seen);
        scope.spawn(|| load(&two, &kept, &seen));
        scope.spawn(|| load(&one, &kept, &seen));
        server.kill();
        one.until_down();
        end_unconfirmed(&one, &doomed, &seen);
        thread::sleep(down_time());
        server.start_again();
        permit(&server);
        let back = Instant::now();
        // The first hit of the node that ended them.
        until("sessions return", || matches!(one.open(&kept), Ok(Some(_))));
        println!("{kind}: recovered after {:?}", back.elapsed());
        for session in &doomed {
            let exists = server.command(&["EXISTS", &key(&session.id)]);
            assert_eq!(exists, "0", "{kind}: an end was not done before a hit");
            assert_eq!(one.open(session), Ok(None));
        }
        two.until_up();
        for session in &doomed {
            assert_eq!(answered(|| two.open(session)), Ok(None));
        }
    });
    let longest = *seen.longest.lock().expect("no panic");
    let (unreachable, answered) = (seen.unreachable.load(Relaxed), seen.answered.load(Relaxed));
    println!("{kind}: {answered} answered, {unreachable} not, longest {longest:?}");
    assert!(
        unreachable > 0 && longest < 3 * TIMEOUT + SLACK + pauses.total(),
        "{kind}: {longest:?}"
    );
}

/// Ends sessions while the server is down.
fn end_unconfirmed(node: &Node, sessions: &[IssuedSession], seen: &Seen) {
    for session in sessions {
        let ended = seen.count(|| node.verbs.end(&session.id));
        assert_eq!(ended, Err(Error::Unreachable));
        assert!(!node.hits(session), "an end takes effect in its process");
    }
}

/// Sends requests until the test is over: a read, and a write of the same session.
fn load(node: &Node, session: &IssuedSession, seen: &Seen) {
    while !seen.is_over.load(Relaxed) {
        let _ = seen.count(|| {
            node.open(session)?;
            node.verbs.create(b"visit").map(drop)
        });
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_write_that_was_answered_503_is_never_executed_later() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let sessions: Vec<_> = (0..20).map(|_| saved(&one)).collect();
        let pauses = &Pauses::watch();
        server.pause();
        thread::scope(|scope| {
            for (session, version) in &sessions {
                let one = &one;
                scope.spawn(move || {
                    let began = Instant::now();
                    let saved = one.verbs.save(&session.id, *version, b"after");
                    assert_eq!(saved, Err(Error::Unreachable));
                    let took = began.elapsed();
                    assert!(took < 2 * TIMEOUT + SLACK + pauses.total(), "{took:?}");
                });
            }
        });
        server.resume();
        one.until_up();
        two.until_up();
        for (session, _) in &sessions {
            let data = answered(|| two.open(session));
            assert_eq!(data, Ok(Some(b"before".to_vec())), "{kind}");
        }
    }
}

/// Creates a session and saves it once, so that the server knows the script.
fn saved(node: &Node) -> (IssuedSession, sessile::Version) {
    let session = node.verbs.create(b"new").expect("the store is up");
    let record = node.verbs.load(&session.id, &mut bytes::BytesMut::new());
    let version = record
        .expect("the store is up")
        .expect("it is there")
        .version;
    let saved = node.verbs.save(&session.id, version, b"before");
    (session, saved.expect("no other request saves it"))
}

#[test]
fn a_half_open_server_is_a_fence_after_two_unanswered_heartbeats() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let node = site.node(&server);
        let session = node.verbs.create(b"cart").expect("the store is up");
        // The machine itself may stop for a second, so the best of three counts.
        let limit = Duration::from_secs(3) + SLACK;
        let took = (0..3)
            .map(|_| time_until_fence(&node, &server))
            .find(|took| *took < limit);
        assert!(took.is_some(), "{kind}: no fence within {limit:?}");
        until("the store is up again", || node.open(&session).is_ok());
        server.pause();
        node.until_down();
        until("the lease ends", || !node.hits(&session));
        let began = Instant::now();
        assert_eq!(node.open(&session), Err(Error::Unreachable));
        assert!(
            began.elapsed() < Duration::from_millis(100),
            "it does not wait"
        );
        server.resume();
        let opened = answered(|| node.open(&session));
        assert_eq!(opened, Ok(Some(b"cart".to_vec())), "{kind}");
    }
}

/// Stops the server, and returns the time until the node is down. A heartbeat is sent every second,
/// and counts as unanswered after two.
fn time_until_fence(node: &Node, server: &Server) -> Duration {
    let before = node.fences();
    server.pause();
    let paused = Instant::now();
    node.until_down();
    let took = paused.elapsed();
    assert!(node.fences() > before);
    server.resume();
    node.until_up();
    took
}

#[test]
fn a_slow_server_slows_no_hit() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let node = site.node(&server);
        let session = node.verbs.create(b"cart").expect("the store is up");
        let slow = Behaviour::Delay(Duration::from_millis(100), Duration::from_millis(100));
        for lane in [Lane::Channel, Lane::Reads, Lane::Writes] {
            node.proxy.set(lane, Towards::Node, slow);
        }
        let began = Instant::now();
        let other = node.verbs.create(b"cart").expect("it is slow, not down");
        assert!(began.elapsed() >= Duration::from_millis(100));
        let began = Instant::now();
        for _ in 0..1_000 {
            assert!(node.hits(&session) && node.hits(&other));
        }
        assert!(began.elapsed() < Duration::from_millis(100), "{kind}");
        thread::sleep(Duration::from_secs(3));
        assert!(node.is_up() && node.hits(&session), "the heartbeats arrive");
    }
}

#[test]
fn a_server_that_answers_too_late_delays_no_request_beyond_its_bound() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let one = site.node(&server);
        let two = site.node_with(&server, |builder| builder.timeout(SHORT));
        let session = one.verbs.create(b"cart").expect("the store is up");
        let late = Behaviour::Delay(Duration::from_secs(10), Duration::ZERO);
        for lane in [Lane::Channel, Lane::Reads, Lane::Writes] {
            two.proxy.set(lane, Towards::Node, late);
        }
        let (seen, pauses) = (Seen::default(), Pauses::watch());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(4) {
            let opened = seen.count(|| two.open(&session));
            assert_eq!(opened, Err(Error::Unreachable));
            let created = seen.count(|| two.verbs.create(b"visit"));
            assert_eq!(created.map(drop), Err(Error::Unreachable));
            thread::sleep(Duration::from_millis(5));
        }
        let longest = *seen.longest.lock().expect("no panic");
        let limit = 2 * SHORT + SLACK + pauses.total();
        assert!(longest < limit, "{kind}: {longest:?}");
    }
}

fn down_time() -> Duration {
    let seconds = env::var("SESSILE_RIG_DOWN_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// A timeout for which several calls end within the time of a fence.
const SHORT: Duration = Duration::from_millis(500);
/// For machines that do other work.
const SLACK: Duration = Duration::from_millis(500);
