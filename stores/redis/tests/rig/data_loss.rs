//! Servers that lose their data, and channels that lose messages.

use std::time::Duration;

use sessile::IssuedSession;

use crate::support::{
    node::{Node, Site, answered, key, permit, until},
    proxy::{Behaviour, Lane, Towards},
    server::{self, Server},
};

const DEBUG: [&str; 2] = ["--enable-debug-command", "yes"];

#[test]
fn no_hit_survives_a_flush() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        for flush in ["FLUSHALL", "FLUSHDB"] {
            let session = shared(&one, &two);
            let fences = [&one, &two].map(Node::fences);
            server.command(&[flush]);
            until("the flush arrives", || {
                !one.hits(&session) && !two.hits(&session)
            });
            for (node, fences) in [&one, &two].into_iter().zip(fences) {
                until("a fence", || node.fences() > fences);
                node.until_up();
                assert_eq!(answered(|| node.open(&session)), Ok(None), "{kind} {flush}");
            }
            // The nodes agree on the new data set.
            shared(&one, &two);
        }
    }
}

#[test]
fn no_hit_survives_a_restart_without_data() {
    for kind in server::kinds() {
        let mut server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let session = shared(&one, &two);
        server.kill();
        server.start_again();
        permit(&server);
        for node in [&one, &two] {
            until("a fence", || node.fences() > 0.0);
            node.until_up();
            assert!(!node.hits(&session));
            assert_eq!(answered(|| node.open(&session)), Ok(None), "{kind}");
        }
        shared(&one, &two);
    }
}

#[test]
fn a_reload_of_the_same_data_keeps_sessions_and_hides_no_end() {
    for kind in server::kinds() {
        let server = Server::start(kind, &DEBUG);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let session = shared(&one, &two);
        server.command(&["DEBUG", "RELOAD"]);
        for node in [&one, &two] {
            node.until_up();
        }
        until("the session is there", || {
            two.open(&session) == Ok(Some(b"cart".to_vec()))
        });
        let ended = answered(|| one.verbs.end(&session.id));
        assert!(ended.is_ok(), "{kind}: {ended:?}");
        until("the end arrives", || !two.hits(&session));
        assert_eq!(answered(|| two.open(&session)), Ok(None), "{kind}");
    }
}

#[test]
fn no_end_is_missed_while_the_channel_is_killed() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let sessions: Vec<_> = (0..20).map(|_| shared(&one, &two)).collect();
        let before = two.fences();
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        for session in &sessions {
            until("the end is done", || one.verbs.end(&session.id).is_ok());
        }
        until("a fence", || two.fences() > before);
        two.until_up();
        for session in &sessions {
            assert!(!two.hits(session), "{kind}: a stale hit");
            assert_eq!(answered(|| two.open(session)), Ok(None));
        }
    }
}

#[test]
fn no_end_is_missed_when_the_server_drops_messages() {
    for kind in server::kinds() {
        let limit = ["--client-output-buffer-limit", "pubsub 64kb 0 0"];
        let server = Server::start(kind, &limit);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let session = shared(&one, &two);
        let before = two.fences();
        let behaviour = Behaviour::Stall;
        two.proxy.set(Lane::Channel, Towards::Node, behaviour);
        // More than the sockets hold. The messages are of no known kind, and each fits into the
        // limit, so that the other node reads them.
        let filler = "?".repeat(32 << 10);
        let subscribers = || server.command(&["PUBSUB", "SHARDNUMSUB", CHANNEL]);
        let connections = || pubsub_clients(&server);
        let both = connections();
        until("the server drops the connection", || {
            server.command(&["SPUBLISH", CHANNEL, &filler]);
            connections() < both
        });
        assert_eq!(one.verbs.end(&session.id), Ok(true), "{}", subscribers());
        two.proxy.set(Lane::Channel, Towards::Node, Behaviour::Pass);
        until("a fence", || two.fences() > before);
        two.until_up();
        assert!(!two.hits(&session), "{kind}: a stale hit");
        assert_eq!(answered(|| two.open(&session)), Ok(None));
    }
}

const CHANNEL: &str = "sessile:{00}:c";

fn pubsub_clients(server: &Server) -> usize {
    server
        .command(&["CLIENT", "LIST", "TYPE", "PUBSUB"])
        .lines()
        .count()
}

#[test]
fn a_channel_that_stalls_for_less_than_the_lease_loses_nothing() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let session = shared(&one, &two);
        two.proxy
            .set(Lane::Channel, Towards::Node, Behaviour::Stall);
        assert_eq!(one.verbs.end(&session.id), Ok(true));
        std::thread::sleep(Duration::from_millis(500));
        two.proxy.set(Lane::Channel, Towards::Node, Behaviour::Pass);
        until("the end arrives", || !two.hits(&session));
        assert_eq!(two.fences(), 0.0, "{kind}: no fence");
    }
}

#[test]
fn the_line_of_the_guide_ends_a_session_on_all_nodes() {
    let guide = include_str!("../../../../docs/src/redis.md");
    let (_, line) = guide.split_once("redis-cli EVAL \"").expect("it is there");
    let (script, _) = line.split_once('"').expect("the script ends");
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let session = shared(&one, &two);
        let channel = format!("sessile:{{{:02x}}}:c", session.id.partition());
        server.command(&["EVAL", script, "1", &key(&session.id), &channel]);
        until("the end arrives", || {
            !one.hits(&session) && !two.hits(&session)
        });
        assert_eq!(two.open(&session), Ok(None), "{kind}");
    }
}

/// Creates a session that both nodes have in L1.
fn shared(one: &Node, two: &Node) -> IssuedSession {
    let session = answered(|| one.verbs.create(b"cart")).expect("the store has room");
    assert_eq!(answered(|| two.open(&session)), Ok(Some(b"cart".to_vec())));
    until("both have it", || one.hits(&session) && two.hits(&session));
    session
}
