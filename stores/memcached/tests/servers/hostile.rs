//! Servers that answer with anything: each call fails in time, and none of them panics.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use sessile::Error;
use sessile_memcached::MemcachedStore;
use sessile_store::StoreState;

use crate::support::node::{Node, until};

/// Starts a server that answers each line, and returns a store for it. It lives as long as the
/// process.
fn fake(answer: impl Fn(&str) -> Vec<u8> + Clone + Send + 'static) -> MemcachedStore {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || serve(socket, &answer));
        }
    });
    let url = format!("memcached://127.0.0.1:{port}");
    MemcachedStore::open(&url).expect("a valid URL")
}

fn serve(mut socket: TcpStream, answer: &impl Fn(&str) -> Vec<u8>) {
    let lines = BufReader::new(socket.try_clone().expect("a socket")).lines();
    for line in lines.map_while(Result::ok) {
        if socket.write_all(&answer(&line)).is_err() {
            return;
        }
    }
}

fn build_error(store: MemcachedStore) -> String {
    let error = Node::builder(store).build();
    error.expect_err("the server cannot be used").to_string()
}

#[test]
fn a_server_that_is_too_old_is_named_with_what_it_must_be() {
    let text = build_error(fake(|_| b"VERSION 1.6.17\r\n".to_vec()));
    assert_eq!(
        text,
        "the server must be memcached 1.6.18 or later, got 1.6.17"
    );
    let text = build_error(fake(|_| b"-ERR unknown command `version`\r\n".to_vec()));
    assert!(text.ends_with("it answered in another protocol"), "{text}");
    let text = build_error(fake(|_| b"CLIENT_ERROR unauthenticated\r\n".to_vec()));
    assert!(text.contains("must not ask for authentication"), "{text}");
}

#[test]
fn hostile_replies_fail_in_time() {
    let flood = vec![b'x'; 1 << 20];
    for (name, reply) in [
        ("nothing", &b""[..]),
        ("garbage", b"\x00\xff\xfe\r\n\r\n"),
        ("half a line", b"VA 10"),
        ("half a value", b"VA 10 c1 t1 f0 O0\r\nabc"),
        ("a huge length", b"VA 99999999999 c1\r\n"),
        ("a large length", b"VA 17000000 c1 t1 f0 O0\r\nabc"),
        ("no number", b"HD\r\n"),
        ("a number of another call", b"HD O77\r\n"),
        (
            "too many lines",
            b"EN O0\r\nEN O1\r\nEN O2\r\nEN O3\r\nEN O4\r\n",
        ),
        ("a flood", &flood),
        ("an error", b"ERROR\r\n"),
        ("a failure", b"SERVER_ERROR temporary failure\r\n"),
        (
            "no memory",
            b"SERVER_ERROR out of memory storing object\r\n",
        ),
    ] {
        let reply = reply.to_vec();
        let node = Node::begin(fake(move |line| match line {
            "version" => b"VERSION 1.6.18\r\n".to_vec(),
            "stats settings" => b"STAT item_size_max 1048576\r\nEND\r\n".to_vec(),
            _ => reply.clone(),
        }));
        let began = Instant::now();
        assert_eq!(
            node.verbs.create(b"").err(),
            Some(Error::Unreachable),
            "{name}"
        );
        assert!(began.elapsed() < Duration::from_secs(3), "{name}");
        assert_ne!(node.cache.store_health().state, StoreState::Up, "{name}");
    }
}

#[test]
fn a_reply_that_belongs_to_another_call_is_given_to_none() {
    // A proxy that repeats a reply: all later ones would answer the call before.
    let node = Node::begin(fake(|line| {
        let number = line.rsplit_once(" O").map_or("0", |(_, number)| number);
        match line.split(' ').next() {
            Some("version") => b"VERSION 1.6.18\r\n".to_vec(),
            Some("stats") => b"END\r\n".to_vec(),
            Some("mg") => format!("EN O{number}\r\nEN O{number}\r\n").into_bytes(),
            Some("ms") => format!("HD c1 O{number}\r\n").into_bytes(),
            _ => Vec::new(),
        }
    }));
    assert_eq!(node.verbs.create(b"").err(), Some(Error::Unreachable));
    until("the store is left", || {
        node.cache.store_health().state != StoreState::Up
    });
}
