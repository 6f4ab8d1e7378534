//! Real servers on free loopback ports, stopped by their process id when dropped.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::{
    env,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sessile_redis::RedisStore;
use tempfile::TempDir;

/// A server of its own for a test.
pub struct Server {
    kind: &'static str,
    options: Vec<String>,
    child: Child,
    port: u16,
    folder: TempDir,
}

/// The servers that the tests run against: those of `SESSILE_TEST_SERVERS`, a list of names, or all
/// that are installed.
pub fn kinds() -> Vec<&'static str> {
    let wanted = env::var("SESSILE_TEST_SERVERS").ok();
    let is_wanted = |kind: &&str| match &wanted {
        Some(list) => list.split(',').any(|name| name == *kind),
        None => is_installed(kind),
    };
    ["redis", "valkey"].into_iter().filter(is_wanted).collect()
}

fn is_installed(kind: &str) -> bool {
    let mut version = Command::new(format!("{kind}-server"));
    version.arg("--version").stdout(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

impl Server {
    /// Starts a server with further options, and waits until it answers.
    pub fn start(kind: &'static str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let server = Self {
            kind,
            child: spawn(kind, port, folder.path(), &options),
            options,
            port,
            folder,
        };
        server.until_ready();
        server
    }

    /// Kills the process at once. The files that it wrote remain.
    pub fn kill(&mut self) {
        // The process is our own child.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts the server again after [`kill`](Self::kill), on the same port and files.
    pub fn start_again(&mut self) {
        self.begin_again();
        self.until_ready();
    }

    /// Starts the server again without waiting for its answers.
    pub fn begin_again(&mut self) {
        self.child = spawn(self.kind, self.port, self.folder.path(), &self.options);
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns a store with default settings.
    pub fn store(&self) -> RedisStore {
        RedisStore::open(&self.url()).expect("a valid URL")
    }

    /// Becomes a replica of another server, and waits until it is connected.
    pub fn replicate(&self, primary: &Self) {
        self.command(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
        primary.until_replicas(1);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Executes a command and returns its reply as text.
    pub fn command(&self, words: &[&str]) -> String {
        let client = redis::Client::open(self.url()).expect("a valid URL");
        let mut connection = client.get_connection().expect("the server is reachable");
        let mut command = redis::Cmd::new();
        command.arg(words);
        let reply: redis::Value = command.query(&mut connection).expect("a reply");
        redis::from_redis_value(reply).unwrap_or_default()
    }

    /// Returns how often the server executed a command, also within scripts.
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.command(&["INFO", "commandstats"]);
        let name = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&name));
        let number = line.and_then(|line| line.split(',').next());
        number.map_or(0, |number| number.parse().expect("a number"))
    }

    /// Returns the number of calls of scripts that the server did not know.
    pub fn unknown_scripts(&self) -> u64 {
        let errors = self.command(&["INFO", "errorstats"]);
        let number = errors.lines().find_map(|line| line.strip_prefix(UNKNOWN));
        number.map_or(0, |number| number.parse().expect("a number"))
    }

    /// Returns true if the server loads its data, or has not begun to.
    pub fn is_loading(&self) -> bool {
        let client = redis::Client::open(self.url()).expect("a valid URL");
        let pong = client
            .get_connection()
            .and_then(|mut connection| redis::cmd("PING").query::<String>(&mut connection));
        pong.is_err()
    }

    /// Stops the process without closing its connections.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Waits until replicas are connected.
    fn until_replicas(&self, number: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let online = format!("slave{}:ip=127.0.0.1", number - 1);
        loop {
            let info = self.command(&["INFO", "replication"]);
            let is_online = |line: &str| line.starts_with(&online) && line.contains("state=online");
            if info.lines().any(is_online) {
                return;
            }
            assert!(Instant::now() < deadline, "no replica: {info}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, name: &str) {
        assert!(self.try_signal(name), "the process runs");
    }

    fn try_signal(&self, name: &str) -> bool {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        status.is_ok_and(|status| status.success())
    }

    fn until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let client = redis::Client::open(self.url()).expect("a valid URL");
        loop {
            let pong = client
                .get_connection()
                .and_then(|mut connection| redis::cmd("PING").query::<String>(&mut connection));
            match pong {
                Ok(_) => return,
                Err(error) if Instant::now() > deadline => panic!("no answer: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

fn spawn(kind: &str, port: u16, folder: &Path, options: &[String]) -> Child {
    Command::new(format!("{kind}-server"))
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &port.to_string()])
        .arg("--dir")
        .arg(folder)
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{kind}-server does not start: {error}"))
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process is our own child. If it has ended, its id may be another's.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.try_signal("CONT");
            self.kill();
        }
    }
}

/// The counter of calls of unknown scripts.
const UNKNOWN: &str = "errorstat_NOSCRIPT:count=";

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
