//! An end on one node, and the reads of another.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    node::{LEASE, Node, Site, until},
    proxy::{Behaviour, Lane, Towards},
    server::{self, Server},
};

// TERM-2: docs/security-checklist.md
#[test]
fn another_node_rejects_an_ended_session_at_once() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let mut times = Vec::new();
        for _ in 0..200 {
            // The machine itself may stop for a second, so a call may fail.
            let Ok(session) = one.verbs.create(b"cart") else {
                one.until_up();
                continue;
            };
            until("the read is installed", || {
                two.open(&session).is_ok() && two.hits(&session)
            });
            until("the end is confirmed", || {
                one.verbs.end(&session.id).is_ok()
            });
            let ended = Instant::now();
            until("the end arrives", || !two.hits(&session));
            times.push(ended.elapsed());
            assert!(!matches!(two.open(&session), Ok(Some(_))));
            assert!(!matches!(one.open(&session), Ok(Some(_))));
        }
        times.sort_unstable();
        let [median, worst] = [times[times.len() / 2], times[times.len() - 1]];
        // The benchmark `store` measures the figure on a machine that does nothing else.
        assert!(times.len() > 150 && median < Duration::from_millis(100));
        assert!(worst < LEASE + Duration::from_secs(1), "{kind}: {worst:?}");
    }
}

// TERM-2: docs/security-checklist.md
#[test]
fn a_node_without_its_channel_rejects_an_ended_session_after_the_lease() {
    each_fault(|proxied| {
        for towards in [Towards::Node, Towards::Server] {
            proxied.proxy.set(Lane::Channel, towards, Behaviour::Stall);
        }
    });
    each_fault(|proxied| {
        proxied
            .proxy
            .set(Lane::Channel, Towards::Node, Behaviour::Stall);
    });
    each_fault(|proxied| {
        proxied.proxy.refuse(true);
        proxied.proxy.cut(Lane::Channel);
    });
    each_fault(|proxied| {
        proxied.proxy.refuse(true);
        for lane in [Lane::Channel, Lane::Reads, Lane::Writes] {
            proxied.proxy.cut(lane);
        }
    });
}

/// Injects a fault on one node, ends a session on the other, and watches the first one.
fn each_fault(fault: impl Fn(&Node)) {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let session = one.verbs.create(b"cart").expect("the store is up");
        assert_eq!(two.open(&session), Ok(Some(b"cart".to_vec())));
        fault(&two);
        assert_eq!(one.verbs.end(&session.id), Ok(true));
        let ended = Instant::now();
        while ended.elapsed() < LEASE + Duration::from_secs(2) {
            let opened = two.open(&session);
            let is_open = matches!(opened, Ok(Some(_)));
            let limit = LEASE + Duration::from_secs(1);
            assert!(!is_open || ended.elapsed() < limit, "{kind}: {opened:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
