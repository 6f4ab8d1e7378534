//! Servers on free loopback ports, stopped when dropped.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A kind of server. The tables of each are in `store.rs`.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Redis,
    Valkey,
}

/// A server that keeps nothing on disk.
pub(super) struct Server {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

    /// Returns the name of the program.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        }
    }

    pub(super) fn is_installed(self) -> bool {
        let mut version = Command::new(self.program());
        version.arg("--version").stdout(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    }
}

impl Server {
    pub(super) fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let child = Command::new(kind.program())
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string()])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("it is installed");
        let server = Self {
            child,
            port,
            _folder: folder,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while server.connection().is_none() {
            assert!(Instant::now() < deadline, "the server does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        server
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns the id of its process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Returns its name and version.
    pub(super) fn describe(&self) -> String {
        let [valkey, redis] = ["valkey_version", "redis_version"].map(|name| self.info(name));
        match valkey {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", redis.unwrap_or_default()),
        }
    }

    /// Returns the bytes that the server has allocated.
    pub(super) fn used_memory(&self) -> f64 {
        let used = self.info("used_memory");
        used.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Removes all keys.
    pub(super) fn flush(&self) {
        let mut connection = self.connection().expect("the server is reachable");
        redis::cmd("FLUSHALL")
            .arg("SYNC")
            .exec(&mut connection)
            .expect("it is allowed");
    }

    fn connection(&self) -> Option<redis::Connection> {
        open_client(&self.url()).get_connection().ok()
    }

    fn info(&self, field: &str) -> Option<String> {
        let mut connection = self.connection()?;
        let text: String = redis::cmd("INFO").query(&mut connection).ok()?;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(name, _)| *name == field);
        found.map(|(_, value)| value.to_owned())
    }
}

pub(super) fn open_client(url: &str) -> redis::Client {
    redis::Client::open(format!("{url}/?protocol=resp3")).expect("a valid URL")
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process is our own child.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
