//! The calls of a tiered cache over memcached, beside bare commands, in turns.
//!
//! A session in memory is opened without the server while its lease lasts; then it is compared,
//! without its data. So the comparisons are measured one lease after the sessions were read.

use std::{
    hint::black_box,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use sessile::{Clock, IssuedSession, KeyRing, SessionCache, Version};
use sessile_memcached::MemcachedStore;
use sessile_store::{LookUp, StoreExt, StoreState, TieredCache};
use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
    sync::oneshot,
};

use super::{DATA_LEN, MEMORY, times::Times};
use crate::{
    Plan,
    report::{Report, Target, blank, count},
    sessile_cache,
};

/// Writes the table, if memcached is installed.
pub(super) fn run(plan: &Plan, report: &mut Report) {
    let mut version = Command::new("memcached");
    version.arg("-V").stdout(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        return report.line("store: memcached is not installed");
    }
    let server = Server::start();
    let (bare, [one, two]) = (Bare::connect(server.port), [(); 2].map(|()| node(&server)));
    let mut times = Times::new();
    let sessions: Vec<_> = (0..plan.calls)
        .map(|_| one.blocking().create(&[7; DATA_LEN]).expect("it is up"))
        .collect();
    measure_calls(&mut times, &bare, &two, &sessions);
    thread::sleep(LEASE + Duration::from_millis(200));
    measure_comparisons(&mut times, &bare, &two, &sessions);
    measure_hits(&mut times, &two, plan.calls);
    let name = format!("memcached {}", server.version);
    let calls = count(plan.calls);
    report.heading(&format!(
        "store: calls on {name}, medians of {calls} in turns, µs"
    ));
    report.table(&times.table(&NAMES, verdict));
}

fn measure_calls(
    times: &mut Times<{ NAMES.len() }>,
    bare: &Bare,
    node: &TieredCache,
    sessions: &[IssuedSession],
) {
    let value = "x".repeat(DATA_LEN + 88);
    for (number, session) in sessions.iter().enumerate() {
        let key = format!("bench:{}", number % 1_000);
        let set = format!("ms {key} {} T600\r\n{value}\r\n", value.len());
        times.add(SET, || bare.call(&set));
        let get = format!("mg {key} v\r\n");
        times.add(GET, || bare.call(&get));
        times.add(MISS, || open(node, session));
        let version = version(node, session);
        times.add(SAVE, || {
            let saved = node.blocking().save(&session.id, version, &[8; DATA_LEN]);
            black_box(saved).expect("no other request saves it");
        });
    }
}

/// The leases of all sessions are over.
fn measure_comparisons(
    times: &mut Times<{ NAMES.len() }>,
    bare: &Bare,
    node: &TieredCache,
    sessions: &[IssuedSession],
) {
    for (number, session) in sessions.iter().enumerate() {
        let get = format!("mg bench:{} c t\r\n", number % 1_000);
        times.add(COMPARE_BARE, || bare.call(&get));
        times.add(COMPARE, || open(node, session));
    }
}

fn measure_hits(times: &mut Times<{ NAMES.len() }>, node: &TieredCache, rounds: usize) {
    let local = sessile_cache::cache_of(MEMORY, &Clock::system());
    let hot_local = local.create(&[7; DATA_LEN]).expect("it fits");
    let mut hot = node.blocking().create(&[7; DATA_LEN]).expect("it is up");
    let mut began = Instant::now();
    for _ in 0..rounds {
        if began.elapsed() > LEASE / 2 {
            hot = node.blocking().create(&[7; DATA_LEN]).expect("it is up");
            began = Instant::now();
        }
        times.add_many(HIT, || hit(node, &hot));
        times.add_many(LOCAL_HIT, || open_locally(&local, &hot_local));
    }
}

/// Creates a node with the shortest lease.
fn node(server: &Server) -> TieredCache {
    let url = format!("memcached://127.0.0.1:{}", server.port);
    let store = MemcachedStore::open(&url).expect("a valid URL");
    let keys = KeyRing::from_base64(KEY).expect("a key");
    let builder = SessionCache::builder().memory(MEMORY).keys(keys);
    let builder = builder.max_sessions_per_user(None).tiered(store);
    let cache = builder.lease(LEASE).build().expect("valid settings");
    while cache.store_health().state != StoreState::Up {
        thread::yield_now();
    }
    cache
}

fn open(cache: &TieredCache, session: &IssuedSession) {
    let mut data = BytesMut::with_capacity(DATA_LEN);
    let token = session.token.as_str().as_bytes();
    let opened = cache.blocking().open_token(token, &mut data);
    assert!(matches!(opened, Ok(Some(_))) && data.len() == DATA_LEN);
}

fn hit(cache: &TieredCache, session: &IssuedSession) {
    let mut data = BytesMut::with_capacity(DATA_LEN);
    let token = session.token.as_str().as_bytes();
    let opened = cache.try_open_token(token, &mut data);
    assert!(matches!(opened, LookUp::Hit(_)) && data.len() == DATA_LEN);
}

fn open_locally(cache: &SessionCache, session: &IssuedSession) {
    let mut data = BytesMut::with_capacity(DATA_LEN);
    let token = session.token.as_str().as_bytes();
    assert!(cache.open_token(token, &mut data).is_some() && data.len() == DATA_LEN);
}

fn version(cache: &TieredCache, session: &IssuedSession) -> Version {
    let mut data = BytesMut::new();
    let record = cache.blocking().load(&session.id, &mut data);
    record.expect("it is up").expect("it is there").version
}

/// A memcached on a free loopback port, stopped when dropped.
struct Server {
    child: Child,
    port: u16,
    version: String,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut command = Command::new("memcached");
        command.args([
            "-l",
            "127.0.0.1",
            "-U",
            "0",
            "-m",
            "1024",
            "-p",
            &port.to_string(),
        ]);
        // memcached refuses to run as root unless a user is named.
        if let Ok(id) = Command::new("id").arg("-un").output() {
            command.args(["-u", String::from_utf8_lossy(&id.stdout).trim()]);
        }
        let child = command
            .stdout(Stdio::null())
            .spawn()
            .expect("it is installed");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the server does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        let version = Bare::connect(port).call("version\r\n");
        let version = version.trim().trim_start_matches("VERSION ").to_owned();
        Self {
            child,
            port,
            version,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process is our own child.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A thread with a connection, as a node has.
struct Bare {
    handle: Handle,
    socket: Arc<TcpStream>,
    _stop: oneshot::Sender<()>,
}

impl Bare {
    fn connect(port: u16) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(async {
                let socket = TcpStream::connect(("127.0.0.1", port)).await;
                let socket = socket.expect("the server is reachable");
                socket.set_nodelay(true).expect("a socket");
                let ready = (Handle::current(), Arc::new(socket));
                sender.send(ready).expect("it is awaited");
                let _ = stopped.await;
            });
        });
        let (handle, socket) = receiver.recv().expect("the thread runs");
        Self {
            handle,
            socket,
            _stop: stop,
        }
    }

    /// Sends a command and waits for its reply, which one read returns.
    fn call(&self, command: &str) -> String {
        let (sender, receiver) = mpsc::channel();
        let (socket, command) = (Arc::clone(&self.socket), command.to_owned());
        self.handle.spawn(async move {
            let sent = socket.try_write(command.as_bytes());
            assert_eq!(sent.ok(), Some(command.len()));
            let mut reply = [0; 4_096];
            let len = loop {
                socket.readable().await.expect("the server answers");
                if let Ok(len) = socket.try_read(&mut reply) {
                    break len;
                }
            };
            let text = String::from_utf8_lossy(&reply[..len]).into_owned();
            // The receiver waits.
            let _ = sender.send(text);
        });
        black_box(receiver.recv().expect("the thread runs"))
    }
}

fn verdict(kind: usize, medians: &[f64; NAMES.len()]) -> String {
    let over = |other: usize| medians[kind] - medians[other];
    let ratio = |other: usize| medians[kind] / medians[other];
    match kind {
        COMPARE => Target::AtMost(20.0).verdict(over(COMPARE_BARE), "µs more than `mg`"),
        HIT => Target::AtMost(1.05).verdict(ratio(LOCAL_HIT), "× a local hit"),
        _ => blank(),
    }
}

const LOCAL_HIT: usize = 0;
const HIT: usize = 1;
const COMPARE_BARE: usize = 2;
const COMPARE: usize = 3;
const GET: usize = 4;
const MISS: usize = 5;
const SET: usize = 6;
const SAVE: usize = 7;
const NAMES: [&str; 8] = [
    "hit, local cache",
    "hit within the lease",
    "bare `mg` without a value",
    "comparison after the lease",
    "bare `mg` of 344 bytes",
    "miss",
    "bare `ms` of 344 bytes",
    "save: a read and a write",
];
/// The shortest lease that the settings allow.
const LEASE: Duration = Duration::from_secs(1);
/// 32 bytes, base64.
const KEY: &str = "qLW9fC0Sq3ZtKkQ1mW0c8pGv5uYbR2nJ7hXeTdA4oL8=";
